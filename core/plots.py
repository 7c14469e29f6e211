"""Plots as SVG, in one style: equal input gives equal bytes, text stays text, and each part that means
something has a name, so that a page can restyle it and react to it.

A plot is whole on its own, as an image. Inside a page it needs nothing that a Content-Security-Policy
forbids: no script, no style element and no style attribute. Its colours are attributes, which any rule of a
page's CSS overrides, and every coloured element has the class of its role, as in `stroke-baseline
fill-baseline`.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from core.plot_svg import Part, for_a_page
from core.text import visible

COLOURS = {
    "paper": "#ffffff",
    "ink": "#262626",
    "grid": "#e8e8e8",
    "baseline": "#858585",
    "candidate": "#2171b5",
    "good": "#1a7f37",
    "bad": "#cf222e",
    "series-1": "#2171b4",
    "series-2": "#d95f02",
    "series-3": "#1b8a6b",
    "series-4": "#7a4fb5",
    "series-5": "#c0307f",
    "series-6": "#7f6000",
}
"""Role -> colour on white paper, each but the grid's with a contrast of at least 3 to 1. No two are equal, so
that a colour says its role; reports/assets/plots.css has what they are on dark paper.
"""

SERIES = [role for role in COLOURS if role.startswith("series-")]
"""Roles of lines that stand for one thing each. Where there are more, the colours come again."""

WIDTH = 5.4
"""Inches, at 72 units of the SVG each: what a phone shows without making letters smaller."""

LABEL = 40
"""Characters of a name beside an axis."""

_NO_XML = re.compile("[\ufffe\uffff]")
_UNSAFE = re.compile(r"[^A-Za-z0-9-]")


def part_id(plot: str, kind: str, name: str) -> str:
    """The id of a named part: the same for the same name always, and never the same for two names.

    Example:
        >>> part_id("comparison", "category", "two words")
        'comparison-category-two_20_words'
    """
    return f"{plot}-{kind}-{_UNSAFE.sub(lambda found: f'_{ord(found[0]):x}_', name)}"


def label(text: str, most: int = LABEL) -> str:
    r"""Somebody else's text, as a plot can hold it: one line, cut, and every character seen.

    Example:
        >>> label("billing\nand\x00refunds"), label("billing and refunds", 12)
        ('billing and⟨U+0000⟩refunds', 'billing and…')
    """
    shown = _NO_XML.sub("\ufffd", visible(text))
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


class Plot:
    """A plot that is being drawn.

    Args:
        name: of the plot, which its ids begin with.
        figure: matplotlib's.
    """

    def __init__(self, name: str, figure: Any) -> None:
        self.name = name
        self.figure = figure
        self.parts: dict[str, Part] = {}

    def part(self, artist: Any, kind: str, name: str, text: str) -> None:
        """Name what matplotlib drew.

        Args:
            artist: such as a line.
            kind: of thing that it stands for.
            name: which one.
            text: its numbers in words.
        """
        identity = part_id(self.name, kind, name)
        artist.set_gid(identity)
        self.parts[identity] = Part(kind, label(name, 10 * LABEL), label(text, 10 * LABEL))

    def row(self, axes: Any, place: float, kind: str, name: str, text: str) -> None:
        """Name all that is drawn at a place of the y axis, its label included: a see-through area above."""
        area = axes.axhspan(place - 0.5, place + 0.5, xmin=-2, facecolor="none", zorder=9, clip_on=False)
        area.set_in_layout(False)
        self.part(area, kind, name, text)

    def column(self, axes: Any, low: float, high: float, kind: str, name: str, text: str) -> None:
        """Name all that is drawn between two places of the x axis, likewise."""
        area = axes.axvspan(low, high, facecolor="none", zorder=9)
        area.set_in_layout(False)
        self.part(area, kind, name, text)

    def svg(self, title: str, description: str) -> bytes:
        """The finished plot.

        Args:
            title: what it shows, in a few words.
            description: what it says, with the numbers that matter, for those who do not see it.
        """
        drawn = io.BytesIO()
        with warnings.catch_warnings():
            # the font that measures has no Chinese; the reader's has
            warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
            self.figure.savefig(drawn, format="svg", metadata={"Date": None})
        shown = label(title, 10 * LABEL), label(description, 50 * LABEL)
        return for_a_page(drawn.getvalue(), self.name, self.parts, COLOURS, *shown)


@contextmanager
def plot(name: str, height: float, width: float = WIDTH) -> Iterator[Plot]:
    """Draw a plot in the style of all; what is drawn and written must be inside the `with`.

    Args:
        name: of the plot, unique in a page.
        height: inches.
        width: inches.

    Example:
        >>> with plot("scores", height=2) as drawn:
        ...     axes = drawn.figure.subplots()
        ...     (line,) = axes.plot([1, 2], [0.4, 0.5], color=COLOURS["baseline"])
        ...     drawn.part(line, "run", "r1", "40 % to 50 %")
        ...     picture = drawn.svg("Scores", "They rose from 40 % to 50 %.")
        >>> picture[:4], b'id="scores-run-r1" class="part run"' in picture
        (b'<svg', True)
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    ink = COLOURS["ink"]
    style: Any = {
        "svg.hashsalt": "hallmark",
        "svg.fonttype": "none",
        "text.parse_math": False,
        "font.size": 9,
        "text.color": ink,
        "axes.edgecolor": ink,
        "axes.labelcolor": ink,
        "xtick.color": ink,
        "ytick.color": ink,
        "grid.color": COLOURS["grid"],
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
    }
    with mpl.rc_context(style):
        yield Plot(name, Figure(figsize=(width, height), layout="constrained"))
