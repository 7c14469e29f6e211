"""Printing on a terminal that what is printed has no power over."""

from __future__ import annotations

from typing import Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment

from core.text import visible_lines


def plain_console(**options: Any) -> Console:
    """A console that prints text as it is: no emoji codes, no highlighting, and control characters, as a
    model or a file name may hold them, by their names.

    Args:
        options: further arguments of `rich.console.Console`.
    """
    console = Console(highlight=False, emoji=False, **options)
    console.push_render_hook(_Visible())
    return console


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
            yield Segment(text if control else visible_lines(text), style, control)
