"""Several samples of each item: how they are scored, recorded, shown, judged again and compared."""

from __future__ import annotations

import itertools
import json
import math
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError
from core.files import read_json
from evaluation.groups import group_of, group_places
from evaluation.metrics import MetricsSnapshot, metric, pass_at, sample_metrics
from experiments.answers import answers
from experiments.comparing import compare_runs, flips
from experiments.exchange.exporting import export_run
from experiments.gatekeeper import measured
from experiments.rejudging import rejudge
from experiments.workspace import Workspace
from golden.datasets import read_items
from golden.schema import Item
from judges import SampleScore, judge_items, load_judge, read_predictions
from judges.samples import combined, majority
from judges.thinking import UNFINISHED, answer_of, unfinished_named
from registry import Registry
from reports.prefect_runs import metrics_report
from tests.support.recorded_runs import recorded_run, workspace_at
from tests.support.refusals import assert_refused
from tests.support.registry_entries import edit
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.unit

ITEMS = [Item(trace_id=f"t{n}", prompt="?", steps=[], final_answer=str(n), category="c") for n in range(2)]
SAMPLED = {"generation": {"samples": 4, "temperature": 0.7}}
ODD = "NUL \0, half \ufffd, \u2028, é"


def said(*extracted: str | None, right: str = "1") -> list[SampleScore]:
    return [
        SampleScore(score=float(each == right), extracted=each, reason="empty" if each is None else "said")
        for each in extracted
    ]


def lines(*written: object, field: str = "predictions") -> str:
    return "".join(json.dumps({"trace_id": f"t{n}", field: each}) + "\n" for n, each in enumerate(written))


@pytest.fixture
def place(home: Path) -> Workspace:
    return workspace_at(home)


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    return str(small_dataset(tmp_path))


def some(place: int, item: Item) -> list[str]:
    """None, one, two, three of four are right; the wrong ones differ, except for the first item."""
    right = [f"Answer: {item.reference}"] * place
    wrong = [f"{ODD}\nAnswer: no{'' if place == 0 else n}" for n in range(4 - place)]
    return wrong + right


# Scoring


@pytest.mark.parametrize("samples", [1, 2, 5])
def test_pass_at_k_is_the_share_of_all_choices_of_k_samples_that_hold_a_right_one(samples: int) -> None:
    for right, k in itertools.product(range(samples + 1), range(1, samples + 1)):
        chosen = list(itertools.combinations([True] * right + [False] * (samples - right), k))
        assert pass_at(right, samples, k) == pytest.approx(sum(map(any, chosen)) / len(chosen))


def test_pass_at_k_is_exact_for_many_samples() -> None:
    assert pass_at(1, 1024, 512) == 0.5
    assert pass_at(1024, 1024, 1) == 1


def test_the_majority_does_not_count_samples_without_an_answer_and_takes_the_first_of_equals() -> None:
    assert majority(said(None, None, "2", "1", None)) == 2
    assert majority(said("2", "1", "1")) == 1
    assert majority(said("2", "1", "1", "2")) == 0
    assert majority(said(None, None)) == 0


def test_an_items_score_is_the_mean_and_its_answer_that_of_most() -> None:
    [first, second] = judge_items(
        ITEMS, {"t0": ["Answer: 0", "", "Answer: 3"], "t1": ["Answer: 2", "Answer: 1", "Answer: 1"]},
        load_judge("answer_correctness@v2"),
    )  # fmt: skip
    assert (first.score, first.extracted, first.reason) == (1 / 3, "0", "correct")
    assert (second.score, second.extracted, second.rung) == (2 / 3, "1", "marker")
    assert [each.reason for each in first.samples or ()] == ["correct", "empty", "wrong"]


def test_metrics_of_samples_have_intervals_that_respect_groups() -> None:
    rows = [said("1", "2", "2", "3", "4"), said("1", "1", "1", "2", "2"), said("2", "2", "2", "2", "2")]
    found = sample_metrics(rows)
    assert list(found) == ["pass@2", "pass@4", "pass@5", "maj@5"]
    assert found["pass@2"].value == pytest.approx((0.4 + 0.9 + 0) / 3)
    assert found["pass@5"] == metric([1, 1, 0])
    assert found["maj@5"] == metric([0, 1, 0])
    items = [each.model_copy(update={"trace_id": f"t{n}"}) for n, each in enumerate(ITEMS * 2)]
    groups = group_places([item.trace_id for item in items], group_of(items))
    assert groups is not None
    by_group = sample_metrics([*rows, rows[0]], groups)
    assert {each.method for each in by_group.values()} == {"bootstrap_by_group"}
    assert list(sample_metrics([said("1", "2")])) == ["pass@2", "maj@2"]


def test_a_judge_that_gives_parts_of_a_point_passes_with_the_full_score_only() -> None:
    samples = [SampleScore(score=each, extracted=None, reason="overlap") for each in (0.5, 0.9)]
    assert combined("t", samples).score == pytest.approx(0.7)
    assert sample_metrics([samples])["pass@2"].value == 0


