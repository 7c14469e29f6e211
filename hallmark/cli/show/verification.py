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
    rows = f"{checked.rows:,} rows, {checked.runs:,} runs, {checked.versions:,} versions"
    compared = f"{rows}, {checked.comparisons:,} comparisons"
    if checked.quick:
        yield f"{compared}; no files (--quick)"
        return
    yield f"{compared}, {checked.statements:,} statements"
    artifacts = f"{checked.artifacts:,} artifacts ({_size(checked.artifact_bytes)})"
    yield f"{artifacts}, {checked.run_files:,} files of runs ({_size(checked.run_bytes)})"


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB"


def _listed(runs: list[str]) -> str:
    shown = ", ".join(runs[:SHOWN_RUNS]) + (", ..." if len(runs) > SHOWN_RUNS else "")
    return f"{len(runs):,} runs ({shown})"
