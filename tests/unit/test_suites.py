"""A suite: every requirement and every limit must hold, each at the comparison's own level."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError
from evaluation.comparison import Comparison, RunScores, compare
from evaluation.gate import Case, GateConfig, GateDecision, decide
from evaluation.limits import Measured, MeasuredPair
from evaluation.suite import Limit, Requirement, Suite
from evaluation.training_data import Ancestor, TrainingData, TrainingStatus
from experiments.config import ExperimentConfig, configured, nested, read_suite, with_suite
from golden.datasets import load_dataset
from hallmark.cli.options import parse_settings
from provenance import stored_document
from provenance.card import model_card
from registry import ModelVersion
from tests.support.recorded_runs import record_baseline, record_trained, right_for, workspace_at
from tests.support.refusals import assert_refused
from tests.support.small_datasets import write_items

pytestmark = pytest.mark.unit

BETTER = Requirement(dataset="a-v1")
NOT_WORSE = Requirement(dataset="b-v1", aim="not_worse", margin=0.1)


def compared(
    before: Sequence[float],
    after: Sequence[float],
    dataset: str = "a-v1",
    margin: float | None = None,
    cut: tuple[Collection[int], Collection[int]] = ((), ()),
) -> Comparison:
    ids = [f"t{number}" for number in range(len(before))]

    def run(name: str, scores: Sequence[float], places: Collection[int]) -> RunScores:
        by_id = dict(zip(ids, scores, strict=True))
        labels = dict.fromkeys(ids, "c")
        gone = frozenset(ids[place] for place in places)
        return RunScores(name, dataset, "a" * 64, "j@v1", "f", {}, by_id, labels, cut=gone)

    return compare(run("base", before, cut[0]), run("trained", after, cut[1]), margin=margin)


def decided(*cases: Case, **more: Any) -> GateDecision:
    return decide(cases, GateConfig(), **more)


GAIN = compared([0.0] * 40 + [1.0] * 60, [1.0] * 30 + [0.0] * 10 + [1.0] * 60)
SAME = compared([1.0] * 80 + [0.0] * 20, [1.0] * 80 + [0.0] * 20, "b-v1", margin=0.1)
LOSS = compared([1.0] * 80 + [0.0] * 20, [1.0] * 55 + [0.0] * 45, "b-v1", margin=0.1)


def test_a_gain_without_a_loss_elsewhere_is_promoted() -> None:
    decision = decided(Case(BETTER, GAIN), Case(NOT_WORSE, SAME))
    assert (decision.answer, decision.promote) == ("better", True)
    assert [each.met for each in decision.requirements] == [True, True]
    assert decision.requirements[1].name == "b-v1 not 10 points below champion"
    assert "A loss of 10 points or more on 100 items is excluded" in decision.reasons[1]


def test_a_model_that_forgets_is_refused_whatever_it_gains() -> None:
    decision = decided(Case(BETTER, GAIN), Case(NOT_WORSE, LOSS))
    assert (decision.answer, decision.promote, decision.significant) == ("not_better", False, False)
    assert [each.met for each in decision.requirements] == [True, False]
    assert "b-v1 not 10 points below champion: The score fell by 25.0 points" in decision.reasons[1]
    assert decision.p_value == max(each.p_value for each in decision.requirements)


def test_a_loss_that_cannot_be_excluded_is_not_enough_evidence() -> None:
    few = compared([1.0] * 8 + [0.0] * 2, [1.0] * 8 + [0.0] * 2, "b-v1", margin=0.1)
    decision = decided(Case(BETTER, GAIN), Case(NOT_WORSE, few))
    assert (decision.answer, decision.promote) == ("not_enough_evidence", False)
    assert "A loss of 10 points or more on 10 items is not excluded" in decision.reasons[1]


def test_every_requirement_is_tested_at_the_undivided_level() -> None:
    alone, both = decided(Case(BETTER, GAIN)), decided(Case(BETTER, GAIN), Case(NOT_WORSE, SAME))
    assert alone.level == both.level


def test_leaked_training_data_of_any_dataset_stops_the_promotion() -> None:
    decision = decided(Case(BETTER, GAIN), Case(NOT_WORSE, SAME, known("leaked")))
    assert not decision.promote
    assert "Run r-1 trained on train-v1" in decision.reasons[1]


def test_unknown_training_data_is_said_and_stops_nothing() -> None:
    decision = decided(Case(BETTER, GAIN, known("unknown")))
    assert decision.promote
    assert decision.reasons[-1].startswith("Training data unknown: train-v1")
    assert decision.requirements[0].training_data == "unknown"


def known(status: TrainingStatus) -> TrainingData:
    of_run = Ancestor(run_id="r-1", dataset="train-v1", sha256="0" * 64, status=status, overlaps=1)
    return TrainingData(status=status, golden="a-v1", ancestors=[of_run], root="base", root_status="clean")


# Answers that were cut off


def test_a_gain_that_rests_on_cut_answers_alone_is_not_promoted() -> None:
    cut = compared([0.0] * 100, [1.0] * 30 + [0.0] * 70, cut=(range(100), ()))
    decision = decided(Case(BETTER, cut))
    assert (decision.answer, decision.promote) == ("not_enough_evidence", False)
    assert "100 of the baseline's and 0 of the candidate's were cut off" in " ".join(decision.reasons)
    assert "No item is left that neither cut off" in decision.reasons[1]
    assert "generation.max_new_tokens" in decision.reasons[1]


def test_a_gain_that_holds_without_the_cut_answers_is_promoted_and_says_so() -> None:
    before, after = [0.0] * 40 + [1.0] * 60, [1.0] * 30 + [0.0] * 10 + [1.0] * 60
    decision = decided(Case(BETTER, compared(before, after, cut=(range(10), range(5, 8)))))
    assert decision.promote
    assert "it holds without them too" in decision.reasons[1]
    assert decision.requirements[0].cut == (10, 3)


def test_a_gain_that_only_shorter_answers_made_is_not_promoted() -> None:
    """The candidate is right where the other was cut, and no better elsewhere."""
    before, after = [0.0] * 30 + [1.0] * 40 + [0.0] * 30, [1.0] * 70 + [0.0] * 30
    decision = decided(Case(BETTER, compared(before, after, cut=(range(30), ()))))
    assert not decision.promote
    assert "the gain does not hold without them" in decision.reasons[1]
    assert not decision.significant


def test_a_few_cut_answers_that_decide_nothing_are_not_spoken_of() -> None:
    before, after = [0.0] * 40 + [1.0] * 60, [1.0] * 30 + [0.0] * 10 + [1.0] * 60
    decision = decided(Case(BETTER, compared(before, after, cut=(range(2), ()))))
    assert decision.promote
    assert len(decision.reasons) == 1
    assert decision.requirements[0].cut == (2, 0)


def test_a_few_cut_answers_are_not_spoken_of_where_there_is_no_gain_anyway() -> None:
    decision = decided(Case(BETTER, compared([1.0] * 50, [1.0] * 49 + [0.0], cut=((), [49]))))
    assert decision.reasons == ["The score fell by 2.0 points on 50 items; a gain is required."]


def test_a_few_cut_answers_do_not_decide_alone() -> None:
    """Two in a hundred, and the candidate is right on exactly those and six others."""
    before, after = [0.0] * 8 + [1.0] * 92, [1.0] * 8 + [0.0] + [1.0] * 91
    both = compared(before, after), compared(before, after, cut=(range(2), ()))
    assert both[0].p_better < decided(Case(BETTER, both[0])).level
    decision = decided(Case(BETTER, both[1]))
    assert not decision.promote
    assert "the gain does not hold without them" in decision.reasons[1]


def test_a_category_that_falls_behind_cut_answers_stops_the_promotion() -> None:
    """The champion was cut where the candidate is right, which hides that it lost the others."""
    ids = [f"t{number}" for number in range(140)]
    labels = {trace_id: "a" if place < 40 else "b" for place, trace_id in enumerate(ids)}

    def run(name: str, scores: Sequence[float], cut: Collection[str]) -> RunScores:
        by_id = dict(zip(ids, scores, strict=True))
        return RunScores(name, "a-v1", "a" * 64, "j@v1", "f", {}, by_id, labels, cut=cut)

    before = [0.0] * 20 + [1.0] * 20 + [0.0] * 60 + [1.0] * 40
    after = [1.0] * 20 + [0.0] * 15 + [1.0] * 5 + [1.0] * 60 + [1.0] * 40
    decision = decided(Case(BETTER, compare(run("base", before, set(ids[:20])), run("trained", after, ()))))
    assert not decision.promote
    assert "Category a fell by 75.0 points without the answers that were cut off" in " ".join(
        decision.reasons
    )


def test_a_margin_must_hold_without_the_cut_answers_too() -> None:
    """The champion's answers were cut where the candidate is worse, which hides the loss."""
    before, after = [0.0] * 30 + [1.0] * 70, [1.0] * 30 + [0.0] * 30 + [1.0] * 40
    hidden = compared(before, after, "b-v1", margin=0.1, cut=(range(30), ()))
    decision = decided(Case(BETTER, GAIN), Case(NOT_WORSE, hidden))
    assert not decision.promote
    assert "the margin does not hold without them" in decision.reasons[1]


