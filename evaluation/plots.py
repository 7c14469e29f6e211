"""Scores with their intervals as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from core.plots import COLOURS, label, plot
from core.text import counted
from evaluation.comparison import Comparison, Group
from evaluation.metrics import Metric, MetricsSnapshot
from evaluation.numbers import NO_SHARES, percent
from evaluation.shown import largest, most_changed
from evaluation.statistics import Interval, wilson_interval

APART = 0.26
"""Between the scores of two runs, of the distance between two rows."""

BESIDE = 30
"""Characters of a category beside its row; its title has it whole."""


class _Score(NamedTuple):
    role: str
    value: float
    interval: Interval | None

    @property
    def text(self) -> str:
        """It with its interval, in words."""
        ends = f" ({percent(self.interval[0])} to {percent(self.interval[1])})" if self.interval else ""
        return f"{self.role} {percent(self.value)}{ends}"


class _Row(NamedTuple):
    name: str
    n: int
    scores: list[_Score]

    @property
    def text(self) -> str:
        """What it says, in a line."""
        return f"{self.name}, {counted(self.n, 'item')}: {', '.join(score.text for score in self.scores)}"


def draw_comparison(comparison: Comparison) -> bytes:
    """Both scores with their 95 % intervals, overall and by category, as an SVG: equal input, equal bytes.

    Categories have Wilson intervals where scores are 0 or 1, else none. Of many, those that changed most are
    drawn. Each row is a part of the plot, of the kind `category`, or `overall`.

    Args:
        comparison: candidate against baseline.
    """
    binary = comparison.test == "mcnemar_exact"
    sides = ("baseline", comparison.baseline), ("candidate", comparison.candidate)
    overall = _Row("overall", comparison.n, [_score(role, metric) for role, metric in sides])
    rows = [overall, *(_group(group, binary) for group in most_changed(comparison.categories))]
    return _draw("comparison", rows, comparison.judge)


def draw_scores(snapshot: MetricsSnapshot, judge: str) -> bytes | None:
    """The same of one run. Of many categories those of most items are drawn.

    Args:
        snapshot: of the run.
        judge: NAME@vN; the metric of its name is drawn.

    Returns:
        None where that metric is no share of one.
    """
    name = next(iter(snapshot.overall))
    if name in NO_SHARES:
        return None
    found = [(category, metrics[name]) for category, metrics in snapshot.categories.items()]
    shown = largest(found, lambda each: (each[1].n, each[1].value))
    rows = [
        _Row(category, metric.n, [_score("candidate", metric)])
        for category, metric in [("overall", snapshot.overall[name]), *shown]
    ]
    return _draw("scores", rows, judge)


def _draw(name: str, rows: Sequence[_Row], judge: str) -> bytes:
    roles = [score.role for score in rows[0].scores]
    with plot(name, height=0.9 + 0.32 * len(rows)) as drawn:
        axes = drawn.figure.subplots()
        for place, row in enumerate(rows):
            for at, score in enumerate(row.scores, start=1):
                y, colour = place + APART * (at - (1 + len(roles)) / 2), COLOURS[score.role]
                if score.interval:
                    axes.plot([100 * end for end in score.interval], [y] * 2, color=colour, linewidth=1.4)
                axes.plot([100 * score.value], [y], "o", color=colour, markersize=5 if place else 7)
            drawn.row(axes, place, "category" if place else "overall", row.name, row.text)
        shown = label(judge.partition("@")[0].replace("_", " "))
        axes.set(xlim=(-1, 101), xlabel=f"{shown} (%), with 95 % intervals")
        axes.set_yticks(range(len(rows)), [f"{label(row.name, BESIDE)} ({row.n:,})" for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(axis="x")
        if len(roles) > 1:
            for role in roles:
                axes.plot([], [], "o-", color=COLOURS[role], label=role)
            drawn.figure.legend(loc="outside upper right", ncols=2)
        said = " ".join(f"{row.text}." for row in rows)
        return drawn.svg("Scores with 95 % intervals, overall and by category", said)


def _score(role: str, metric: Metric) -> _Score:
    return _Score(role, metric.value, (metric.ci_low, metric.ci_high))


def _group(group: Group, binary: bool) -> _Row:
    def score(role: str, value: float) -> _Score:
        return _Score(role, value, wilson_interval(round(value * group.n), group.n) if binary else None)

    scores = [score("baseline", group.baseline), score("candidate", group.candidate)]
    return _Row(group.name, group.n, scores)
