"""Draw the imports between the rooms of the house, in docs/images/imports.svg: `make architecture`."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

import grimp

PROJECT = Path(__file__).parents[1]
DRAWING = Path(__file__).parent / "images" / "imports.svg"

ROOM_HEIGHT, NAME_WIDTH, COLUMN = 30, 112, 18
# gaps: between rooms of one floor, between floors, between the arrows of two rooms
BESIDE, BELOW, BETWEEN_GROUPS = 8, 20, 10
MARGIN = 12
COLOURS = ("#4e79a7", "#b5651d", "#2e8b57", "#8a5fa8", "#b8860b", "#1f8a9e")
CLIMBS = "#d00000"
STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #222 }
.count { font-size: 10px; text-anchor: middle }
.room { fill: #f3f1ea; stroke: #8c8778 }
.arrow { stroke-width: 1.4 }"""


def floors() -> list[list[str]]:
    """The rooms from the top floor down, as the rule of import-linter in pyproject.toml has them."""
    rules = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layers] = (rule["layers"] for rule in rules if rule["type"] == "layers")
    return [[room.strip() for room in layer.split("|")] for layer in layers]


def imports(rooms: list[str]) -> Counter[tuple[str, str]]:
    """How many pairs of files there are in which a file of the first room imports one of the second."""
    graph = grimp.build_graph(*rooms, cache_dir=None)
    pairs = (
        (file, other) for file in graph.modules for other in graph.find_modules_directly_imported_by(file)
    )
    arrows = Counter((file.split(".")[0], other.split(".")[0]) for file, other in pairs)
    return Counter({(room, other): count for (room, other), count in arrows.items() if room != other})


def draw(house: list[list[str]], arrows: Counter[tuple[str, str]]) -> str:
    """The house as SVG: a bar for each room, an arrow from each room down to each room that it imports.

    An arrow that climbs, or stays on its floor, is drawn in red.
    """
    top, floor_of, y = {}, {}, MARGIN
    for number, floor in enumerate(house):
        for room in floor:
            top[room], floor_of[room] = y, number
            y += ROOM_HEIGHT + BESIDE
        y += BELOW - BESIDE
    height = y - BELOW + MARGIN

    lines, x = [], MARGIN + NAME_WIDTH
    for number, room in enumerate(top):
        targets = sorted((other for other in top if (room, other) in arrows), key=lambda other: -top[other])
        for other in targets:
            falls = floor_of[other] > floor_of[room]
            colour = COLOURS[number % len(COLOURS)] if falls else CLIMBS
            start, end = (
                (top[room] + ROOM_HEIGHT, top[other])
                if top[other] > top[room]
                else (top[room], top[other] + ROOM_HEIGHT)
            )
            tip = end - 6 if end > start else end + 6
            middle = f"{top[room] + ROOM_HEIGHT / 2 + 4:g}"
            lines += [
                f'<path class="arrow" stroke="{colour}" d="M{x} {start}V{tip}"/>',
                f'<path fill="{colour}" d="M{x - 4} {tip}H{x + 4}L{x} {end}Z"/>',
                f'<text class="count" x="{x}" y="{middle}">{arrows[room, other]}</text>',
            ]
            x += COLUMN
        x += BETWEEN_GROUPS if targets else 0
    width = x - BETWEEN_GROUPS + MARGIN

    inner, size = width - 2 * MARGIN, f'width="{width}" height="{height}"'
    rooms = [
        f'<rect class="room" x="{MARGIN}" y="{y}" width="{inner}" height="{ROOM_HEIGHT}" rx="4"/>\n'
        f'<text x="{MARGIN + 10}" y="{y + ROOM_HEIGHT / 2 + 5:g}">{room}</text>'
        for room, y in top.items()
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {size}>',
            "<title>Which room imports which: every arrow leads down</title>",
            f"<style>\n{STYLE}\n</style>",
            f'<rect {size} fill="#fff"/>',
            *rooms,
            *lines,
            "</svg>\n",
        ]
    )


def drawing() -> str:
    """The drawing of the files as they are now."""
    house = floors()
    return draw(house, imports([room for floor in house for room in floor]))


if __name__ == "__main__":
    DRAWING.write_text(drawing())
