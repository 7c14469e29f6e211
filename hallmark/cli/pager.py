"""Long texts in a pager, as git shows them."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from hallmark.cli.terminal import out
from hallmark.console import PlainConsole, plain_console

DEFAULT = "less"
OF_LESS = "FRX"
"""Options of less where its user chose none: quit where one screen is enough, pass colours on, and leave the
text on the screen.
"""


@contextmanager
def paged(wanted: bool = True) -> Iterator[PlainConsole]:
    """A console that prints into a pager, or on standard output where that is no terminal or there is no
    pager. Leaving the pager early ends the block.

    Args:
        wanted: False to print on standard output.
    """
    command = pager_command(os.environ) if wanted and out.is_terminal and sys.stdin.isatty() else None
    if command is None:
        yield out
        return
    environment = {"LESS": OF_LESS, "LV": "-c", **os.environ}
    pager = subprocess.Popen(  # noqa: S603 - the user's own choice
        command, stdin=subprocess.PIPE, env=environment, text=True, encoding="utf-8", errors="replace"
    )
    page = plain_console(
        file=pager.stdin, force_terminal=True, width=out.width, color_system=out.color_system
    )
    try:
        with suppress(BrokenPipeError, KeyboardInterrupt):  # it was left before its end
            yield page
    finally:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the pager's now
        with suppress(BrokenPipeError):
            pager.communicate()
        signal.signal(signal.SIGINT, before)


def pager_command(environment: Mapping[str, str]) -> list[str] | None:
    """The pager as HALLMARK_PAGER names it, else PAGER, else less; None where it is empty, `cat`, or missing.

    Example:
        >>> pager_command({"PAGER": "cat"}) is None
        True
    """
    chosen = environment.get("HALLMARK_PAGER", environment.get("PAGER", DEFAULT))
    with suppress(ValueError):
        words = shlex.split(chosen)
        if words and words != ["cat"] and shutil.which(words[0]):
            return words
    return None
