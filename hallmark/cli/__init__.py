"""The command line: `hallmark`. Importing it is cheap; each command imports what it needs."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and exit with the documented code (0, 1, 2, 3, 4, 5, 130, 143)."""
    from core.errors import HallmarkError
    from hallmark.cli.app import app
    from hallmark.cli.terminal import report_error

    try:
        app(prog_name="hallmark", standalone_mode=True)
    except HallmarkError as error:
        report_error(str(error), error.exit_code)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        report_error("interrupted. What was finished is kept; the same command continues.", 130)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output went away, as in `hallmark runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("HALLMARK_DEBUG"):
            raise
        report_error(
            f"unexpected {type(error).__name__}: {error}\nThis is a defect of Hallmark. HALLMARK_DEBUG=1 shows where.",
            1,
        )
        sys.exit(1)
