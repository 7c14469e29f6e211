"""What `hallmark verify` found, as text."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from experiments.result import log_line
from experiments.verifying import Checked, Verification
from hallmark.cli.terminal import out

SHOWN = 100
"""Problems that are printed; JSON has all."""

SHOWN_RUNS = 5


def show_verification(found: Verification, console: Console = out) -> None:
    """Print the problems, how much was checked, what is not here, and the end of the log."""
    for problem in found.problems[:SHOWN]:
        console.print(problem, markup=False, style="red", soft_wrap=True)
    if (more := len(found.problems) - SHOWN) > 0:
        console.print(f"and {more:,} more; --json prints all", style="red")
    if found.problems:
        console.print(Text(f"{len(found.problems):,} problems", "bold red"))
    else:
        console.print(Text("everything matches what was recorded", "bold green"))
    console.print(f"checked: {', '.join(_counts(found.checked))}", markup=False)
    if found.elsewhere:
        console.print(_elsewhere(found.elsewhere), markup=False)
    console.print(f"log: {log_line(found.head)}", markup=False, soft_wrap=True)


def _counts(checked: Checked) -> Iterator[str]:
    yield f"{checked.rows:,} rows"
    yield f"{checked.runs:,} runs"
    yield f"{checked.versions:,} versions"
    yield f"{checked.comparisons:,} comparisons"
    if checked.quick:
        yield "and nothing else (--quick)"
        return
    yield f"{checked.statements:,} statements"
    yield f"{checked.artifacts:,} artifacts ({checked.artifact_bytes / 1e6:,.1f} MB)"
    yield f"{checked.run_files:,} files of runs ({checked.run_bytes / 1e6:,.1f} MB)"


def _elsewhere(runs: list[str]) -> str:
    shown = ", ".join(runs[:SHOWN_RUNS]) + (", ..." if len(runs) > SHOWN_RUNS else "")
    return f"not on this machine: the folders of {len(runs):,} runs ({shown})"