def test_each_sample_must_end_its_own_thinking() -> None:
    written = {"t0": ["hm</think>Answer: 0", "Answer: 0"], "t1": ["Answer: 1", "1"]}
    judged = {name: answer_of(texts, "</think>", closed=name == "t1") for name, texts in written.items()}
    assert judged == {"t0": ["Answer: 0", ""], "t1": ["Answer: 1", "1"]}
    scores = list(judge_items(ITEMS, judged, load_judge("exact_match@v1")))
    named = [
        unfinished_named(each, written[each.trace_id], "</think>", closed=each.trace_id == "t1")
        for each in scores
    ]
    assert [each.reason for each in named[0].samples or ()] == ["correct", UNFINISHED]
    assert (named[0].reason, named[0].score, named[1]) == ("correct", 0.5, scores[1])


# Files


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (lines("0", "1", field="prediction"), r":1: predictions: missing field"),
        (lines(["0", "0"], ["1"]), r":2: predictions: item t1 has 1 samples, and the run asks for 2 of each"),
        (lines(["0", "0"], ["1", "1", "1"]), r":2: predictions: item t1 has 3 samples"),
        (lines(["0", "0"], ["1", None]), r":2: predictions: expected a list of strings"),
        (lines("00", ["1", "1"]), r":1: predictions: expected a list of strings"),
        (lines(["0", "0"]), r"item t1 \(number 2 of the dataset\) has no prediction"),
        (lines(["0", "0"]) * 2, r":2: trace_id: t0 was already on line 1"),
        (
            '{"trace_id": "t0", "predictions": ["0", "0"], "prediction": "0"}\n',
            r":1: prediction: unknown field",
        ),
    ],
)
def test_a_bad_file_of_samples_is_refused_with_line_and_id(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_predictions(path, ITEMS, samples=2)


def test_a_file_of_samples_is_refused_where_one_text_is_expected(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text(lines(["0"], ["1"]))
    with pytest.raises(InputError, match=r":1: prediction: missing field"):
        read_predictions(path, ITEMS)
    path.write_text(lines(["0", ""], ["1", ODD]))
    assert read_predictions(path, ITEMS, 2) == {"t0": ["0", ""], "t1": ["1", ODD]}


# The loop


def test_a_run_records_every_sample_with_its_score(
    home: Path, registry: Registry, registry_url: str | None, dataset: str
) -> None:
    place = workspace_at(home, registry_url)
    run = recorded_run(place, some, dataset=dataset, judge="answer_correctness@v2", **SAMPLED)
    rows = registry.runs.predictions(run.run_id)
    assert [row.score for row in rows] == [0, 0.25, 0.5, 0.75]
    items = list(read_items(Path(dataset)))
    assert [row.texts for row in rows] == [some(number, item) for number, item in enumerate(items)]
    assert rows[2].prediction == "Answer: 3", "two of four say so"
    assert [each["score"] for each in rows[2].samples or ()] == [0, 0, 1, 1]
    assert [each["rung"] for each in rows[2].samples or ()] == ["marker"] * 4
    assert list(registry.verify()) == []
    found = {each.name: each for each in registry.runs.metrics(run.run_id) if each.category == ""}
    assert list(found) == ["answer_correctness", "pass@2", "pass@4", "maj@4"]
    assert found["answer_correctness"].value == statistics.mean([0, 0.25, 0.5, 0.75])
    assert found["pass@4"].value == 0.75
    assert found["maj@4"].value == 0.5, "the one of four that is right is no majority, as it comes last"
    assert (found["maj@4"].n, found["pass@2"].method) == (4, "bootstrap")
    metrics = read_json(run.files.metrics)
    assert metrics["overall"]["pass@2"]["value"] == found["pass@2"].value
    [first, *_] = map(json.loads, run.files.scores.read_text().splitlines())
    assert first["samples"][0] == {"score": 0.0, "extracted": "no", "reason": "wrong", "rung": "marker"}


def test_a_changed_sample_is_noticed(place: Workspace, dataset: str) -> None:
    recorded_run(place, some, dataset=dataset, **SAMPLED)
    edit(place.registry, "UPDATE prediction SET samples = replace(samples, 'no1', 'no4')")
    assert "its predictions were changed" in " ".join(map(str, place.registry.verify()))


def test_one_sample_leaves_files_as_they_were(place: Workspace, dataset: str) -> None:
    run = recorded_run(place, lambda _, item: f"Answer: {item.reference}", dataset=dataset)
    assert b"samples" not in run.files.scores.read_bytes()
    assert list(read_json(run.files.metrics)["overall"]) == ["answer_correctness"]
    assert place.registry.runs.predictions(run.run_id)[0].samples is None


def test_all_samples_are_judged_again_also_from_the_registry_alone(place: Workspace, dataset: str) -> None:
    run = recorded_run(place, some, dataset=dataset, **SAMPLED)
    before = run.files.predictions.read_bytes()
    shutil.rmtree(run.directory)
    again = rejudge(run.run_id, "exact_match@v1", place)
    assert again.files.predictions.read_bytes() == before
    assert list(place.registry.runs.scores(again.run_id).values()) == [0, 0.25, 0.5, 0.75]


def test_a_wrong_sample_is_shown_with_how_many_are_right(place: Workspace, dataset: str, hallmark) -> None:
    run = recorded_run(place, some, dataset=dataset, judge="exact_match@v1", **SAMPLED)
    wrong = answers(run.run_id, place.registry, wrong=9)
    assert [each.trace_id for each in wrong] == ["t0", "t1", "t2", "t3"]
    assert wrong[3].verdict == "3 of 4 samples right; this one wrong: found no0"
    assert wrong[3].prediction == f"{ODD}\nAnswer: no0"
    assert [each.verdict for each in wrong[1].samples or ()][-1] == "correct: found 2"
    shown = hallmark("runs", "show", run.run_id, "--wrong", 4).stdout
    for text in ("3 of 4 samples right; this one wrong: found no0", "pass@4", "maj@4"):
        assert text in shown
    document = json.loads(hallmark("runs", "show", run.run_id, "--wrong", 1, "--json").stdout)
    assert [each["extracted"] for each in document["answers"][0]["samples"]] == ["no"] * 4
    report = metrics_report(MetricsSnapshot.model_validate(read_json(run.files.metrics)), "r", wrong=wrong)
    assert "pass@2" in report
    assert "3 of 4 samples right" in report


def test_runs_with_samples_are_compared_by_their_means(place: Workspace, dataset: str) -> None:
    first = recorded_run(place, some, dataset=dataset, **SAMPLED)
    second = recorded_run(
        place, lambda _, item: [f"Answer: {item.reference}"] * 4, trained=True, dataset=dataset, **SAMPLED
    )
    comparison = compare_runs(first.run_id, second.run_id, place.registry)
    assert comparison.delta == pytest.approx(1 - 0.375)
    assert comparison.test == "permutation_and_likelihood"
    better, _ = flips(comparison, 4, place.registry)
    assert better[3].before.startswith("(3 of 4 samples right) Answer: 4")
    other = recorded_run(place, lambda _, item: f"Answer: {item.reference}", dataset=dataset)
    with pytest.raises(InputError, match="samples"):
        compare_runs(other.run_id, second.run_id, place.registry)


def test_what_was_cut_off_is_counted_by_sample(place: Workspace, dataset: str, hallmark) -> None:
    cut = {1: [0, 3], 2: [1]}
    run = recorded_run(place, some, cut, dataset=dataset, **SAMPLED)
    found = json.loads(run.files.metrics.read_text())["truncated"]
    assert found == {"prompts": 0, "completions": 3, "completions_below_one": 2}
    shown = hallmark("runs", "show", run.run_id, "--json")
    assert json.loads(shown.stdout)["truncated"] == found
    assert measured(place.registry.runs.get(run.run_id)).cut_share == 3 / 16


def test_samples_are_exported_in_every_format(place: Workspace, dataset: str, tmp_path: Path) -> None:
    run = recorded_run(place, some, {1: [0, 3]}, dataset=dataset, **SAMPLED)
    [path] = export_run(run.run_id, tmp_path / "run.jsonl", place.registry)
    rows = [json.loads(line) for line in path.open()]
    assert [each["prediction"] for each in rows[1]["samples"]][-1] == "Answer: 2"
    assert [[each["score"] for each in row["samples"]] for row in rows][3] == [0, 1, 1, 1]
    [path] = export_run(run.run_id, tmp_path / "run.json", place.registry)
    log = json.loads(path.read_text())
    assert log["eval"]["config"] == {"epochs": 4, "epochs_reducer": ["mean"]}
    assert [(each["id"], each["epoch"]) for each in log["samples"]][3:6] == [("t0", 4), ("t1", 1), ("t1", 2)]
    assert [each["output"]["choices"][0]["stop_reason"] for each in log["samples"]][4:8] == [
        "max_tokens", "stop", "stop", "max_tokens",
    ]  # fmt: skip
    assert [each["scores"]["answer_correctness"]["value"] for each in log["samples"]][12:] == [0, 1, 1, 1]
    samples, results = export_run(run.run_id, tmp_path / "run", place.registry, "lm-eval")
    second = json.loads(samples.read_bytes().split(b"\n")[1])
    assert (second["resps"], second["answer_correctness"]) == ([rows_of(rows[1])], 0.25)
    assert json.loads(results.read_text())["configs"]["small-v1"]["repeats"] == 4
    parquet = pytest.importorskip("pyarrow.parquet")
    [path] = export_run(run.run_id, tmp_path / "run.parquet", place.registry)
    assert parquet.read_table(path).to_pylist() == rows


def rows_of(row: dict[str, Any]) -> list[str]:
    return [each["prediction"] for each in row["samples"]]


def test_samples_and_temperature_are_options(hallmark) -> None:
    result = hallmark("baseline", "--samples", 4)
    assert_refused(result, 2, "generation.samples: 4 greedy answers would all be equal", "temperature")


def test_the_mean_of_many_samples_has_no_rounding_of_its_own() -> None:
    samples = [SampleScore(score=0.1, extracted="a", reason="r")] * 10
    assert combined("t", samples).score == math.fsum([0.1] * 10) / 10
