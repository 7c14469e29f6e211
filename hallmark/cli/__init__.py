"""The command line: `hallmark`. Importing it is cheap; each command imports what it needs."""

from __future__ import annotations

import atexit
import gc
import os
from functools import partial

from hallmark.cli.app import app
from hallmark.cli.completing import VARIABLE, complete_for_bash
from hallmark.cli.terminal import errors_as_exit_codes

atexit.register(gc.freeze)  # the process ends: looking for garbage once more would take half a second

_run = errors_as_exit_codes()(partial(app, prog_name="hallmark"))


def main() -> None:
    """Run the command that was typed, or complete it."""
    if os.environ.get(VARIABLE) == "complete_bash":
        complete_for_bash(_run)
    else:
        _run()