# Limits


def pair(candidate: Measured, opponent: Measured, requirement: Requirement = BETTER) -> MeasuredPair:
    return MeasuredPair("a-v1", requirement.dataset, requirement.against, candidate, opponent)


SMALL, LARGE = Measured(0.01, 200.0, 4_000_000), Measured(0.2, 100.0, 10_000_000)


@pytest.mark.parametrize(
    ("limit", "met", "words"),
    [
        (Limit(measure="cut_share", at_most=0.05), True, "is 1.0 %, as required: at most 5.0 %"),
        (Limit(measure="cut_share", at_most=0.005), False, "is 1.0 %, where at most 0.5 % is required"),
        (Limit(measure="tokens_per_second", at_least=150), True, "on a-v1 is 200.0 tokens/s"),
        (Limit(measure="tokens_per_second", at_least=3, relative_to="champion"), False, "at least 300.0"),
        (Limit(measure="size", at_most=0.5, relative_to="champion"), True, "is 4.0 MB"),
        (Limit(measure="size", at_most=3_000_000), False, "where at most 3.0 MB is required"),
    ],
)
def test_a_limit_must_hold_as_well(limit: Limit, met: bool, words: str) -> None:
    decision = decided(Case(BETTER, GAIN, measured=pair(SMALL, LARGE)), limits=[limit])
    assert decision.promote == met
    assert [each.met for each in decision.limits] == [met]
    assert words in decision.limits[0].reason
    assert (decision.limits[0].reason in decision.reasons) != met


