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
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

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

WIDTH = 6.4
"""Inches, at 72 units of the SVG each."""

LABEL = 40
"""Characters of a name beside an axis."""

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_NO_XML = re.compile("[\ufffe\uffff]")
_REFERENCE = re.compile(r"#([\w-]+)")
_UNSAFE = re.compile(r"[^A-Za-z0-9-]")


class Part(NamedTuple):
    """What a named part of a plot stands for.

    Attributes:
        kind: such as `category`; a class of the element.
        name: which one; its attribute `data-name`.
        text: what a reader sees on pointing at it, and hears: its numbers.
    """

    kind: str
    name: str
    text: str


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
        root = ET.fromstring(drawn.getvalue())  # noqa: S314 - matplotlib wrote it a moment ago
        _tidy(root, self.name, self.parts)
        about = ET.Element(f"{{{_SVG}}}title"), ET.Element(f"{{{_SVG}}}desc")
        about[0].text, about[1].text = label(title, 10 * LABEL), label(description, 50 * LABEL)
        for place, element in enumerate(about):
            root.insert(place, element)
        root.set("aria-label", str(about[0].text))
        ET.register_namespace("", _SVG)
        ET.register_namespace("xlink", _XLINK)
        return ET.tostring(root, encoding="unicode").encode() + b"\n"


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


def _tidy(root: ET.Element, name: str, parts: dict[str, Part]) -> None:
    """Make matplotlib's SVG fit for a page: styles as attributes, roles as classes, ids only where needed."""
    for element in list(root):
        if element.tag.endswith("metadata") or element.find(f"{{{_SVG}}}style") is not None:
            root.remove(element)
    used = {
        found
        for element in root.iter()
        for value in (element.get(f"{{{_XLINK}}}href"), element.get("clip-path"))
        for found in _REFERENCE.findall(value or "")
    }
    for element in root.iter():
        _style(element)
    for element in root.iter():  # looks at the attributes of what is inside
        _name(element, name, parts, used)
    root.attrib |= {"class": "drawn", "role": "img", "font-family": "system-ui, sans-serif"}
    root.attrib |= {"stroke-linejoin": "round", "stroke-linecap": "butt"}


def _style(element: ET.Element) -> None:
    """A style as attributes, which no policy of a page forbids, and the roles of its colours as classes."""
    for declaration in filter(None, element.attrib.pop("style", "").split(";")):
        key, _, value = declaration.partition(":")
        if key.strip() != "font-family":  # the root's holds
            element.set(key.strip(), value.strip())
    if "d" in element.attrib:
        element.set("d", " ".join(element.attrib["d"].split()))
    roles = {colour: role for role, colour in COLOURS.items()}
    found = [
        f"{what}-{roles[colour]}"
        for what in ("stroke", "fill")
        if (colour := element.get(what, "").lower()) in roles
    ]
    if found:
        element.set("class", " ".join(found))


def _name(element: ET.Element, name: str, parts: dict[str, Part], used: set[str]) -> None:
    """Ids of a plot's parts and of what it refers to, unique in a page; no others."""
    identity = element.attrib.pop("id", None)
    if identity in parts:
        part = parts[identity]
        element.set("id", identity)
        element.attrib |= {"class": f"part {part.kind}", "data-name": part.name}
        title = ET.Element(f"{{{_SVG}}}title")
        title.text = part.text
        element.insert(0, title)
        for path in element:
            if path.get("fill") == "none" and "stroke" not in path.attrib:
                path.set("pointer-events", "all")
    elif identity in used:
        element.set("id", f"{name}-{identity}")
    for key in (f"{{{_XLINK}}}href", "clip-path"):
        if key in element.attrib:
            element.set(key, _REFERENCE.sub(rf"#{name}-\1", element.attrib[key]))
