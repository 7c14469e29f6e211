"""Rows 13 to 15: predictions and judges that are not what they should be never become scores."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import InputError, IntegrityError
from core.files import atomic_writer, read_json, read_jsonl
from evaluation.comparison import RunScores, compare
from evaluation.metrics import MetricsSnapshot, Truncation
from experiments.phases import export_dataset, judge_run
from experiments.plan import RunPlan
from experiments.runs import RunRef, begin_run, owned, run_ref
from experiments.workspace import Workspace, open_workspace
from golden.schema import Item
from judges import JudgeError, MissingPrediction, Score, judge_items, load_judge, read_predictions
from reports.prefect_runs import metrics_report
from tests.support.judge_plugins import PLUGIN, install_plugin
from tests.support.recorded_runs import plan_of, recorded_run, write_predictions
from tests.support.refusals import assert_refused
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.unit

ITEMS = [Item(trace_id=f"t{n}", prompt="?", steps=[], final_answer=str(n), category="c") for n in range(3)]
GOOD = [json.dumps({"trace_id": item.trace_id, "prediction": item.final_answer}) + "\n" for item in ITEMS]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (GOOD[:2], r"item t2 \(number 3 of the dataset\) has no prediction"),
        ([*GOOD[:2], GOOD[2][:20]], r":3: not valid JSON"),
        ([*GOOD, GOOD[1]], r":4: trace_id: t1 was already on line 2"),
        ([*GOOD[:2], GOOD[2].replace("t2", "t9")], r":3: trace_id: t9 is not an item"),
        ([GOOD[1], GOOD[0], GOOD[2]], r":2: trace_id: t0 belongs on line 1"),
        ([GOOD[0], '{"trace_id": "t1"}\n', GOOD[2]], r":2: prediction: missing field"),
        (
            [GOOD[0], '{"trace_id": "t1", "prediction": null}\n', GOOD[2]],
            r":2: prediction: expected a string",
        ),
        (
            [GOOD[0], '{"trace_id": "t1", "prediction": "", "score": 1}\n', GOOD[2]],
            r":2: score: unknown field",
        ),
        ([], r"item t0 \(number 1 of the dataset\) has no prediction"),
    ],
)
def test_a_bad_predictions_file_is_refused_with_line_and_id(
    lines: list[str], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text("".join(lines))
    with pytest.raises(InputError, match=message):
        read_predictions(path, ITEMS)


def test_a_missing_predictions_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"predictions\.jsonl: no such file"):
        read_predictions(tmp_path / "predictions.jsonl", ITEMS)


def test_a_missing_prediction_is_an_error_not_a_zero() -> None:
    with pytest.raises(MissingPrediction, match="item t1 has no prediction"):
        list(judge_items(ITEMS, {"t0": "0", "t2": "2"}, load_judge("answer_correctness@v1")))


def test_an_empty_answer_is_wrong_and_counted_apart() -> None:
    scores = list(judge_items(ITEMS, {"t0": "", "t1": "2", "t2": "2"}, load_judge("answer_correctness@v1")))
    assert [(score.score, score.reason) for score in scores] == [(0, "empty"), (0, "wrong"), (1, "correct")]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (
            "bleu@v1",
            "there is no judge bleu. Available: answer_correctness@v1, answer_correctness@v2, ",
        ),
        ("answer_correctness@v9", "answer_correctness has no version v9. Available: answer_correctness@v1"),
        ("answer_correctness", "expected NAME@vN"),
    ],
)
def test_an_unknown_judge_lists_the_known_ones(reference: str, message: str, hallmark) -> None:
    with pytest.raises(InputError, match=message):
        load_judge(reference)
    result = hallmark("baseline", "--judge", reference)
    assert result.returncode == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


class Fussy:
    """A plug-in that fails on one item."""

    name, version = "fussy", "v1"

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def score(self, item: Item, prediction: str) -> Score:
        if item.trace_id == "t1":
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer  # type: ignore[return-value]
        return Score(trace_id=item.trace_id, score=1, extracted=None, reason="correct")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (ZeroDivisionError("oh"), "ZeroDivisionError: oh"),
        (Score.model_construct(trace_id="t1", score=float("nan"), extracted=None, reason=""), "score"),
        (Score.model_construct(trace_id="t1", score=1.5, extracted=None, reason=""), "score"),
        (Score(trace_id="t0", score=1, extracted=None, reason=""), "answered for item t0"),
        (None, "item t1"),
    ],
)
def test_a_judge_that_fails_on_an_item_gives_an_error_not_a_zero(answer: object, message: str) -> None:
    with pytest.raises(JudgeError, match=message) as caught:
        list(judge_items(ITEMS, {"t0": "", "t1": "", "t2": ""}, Fussy(answer)))
    assert "judge fussy@v1 failed on 1 of 3 items, so there is no score" in str(caught.value)
    assert list(caught.value.failures) == ["t1"]


def test_all_items_that_a_judge_fails_on_are_named_at_once() -> None:
    class Broken(Fussy):
        def score(self, item: Item, prediction: str) -> Score:
            raise ValueError(f"no {item.final_answer}")

    items = [
        Item(trace_id=f"t{n}", prompt="?", steps=[], final_answer=str(n), category="c") for n in range(20)
    ]
    with pytest.raises(JudgeError, match=r"failed on 20 of 20 items") as caught:
        list(judge_items(items, {item.trace_id: "" for item in items}, Broken(None)))
    assert caught.value.failures == {f"t{n}": f"ValueError: no {n}" for n in range(20)}
    assert "item t4: ValueError: no 4\n  and 15 more" in str(caught.value)
    assert caught.value.exit_code == 2


def started(workspace: Workspace, dataset: Path) -> tuple[RunRef, RunPlan]:
    """A run whose predictions are written and not judged yet."""
    plan = plan_of(workspace, dataset=str(dataset))
    run = begin_run(plan, workspace.registry)
    export_dataset(run, plan)
    write_predictions(run, plan, lambda _n, item: f"Answer: {item.final_answer}")
    return run, plan


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda lines: lines[:-1], IntegrityError, "changed since it was written"),
        (lambda lines: [*lines[:-1], lines[-1][:10]], IntegrityError, "changed since it was written"),
        (lambda lines: [*lines, lines[0]], IntegrityError, "changed since it was written"),
        (
            lambda lines: [line.replace("Answer: 2", "Answer: 3") for line in lines],
            IntegrityError,
            "changed since it was written",
        ),
        (None, InputError, "missing. Run the experiment again"),
    ],
    ids=["short", "cut", "doubled", "edited", "missing"],
)
def test_a_run_with_damaged_predictions_has_no_score(
    damage: Callable[[list[str]], list[str]] | None,
    error: type[Exception],
    message: str,
    home: Path,
    tmp_path: Path,
) -> None:
    workspace = open_workspace()
    run, plan = started(workspace, small_dataset(tmp_path))
    path = run.files.predictions
    if damage is None:
        path.unlink()
    else:
        path.write_text("".join(damage(path.read_text().splitlines(keepends=True))))
    with pytest.raises(error, match=message), owned(run, workspace.registry):
        judge_run(run, plan)
    assert not run.files.scores.exists()
    assert not run.files.metrics.exists()
    assert workspace.registry.runs.get(run.run_id).status == "failed"
    assert workspace.registry.runs.metrics(run.run_id) == []


def test_whoever_continues_a_run_removes_what_a_killed_writer_left(home: Path, tmp_path: Path) -> None:
    workspace = open_workspace()
    run, plan = started(workspace, small_dataset(tmp_path))
    if (child := os.fork()) == 0:
        with atomic_writer(run.files.scores) as file:
            file.write(b"{")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert list(run.directory.glob(".scores*"))
    with owned(run, workspace.registry):
        judge_run(run, plan)
    assert [path.name for path in run.directory.glob("*scores*")] == ["scores.jsonl"]


PICKY = PLUGIN.replace(
    "right = agrees", 'assert item.trace_id not in ("t1", "t3"), "I do not like it"\n        right = agrees'
)


def test_items_on_which_a_plugin_raises_refuse_the_run_a_score_and_never_rest_under_a_promotion(
    home: Path, tmp_path: Path, hallmark
) -> None:
    workspace, site = open_workspace(), tmp_path / "site"
    first = recorded_run(workspace, trained=True, dataset=str(small_dataset(tmp_path)))
    refused = hallmark("rejudge", first.run_id, "--judge", "generous@v1", **install_plugin(site, PICKY))
    failed = workspace.registry.runs.list(limit=1)[0]
    assert_refused(
        refused,
        2,
        "judge generous@v1 failed on 2 of 4 items, so there is no score:",
        "item t1: AssertionError: I do not like it item t3: AssertionError",
        f"hallmark rejudge {failed.run_id} --judge generous@v1",
    )
    files = run_ref(failed, workspace.registry).files
    assert [value["trace_id"] for _, value in read_jsonl(files.judge_errors)] == ["t1", "t3"]
    assert not files.scores.exists()
    assert not files.metrics.exists()
    assert failed.status == "failed"
    assert workspace.registry.runs.metrics(failed.run_id) == []
    for arguments in (
        ("promote", failed.run_id, "--force", "--reason", "now"),
        ("compare", first.run_id, failed.run_id),
    ):
        assert_refused(hallmark(*arguments), 2, f"run {failed.run_id} failed and has no scores")

    mended = hallmark("rejudge", failed.run_id, "--judge", "generous@v1", "--json", **install_plugin(site))
    assert mended.returncode == 0, mended.stderr
    document = json.loads(mended.stdout)
    assert document["status"] == "finished"
    assert document["predictions_sha256"] == workspace.registry.runs.get(first.run_id).predictions_sha256
    assert document["model_sha256"] == workspace.registry.runs.get(first.run_id).model_sha256


def test_a_judge_that_changed_while_the_run_was_under_way_does_not_judge_it(
    home: Path, tmp_path: Path
) -> None:
    workspace = open_workspace()
    run, plan = started(workspace, small_dataset(tmp_path))
    with pytest.raises(IntegrityError, match="its code changed while the run was under way"):
        judge_run(run, plan.model_copy(update={"judge_fingerprint": "of yesterday"}))
    assert not run.files.scores.exists()


def test_what_was_cut_off_is_counted_apart_from_what_is_wrong(home: Path, tmp_path: Path) -> None:
    workspace = open_workspace()
    run = recorded_run(
        workspace, cut=[0, 1], dataset=str(small_dataset(tmp_path))
    )  # the answer of item 0 is wrong
    snapshot = MetricsSnapshot.model_validate(read_json(run.files.metrics))
    assert snapshot.counts == {"correct": 2, "wrong": 2}
    assert snapshot.truncated == Truncation(prompts=0, completions=2, completions_below_one=1)
    report = metrics_report(snapshot, run.run_id)
    assert "| completion cut at `max_new_tokens` | 2 |" in report
    assert "| of these without the full score | 1 |" in report


def test_metrics_that_were_written_before_truncation_was_counted_are_still_read(
    home: Path, tmp_path: Path
) -> None:
    run = recorded_run(open_workspace(), dataset=str(small_dataset(tmp_path)))
    old = {name: value for name, value in read_json(run.files.metrics).items() if name != "truncated"}
    snapshot = MetricsSnapshot.model_validate(old)
    assert snapshot.truncated is None
    assert "cut" not in metrics_report(snapshot, run.run_id)


def run(run_id: str, **changes: object) -> RunScores:
    fields = {
        "run_id": run_id,
        "dataset": "golden-v1",
        "dataset_sha256": "a" * 64,
        "judge": "answer_correctness@v1",
        "judge_fingerprint": "f",
        "generation": {"max_new_tokens": 64, "dtype": "float32"},
        "scores": {"t0": 0.0, "t1": 1.0},
        "categories": {"t0": "c", "t1": "c"},
    }
    return RunScores(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"dataset_sha256": "b" * 64}, ["dataset"]),
        ({"judge": "exact_match@v1", "judge_fingerprint": "g"}, ["judge:", "judge_fingerprint"]),
        (
            {"generation": {"max_new_tokens": 32, "dtype": "float32"}},
            ["generation.max_new_tokens: 64 against 32"],
        ),
        ({"generation": {"max_new_tokens": 64}}, ['generation.dtype: "float32" against null']),
    ],
)
def test_unlike_runs_are_not_compared_and_the_fields_are_named(
    changes: dict[str, object], fields: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        compare(run("one"), run("two", **changes))
    assert all(field in str(caught.value) for field in [*fields, "one", "two"])


def test_runs_with_other_items_are_not_compared() -> None:
    with pytest.raises(IntegrityError, match="only one of them has item t1"):
        compare(run("one"), run("two", scores={"t0": 0.0, "t9": 1.0}))