def test_what_was_not_measured_holds_no_limit() -> None:
    unknown = Measured(0.0, None, None)
    limit = Limit(measure="size", at_most=0.5, relative_to="champion")
    decision = decided(Case(BETTER, GAIN, measured=pair(SMALL, unknown)), limits=[limit])
    assert not decision.promote
    assert "was not recorded for the champion's run" in decision.reasons[-1]


def test_a_smaller_model_that_is_not_worse_is_promoted_for_that_reason() -> None:
    requirement = Requirement(dataset="b-v1", aim="not_worse", margin=0.1)
    limit = Limit(measure="size", at_most=0.5, relative_to="champion")
    case = Case(requirement, SAME, measured=pair(SMALL, LARGE, requirement))
    decision = decided(case, limits=[limit])
    assert (decision.answer, decision.promote) == ("not_worse", True)


# The file


def suite_file(folder: Path, text: str) -> Path:
    path = folder / "release.toml"
    path.write_text(text)
    return path


RELEASE = """
[[require]]
dataset = "safety-v2.jsonl"
aim = "not_worse"
margin = 0.02

[[require]]
dataset = "golden-v1"

[[require]]
dataset = "golden-v1"
aim = "not_worse"
margin = 0.05
against = "base"

[[limit]]
measure = "cut_share"
at_most = 0.05
"""


