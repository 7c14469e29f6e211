"""The command line: `hallmark`. Importing it is cheap; each command imports what it needs."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

COMPLETING = "_HALLMARK_COMPLETE"
"""Set by a shell that asks how a command goes on; Typer's name for it."""
PREDICTING = ("evaluate", "baseline", "experiment")
"""Commands that predict, unless what they want is recorded."""

atexit.register(gc.freeze)  # the process ends: looking for garbage once more would take half a second


def main() -> None:
    """Run the command that was typed, or complete it."""
    with _inference_begun(sys.argv[1:], os.environ):
        from hallmark.cli.app import app
        from hallmark.cli.terminal import errors_as_exit_codes

        run = errors_as_exit_codes()(partial(app, prog_name="hallmark"))
        if os.environ.get(COMPLETING) == "complete_bash":
            from hallmark.cli.completing import complete_for_bash

            complete_for_bash(run)
        else:
            run()


@contextmanager
def _inference_begun(arguments: Sequence[str], environment: Mapping[str, str]) -> Iterator[None]:
    """Begin the process that predicts, with the default settings, before the commands are put together, which
    takes a third of a second. A command that wants another one ends it: `core.child_process.started_early`.
    """
    asked = {"-h", "--help"} & set(arguments) or COMPLETING in environment
    if asked or not set(arguments[:1]) & set(PREDICTING):
        yield
        return
    from experiments.engines import inference_begun
    from inference.contract import GenerationConfig

    with inference_begun(GenerationConfig()):
        yield
