"""Which answers of two runs differ, as text."""

from __future__ import annotations

from rich.text import Text

from experiments.differences import shown
from experiments.differing import RunDiff
from hallmark.cli.show.tables import plain_table
from hallmark.cli.terminal import out

SHOWN = 50


def show_difference(found: RunDiff) -> None:
    """Print how many answers differ, and for each where, and how sure the model was there."""
    out.print(Text(found.headline, "bold yellow" if found.differing else "bold green"))
    for run_id, engine in zip(found.runs, found.engines, strict=True):
        out.print(f"{run_id}  {engine}", markup=False)
    if not found.differing:
        return
    table = plain_table(["item", "token", "first", "second", "likeliest", "margin"], right=(1, 5))
    for each in found.differing[:SHOWN]:
        tokens = ("", "") if each.tokens is None else each.tokens
        margin = "" if each.margin is None else f"{each.margin:.2g}"
        table.add_row(
            each.trace_id,
            "" if each.token is None else str(each.token),
            *(Text(shown(token)) if token else "" for token in tokens),
            Text(shown(each.likeliest)) if each.likeliest else "",
            margin,
        )
    out.print(table)
    if len(found.differing) > SHOWN:
        out.print(f"and {len(found.differing) - SHOWN} more: --json shows all")
