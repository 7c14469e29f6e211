"""Two runs side by side."""

from __future__ import annotations

from rich.text import Text

from core.text import counted
from evaluation.comparison import Comparison
from hallmark.cli.show.tables import comparison_table, more_categories, rungs_table
from hallmark.cli.terminal import out
from hallmark.console import PlainConsole


def show_comparison(comparison: Comparison, every: bool = False, console: PlainConsole = out) -> None:
    """Print what was compared, how, the table, and how many items got better and worse."""
    runs = f"{comparison.candidate_run} against {comparison.baseline_run} on {comparison.dataset}"
    console.print(Text(runs, "bold"), soft_wrap=True)
    console.print(
        f"judged by {comparison.judge}; p values: {comparison.test_name}; interval: paired bootstrap",
        markup=False,
        soft_wrap=True,
    )
    console.print()
    console.print(comparison_table(comparison, "baseline", "candidate", every))
    if not every and (more := more_categories(comparison, "All: --all-categories, or --json")):
        console.print(more)
    console.print()
    console.print(f"{counted(len(comparison.gained), 'item')} got better, {len(comparison.lost):,} got worse")
    if comparison.form is not None:
        console.print()
        console.print(rungs_table(comparison.form, "baseline", "candidate"))
    for note in comparison.notes:
        console.print()
        console.print(note, markup=False, soft_wrap=True)
