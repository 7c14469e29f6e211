"""Judges that read log-probabilities, and the choices of items that they are asked for."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from core.errors import InputError
from core.files import canonical_json, read_json
from evaluation.groups import group_places
from evaluation.metrics import likelihood_metrics
from evaluation.numbers import interval_text, metric_text
from experiments.linting import freeze_dataset, lint
from experiments.rejudging import rejudge
from experiments.workspace import Workspace
from golden.datasets import read_items
from golden.exporting import export_dataset
from golden.schema import Item, Trace
from judges import JudgeError, judge_items, load_judge
from judges.log_prob_choice import right_place
from judges.log_probs import LogProb
from tests.support.recorded_runs import plan_of, recorded_run, workspace_at
from tests.support.refusals import assert_refused

pytestmark = pytest.mark.unit

LOG_PROBS = {"generation": {"output": "log_probs"}}
CHOICE = "log_prob_choice@v1"


def item(**changes: object) -> Item:
    fields = {"trace_id": "t", "prompt": "Capital?", "final_answer": "Rome", "category": "c"}
    return Item.model_validate({**fields, **changes})


def among(*choices: str, **changes: object) -> Item:
    return item(choices=list(choices), **changes)


def said(log_prob: float, tokens: int = 1, size: int = 1) -> dict[str, object]:
    return {"log_prob": log_prob, "tokens": tokens, "bytes": size, "greedy": False}


def choice(asked: Item, *found: dict[str, object], normalise: str = "none") -> str | None:
    judge = load_judge({"name": CHOICE, "normalise": normalise})
    [score] = judge_items([asked], {"t": canonical_json({"choices": list(found)})}, judge)
    assert (score.score == 1) == (score.reason == "correct")
    return score.extracted


@pytest.fixture
def place(home: Path) -> Workspace:
    return workspace_at(home)


def dataset_of(folder: Path, *items: Item) -> str:
    path = folder / "choices-v1.jsonl"
    lines = [each.model_copy(update={"trace_id": f"t{n}"}).model_dump() for n, each in enumerate(items)]
    path.write_text("".join(canonical_json(line) + "\n" for line in lines))
    return str(path)


# Items


def test_a_line_without_choices_keeps_its_bytes() -> None:
    line = '{"category":"c","final_answer":"4","prompt":"2 + 2?","trace_id":"t"}'
    for kind in (Item, Trace):
        assert canonical_json(kind.model_validate_json(line).model_dump()) == line
    assert among("Rome", "Oslo").model_dump()["choices"] == ["Rome", "Oslo"]


@pytest.mark.parametrize("choices", [[], ["one"], ["one", " "], ["one", 2], "AB"])
def test_choices_are_at_least_two_texts(choices: object) -> None:
    with pytest.raises(ValueError, match="choices"):
        item(choices=choices)


@pytest.mark.parametrize(
    ("fields", "offered", "right"),
    [
        ({}, [], None),
        ({"choices": ["Oslo", "Rome"]}, ["Oslo", "Rome"], 1),
        ({"choices": ["Oslo", "Rome"], "final_answer": "B"}, ["Oslo", "Rome"], 1),
        ({"choices": ["B", "A"], "final_answer": "A"}, ["B", "A"], 1),
        ({"choices": ["Oslo", "Bern"]}, ["Oslo", "Bern"], None),
        ({"metadata": {"options": ["Oslo", "Rome"]}, "final_answer": "B"}, ["A", "B"], 1),
        ({"metadata": {"options": {"A": "Oslo", "C": "Rome"}}}, ["A", "C"], 1),
        ({"metadata": {"options": "Oslo or Rome"}}, [], None),
    ],
)
def test_what_an_item_offers_and_which_is_right(
    fields: dict[str, object], offered: list[str], right: int | None
) -> None:
    asked = item(**fields)
    assert (asked.offered, right_place(asked)) == (offered, right)


def test_choices_survive_export_and_import(tmp_path: Path, hallmark) -> None:
    dataset = dataset_of(tmp_path, among("Oslo", "Rome"), item(prompt="Largest?", final_answer="Moscow"))
    out = tmp_path / "again.csv"
    export_dataset(dataset, out, force=False)
    done = hallmark("golden", "import", out, "--name", "again", "--yes")
    assert done.returncode == 0, done.stderr
    [path] = tmp_path.rglob("again-v1.jsonl")
    assert [each.choices for each in read_items(path)] == [["Oslo", "Rome"], None]


# Judges


def test_the_likeliest_choice_is_chosen_and_of_equal_ones_the_first() -> None:
    asked = among("Oslo", "Rome", "Bern")
    assert choice(asked, said(-3), said(-1), said(-2)) == "Rome"
    assert choice(asked, said(-1), said(-1), said(-2)) == "Oslo"


def test_lengths_are_those_of_lm_evaluation_harness() -> None:
    """acc, acc_norm and acc_bytes: each chooses another one."""
    asked = among("Ö" * 4, "Rome, I think", "Berne", final_answer="Berne")
    found = said(-2, 1, 8), said(-5, 9, 13), said(-2.4, 2, 5)
    assert choice(asked, *found) == "Ö" * 4
    assert choice(asked, *found, normalise="bytes") == "Ö" * 4
    assert choice(asked, *found, normalise="characters") == "Rome, I think"
    assert choice(asked, *found, normalise="tokens") == "Rome, I think"
    values = [-2 / 4, -5 / 13, -2.4 / 5], [-2 / 8, -5 / 13, -2.4 / 5]
    assert [max(range(3), key=each.__getitem__) for each in values] == [1, 0]


def test_several_accepted_choices_are_right() -> None:
    asked = among("Oslo", "Rome", "Bern", final_answer=["Rome", "Bern"])
    for log_probs, right in (((-1, -2, -3), 0), ((-2, -1, -3), 1), ((-3, -2, -1), 1)):
        found = canonical_json({"choices": list(map(said, log_probs))})
        [score] = judge_items([asked], {"t": found}, load_judge(CHOICE))
        assert score.score == right


@pytest.mark.parametrize(
    ("judge", "asked", "prediction", "message"),
    [
        (CHOICE, item(), canonical_json(said(-1)), "it has no choices"),
        (CHOICE, among("Oslo", "Bern"), "{}", "the right answer 'Rome' is not one of its choices"),
        (CHOICE, among("Oslo", "Rome"), canonical_json(said(-1)), "expected the log-probabilities of 2"),
        (CHOICE, among("Oslo", "Rome"), canonical_json({"choices": [said(-1)] * 3}), "of 2 choices"),
        (CHOICE, among("Oslo", "Rome"), "Answer: Rome", "JSON"),
        ("likelihood@v1", item(), canonical_json({"choices": [said(-1)] * 2}), "it offers choices"),
        ("likelihood@v1", item(), canonical_json(said(0.5)), "log_prob"),
        ("likelihood@v1", item(), canonical_json({**said(-1), "tokens": 0}), "tokens"),
    ],
)
def test_what_cannot_be_judged_is_an_error_never_a_zero(
    judge: str, asked: Item, prediction: str, message: str
) -> None:
    with pytest.raises(JudgeError, match=message):
        list(judge_items([asked], {"t": prediction}, load_judge(judge)))


def test_likelihood_is_one_by_the_perplexity() -> None:
    [score] = judge_items(
        [item()], {"t": canonical_json(said(3 * math.log(0.25), 3, 4))}, load_judge("likelihood@v1")
    )
    assert score.score == pytest.approx(0.25)
    assert (score.extracted, score.reason) == ("perplexity 4", "scored")
    [least] = judge_items([item()], {"t": canonical_json(said(-1e9))}, load_judge("likelihood@v1"))
    assert least.score == 0


def test_perplexity_and_bits_are_of_all_references_together() -> None:
    found = [
        LogProb(log_prob=math.log(p) * n, tokens=n, bytes=2 * n, greedy=False)
        for p, n in ((0.5, 1), (0.25, 9), (1, 2), (0.125, 4))
    ]
    metrics = likelihood_metrics(found)
    bits = 1 * 1 + 2 * 9 + 0 + 3 * 4
    assert metrics["perplexity"].value == pytest.approx(2 ** (bits / 16))
    assert metrics["bits_per_byte"].value == pytest.approx(bits / 32)
    for each in metrics.values():
        assert each.ci_low < each.value < each.ci_high
        assert (each.n, each.method) == (4, "bootstrap")
    groups = group_places(["a", "b", "c", "d"], {"a": "g", "b": "g"})
    assert likelihood_metrics(found, groups)["perplexity"].method == "bootstrap_by_group"
    assert metric_text("bits_per_byte", 1.03125) == "1.031"
    assert interval_text("perplexity", 2, 30.25) == "2.000 to 30.250"


# The loop


def test_a_judge_that_reads_something_else_is_refused_when_a_run_is_planned(
    place: Workspace, tmp_path: Path, hallmark
) -> None:
    dataset = dataset_of(tmp_path, among("Oslo", "Rome"))
    with pytest.raises(InputError, match=r"answer_correctness@v2 reads text, and generation\.output is log_"):
        plan_of(place, dataset=dataset, judge="answer_correctness@v2", **LOG_PROBS)
    result = hallmark("baseline", "--dataset", dataset, "--judge", CHOICE)
    assert_refused(
        result,
        2,
        f"judge {CHOICE} reads log-probabilities, and generation.output is text",
        "Set generation.output to log_probs, or name a judge that reads text: answer_correctness@v1, ",
    )
    file = tmp_path / "written.jsonl"
    file.write_text('{"trace_id": "t0", "prediction": "Rome"}\n')
    given = ("--model", "tiny-base", "--dataset", dataset, "--judge", CHOICE)
    assert_refused(hallmark("predictions", "import", file, *given), 2, "reads log-probabilities")
    run = recorded_run(place, lambda *_: "Answer: Rome", dataset=dataset)
    with pytest.raises(InputError, match="reads log-probabilities"):
        rejudge(run.run_id, CHOICE, place)


@pytest.mark.parametrize(
    ("judge", "items", "message"),
    [
        (
            CHOICE,
            {"choices": ["2", "3"], "final_answer": "7"},
            "the right answer '7' is not one of its choices",
        ),
        (CHOICE, {"final_answer": "7"}, "it has no choices"),
        ("likelihood@v1", {"choices": ["2", "3"], "final_answer": "3"}, "it offers choices"),
    ],
)
def test_an_item_that_cannot_be_judged_is_met_before_anything_is_computed(
    place: Workspace, tmp_path: Path, judge: str, items: dict[str, object], message: str
) -> None:
    dataset = tmp_path / "mixed-v1.jsonl"
    row = {"trace_id": "odd", "prompt": "1 + 6?", "category": "c", **items}
    dataset.write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match=f"item odd: {judge}: {message}"):
        plan_of(place, dataset=str(dataset), judge=judge, **LOG_PROBS)


def test_log_probabilities_of_an_endpoint_are_refused(hallmark) -> None:
    output = ["--judge", CHOICE, "--set", "generation.output=log_probs"]
    result = hallmark("baseline", *output, "--set", "generation.endpoint=http://localhost:1/v1")
    message = "an endpoint writes text; it gives no log-probabilities"
    assert_refused(result, 2, "generation.output: ", message)


def test_a_run_of_references_has_their_perplexity(place: Workspace, tmp_path: Path, hallmark) -> None:
    dataset = dataset_of(tmp_path, item(), item(prompt="And of Norway?", final_answer="Oslo"))
    run = recorded_run(
        place,
        lambda number, _: canonical_json(said(math.log(0.5) * (number + 1), number + 1, 4)),
        dataset=dataset,
        judge="likelihood@v1",
        **LOG_PROBS,
    )
    metrics = read_json(run.files.metrics)["overall"]
    assert metrics["likelihood"]["value"] == pytest.approx(0.5)
    assert metrics["perplexity"]["value"] == pytest.approx(2)
    assert metrics["bits_per_byte"]["value"] == pytest.approx(3 / 8)
    shown = hallmark("runs", "show", run.run_id).stdout
    for text in ("50.0 %", "perplexity", "2.000", "bits_per_byte", "0.375"):
        assert text in shown
    listed = json.loads(hallmark("runs", "list", "--json").stdout)
    assert "likelihood" in json.dumps(listed)


def test_choices_are_judged_again_by_their_length(place: Workspace, tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, among("Oslo, I think", "Rome"))
    found = canonical_json({"choices": [said(-3, 5, 13), said(-2, 1, 4)]})
    run = recorded_run(place, lambda *_: found, dataset=dataset, judge=CHOICE, **LOG_PROBS)
    again = rejudge(run.run_id, f'{CHOICE}{{"normalise":"bytes"}}', place)
    scores = [list(place.registry.runs.scores(each.run_id).values()) for each in (run, again)]
    assert scores == [[1], [0]]
    assert "perplexity" not in read_json(run.files.metrics)["overall"]


def test_a_set_is_frozen_when_every_right_answer_is_among_the_choices(tmp_path: Path) -> None:
    good = dataset_of(tmp_path, among("Oslo", "Rome"), among("5", "4", prompt="2 + 2?", final_answer="B"))
    assert lint(good, judge=CHOICE).errors == []
    freeze_dataset(good, "CC0-1.0", "by hand", judge=CHOICE)
    (bad := tmp_path / "bad").mkdir()
    with pytest.raises(InputError, match="'Rome' is not one of its choices"):
        freeze_dataset(dataset_of(bad, among("Oslo", "Bern")), "CC0-1.0", "by hand", judge=CHOICE)