def test_the_main_requirement_names_the_experiments_dataset(tmp_path: Path) -> None:
    suite = read_suite(suite_file(tmp_path, RELEASE))
    config = configured(ExperimentConfig, None, suite.model_dump())
    assert [each.dataset for each in config.requirements] == ["golden-v1", "safety-v2.jsonl", "golden-v1"]
    assert [each.dataset for each in config.datasets] == ["golden-v1", "safety-v2.jsonl"]
    assert config.dataset == "golden-v1"
    assert configured(ExperimentConfig, config) == config
    assert ExperimentConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "require: Field required"),
        ('[[require]]\naim = "not_worse"\n', "margin is missing"),
        ('[[require]]\naim = "better"\nmargin = 0.1\n', "margin belongs to aim = 'not_worse'"),
        ('[[require]]\naim = "best"\n', "require.0.aim: Input should be 'better' or 'not_worse'"),
        ('[[require]]\nagainst = "base"\n', "nothing is compared with the champion"),
        ('[[require]]\naim = "not_worse"\nmargin = 0.1\n', "nothing is to be gained over the champion"),
        ('[[require]]\n[[limit]]\nmeasure = "size"\n', "at_most or at_least is missing"),
        (
            '[[require]]\naim = "not_worse"\nmargin = 0.1\n[[limit]]\nmeasure = "size"\nat_most = 1\n',
            "nothing is to be gained over the champion",
        ),
        ('[[require]]\n[[limit]]\nmeasure = "size"\nat_most = 1\nat_least = 2\n', "nothing can hold"),
        (
            '[[require]]\n[[limit]]\nmeasure = "size"\nat_most = 1\nrelative_to = "base"\n',
            "limit on size: no requirement against the base",
        ),
        (
            '[[require]]\n[[limit]]\nmeasure = "cut_share"\nat_most = 1\ndataset = "b-v1"\n',
            "no requirement is on dataset b-v1",
        ),
        ("[[requires]]\n", "requires: unknown setting"),
    ],
)
def test_a_suite_that_makes_no_sense_is_refused_with_its_field(
    tmp_path: Path, text: str, words: str, hallmark: Any
) -> None:
    path = suite_file(tmp_path, text)
    with pytest.raises(InputError, match="release.toml") as refused:
        read_suite(path)
    assert words in str(refused.value)
    assert "Value error" not in str(refused.value)
    assert len(str(refused.value)) < 400


def test_a_dataset_beside_a_suite_is_refused(tmp_path: Path) -> None:
    suite = read_suite(suite_file(tmp_path, RELEASE))
    with pytest.raises(InputError, match="dataset: golden-v1 is asked for beside a suite"):
        with_suite({"dataset": "golden-v1"}, suite)
    with pytest.raises(InputError, match="dataset: other-v1 is asked for beside requirements"):
        configured(ExperimentConfig, None, {"dataset": "other-v1", **suite.model_dump()})
    assert Suite.model_validate(suite.model_dump()) == suite


def test_prefects_form_has_lists_and_may_send_the_defaults_along() -> None:
    """The form sends every field, also those that nobody filled in."""
    from prefect.utilities.callables import parameter_schema

    from flows.experiment import experiment

    settings = parameter_schema(experiment.fn).properties["config"]["properties"]
    advanced = next(way for way in settings["advanced"]["anyOf"] if "require" in way.get("properties", {}))[
        "properties"
    ]
    assert advanced["require"]["type"] == "array"
    assert advanced["require"]["items"]["properties"]["aim"]["enum"] == ["better", "not_worse"]
    filled_in = {"dataset": "golden-v1", "judge": None, "require": [{"dataset": "other-v1"}], "limit": []}
    assert ExperimentConfig.model_validate(filled_in).dataset == "other-v1"


# Recorded runs


