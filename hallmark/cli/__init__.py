"""The command line: `hallmark`. Importing it is cheap; each command imports what it needs."""

from __future__ import annotations

from functools import partial

from hallmark.cli.app import app
from hallmark.cli.terminal import errors_as_exit_codes

main = errors_as_exit_codes()(partial(app, prog_name="hallmark"))
