"""A comparison as a picture."""

from __future__ import annotations

from typing import Any, NamedTuple

from evaluation.comparison import Comparison
from evaluation.shown import most_changed
from evaluation.statistics import Interval, wilson_interval

GREY, BLUE = "#8c8c8c", "#2171b5"


class _Row(NamedTuple):
    name: str
    n: int
    before: float
    after: float
    before_interval: Interval | None
    after_interval: Interval | None


def draw_comparison(comparison: Comparison) -> bytes:
    """Both scores with their 95 % intervals, overall and by category, as an SVG: equal input, equal bytes.

    Categories have Wilson intervals where scores are 0 or 1, else none. Of many, those that changed most are
    drawn.

    Args:
        comparison: candidate against baseline.
    """
    import io

    import matplotlib as mpl
    from matplotlib.figure import Figure

    rows = _rows(comparison)
    style: Any = {
        "svg.hashsalt": "hallmark",
        "svg.fonttype": "none",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(7, 0.9 + 0.32 * len(rows)), layout="constrained")
        axes: Any = figure.subplots()
        for place, row in enumerate(rows):
            for value, interval, colour, shift in (
                (row.before, row.before_interval, GREY, -0.13),
                (row.after, row.after_interval, BLUE, 0.13),
            ):
                if interval:
                    axes.plot(
                        [100 * end for end in interval], [place + shift] * 2, color=colour, linewidth=1.4
                    )
                axes.plot([100 * value], [place + shift], "o", color=colour, markersize=5 if place else 7)
        axes.plot([], [], "o-", color=GREY, label="baseline")
        axes.plot([], [], "o-", color=BLUE, label="candidate")
        axes.set(
            xlim=(-1, 101),
            xlabel=f"{comparison.judge.partition('@')[0].replace('_', ' ')} (%), with 95 % intervals",
        )
        axes.set_yticks(range(len(rows)), [f"{row.name} ({row.n})" for row in rows])
        axes.invert_yaxis()
        axes.grid(axis="x", color="#eeeeee")
        axes.set_axisbelow(True)
        figure.legend(loc="outside upper right", ncols=2, frameon=False)
        picture = io.BytesIO()
        figure.savefig(picture, format="svg", metadata={"Date": None})
    return picture.getvalue()


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
