"""Talking to the person, or to the program, that typed the command."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from core.errors import HallmarkError, InterruptedWork
from core.settings import get_settings
from core.text import quiet_json
from hallmark.cli.completing import aliases, completes, model_names, run_ids
from hallmark.console import plain_console
from hallmark.progress import err

out = plain_console()

Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print one JSON document instead of text; nothing else goes to standard output."
    ),
]

RunId = Annotated[
    str,
    typer.Argument(help="Run id, or a unique beginning or end of one.", autocompletion=completes(run_ids)),
]
Model = Annotated[str, typer.Argument(help="Registered model.", autocompletion=completes(model_names))]
Alias = Annotated[str, typer.Option(help="Which alias moves.", autocompletion=completes(aliases))]
PublicKeys = Annotated[
    list[Path] | None,
    typer.Option(
        "--public-key",
        metavar="PEM",
        help="What is signed must be signed by this key. Repeatable: by one of them.",
    ),
]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")]
Reason = Annotated[str, typer.Option(help="Why; recorded in the history.")]


def emit(value: Any) -> None:
    """Print a JSON document, piece by piece, since it may be large. Characters that would do something to a
    terminal are escaped.
    """
    encoder = json.JSONEncoder(indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False, default=str)
    for piece in encoder.iterencode(value):
        sys.stdout.write(quiet_json(piece))
    sys.stdout.write("\n")


def report_error(message: str, exit_code: int) -> None:
    """Say what went wrong, on standard error; as JSON when the command was asked for JSON."""
    if "--json" in sys.argv:
        sys.stderr.write(json.dumps({"error": message, "exit_code": exit_code}, ensure_ascii=False) + "\n")
    else:
        err.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)


@contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """End with the documented code (0, 1, 2, 3, 4, 5, 130, 143) and a sentence, never with a traceback."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # what cannot be written is said here, not when Python ends
    except (HallmarkError, InterruptedWork) as error:
        report_error(str(error), error.exit_code)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        report_error("interrupted. What was finished is kept; the same command continues.", 130)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output went away, as in `hallmark runs | head`
        _drop_output()
        sys.exit(1)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            _drop_output()
            what = error.filename or "standard output"
            report_error(f"{what}: the disk is full. Free some space and run the same command again.", 4)
            sys.exit(4)
        if os.environ.get("HALLMARK_DEBUG"):
            raise
        remedy = "This is a defect of Hallmark. HALLMARK_DEBUG=1 shows where."
        report_error(f"unexpected {type(error).__name__}: {error}\n{remedy}", 1)
        sys.exit(1)


def _drop_output() -> None:
    """Let what is still to be written go nowhere, or Python would try again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def home() -> Path:
    """HALLMARK_HOME, absolute."""
    return get_settings().home.absolute()


def relative(path: Path) -> str:
    """A path from the working directory where it is below it, else absolute."""
    shown = os.path.relpath(path)
    return str(path) if shown.startswith("..") else shown
