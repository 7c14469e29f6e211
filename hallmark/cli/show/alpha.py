"""The ledger of alpha, as text."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.numbers import p_text
from experiments.alpha import AlphaReport
from hallmark.cli.show.tables import plain_table
from hallmark.cli.terminal import out

SHOWN = 50


def show_alpha(model: str, reports: Sequence[AlphaReport]) -> None:
    """Print each golden dataset's comparisons, and what is left there."""
    if not reports:
        out.print(f"{model}: nothing was decided by the gate yet", markup=False)
    for report in reports:
        out.print(f"{model} on {report.dataset}", style="bold", markup=False)
        table = plain_table(["", "candidate", "against", "p", "level", ""], right=(0, 3, 4), whole=(1, 2))
        if (earlier := len(report.spent) - SHOWN) > 0:
            out.print(f"the newest {SHOWN} comparisons; --json has {earlier:,} more")
        for row in report.spent[-SHOWN:]:
            found = "significant" if row.significant else ""
            table.add_row(
                str(row.number), row.candidate, row.opponent, p_text(row.p_value), p_text(row.level), found
            )
        out.print(table)
        for sentence in report.sentences():
            out.print(sentence, markup=False)
