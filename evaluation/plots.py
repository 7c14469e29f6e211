"""A comparison as a picture."""

from __future__ import annotations

from typing import NamedTuple

from core.plots import COLOURS, label, plot
from evaluation.comparison import Comparison
from evaluation.numbers import percent
from evaluation.shown import most_changed
from evaluation.statistics import Interval, wilson_interval


class _Row(NamedTuple):
    name: str
    n: int
    before: float
    after: float
    before_interval: Interval | None
    after_interval: Interval | None

    @property
    def text(self) -> str:
        """What it says, in a line."""
        sides = (
            ("baseline", self.before, self.before_interval),
            ("candidate", self.after, self.after_interval),
        )
        scores = [
            f"{role} {percent(value)}" + (f" ({percent(found[0])} to {percent(found[1])})" if found else "")
            for role, value, found in sides
        ]
        return f"{self.name}, {self.n:,} items: {', '.join(scores)}"


def draw_comparison(comparison: Comparison) -> bytes:
    """Both scores with their 95 % intervals, overall and by category, as an SVG: equal input, equal bytes.

    Categories have Wilson intervals where scores are 0 or 1, else none. Of many, those that changed most are
    drawn. Each row is a part of the plot, of the kind `category`, or `overall`.

    Args:
        comparison: candidate against baseline.
    """
    rows = _rows(comparison)
    with plot("comparison", height=0.9 + 0.32 * len(rows)) as drawn:
        axes = drawn.figure.subplots()
        for place, row in enumerate(rows):
            for value, interval, role, shift in (
                (row.before, row.before_interval, "baseline", -0.13),
                (row.after, row.after_interval, "candidate", 0.13),
            ):
                colour, at = COLOURS[role], place + shift
                if interval:
                    axes.plot([100 * end for end in interval], [at] * 2, color=colour, linewidth=1.4)
                axes.plot([100 * value], [at], "o", color=colour, markersize=5 if place else 7)
            drawn.row(axes, place, "category" if place else "overall", row.name, row.text)
        for role in ("baseline", "candidate"):
            axes.plot([], [], "o-", color=COLOURS[role], label=role)
        judge = label(comparison.judge.partition("@")[0].replace("_", " "))
        axes.set(xlim=(-1, 101), xlabel=f"{judge} (%), with 95 % intervals")
        axes.set_yticks(range(len(rows)), [f"{label(row.name)} ({row.n:,})" for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(axis="x")
        drawn.figure.legend(loc="outside upper right", ncols=2)
        said = " ".join(f"{row.text}." for row in rows)
        return drawn.svg("Scores with 95 % intervals, overall and by category", said)


def _rows(comparison: Comparison) -> list[_Row]:
    first, second = comparison.baseline, comparison.candidate
    overall = _Row(
        "overall",
        comparison.n,
        first.value,
        second.value,
        (first.ci_low, first.ci_high),
        (second.ci_low, second.ci_high),
    )
    binary = comparison.test == "mcnemar_exact"

    def interval(value: float, n: int) -> Interval | None:
        return wilson_interval(round(value * n), n) if binary else None

    groups = [
        _Row(g.name, g.n, g.baseline, g.candidate, interval(g.baseline, g.n), interval(g.candidate, g.n))
        for g in most_changed(comparison.categories)
    ]
    return [overall, *groups]
