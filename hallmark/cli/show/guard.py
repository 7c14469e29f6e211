"""What a person reads of a training set that was held against a golden one."""

from __future__ import annotations

from collections.abc import Sequence

from rich.padding import Padding
from rich.text import Text

from core.text import counted
from experiments.guarding import GuardReport
from golden.guard import Overlap
from hallmark.cli.terminal import out

SHOWN = 20
CHARACTERS = 100


def show_guard(report: GuardReport) -> None:
    """Print the leaks, then the twins, and what to do."""
    leaks, twins = len(report.leaks), len(report.twins)
    if leaks:
        holding = counted(leaks, "item holds a golden one", "items hold golden ones")
        out.print(Text.assemble(("leaks: ", "red"), f"{holding}; a gain would be memory, not skill"))
        _show(report.leaks)
    if twins:
        alike = counted(twins, "item resembles a golden one", "items resemble golden ones")
        out.print(Text.assemble(("twins: ", "yellow"), f"{alike} without holding it; nothing is refused"))
        _show(report.twins)
    summary = f"{report.train}: {leaks:,} of {counted(report.items, 'item')} leak from {report.golden}"
    if report.written is not None:
        out.print(f"{summary}; {report.written} has the other {report.items - leaks}", markup=False)
    elif leaks:
        out.print(f"{summary}. Without them: --write-clean KEY-vN.jsonl", markup=False)
    else:
        out.print(summary, markup=False)


def _show(overlaps: Sequence[Overlap]) -> None:
    for overlap in overlaps[:SHOWN]:
        kind = (
            overlap.kind
            if overlap.share == 1
            else f"{overlap.kind}, {100 * overlap.share:.0f} % of its 8-grams"
        )
        shared = " ".join(overlap.shared.split())
        end = "..." if len(shared) > CHARACTERS else ""
        line = f"{overlap.train_id} ~ {overlap.golden_id} ({kind}): {shared[:CHARACTERS]}{end}"
        out.print(Padding(Text(line), (0, 0, 0, 2), expand=False))
    if len(overlaps) > SHOWN:
        out.print(f"  and {len(overlaps) - SHOWN} more (--json shows all)", markup=False)
