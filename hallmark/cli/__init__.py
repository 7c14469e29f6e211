"""The command line: `hallmark`. Importing it is cheap; each command imports what it needs."""

from __future__ import annotations

import atexit
import gc
from functools import partial

from hallmark.cli.app import app
from hallmark.cli.terminal import errors_as_exit_codes

atexit.register(gc.freeze)  # the process ends: looking for garbage once more would take half a second

main = errors_as_exit_codes()(partial(app, prog_name="hallmark"))
