"""Training curves as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.plots import COLOURS, SERIES, label, plot
from core.text import counted
from trainer.curve import StepRecord

SMOOTHED = 20
"""Steps of the running mean that is drawn."""

FEWEST = 5
"""Of few steps the mean is over a part of them, so that a short training is a line too."""


def draw_curves(curves: Mapping[str, Sequence[StepRecord]]) -> bytes:
    """Loss and held-out loss over the steps, of one training run or of several laid over each other, as an
    SVG. The same records give the same bytes.

    Drawn is the running mean of the loss; of a single run also the loss of each step. Held-out losses are
    dotted. Each run's line is a part of the plot, of the kind `run`.

    Args:
        curves: run -> its records.
    """
    with plot("training", height=3.2 + 0.16 * max(0, len(curves) - 1)) as drawn:
        axes = drawn.figure.subplots()
        single = len(curves) == 1
        for place, (run, records) in enumerate(curves.items()):
            colour = COLOURS[SERIES[place % len(SERIES)]]
            steps, losses = [row.step for row in records], [row.loss for row in records]
            width = min(SMOOTHED, max(1, len(losses) // FEWEST))
            if single:
                axes.plot(steps, losses, color=colour, alpha=0.4, linewidth=0.8, label="loss of the step")
            means = [sum(losses[end - width : end]) / width for end in range(width, len(losses) + 1)]
            (line,) = axes.plot(
                steps[width - 1 :],
                means,
                color=colour,
                linewidth=1.6,
                label=f"mean of {width} steps" if single else label(run),
            )
            drawn.part(line, "run", run, _text(run, records, means))
            held_out = [(row.step, row.held_out_loss) for row in records if row.held_out_loss is not None]
            if held_out:
                axes.plot(
                    *zip(*held_out, strict=True),
                    "o:",
                    color=COLOURS["series-2"] if single else colour,
                    markersize=3,
                    label="held-out traces" if single else None,
                )
        axes.set(xlabel="step", ylabel="loss (nats per loss-bearing token)", ylim=(0, None))
        if curves:
            drawn.figure.legend(loc="outside upper right", ncols=3 if single else 2)
        said = " ".join(f"{part.text}." for part in drawn.parts.values())
        return drawn.svg("Training loss by step", said)


def _text(run: str, records: Sequence[StepRecord], means: Sequence[float]) -> str:
    """What a curve says, in a line."""
    if not records:
        return f"{run}: no steps"
    last = means[-1] if means else records[-1].loss
    text = f"{run}: {counted(len(records), 'step')}, loss {records[0].loss:.3f} to {last:.3f}"
    held_out = [row.held_out_loss for row in records if row.held_out_loss is not None]
    if not held_out:
        return text
    return f"{text}, held-out loss {held_out[0]:.3f} to {held_out[-1]:.3f}, lowest {min(held_out):.3f}"
