"""Recorded predictions, judged again: a run like any other, without new inference."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from core.errors import InputError, IntegrityError
from core.files import read_json, sha256_file, sha256_tree
from experiments.comparing import compare_runs
from experiments.environment import code_sha256
from experiments.promoting import weights_of
from experiments.rejudging import plan_rejudging, rejudge
from experiments.runs import find_reusable, why_not_reused
from experiments.workspace import Workspace, open_workspace
from judges import judge_fingerprint, load_judge
from judges.thinking import answer_of, is_closed
from tests.support.recorded_runs import plan_of, recorded_run
from tests.support.refusals import assert_refused
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.unit

LOOSE = {0: "Answer: 1.0", 1: "Answer: 2", 2: "Answer: wrong", 3: ""}
"""Against the answers 1, 2, 3, 4: the first is right for answer_correctness only."""


@pytest.fixture
def place(home: Path) -> Workspace:
    return open_workspace()


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    return str(small_dataset(tmp_path))


def loose(number: int, _item: object) -> str:
    return LOOSE[number]


def test_a_rejudged_run_is_finished_with_the_same_predictions_and_other_scores(
    place: Workspace, dataset: str
) -> None:
    first = recorded_run(place, loose, dataset=dataset)
    again = rejudge(first.run_id, "exact_match@v1", place)
    before, after = (place.registry.runs.get(run.run_id) for run in (first, again))
    assert (after.status, after.kind, after.judge) == ("finished", "baseline", "exact_match@v1")
    assert after.judge_fingerprint == judge_fingerprint(load_judge("exact_match@v1"))
    assert (after.predictions_sha256, after.model_sha256) == (before.predictions_sha256, before.model_sha256)
    assert after.manifest["rejudged_from"] == first.run_id
    assert after.manifest["judge"]["name"] == "exact_match@v1"
    assert again.files.predictions.read_bytes() == first.files.predictions.read_bytes()
    assert again.files.dataset.read_bytes() == first.files.dataset.read_bytes()
    assert read_json(again.files.predictions_meta) == read_json(first.files.predictions_meta)
    assert list(place.registry.runs.scores(first.run_id).values()) == [1, 1, 0, 0]
    assert list(place.registry.runs.scores(again.run_id).values()) == [0, 1, 0, 0]
    assert place.registry.runs.reasons(again.run_id) == {"correct": 1, "empty": 1, "wrong": 2}
    assert place.registry.verify() == []


def test_the_same_re_judging_twice_is_one_run(place: Workspace, dataset: str) -> None:
    first = recorded_run(place, loose, dataset=dataset)
    again = rejudge(first.run_id, "exact_match@v1", place)
    once_more = rejudge(first.run_id, "exact_match@v1", place)
    from_there = rejudge(again.run_id, "exact_match@v1", place)
    back = rejudge(again.run_id, "answer_correctness@v1", place)
    assert [run.run_id for run in (once_more, from_there, back)] == [again.run_id, again.run_id, first.run_id]
    assert once_more.reused
    assert place.registry.runs.count() == 2


def test_a_fresh_evaluation_takes_the_rejudged_run(place: Workspace, dataset: str) -> None:
    again = rejudge(recorded_run(place, loose, dataset=dataset).run_id, "exact_match@v1", place)
    fresh = plan_of(place, dataset=dataset, judge="exact_match@v1")
    reused = find_reusable(fresh, place.registry)
    assert reused is not None
    assert reused.run_id == again.run_id
    assert place.registry.runs.get(again.run_id).evaluation_sha256 == fresh.evaluation_sha256(
        fresh.model.sha256
    )
    assert (
        find_reusable(
            plan_of(place, dataset=dataset, judge="exact_match@v1", generation={"max_new_tokens": 7}),
            place.registry,
        )
        is None
    )


def test_after_a_change_of_surroundings_a_fresh_evaluation_is_made(
    place: Workspace, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = recorded_run(place, loose, dataset=dataset)
    monkeypatch.setattr("platform.python_version", lambda: "3.99.0")
    again = rejudge(first.run_id, "exact_match@v1", place)
    fresh = plan_of(place, dataset=dataset, judge="exact_match@v1")
    assert place.registry.runs.get(again.run_id).evaluation_sha256 != fresh.evaluation_sha256(
        fresh.model.sha256
    )
    assert find_reusable(fresh, place.registry) is None


def test_why_a_recorded_run_is_not_reused_is_said(
    place: Workspace, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = recorded_run(place, loose, dataset=dataset)
    assert find_reusable(plan_of(place, dataset=dataset), place.registry) is not None
    monkeypatch.setattr("platform.python_version", lambda: "3.99.0")
    changed = plan_of(place, dataset=dataset)
    assert find_reusable(changed, place.registry) is None
    reason = why_not_reused(changed, place.registry)
    assert reason == f"run {first.run_id} is not reused: Python changed since it was made"
    other_settings = plan_of(place, dataset=dataset, generation={"max_new_tokens": 7})
    assert why_not_reused(other_settings, place.registry) is None, "another question, not the same one again"
    assert why_not_reused(plan_of(place, dataset=dataset, reuse=False), place.registry) is None


def test_a_run_whose_surroundings_were_not_recorded_never_passes_for_a_fresh_one(
    place: Workspace, dataset: str
) -> None:
    first = recorded_run(place, loose, dataset=dataset)
    plan = plan_rejudging(first.run_id, "exact_match@v1", place.registry)
    known = plan.evaluation_sha256()
    assert known == plan_of(place, dataset=dataset, judge="exact_match@v1").evaluation_sha256(
        str(plan.source.model_sha256)
    )
    plan.origin.manifest = {
        name: value for name, value in plan.origin.manifest.items() if name != "inference"
    }
    assert plan.evaluation_sha256() != known
    assert plan.evaluation_sha256() == plan.evaluation_sha256()


def test_predictions_come_from_the_registry_where_the_folder_is_gone(place: Workspace) -> None:
    first = recorded_run(place)
    shutil.rmtree(first.directory)
    again = rejudge(first.run_id, "exact_match@v1", place)
    row = place.registry.runs.get(again.run_id)
    assert row.predictions_sha256 == place.registry.runs.get(first.run_id).predictions_sha256
    assert again.files.predictions.is_file()


def test_items_come_from_the_store_where_the_folder_is_gone_and_without_them_nothing_begins(
    place: Workspace, dataset: str
) -> None:
    first = recorded_run(place, loose, dataset=dataset)
    shutil.rmtree(first.directory)
    again = rejudge(first.run_id, "exact_match@v1", place)
    assert again.files.dataset.read_bytes() == Path(dataset).read_bytes()
    shutil.rmtree(again.directory)
    store = place.registry.artifacts
    store.blobs.delete([sha256_file(Path(dataset))])
    shutil.rmtree(store.checkouts)
    with pytest.raises(InputError, match="the items of small-v1"):
        rejudge(first.run_id, "math_equivalence@v1", place)
    assert place.registry.runs.count() == 2


def test_changed_predictions_are_refused_with_both_hashes(place: Workspace, dataset: str, hallmark) -> None:
    first = recorded_run(place, loose, dataset=dataset)
    text = first.files.predictions.read_text()
    first.files.predictions.write_text(text.replace("wrong", "3"))
    with pytest.raises(IntegrityError, match="changed since the run: expected sha256"):
        rejudge(first.run_id, "exact_match@v1", place)
    result = hallmark("rejudge", first.run_id, "--judge", "exact_match@v1")
    assert_refused(result, 3, "predictions.jsonl: changed since the run", "expected sha256")
    first.files.predictions.write_text(text)
    again = rejudge(first.run_id, "exact_match@v1", place)
    assert again.continued  # the run that failed goes on
    assert place.registry.runs.get(again.run_id).status == "finished"


def test_the_weights_of_a_rejudged_trained_run_are_where_it_was_trained(
    place: Workspace, dataset: str
) -> None:
    first = recorded_run(place, loose, trained=True, dataset=dataset)
    again = rejudge(first.run_id, "exact_match@v1", place)
    twice = rejudge(again.run_id, "math_equivalence@v1", place) if "math" in _installed() else again
    for run in (again, twice):
        row = place.registry.runs.get(run.run_id)
        assert row.kind == "trained"
        assert weights_of(row, place) == first.files.model
        assert row.model_sha256 == sha256_tree(first.files.model)
        assert not run.files.model.exists()
    shutil.rmtree(first.files.model)
    with pytest.raises(InputError, match=r"its model \(sha256 .*\) is neither at"):
        weights_of(place.registry.runs.get(again.run_id), place)


def test_runs_by_the_new_judge_are_compared_and_those_by_different_judges_are_not(
    place: Workspace, dataset: str
) -> None:
    base = recorded_run(place, loose, dataset=dataset)
    trained = recorded_run(
        place, lambda _n, item: f"Answer: {item.final_answer}", trained=True, dataset=dataset
    )
    pair = [rejudge(run.run_id, "exact_match@v1", place) for run in (base, trained)]
    assert compare_runs(pair[0].run_id, pair[1].run_id, place.registry).delta == 0.75
    with pytest.raises(InputError, match="judge"):
        compare_runs(base.run_id, pair[1].run_id, place.registry)


def test_the_command_line_judges_again_and_says_from_what(place: Workspace, dataset: str, hallmark) -> None:
    first = recorded_run(place, loose, cut=[2], dataset=dataset)
    done = hallmark("rejudge", first.run_id, "--judge", "exact_match@v1", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["status"], document["reused"], document["judge"]) == (
        "finished",
        False,
        "exact_match@v1",
    )
    assert document["counts"] == {"correct": 1, "empty": 1, "wrong": 2}
    assert document["truncated"] == {"prompts": 0, "completions": 1, "completions_below_one": 1}
    shown = hallmark("runs", "show", document["run_id"]).stdout
    assert f"predictions of run {first.run_id}" in shown
    assert "1 correct, 1 empty, 2 wrong" in shown
    assert "1 completion at max_new_tokens (1 of them without the full score)" in shown
    assert json.loads(hallmark("rejudge", first.run_id, "--judge", "exact_match@v1", "--json").stdout)[
        "reused"
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing", "--judge", "exact_match@v1"), "run nothing: there is none"),
        (("RUN", "--judge", "bleu@v1"), "there is no judge bleu"),
    ],
)
def test_bad_input_is_refused(
    arguments: tuple[str, ...], message: str, place: Workspace, dataset: str, hallmark
) -> None:
    first = recorded_run(place, loose, dataset=dataset)
    assert_refused(
        hallmark("rejudge", *(first.run_id if part == "RUN" else part for part in arguments)), 2, message
    )
    assert place.registry.runs.count() == 1


def test_a_change_of_one_judge_is_no_change_of_inference() -> None:
    from experiments.environment import INFERENCE_CODE, JUDGING_CODE

    assert code_sha256(INFERENCE_CODE) != code_sha256(JUDGING_CODE)
    assert not any("judges" in part for part in INFERENCE_CODE)
    assert set(JUDGING_CODE) == {"judges/base.py", "judges/judging.py", "judges/thinking.py"}


def test_what_renders_a_prompt_is_recorded_for_training_and_inference_alike() -> None:
    from experiments.environment import INFERENCE_PACKAGES, TRAINING_PACKAGES

    asked = {"jinja2", "transformers", "tokenizers", "sentencepiece", "tiktoken"}
    assert asked <= set(INFERENCE_PACKAGES)
    assert asked <= set(TRAINING_PACKAGES)


def _installed() -> str:
    import importlib.util

    return "math" if importlib.util.find_spec("math_verify") else ""


THOUGHTS = {
    0: "Is it 1? Answer: 2</think>Answer: 1",
    1: "first</think>Answer: 9</think>Answer: 2",
    2: "Answer: 3",  # the mark never came
    3: "never mind</think>",
}


def thinking(number: int, _item: object) -> str:
    return THOUGHTS[number]


def test_only_what_follows_the_end_of_thinking_is_judged_and_all_of_it_is_kept(
    place: Workspace, dataset: str
) -> None:
    run = recorded_run(place, thinking, dataset=dataset, prompt={"thinking_end": "</think>"})
    assert list(place.registry.runs.scores(run.run_id).values()) == [1, 1, 0, 0]
    assert place.registry.runs.reasons(run.run_id) == {"correct": 2, "unfinished thinking": 1, "empty": 1}
    kept = [json.loads(line)["prediction"] for line in run.files.predictions.read_text().splitlines()]
    assert kept == list(THOUGHTS.values())
    again = rejudge(run.run_id, "exact_match@v1", place)
    assert list(place.registry.runs.scores(again.run_id).values()) == [1, 1, 0, 0]
    plain = recorded_run(place, thinking, dataset=dataset)
    assert list(place.registry.runs.scores(plain.run_id).values()) == [1, 1, 1, 0]


def test_where_the_prompt_ends_thinking_an_answer_need_not() -> None:
    for text, closed, answer in (
        ("Answer: 3", True, "Answer: 3"),
        ("Answer: 3", False, ""),
        ("hm</think>Answer: 4", True, "Answer: 4"),
        ("hm</think>Answer: 4", False, "Answer: 4"),
    ):
        assert answer_of(text, "</think>", closed=closed) == answer
        assert answer_of(text, None, closed=closed) == text
    assert [is_closed(True, "a"), is_closed(False, "a"), is_closed(["a"], "a"), is_closed(["b"], "a")] == [
        True,
        False,
        True,
        False,
    ]
