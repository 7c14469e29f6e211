"""A golden set revised as its reviews say, and recorded predictions judged again on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import InputError, IntegrityError
from core.files import read_json, sha256_file
from evaluation.gate import GateConfig
from experiments.comparing import compare_runs
from experiments.linting import freeze_dataset
from experiments.promoting import promote_run
from experiments.rejudging import rejudge
from experiments.reviewing import add_review, review_queue, reviews
from experiments.revising import revise
from experiments.workspace import Workspace
from golden.datasets import load_dataset
from golden.differences import DatasetDiff, each_difference
from tests.support.recorded_runs import recorded_run, workspace_at
from tests.support.refusals import assert_refused
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.unit

SAID = {0: "Answer: 1", 1: "Answer: 22", 2: "Answer: 33", 3: "Answer: 44"}
"""Of the answers 1, 2, 3, 4 the first is right."""


def said(number: int, _item: object) -> str:
    return SAID.get(number, "no idea")


@pytest.fixture
def place(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(tmp_path)
    return workspace_at(home)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = small_dataset(tmp_path)
    path.write_text(path.read_text().replace('"steps": []', '"steps": ["count"]', 3))
    freeze_dataset(path, "CC0-1.0", "by hand")
    return path


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_revision_changes_what_was_reviewed_and_no_other_byte(place: Workspace, dataset: Path) -> None:
    base, trained = (recorded_run(place, said, dataset=str(dataset), trained=kind) for kind in (False, True))
    both = [base.run_id, trained.run_id]
    add_review(both, "t1", "reference_wrong", place, answers=["22"], note="a typo", reviewer="ana")
    add_review(both, "t2", "both_right", place, reviewer="ana")
    add_review(both, "t3", "unclear", place, reviewer="ana")
    add_review(both, "t0", "fine", place, reviewer="ana")
    found = revise(dataset, place)
    assert found.path == dataset.with_name("small-v2.jsonl")
    before, after = dataset.read_text().splitlines(), found.path.read_text().splitlines()
    assert after[0] == before[0], "what stays keeps its bytes"
    assert [(line["trace_id"], line["final_answer"], line["steps"]) for line in lines(found.path)[1:]] == [
        ("t1", "22", []),  # its steps led to the answer that was wrong
        ("t2", ["3", "33"], ["count"]),
    ]
    assert (found.kept, found.counts) == (1, {"reference_replaced": 1, "answers_added": 1, "removed": 1})
    manifest = load_dataset(found.path).manifest
    assert manifest is not None
    assert manifest.revision is not None
    assert (manifest.items, manifest.licence, manifest.made_by) == (3, "CC0-1.0", "by hand")
    assert (manifest.revision.parent, manifest.revision.parent_sha256) == ("small-v1", sha256_file(dataset))
    first = manifest.revision.items[0]
    assert (first.trace_id, first.change, first.reason) == ("t1", "reference_replaced", "reference_wrong")
    assert (first.by[0].reviewer, first.by[0].note) == ("ana", "a typo")
    assert {run.run_id for run in manifest.revision.looked_at} == set(both)
    [warning] = found.warnings
    assert warning == (
        "small-v2 is small-v1 revised: 3 items were changed after looking at the answers of runs "
        f"{', '.join(sorted(both))}. It starts a new count of alpha."
    )


def test_the_same_reviews_give_the_same_bytes_and_other_ones_do_not_replace_them(
    place: Workspace, dataset: Path, tmp_path: Path
) -> None:
    run = recorded_run(place, said, dataset=str(dataset))
    add_review([run.run_id], "t3", "unclear", place)
    first, again = revise(dataset, place), revise("small-v1", place, tmp_path / "elsewhere")
    assert not first.was_there
    for name in ("small-v2.jsonl", "small-v2.manifest.json"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "elsewhere" / name).read_bytes()
    assert revise(dataset, place).was_there
    assert again.path == tmp_path / "elsewhere" / "small-v2.jsonl"
    add_review([run.run_id], "t2", "unclear", place)
    with pytest.raises(InputError, match=r"small-v2\.jsonl: is there already with another content"):
        revise(dataset, place)
    assert revise(dataset, place, name="small-v3").manifest.items == 2


def test_a_revision_of_a_revision_remembers_all_that_was_looked_at(place: Workspace, dataset: Path) -> None:
    run = recorded_run(place, said, dataset=str(dataset))
    add_review([run.run_id], "t3", "unclear", place)
    second = revise(dataset, place)
    again = rejudge(run.run_id, None, place, str(second.path))
    add_review([again.run_id], "t2", "unclear", place)
    third = revise("small-v2", place)
    assert third.manifest.name == "small-v3"
    assert [each.run_id for each in third.revision.looked_at] == sorted([run.run_id, again.run_id])
    assert third.revision.parent == "small-v2"


def test_a_built_in_set_is_revised_in_the_working_directory(place: Workspace, tmp_path: Path) -> None:
    run = recorded_run(place)
    item = next(load_dataset("golden-v1").items())
    add_review([run.run_id], item.trace_id, "unclear", place)
    found = revise("golden-v1", place)
    assert found.path.absolute() == tmp_path / "golden-v2.jsonl"
    assert found.manifest.items == 359
    assert sum(len(ids) for ids in found.manifest.bands.values()) == 359
    with pytest.raises(InputError, match="golden-v1: is the set that is revised"):
        revise("golden-v1", place, name="golden-v1")
    with pytest.raises(InputError, match="train-v1: is built in"):
        revise("golden-v1", place, name="train-v1")


def test_reviewers_who_disagree_are_named_and_nothing_is_written(place: Workspace, dataset: Path) -> None:
    run = recorded_run(place, said, dataset=str(dataset))
    add_review([run.run_id], "t1", "reference_wrong", place, answers=["22"], reviewer="ana")
    add_review([run.run_id], "t1", "reference_wrong", place, answers=["23"], reviewer="ben")
    add_review([run.run_id], "t2", "unclear", place, reviewer="ana")
    add_review([run.run_id], "t2", "fine", place, reviewer="ben")
    with pytest.raises(InputError) as refused:
        revise(dataset, place)
    assert "disagree on 2 items" in str(refused.value)
    assert "t1: ana: the reference is wrong (22); ben: the reference is wrong (23)" in str(refused.value)
    assert "t2: ana: the item is unclear; ben: the item is fine" in str(refused.value)
    assert not dataset.with_name("small-v2.jsonl").exists()
    assert [(each.trace_id, each.conflict) for each in reviews(place.registry)] == [
        ("t1", True),
        ("t1", True),
        ("t2", True),
        ("t2", True),
    ]
    # whoever knows the answer decides; the other only said that the old one is wrong
    add_review([run.run_id], "t1", "reference_wrong", place, reviewer="ben")
    add_review([run.run_id], "t2", "unclear", place, reviewer="ben")
    assert revise(dataset, place).counts == {"reference_replaced": 1, "answers_added": 0, "removed": 1}


def test_a_revision_that_cannot_be_won_or_changes_nothing_is_refused(
    place: Workspace, dataset: Path, tmp_path: Path
) -> None:
    run = recorded_run(place, said, dataset=str(dataset))
    with pytest.raises(InputError, match="nothing to revise: none of its items was reviewed"):
        revise(dataset, place)
    add_review([run.run_id], "t0", "fine", place)
    with pytest.raises(InputError, match="1 of its items were reviewed, and no review changes one"):
        revise(dataset, place)
    add_review([run.run_id], "t1", "reference_wrong", place, answers=["<"])
    with pytest.raises(InputError, match=r"small-v1: not revised: .*\n  line 2 \(t1\): \"<\", written out"):
        revise(dataset, place)
    add_review([run.run_id], "t1", "fine", place)
    for item in ("t0", "t1", "t2", "t3"):
        add_review([run.run_id], item, "unclear", place)
    with pytest.raises(InputError, match="every item would be removed"):
        revise(dataset, place)
    add_review([run.run_id], "t0", "fine", place)
    place.registry.datasets.register("small", "v2", 64 * "a", 4)
    with pytest.raises(InputError, match=r"runs were judged on another file of this name .* --as small-v3"):
        revise(dataset, place)
    assert list(tmp_path.glob("small-v2*")) == []


def test_both_right_needs_an_answer_that_the_judge_found(place: Workspace, dataset: Path) -> None:
    run = recorded_run(place, lambda _n, _item: "", dataset=str(dataset))
    with pytest.raises(InputError, match=r"item t1: no run has an answer .* \(--answer\)"):
        add_review([run.run_id], "t1", "both_right", place)
    assert add_review([run.run_id], "t1", "both_right", place, answers=["two"]).answers == ["two"]


def test_predictions_are_judged_on_a_revision_without_those_that_are_gone(
    place: Workspace, dataset: Path
) -> None:
    base = recorded_run(place, said, cut=[1, 3], dataset=str(dataset))
    add_review([base.run_id], "t1", "reference_wrong", place, answers=["22"])
    add_review([base.run_id], "t3", "unclear", place)
    revise(dataset, place)
    again = rejudge(base.run_id, None, place, "small-v2")
    row = place.registry.runs.get(again.run_id)
    assert list(place.registry.runs.scores(again.run_id).items()) == [("t0", 1), ("t1", 1), ("t2", 0)]
    assert lines(again.files.predictions) == lines(base.files.predictions)[:3]
    assert read_json(again.files.predictions_meta)["reached_max_new_tokens"] == ["t1"]
    assert (row.manifest["rejudged_from"], row.manifest["dataset"]["name"]) == (base.run_id, "small-v2")
    assert row.manifest["dataset"]["revised_from"]["parent"] == "small-v1"
    assert place.registry.datasets.get(row.dataset_id).name == "small-v2"
    assert rejudge(base.run_id, None, place, "small-v2").reused
    # by another judge, it stays a run on the revision
    other = place.registry.runs.get(rejudge(again.run_id, "exact_match@v1", place).run_id)
    assert other.manifest["dataset"] == row.manifest["dataset"]
    assert place.registry.verify(quick=True) == []
    # a revision whose file is gone is known by its name, and what it came from with it
    for path in dataset.parent.glob("small-v2*"):
        path.unlink()
    later = recorded_run(place, lambda n, _item: f"Answer: {n}", dataset=str(dataset))
    found = place.registry.runs.get(rejudge(later.run_id, None, place, "small-v2").run_id)
    assert found.manifest["dataset"] == row.manifest["dataset"]


def test_an_item_that_is_new_or_asked_otherwise_is_refused_with_its_id(
    place: Workspace, dataset: Path
) -> None:
    run = recorded_run(place, said, dataset=str(dataset))
    other = dataset.with_name("small-v2.jsonl")
    changed = [{**line} for line in lines(dataset)]
    changed[1]["prompt"] = "Question one?"
    changed[2]["system"] = "Be brief."
    changed.append({**changed[0], "trace_id": "t9"})
    other.write_text("".join(json.dumps(line) + "\n" for line in changed))
    with pytest.raises(InputError) as refused:
        rejudge(run.run_id, None, place, str(other))
    assert "of the 5 items of small-v2 1 is new (t9) and 2 are asked otherwise than then (t1, t2)" in str(
        refused.value
    )
    assert f"hallmark evaluate tiny-base --dataset {other}" in str(refused.value)
    assert place.registry.runs.count() == 1


def test_changed_predictions_are_not_taken_over(place: Workspace, dataset: Path) -> None:
    run = recorded_run(place, said, dataset=str(dataset))
    add_review([run.run_id], "t3", "unclear", place)
    revise(dataset, place)
    run.files.predictions.write_text(run.files.predictions.read_text().replace("22", "2"))
    with pytest.raises(IntegrityError, match="changed since the run: expected sha256"):
        rejudge(run.run_id, None, place, "small-v2")


def test_a_decision_on_a_revision_has_a_count_of_its_own_and_says_who_was_looked_at(
    home: Path, registry_url: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = workspace_at(home, registry_url)
    dataset = small_dataset(tmp_path, [str(n) for n in range(1, 31)])
    freeze_dataset(dataset, "CC0-1.0", "by hand")
    base = recorded_run(place, said, dataset=str(dataset))
    trained = recorded_run(place, lambda n, _i: f"Answer: {n + 1}", trained=True, dataset=str(dataset))
    decided = promote_run(trained.run_id, "m", GateConfig(), place)
    assert decided.decision is not None
    assert not any("revised" in reason for reason in decided.decision.reasons)
    add_review([base.run_id, trained.run_id], "t3", "unclear", place, reviewer="ana")
    revise(dataset, place)
    again = [rejudge(run.run_id, None, place, "small-v2") for run in (base, trained)]
    assert compare_runs(again[0].run_id, again[1].run_id, place.registry).n == 29
    on_revision = promote_run(again[1].run_id, "other", GateConfig(), place)
    assert on_revision.decision is not None
    assert on_revision.decision.number == 1
    runs = ", ".join(sorted([base.run_id, trained.run_id]))
    assert on_revision.decision.reasons[-1] == (
        f"small-v2 is small-v1 revised: 1 item was changed after looking at the answers of runs {runs}. It "
        "starts a new count of alpha. The candidate's answers were among them, so its gain here is weaker "
        "evidence than one on items that were not changed after looking at it."
    )
    logged = place.registry.models.decisions_about(again[1].run_id)[-1].decision
    assert logged["revised"]["small-v2"]["parent"] == "small-v1"
    assert [(ledger.dataset.name, len(ledger.spent)) for ledger in place.registry.alpha_ledgers("other")] == [
        ("small-v2", 1)
    ]


def test_the_queue_shows_what_runs_answer_alike_with_both_texts(place: Workspace, dataset: Path) -> None:
    base, trained = (recorded_run(place, said, dataset=str(dataset), trained=kind) for kind in (False, True))
    add_review([base.run_id], "t2", "unclear", place, note="?", reviewer="ana")
    found = review_queue([base.run_id, trained.run_id], place.registry, limit=2)
    assert (found.total, [each.item.trace_id for each in found.items]) == (3, ["t1", "t2"])
    assert {each.disagreement for each in found.items} == {"same_wrong_answer"}
    assert [answer.extracted for answer in found.items[0].item.answers] == ["22", "22"]
    assert [opinion.note for opinion in found.items[1].opinions] == ["?"]


def test_differences_are_named_field_by_field_with_the_reviewers_reasons(
    place: Workspace, dataset: Path, tmp_path: Path
) -> None:
    run = recorded_run(place, said, dataset=str(dataset))
    add_review([run.run_id], "t1", "reference_wrong", place, answers=["22"], note="a typo", reviewer="ana")
    add_review([run.run_id], "t3", "unclear", place, reviewer="ana")
    found = DatasetDiff(load_dataset(dataset), load_dataset(revise(dataset, place).path))
    assert [(each.trace_id, each.kind) for each in found] == [("t1", "changed"), ("t3", "removed")]
    assert found.sentence == "0 added, 1 removed, 1 changed (final_answer 1, steps 1), 2 unchanged"
    assert found.document()["items"][0]["fields"] == {"final_answer": ["2", "22"], "steps": [["count"], []]}
    assert found.reasons["t1"].by[0].note == "a typo"
    turned = tmp_path / "turned-v1.jsonl"
    turned.write_text("".join(f"{line}\n" for line in reversed(dataset.read_text().splitlines())))
    assert [each.moved for each in each_difference(load_dataset(dataset), load_dataset(turned))] == [
        False,
        True,
        True,
        True,
    ]


def test_the_command_line_goes_the_whole_way(
    home: Path, dataset: Path, tmp_path: Path, hallmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    workspace = workspace_at(home)
    run = recorded_run(workspace, said, dataset=str(dataset))
    refused = hallmark("review", "add", run.run_id, "--item", "t1", "--verdict", "reference-wrong")
    assert_refused(refused, 2, "verdict 'reference-wrong': expected one of", "Did you mean reference_wrong?")
    added = hallmark(
        *("review", "add", run.run_id, "--item", "t1", "--verdict", "reference_wrong", "--answer", "22"),
        *("--note", "\x1b[31mred", "--json"),
    )
    assert json.loads(added.stdout)["answers"] == ["22"]
    listed = hallmark("review", "list")
    assert "the reference is wrong: 22" in listed.stdout
    assert "\x1b" not in listed.stdout
    queued = hallmark("review", "queue", run.run_id, "--json")
    assert [each["item"]["trace_id"] for each in json.loads(queued.stdout)["items"]] == ["t1", "t2", "t3"]
    assert_refused(hallmark("golden", "revise", str(dataset)), 2, "--from-review")
    revised = hallmark("golden", "revise", str(dataset), "--from-review")
    assert revised.returncode == 0, revised.stderr
    assert "It starts a new count of alpha." in " ".join(revised.stdout.split())
    diff = hallmark("golden", "diff", str(dataset), str(dataset.with_name("small-v2.jsonl")), "--json")
    assert json.loads(diff.stdout)["counts"] == {"added": 0, "changed": 1, "removed": 0, "unchanged": 3}
    assert_refused(hallmark("rejudge", run.run_id), 2, "a judge (--judge NAME@vN), a dataset (--dataset)")
    again = hallmark("rejudge", run.run_id, "--dataset", str(dataset.with_name("small-v2.jsonl")), "--json")
    assert json.loads(again.stdout)["counts"] == {"correct": 2, "wrong": 2}
