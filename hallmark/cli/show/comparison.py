"""Two runs side by side, and the answers that changed."""

from __future__ import annotations

from rich.text import Text

from core.text import cut
from evaluation.comparison import Comparison
from experiments.comparing import flips
from experiments.workspace import open_workspace
from hallmark.cli.show.tables import comparison_table, more_categories, rungs_table
from hallmark.cli.terminal import out

SHOWN_TEXT = 400
"""Characters of a text that are printed."""


def show_comparison(comparison: Comparison, every_category: bool = False) -> None:
    """Print what was compared, how, and the table."""
    out.print(
        Text(f"{comparison.candidate_run} against {comparison.baseline_run} on {comparison.dataset}", "bold")
    )
    out.print(
        f"judged by {comparison.judge}; p values: {comparison.test_name}; interval: paired bootstrap",
        markup=False,
    )
    out.print()
    out.print(comparison_table(comparison, "first", "second", every_category))
    if not every_category and (more := more_categories(comparison, "All: --all-categories, or --json")):
        out.print(more)
    if comparison.form is not None:
        out.print()
        out.print(rungs_table(comparison.form, "first", "second"))
    for note in comparison.notes:
        out.print()
        out.print(note, markup=False)


def show_flips(comparison: Comparison, count: int) -> None:
    """Print some items that got better and some that got worse, with both texts.

    Args:
        comparison: of two recorded runs.
        count: how many of each, at most.
    """
    shown = flips(comparison, count, open_workspace().registry)
    for title, ids, changed in (
        ("got better", comparison.gained, shown[0]),
        ("got worse", comparison.lost, shown[1]),
    ):
        out.print()
        out.print(Text(f"{len(ids)} {title}", "bold"))
        for flip in changed:
            out.print(
                Text(f"  {cut(flip.prompt, SHOWN_TEXT)}", "cyan"),
                Text(f"  right: {cut(flip.answer, SHOWN_TEXT)}  ({flip.trace_id})", "dim"),
                soft_wrap=True,
            )
            for label, text in (("first ", flip.before), ("second", flip.after)):
                line = cut(" | ".join(text.split("\n")), SHOWN_TEXT)
                out.print(f"    {label} {line}", markup=False, soft_wrap=True)
