"""What `hallmark verify` found, as text."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from core.text import counted
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
        console.print(Text(counted(len(found.problems), "problem"), "bold red"))
        console.print("Restore what was changed from a backup: docs/operate.md, Backing up.")
    elif not found.checked.rows:
        console.print(Text("nothing is recorded here yet", "bold"))
    else:
        console.print(Text("everything matches what was recorded", "bold green"))
    for name, line in zip(("checked: ", "         "), _counts(found.checked), strict=False):
        console.print(f"{name}{line}", markup=False)
    for runs, what in (
        (found.elsewhere, "not on this machine: the folders of"),
        (found.without_model, "no model in the folders of"),
    ):
        if runs:
            console.print(f"{what} {_listed(runs)}", markup=False)
    if found.head:
        console.print(f"log: {log_line(found.head)}", markup=False, soft_wrap=True)


def _counts(checked: Checked) -> Iterator[str]:
    """Two lines; one where only rows and logs were checked."""
    rows = f"{counted(checked.rows, 'row')}, {counted(checked.runs, 'finished run')}"
    compared = f"{rows}, {counted(checked.versions, 'version')}, {counted(checked.comparisons, 'decision')}"
    if checked.quick:
        yield f"{compared}; no files (--quick)"
        return
    yield compared
    statements = f"{counted(checked.statements, 'statement')} ({checked.signed:,} signed)"
    models = f"{counted(checked.artifacts, 'model')} ({_size(checked.artifact_bytes)})"
    files = f"{counted(checked.run_files, 'file')} of runs ({_size(checked.run_bytes)})"
    yield f"{statements}, {models}, {files}"


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB"


def _listed(runs: list[str]) -> str:
    shown = ", ".join(runs[:SHOWN_RUNS]) + (", ..." if len(runs) > SHOWN_RUNS else "")
    return f"{counted(len(runs), 'run')} ({shown})"
