"""Make the pictures of the documentation from what the program prints: `hallmark experiment --json | python
docs/pictures.py`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from experiments.result import ExperimentResult
from hallmark.cli.show.result import show_result
from hallmark.console import plain_console

IMAGES = Path(__file__).parent / "images"


def main() -> None:
    """Render the result on standard input as a terminal, in docs/images/experiment.svg."""
    result = ExperimentResult.model_validate_json(sys.stdin.read())
    with Path(os.devnull).open("w") as nowhere:
        console = plain_console(record=True, width=102, file=nowhere, force_terminal=True)
        show_result(result, console)
    IMAGES.mkdir(exist_ok=True)
    console.save_svg(str(IMAGES / "experiment.svg"), title="hallmark experiment")


if __name__ == "__main__":
    main()
