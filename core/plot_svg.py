"""matplotlib's SVG made fit for a page: see `core.plots`."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import NamedTuple

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_REFERENCE = re.compile(r"#([\w-]+)")


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


def for_a_page(
    svg: bytes,
    name: str,
    parts: Mapping[str, Part],
    colours: Mapping[str, str],
    title: str,
    description: str,
) -> bytes:
    """A plot with its styles as attributes, roles as classes, and ids only where they are needed.

    Args:
        svg: as matplotlib wrote it.
        name: of the plot, which its ids begin with.
        parts: id -> what it stands for.
        colours: role -> colour.
        title: what it shows.
        description: what it says.
    """
    root = ET.fromstring(svg)  # noqa: S314 - matplotlib wrote it a moment ago
    for element in list(root):
        if element.tag.endswith("metadata") or element.find(f"{{{_SVG}}}style") is not None:
            root.remove(element)
    used = {
        found
        for element in root.iter()
        for value in (element.get(f"{{{_XLINK}}}href"), element.get("clip-path"))
        for found in _REFERENCE.findall(value or "")
    }
    roles = {colour: role for role, colour in colours.items()}
    for element in root.iter():
        _style(element, roles)
    for element in root.iter():  # looks at the attributes of what is inside
        _name(element, name, parts, used)
    root.attrib |= {"class": "drawn", "role": "img", "font-family": "system-ui, sans-serif"}
    root.attrib |= {"stroke-linejoin": "round", "stroke-linecap": "butt", "aria-label": title}
    for place, (tag, text) in enumerate((("title", title), ("desc", description))):
        element = ET.Element(f"{{{_SVG}}}{tag}")
        element.text = text
        root.insert(place, element)
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", _XLINK)
    return ET.tostring(root, encoding="unicode").encode() + b"\n"


def _style(element: ET.Element, roles: Mapping[str, str]) -> None:
    """A style as attributes, which no policy of a page forbids, and the roles of its colours as classes."""
    for declaration in filter(None, element.attrib.pop("style", "").split(";")):
        key, _, value = declaration.partition(":")
        if key.strip() != "font-family":  # the root's holds
            element.set(key.strip(), value.strip())
    if "d" in element.attrib:
        element.set("d", " ".join(element.attrib["d"].split()))
    found = [
        f"{what}-{roles[colour]}"
        for what in ("stroke", "fill")
        if (colour := element.get(what, "").lower()) in roles
    ]
    if found:
        element.set("class", " ".join(found))


def _name(element: ET.Element, name: str, parts: Mapping[str, Part], used: set[str]) -> None:
    """Ids of a plot's parts and of what it refers to, unique in a page; no others."""
    identity = element.attrib.pop("id", "")
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
