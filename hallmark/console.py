"""Printing on a terminal that what is printed has no power over."""

from __future__ import annotations

import os
import re
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment
from rich.text import Text

from core.text import visible_lines, without_commands


def plain_console(**options: Any) -> PlainConsole:
    """A console that prints text as it is: no emoji codes, no highlighting, and control characters, as a
    model or a file name may hold them, by their names. In CI no line of it is a command to the runner.

    With `soft_wrap`, sentences are wrapped between words on a terminal, and a word that is wider than it,
    such as a path, stays whole; in a file they stay lines, so that `grep` finds them. `print_line` never
    wraps: what is meant to be copied stays one line.

    Args:
        options: further arguments of `rich.console.Console`.
    """
    console = PlainConsole(highlight=False, emoji=False, **options)
    console.push_render_hook(_Visible())
    return console


class PlainConsole(Console):
    """See `plain_console`."""

    def print(self, *objects: Any, soft_wrap: bool | None = None, hanging: int = 0, **options: Any) -> None:
        """As `rich.console.Console.print`, but for soft wrapping on a terminal.

        Args:
            objects: what is printed.
            soft_wrap: see `plain_console`.
            hanging: by how many columns the lines after the first are indented; by default as the first.
            options: further arguments of `rich.console.Console.print`.
        """
        if soft_wrap and self.is_terminal:
            objects = tuple(self._wrapped(each, hanging, options) for each in objects)
        super().print(*objects, soft_wrap=soft_wrap, **options)

    def on_broken_pipe(self) -> None:
        """Let whoever prints know that nobody reads any more; Rich would exit."""
        raise

    def print_line(self, text: str | Text, style: str | None = None) -> None:
        """Print a line that is meant to be copied, such as a command."""
        super().print(text, style=style, markup=False, soft_wrap=True)

    def _wrapped(self, printed: Any, hanging: int, options: dict[str, Any]) -> Any:
        if isinstance(printed, str):
            printed = self.render_str(printed, markup=options.get("markup", True), highlight=False)
        if not isinstance(printed, Text):
            return printed
        lines = (between_words(line, self.width, hanging) for line in printed.split(allow_blank=True))
        return Text("\n").join(lines)


def between_words(line: Text, width: int, hanging: int = 0) -> Text:
    """A line as several, none of them wider than this unless one of its words is."""
    breaks, used = [], 0
    hanging = hanging or len(line.plain) - len(line.plain.lstrip())
    for word in re.finditer(r"\s*\S+", line.plain):
        wide, begins = cell_len(word[0]), word.end() - len(word[0].lstrip())
        if used and used + wide > width:
            breaks.append(begins)
            used, wide = hanging, cell_len(word[0].lstrip())
        used += wide
    pieces = line.divide(breaks)
    for piece in pieces[:-1]:
        piece.rstrip()
    return Text("\n" + " " * hanging).join(pieces)


class _Visible(RenderHook):
    """Puts names in place of control characters, in whatever is printed."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Shown(renderable) for renderable in renderables]


class _Shown:
    """What is printed, in visible characters."""

    def __init__(self, renderable: ConsoleRenderable) -> None:
        self.renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for text, style, control in console.render(self.renderable, options):
            yield Segment(text if control else _shown(text), style, control)


def _shown(text: str) -> str:
    shown = visible_lines(text)
    return without_commands(shown) if os.environ.get("CI") or os.environ.get("TF_BUILD") else shown