class Recorded:
    """A home with two golden sets: what the base, and a candidate, answered on each."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.workspace = workspace_at(home)
        items = list(load_dataset("golden-v1").items())
        self.main = str(write_items(folder / "main-v1.jsonl", items[:180]))
        self.other = str(write_items(folder / "other-v1.jsonl", items[180:]))
        for dataset in (self.main, self.other):
            record_baseline(self.workspace, right_for(0.5), dataset=dataset)

    def candidate(self, weights: str, main: float, other: float | None) -> str:
        run = record_trained(self.workspace, right_for(main), weights, dataset=self.main)
        if other is not None:
            record_trained(self.workspace, right_for(other), weights, dataset=self.other)
        return run.run_id

    def suite(self, against: str = "champion", more: str = "") -> Path:
        return suite_file(
            self.folder,
            f'[[require]]\ndataset = "{self.main}"\n\n'
            f'[[require]]\ndataset = "{self.other}"\naim = "not_worse"\nmargin = 0.1\nagainst = "{against}"\n'
            + more,
        )


@pytest.fixture
def recorded(tmp_path: Path, home: Path) -> Recorded:
    return Recorded(tmp_path, home)


def document(result: Any) -> Any:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.long
def test_a_recorded_run_is_promoted_by_a_suite_and_every_requirement_is_recorded(
    recorded: Recorded, hallmark: Any
) -> None:
    run = recorded.candidate("good", 0.8, 0.5)
    promotion = document(hallmark("promote", run, "--suite", recorded.suite(), "--json"))
    assert (promotion["outcome"], promotion["version"]) == ("promoted", 1)
    (row,) = document(hallmark("models", "history", "tiny-reasoner", "--json"))
    assert [each["met"] for each in row["decision"]["requirements"]] == [True, True]
    assert document(hallmark("verify", "--json"))["problems"] == []
    shown = hallmark("promote", recorded.candidate("worse", 0.8, 0.2), "--suite", recorded.suite())
    assert "other-v1 not 10 points below champion" in shown.stdout
    card = model_card(stored_document(recorded.workspace.registry, champion(recorded)))
    assert r"| other-v1 not 10 points below base | 50.0 % | 50.0 % | \+0.0 |" in card


def test_what_was_not_judged_on_a_dataset_is_refused_with_the_command_that_does_it(
    recorded: Recorded, hallmark: Any
) -> None:
    run = recorded.candidate("half", 0.8, None)
    assert_refused(
        hallmark("promote", run, "--suite", recorded.suite()),
        2,
        "its model was not judged on everything that the suite requires",
        f"hallmark evaluate run:{run} --dataset {recorded.other}",
    )


def test_one_decision_rests_on_one_way_of_asking(recorded: Recorded, hallmark: Any) -> None:
    """The command that is told asks as the run did, whatever of its settings are not the usual ones."""
    asked = {"instruction": "Don't guess.\nEnd with Answer: X.", "template_args": {"enable_thinking": False}}
    settings = {"prompt": asked, "generation": {"max_new_tokens": 64}}
    run = record_trained(recorded.workspace, right_for(0.8), "w", dataset=recorded.main, **settings)
    other = record_trained(recorded.workspace, right_for(0.5), "w", dataset=recorded.other)
    refused = hallmark("promote", run.run_id, "--suite", recorded.suite())
    assert_refused(
        refused,
        2,
        f"run {other.run_id} judged it on {recorded.other} with another prompt.instruction, "
        "prompt.template_args, generation.max_new_tokens, and one decision needs one way of asking",
    )
    told = next(line for line in refused.stderr.splitlines() if "Run: hallmark evaluate " in line)
    pairs = [value for flag, value in pairwise(shlex.split(told.partition("Run: ")[2])) if flag == "--set"]
    wanted = nested(parse_settings(pairs))
    assert wanted == {"prompt": asked, "generation": {"max_new_tokens": 64}}
    record_baseline(recorded.workspace, right_for(0.5), dataset=recorded.main, **settings)
    record_baseline(recorded.workspace, right_for(0.5), dataset=recorded.other, **settings)
    record_trained(recorded.workspace, right_for(0.5), "w", dataset=recorded.other, **wanted)
    record_trained(recorded.workspace, right_for(0.5), "w", dataset=recorded.other, reuse=False)
    promotion = document(hallmark("promote", run.run_id, "--suite", recorded.suite(), "--json"))
    assert promotion["outcome"] == "promoted"


@pytest.mark.long
def test_a_champion_that_is_better_than_the_last_but_worse_than_the_untouched_base_is_refused(
    recorded: Recorded, hallmark: Any
) -> None:
    """Each step loses less than the margin; the base remembers where they began."""
    first = recorded.candidate("first", 0.7, 0.46)
    wide = recorded.suite(more="").read_text().replace("margin = 0.1", "margin = 0.2")
    (recorded.folder / "wide.toml").write_text(wide)
    assert document(hallmark("promote", first, "--suite", recorded.folder / "wide.toml", "--json"))[
        "outcome"
    ] == ("promoted")
    second = recorded.candidate("second", 0.95, 0.42)
    against_champion = recorded.folder / "wide.toml"
    against_base = recorded.suite("base", more="")
    refused = document(hallmark("promote", second, "--suite", against_base, "--json"))
    assert refused["outcome"] == "refused"
    base = refused["decision"]["requirements"][1]
    assert (base["against"], base["met"], base["baseline"]) == ("base", False, 0.5)
    promoted = document(hallmark("promote", second, "--suite", against_champion, "--json"))
    assert promoted["outcome"] == "promoted"


@pytest.mark.long
def test_the_same_suite_is_one_comparison_and_another_is_a_new_one(recorded: Recorded, hallmark: Any) -> None:
    run = recorded.candidate("worse", 0.8, 0.2)
    numbers = [
        document(hallmark("promote", run, "--suite", recorded.suite(against), "--json"))["decision"]["number"]
        for against in ("champion", "champion", "base", "champion")
    ]
    assert numbers == [1, 1, 2, 1]
    assert document(hallmark("verify", "--json"))["problems"] == []


@pytest.mark.long
def test_no_order_of_the_requirements_begins_a_new_ledger(recorded: Recorded, hallmark: Any) -> None:
    """Each dataset that decides counts the comparison, and the smallest level holds."""
    both = '[[require]]\ndataset = "{}"\n\n[[require]]\ndataset = "{}"\n'
    first = suite_file(recorded.folder, both.format(recorded.main, recorded.other))
    for place, name in enumerate("abc"):
        share = 0.5 + place / 50  # other predictions, no real gain
        hallmark("promote", recorded.candidate(name, share, share), "--suite", first)
    run = recorded.candidate("good", 0.8, 0.8)
    turned = recorded.folder / "turned.toml"
    turned.write_text(both.format(recorded.other, recorded.main))
    other = recorded.workspace.registry.runs.list(limit=1)[0].run_id
    decision = document(hallmark("promote", other, "--suite", turned, "--json"))["decision"]
    assert decision["number"] == 4
    assert decision["level"] < 0.005
    ledgers = document(hallmark("models", "alpha", "tiny-reasoner", "--json"))
    assert {ledger["dataset"]: len(ledger["spent"]) for ledger in ledgers} == {"main-v1": 4, "other-v1": 4}
    assert document(hallmark("verify", "--json"))["problems"] == []
    assert run != other


def test_two_files_of_one_name_are_refused_before_anything_is_computed(
    recorded: Recorded, hallmark: Any
) -> None:
    (recorded.folder / "elsewhere").mkdir()
    items = list(load_dataset("golden-v1").items())
    twin = write_items(recorded.folder / "elsewhere" / "main-v1.jsonl", items[:50])
    suite = suite_file(
        recorded.folder,
        f'[[require]]\ndataset = "{recorded.main}"\n\n'
        f'[[require]]\ndataset = "{twin}"\naim = "not_worse"\nmargin = 0.1\n',
    )
    assert_refused(hallmark("experiment", "--suite", suite), 3, "main-v1", "changed since it was registered")
    fresh = {"HALLMARK_HOME": str(recorded.folder / "fresh")}
    assert_refused(hallmark("experiment", "--suite", suite, **fresh), 2, "and both would be main-v1")


def test_a_smaller_model_needs_its_size_recorded(recorded: Recorded, hallmark: Any) -> None:
    run = recorded.candidate("good", 0.8, 0.5)
    limit = '\n[[limit]]\nmeasure = "size"\nat_most = 0.5\nrelative_to = "champion"\n'
    refused = document(hallmark("promote", run, "--suite", recorded.suite(more=limit), "--json"))
    assert refused["outcome"] == "refused"
    assert "was not recorded" in refused["decision"]["reasons"][-1]


def champion(recorded: Recorded) -> ModelVersion:
    return recorded.workspace.registry.models.get("tiny-reasoner@champion")
