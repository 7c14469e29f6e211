"""Two runs compared item by item, on the same items, by the same judge."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import Field

from core.config import Record
from core.errors import InputError, IntegrityError
from core.files import canonical_json
from core.tabular import Row, Tabular
from core.text import counted
from core.text import cut as cut_text
from evaluation.form import FormAndSkill, form_and_skill
from evaluation.groups import group_places
from evaluation.metrics import Metric, metric
from evaluation.numbers import p_text, percent, points
from evaluation.pairs import TEST_NAMES, Pairs
from evaluation.statistics import holm
from evaluation.superiority import smallest_significant_gain

RESAMPLES = 10_000
CUT_OFF = "reached_max_new_tokens"
"""What of a run is unknown where nobody counted the answers that were cut off."""
SHOWN_VALUE = 200
"""Characters of a setting that an error quotes."""
DIFFICULTY = {"easy": 1, "medium": 2, "hard": 3}
"""Bands stand in this order; everything else by name."""


@dataclass(frozen=True)
class RunScores:
    """A run as a comparison needs it.

    Attributes:
        dataset: its name, for people.
        dataset_sha256: of the file.
        judge: NAME@vN.
        judge_fingerprint: sha256 of the judge's code.
        generation: what must be equal too, since a person chose it: generation config, dtype.
        prompt: likewise: system text, instruction, few-shot examples, template arguments, stop strings, date.
        scores: trace_id -> score.
        categories: trace_id -> category.
        bands: trace_id -> difficulty band, where the dataset has bands.
        groups: trace_id -> group of items that hang together; an id that is absent is a group of its own.
        cut: ids of items whose answer was cut off at max_new_tokens.
        of_model: what belongs to the model, such as template, end and padding ids, tokenizer: shown where it
            differs, but no obstacle to a comparison.
        rungs: trace_id -> where in the text the judge found the answer; an id that is absent had none. Empty
            where the judge does not say.
        imported: whether another program made the predictions, so that only a part of `of_model` is known.
        unknown: what nobody knows of how imported predictions were made, by the names of these settings, as
            in prompt.system; and `reached_max_new_tokens` where nobody knows which answers were cut off.
    """

    run_id: str
    dataset: str
    dataset_sha256: str
    judge: str
    judge_fingerprint: str
    generation: Mapping[str, Any]
    scores: Mapping[str, float]
    categories: Mapping[str, str]
    bands: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    cut: Collection[str] = frozenset()
    of_model: Mapping[str, Any] = field(default_factory=dict)
    prompt: Mapping[str, Any] = field(default_factory=dict)
    rungs: Mapping[str, str] = field(default_factory=dict)
    imported: bool = False
    unknown: Collection[str] = frozenset()


class Group(Record):
    """The comparison within one category or difficulty band.

    Attributes:
        gained: items that got better.
        lost: items that got worse.
        p_value: of this group alone.
        p_holm: adjusted for the number of groups.
    """

    name: str
    n: int
    baseline: float
    candidate: float
    delta: float
    gained: int
    lost: int
    p_value: float
    p_holm: float


class CutAnswers(Record):
    """Answers that were cut off at max_new_tokens, and the comparison over the items where neither side's
    was: a candidate that only learnt to be short is no better there.

    Attributes:
        baseline: the baseline's answers that were cut off.
        candidate: the candidate's.
        n: items where neither was.
        baseline_score: its mean score on these; None where there are none.
        candidate_score: likewise.
        delta: candidate less baseline on these; 0 where there are none.
        gained: how many of these got better.
        lost: how many got worse.
        p_better: one-sided, of "not better"; 1 where there are none.
        p_not_worse: one-sided, of "worse by the margin or more"; None without a margin.
        categories: the comparison within each category, over these items; empty in comparisons that were
            recorded before it was made.
    """

    baseline: int
    candidate: int
    n: int
    baseline_score: float | None
    candidate_score: float | None
    delta: float
    gained: int
    lost: int
    p_better: float
    p_not_worse: float | None = None
    categories: list[Group] = Field(default_factory=list)


class Comparison(Tabular, Record):
    """Candidate against baseline. A notebook shows it as a table; `to_frame()` gives that as a DataFrame.

    Attributes:
        delta: candidate less baseline, in mean score.
        ci_low: lower end of the paired bootstrap interval of delta, 95 %.
        ci_high: upper end.
        p_value: two-sided, of "no difference".
        p_better: one-sided, of "not better": what the gate asks.
        test: a key of `evaluation.pairs.TEST_NAMES`: mcnemar_exact for 0/1 scores, and mcnemar_by_group
            where the items of each group are copies; else permutation_and_likelihood, and likelihood where
            there are too many items for exact sign flips, with _by_group where items hang together.
        gained: trace ids that got better.
        lost: trace ids that got worse.
        groups: how many independent groups the items form, n where each stands alone; None in comparisons
            that were recorded before this was counted.
        cut: what remains without answers that were cut off; None where none were, or nobody counted
            those of both sides.
        margin: the loss in mean score that p_not_worse is about; None where nobody asked.
        p_not_worse: one-sided, of "worse by the margin or more": small means not worse.
        of_model: what belongs to the models and differs: name -> the baseline's, the candidate's.
        form: where the answers were found, and what of the change is form and what is skill; None where the
            judge does not say where it found them.
        unknown: run -> the conditions of which nobody knows what they were when its predictions were made,
            and which were not compared. Only imported predictions have any.
    """

    baseline_run: str
    candidate_run: str
    dataset: str
    judge: str
    n: int
    baseline: Metric
    candidate: Metric
    delta: float
    ci_low: float
    ci_high: float
    p_value: float
    p_better: float
    test: str
    categories: list[Group]
    bands: list[Group]
    gained: list[str]
    lost: list[str]
    groups: int | None = None
    cut: CutAnswers | None = None
    margin: float | None = None
    p_not_worse: float | None = None
    of_model: dict[str, list[Any]] = Field(default_factory=dict)
    form: FormAndSkill | None = None
    unknown: dict[str, list[str]] = Field(default_factory=dict)

    def smallest_significant_gain(self, level: float) -> float | None:
        """The smallest gain in mean score that would have been significant with as many changed answers.

        Args:
            level: of the one-sided test.

        Returns:
            None where no gain would have been, and where the number of changed answers does not decide it:
            for scores other than 0 and 1, and for items in groups.
        """
        if self.test != "mcnemar_exact":
            return None
        return smallest_significant_gain(len(self.gained) + len(self.lost), self.n, level)

    @property
    def test_name(self) -> str:
        """What a person calls the test."""
        return TEST_NAMES[self.test]

    @property
    def notes(self) -> list[str]:
        """What a reader should know beside the table, in whole sentences: groups, form and skill, cut-off
        answers, and what differs between the models.
        """
        found = []
        if self.groups is not None and self.groups < self.n:
            found.append(
                f"The {counted(self.n, 'item')} form {counted(self.groups, 'group')}; statistics rest on "
                "the groups."
            )
        if self.form is not None:
            found += self.form.notes
        if (cut := self.cut) is not None:
            found.append(_cut_note(cut))
        if self.of_model:
            found.append(f"The models differ in {', '.join(self.of_model)}.")
        found += [
            f"The predictions of run {run} were imported; nobody knows its {', '.join(names)}, so that was "
            "not compared."
            for run, names in self.unknown.items()
        ]
        return found

    def table_caption(self) -> str:
        """The answer in a line."""
        return (
            f"run {self.candidate_run} against run {self.baseline_run} on {self.dataset}, judged by "
            f"{self.judge}: "
            f"{percent(self.baseline.value)} to {percent(self.candidate.value)}, {points(self.delta)} points "
            f"({points(self.ci_low)} to {points(self.ci_high)}), p = {p_text(self.p_value)}"
        )

    def table_rows(self) -> list[Row]:
        """Overall, then each category and each difficulty band; scores and deltas are shares, from 0 to 1.

        The interval is for the overall delta only. `p_value` is Holm-adjusted within categories and within
        bands.
        """
        overall = {
            "by": None,
            "group": "overall",
            "items": self.n,
            "baseline": self.baseline.value,
            "candidate": self.candidate.value,
            "delta": self.delta,
            "ci_low": self.ci_low,
            "ci_high": self.ci_high,
            "p_value": self.p_value,
            "better": len(self.gained),
            "worse": len(self.lost),
        }
        categories = [_group_row("category", group) for group in self.categories]
        return [overall, *categories, *(_group_row("difficulty", group) for group in self.bands)]


def _cut_note(cut: CutAnswers) -> str:
    counts = (
        f"Cut off at max_new_tokens: {cut.baseline} of the baseline's answers, {cut.candidate} of the "
        "candidate's."
    )
    if cut.baseline_score is None or cut.candidate_score is None:
        return f"{counts} No item is left that neither cut off."
    change = f"{percent(cut.baseline_score)} to {percent(cut.candidate_score)}, {points(cut.delta)} points"
    p_value = f"one-sided p = {p_text(cut.p_better)}"
    return f"{counts} On the {counted(cut.n, 'item')} that neither cut off: {change} ({p_value})."


def _group_row(by: str, group: Group) -> Row:
    return {
        "by": by,
        "group": group.name,
        "items": group.n,
        "baseline": group.baseline,
        "candidate": group.candidate,
        "delta": group.delta,
        "ci_low": None,
        "ci_high": None,
        "p_value": group.p_holm,
        "better": group.gained,
        "worse": group.lost,
    }


def compare(
    baseline: RunScores,
    candidate: RunScores,
    seed: int = 0,
    resamples: int = RESAMPLES,
    margin: float | None = None,
) -> Comparison:
    """Compare two runs, pairing their scores by trace_id.

    Args:
        baseline: the run to beat.
        candidate: the run that would replace it.
        seed: decides the resampling.
        resamples: bootstrap samples and random sign patterns.
        margin: also test whether the candidate is worse by this share of the full score or more, as in 0.02.

    Raises:
        InputError: both are the same run, or were made under different conditions; names every field that
            differs, with both values. Or the margin is not between 0 and 1.
        IntegrityError: the same dataset, but not the same items; names one.

    Example:
        >>> def run(name: str, scores: list[float]) -> RunScores:
        ...     ids = [f"q-{number}" for number in range(len(scores))]
        ...     fixed = ("golden-v1", "sha256", "answer_correctness@v1", "fingerprint", {})
        ...     return RunScores(name, *fixed, dict(zip(ids, scores)), dict.fromkeys(ids, "addition"), {})
        >>> found = compare(run("base", [0, 0, 0, 0, 0, 1]), run("trained", [1, 1, 1, 1, 1, 0]))
        >>> len(found.gained), found.lost, found.p_value
        (5, ['q-5'], 0.21875)
    """
    _check_comparable(baseline, candidate)
    if margin is not None and not 0 < margin < 1:
        raise InputError(f"margin: must lie between 0 and 1, as in 0.02 for two points; got {margin!r}")
    ids = list(baseline.scores)
    pairs = Pairs(
        before=np.fromiter(baseline.scores.values(), np.float64, len(ids)),
        after=np.fromiter((candidate.scores[trace_id] for trace_id in ids), np.float64, len(ids)),
        groups=group_places(ids, baseline.groups),
        seed=seed,
        resamples=resamples,
    )
    low, high = pairs.interval()
    return Comparison(
        baseline_run=baseline.run_id,
        candidate_run=candidate.run_id,
        dataset=baseline.dataset,
        judge=baseline.judge,
        n=len(ids),
        baseline=metric(pairs.before, pairs.groups, resamples),
        candidate=metric(pairs.after, pairs.groups, resamples),
        delta=pairs.delta,
        ci_low=low,
        ci_high=high,
        p_value=pairs.p_value(),
        p_better=pairs.p_better(),
        test=pairs.test,
        categories=_groups(ids, pairs, baseline.categories),
        bands=_groups(ids, pairs, baseline.bands) if baseline.bands else [],
        gained=[ids[place] for place in np.flatnonzero(pairs.after > pairs.before)],
        lost=[ids[place] for place in np.flatnonzero(pairs.after < pairs.before)],
        groups=pairs.independent,
        cut=_without_cut(ids, pairs, baseline, candidate, margin),
        margin=margin,
        p_not_worse=None if margin is None else pairs.p_not_worse(margin),
        of_model=_of_models(baseline, candidate),
        form=form_and_skill(ids, pairs, baseline.rungs, candidate.rungs),
        unknown={run.run_id: sorted(run.unknown) for run in (baseline, candidate) if run.unknown},
    )


def _without_cut(
    ids: Sequence[str], pairs: Pairs, baseline: RunScores, candidate: RunScores, margin: float | None
) -> CutAnswers | None:
    unknown = CUT_OFF in baseline.unknown or CUT_OFF in candidate.unknown
    if unknown or not (cut := {*baseline.cut, *candidate.cut}):
        return None
    places = [place for place, trace_id in enumerate(ids) if trace_id not in cut]
    whole = pairs.at(np.array(places, np.int64))
    n = len(whole)
    return CutAnswers(
        baseline=len(baseline.cut),
        candidate=len(candidate.cut),
        n=n,
        baseline_score=math.fsum(whole.before) / n if n else None,
        candidate_score=math.fsum(whole.after) / n if n else None,
        delta=whole.delta if n else 0.0,
        gained=whole.gained,
        lost=whole.lost,
        p_better=whole.p_better() if n else 1.0,
        p_not_worse=None if margin is None else whole.p_not_worse(margin) if n else 1.0,
        categories=_groups([ids[place] for place in places], whole, baseline.categories) if n else [],
    )


def _of_models(baseline: RunScores, candidate: RunScores) -> dict[str, list[Any]]:
    before, after = baseline.of_model, candidate.of_model
    one_is_imported = baseline.imported or candidate.imported
    names = sorted(before.keys() & after.keys() if one_is_imported else before.keys() | after.keys())
    both = {name: [before.get(name), after.get(name)] for name in names}
    return {name: pair for name, pair in both.items() if pair[0] != pair[1]}


def _check_comparable(baseline: RunScores, candidate: RunScores) -> None:
    if baseline.run_id == candidate.run_id:
        raise InputError(f"run {baseline.run_id}: cannot be compared with itself. Name another run.")
    differing = {
        name: f"{name}: {_shown(left)} against {_shown(right)}"
        for name, left, right in (
            (
                "dataset",
                (baseline.dataset, baseline.dataset_sha256),
                (candidate.dataset, candidate.dataset_sha256),
            ),
            ("judge", baseline.judge, candidate.judge),
            ("judge_fingerprint", baseline.judge_fingerprint, candidate.judge_fingerprint),
            *_settings("prompt", baseline.prompt, candidate.prompt),
            *_settings("generation", baseline.generation, candidate.generation),
        )
        if left != right and name not in baseline.unknown and name not in candidate.unknown
    }
    if differing:
        again = {"dataset", "judge", "judge_fingerprint"}.issuperset(differing)
        raise InputError(
            f"runs {baseline.run_id} and {candidate.run_id} cannot be compared, because they differ in "
            f"{'; '.join(differing.values())}. Evaluate one of them again under the other's conditions"
            + (", or judge its answers again: hallmark rejudge RUN (--dataset, --judge)." if again else ".")
        )
    if odd := sorted(baseline.scores.keys() ^ candidate.scores.keys()):
        raise IntegrityError(
            f"runs {baseline.run_id} and {candidate.run_id} name the same dataset, but only one of them has "
            f"item {odd[0]}."
        )


def _settings(
    of: str, left: Mapping[str, Any], right: Mapping[str, Any]
) -> Iterator[tuple[str, object, object]]:
    for name in sorted({*left, *right}):
        yield f"{of}.{name}", left.get(name), right.get(name)


def _shown(value: object) -> str:
    return cut_text(canonical_json(value), SHOWN_VALUE)


def _groups(ids: Sequence[str], pairs: Pairs, labels: Mapping[str, str]) -> list[Group]:
    names, label = np.unique(np.array([labels[trace_id] for trace_id in ids]), return_inverse=True)
    parts = {str(name): pairs.at(np.flatnonzero(label == place)) for place, name in enumerate(names)}
    ordered = sorted(parts, key=lambda name: (DIFFICULTY.get(name, 0), name))
    p_values = [parts[name].p_value() for name in ordered]
    return [
        _group(name, parts[name], p, adjusted)
        for name, p, adjusted in zip(ordered, p_values, holm(p_values), strict=True)
    ]


def _group(name: str, pairs: Pairs, p_value: float, p_holm: float) -> Group:
    return Group(
        name=name,
        n=len(pairs.before),
        baseline=math.fsum(pairs.before) / len(pairs.before),
        candidate=math.fsum(pairs.after) / len(pairs.after),
        delta=pairs.delta,
        gained=pairs.gained,
        lost=pairs.lost,
        p_value=p_value,
        p_holm=p_holm,
    )
