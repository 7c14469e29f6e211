"""The decisions about a model over time, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.config import Record
from core.plots import COLOURS, Plot, label, plot
from evaluation.numbers import percent

HEIGHT = 2.8
"""Inches of the scores; what is left of alpha and what can still be shown take HALF of it each."""

HALF = HEIGHT / 2


class Night(Record):
    """A decision about a candidate, as a chart shows it.

    Attributes:
        number: which it was on this golden dataset, from 1.
        run_id: the candidate.
        score: its mean score.
        interval: 95 % interval of the score; None where there is none.
        promoted: whether it became the champion.
        champion: score of the champion after the decision; None where there was none.
        label: when, or what else names it below the axis, as in "3 Nov".
        alpha_left: what all later comparisons together can still spend; None where it is not known.
        gain_found: the smallest true gain that the next comparison is likely to find, a share of the full
            score; None where none is, or it is not known.
    """

    number: int
    run_id: str
    score: float
    interval: tuple[float, float] | None = None
    promoted: bool = False
    champion: float | None = None
    label: str = ""
    alpha_left: float | None = None
    gain_found: float | None = None

    @property
    def text(self) -> str:
        """It in a line."""
        when = f" ({self.label})" if self.label else ""
        said = [f"candidate {self.run_id} {percent(self.score)}"]
        if self.interval:
            said[0] += f" ({percent(self.interval[0])} to {percent(self.interval[1])})"
        said.append("promoted" if self.promoted else "not promoted")
        if self.champion is not None and not self.promoted:
            said.append(f"champion {percent(self.champion)}")
        if self.alpha_left is not None:
            said.append(f"alpha left {self.alpha_left:.2g}")
        if self.gain_found is not None:
            said.append(f"finds a gain of {100 * self.gain_found:.1f} points")
        return f"Comparison {self.number}{when}: {', '.join(said)}"


def draw_nights(nights: Sequence[Night]) -> bytes:
    """The score of each candidate and the champion's as steps; below them, where they are known, what is left
    of alpha and the smallest gain that can still be found. Equal input, equal bytes.

    Each decision is a part of the plot, of the kind `night`, named by its number.

    Args:
        nights: decisions about one model on one golden dataset, oldest first.
    """
    below = [
        (ylabel, values)
        for ylabel, values in (
            ("alpha left", [night.alpha_left for night in nights]),
            ("gain found\n(points)", [_scaled(night.gain_found) for night in nights]),
        )
        if any(value is not None for value in values)
    ]
    with plot("nights", height=HEIGHT + HALF * len(below)) as drawn:
        heights = {"height_ratios": [2, *([1] * len(below))]}
        panels = drawn.figure.subplots(1 + len(below), sharex=True, squeeze=False, gridspec_kw=heights)[:, 0]
        _scores(panels[0], nights)
        numbers = [night.number for night in nights]
        for axes, (ylabel, values) in zip(panels[1:], below, strict=True):
            shown = [float("nan") if value is None else value for value in values]
            axes.plot(numbers, shown, "o-", color=COLOURS["ink"], markersize=3, linewidth=1, clip_on=False)
            axes.set(ylabel=ylabel, ylim=(0, None))
        for axes in panels:
            axes.grid(axis="y")
        _name(drawn, panels, nights)
        if nights:
            drawn.figure.legend(loc="outside upper right", ncols=3)
        return drawn.svg(
            "Score by decision, and the champion's", " ".join(f"{night.text}." for night in nights)
        )


def _scaled(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _scores(axes: Any, nights: Sequence[Night]) -> None:
    """Candidates as points with their intervals, those that were promoted in a colour of their own, and the
    champion's score as steps.
    """
    held = [(night.number, 100 * night.champion) for night in nights if night.champion is not None]
    if held:
        steps = {"where": "post", "color": COLOURS["baseline"], "linewidth": 1.4}
        # the last one holds until the next comparison
        axes.step(*zip(*held, (nights[-1].number + 0.5, held[-1][1]), strict=True), label="champion", **steps)
    for promoted, role, name in ((False, "candidate", "not promoted"), (True, "good", "promoted")):
        chosen = [night for night in nights if night.promoted is promoted]
        if not chosen:
            continue
        for night in chosen:
            if night.interval:
                ends = [100 * end for end in night.interval]
                axes.plot([night.number] * 2, ends, color=COLOURS[role], linewidth=1.2)
        marker = "D" if promoted else "o"
        places = [night.number for night in chosen], [100 * night.score for night in chosen]
        axes.plot(*places, marker, color=COLOURS[role], markersize=5, label=name)
    axes.set(ylabel="score (%)")


def _name(drawn: Plot, panels: Sequence[Any], nights: Sequence[Night]) -> None:
    """The x axis, and each night as a part of every panel."""
    from matplotlib.ticker import MaxNLocator

    last = panels[-1]
    last.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True, min_n_ticks=1))
    labels = {night.number: label(night.label, 12) for night in nights if night.label}
    if labels:
        last.xaxis.set_major_formatter(lambda value, _: labels.get(round(value), ""))
    last.set_xlabel("decision" if labels else "comparison on this golden dataset")
    if nights:
        last.set_xlim(nights[0].number - 0.5, nights[-1].number + 0.5)
    for place, axes in enumerate(panels):
        kind = "night" if place == 0 else f"night-{place}"
        for night in nights:
            drawn.column(axes, night.number - 0.5, night.number + 0.5, kind, str(night.number), night.text)
