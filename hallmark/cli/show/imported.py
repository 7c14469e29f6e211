"""What a person reads of a file that is to become a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.padding import Padding
from rich.text import Text

from core.text import counted
from evaluation.shown import largest, more_largest
from experiments.importing import ImportReport, Refusal
from hallmark.cli.terminal import out, relative

SHOWN = 5
LONGEST = 300
"""Characters of a field in the preview."""


def show_import(report: ImportReport) -> None:
    """Print what would be taken, what would not, and the first items.

    Args:
        report: of an import that is not written yet.
    """
    out.print(f"{report.source}: {report.shape}, {counted(report.rows, 'row')}", markup=False)
    found = "found" if report.detected else "given"
    read = ", ".join(
        each.column if each.field == each.column else f"{each.field} from {each.column}"
        for each in report.columns
    )
    out.print(f"format {report.format} ({found}): {read}", markup=False)
    if report.answer_is:
        out.print(f"an answer is: {report.answer_is}", markup=False)
    if report.metadata:
        out.print(f"kept as metadata: {', '.join(report.metadata)}", markup=False)
    for number, item in enumerate(report.preview, start=1):
        _show_item(number, item)
    drawn = "" if report.sample is None else f", a sample by seed {report.seed}"
    taken = [Text.assemble(("taken: ", "green"), f"{counted(report.taken, 'item')}{drawn}")]
    for category, count in largest(list(report.categories.items()), lambda each: (each[1], 0.0)):
        taken.append(Text(f"  {category:<24} {count:>6}"))
    if more := more_largest(len(report.categories), "All: --json"):
        taken.append(Text(f"  {more}"))
    for line in taken:
        out.print(line)
    _show_rows("refused", "red", report.refused, report.refusals)
    _show_rows("duplicates, taken once", "yellow", report.duplicates, report.repeated)
    if report.contradictions:
        what = "prompts with contradicting answers" if report.judge else "prompts with several answers"
        out.print(Text.assemble((f"{what}: ", "yellow"), f"{report.contradictions:,}"))
    if report.twins:
        alike = counted(report.twins, "training item resembles", "training items resemble")
        out.print(f"twins: {alike} golden ones without holding them")
    for note, count in list(report.notes.items())[:20]:
        out.print(Text.assemble(("note: ", "yellow"), f"{note} ({counted(count, 'row')})"))
    if len(report.notes) > 20:
        out.print(f"and {counted(len(report.notes) - 20, 'more note')} (--json shows all)", markup=False)
    if report.judge and report.taken:
        out.print(f"each accepted answer, written out, scores 1 by {report.judge}", markup=False)
    out.print(f"licence: {report.licence}", markup=False)


def show_written(report: ImportReport) -> None:
    """Print what was written, and what to do next."""
    path = relative(report.path)
    if report.written:
        pinned = f"{counted(report.taken, 'item')}, sha256 {report.sha256}"
        out.print(f"{path}: {report.name} is written and frozen, {pinned}", markup=False, soft_wrap=True)
    else:
        out.print(f"{path}: is there already, with the same content", markup=False, soft_wrap=True)
    if report.can_show:
        out.print(" ".join(report.can_show), markup=False)
    out.print(f"Next: {report.next}", markup=False, soft_wrap=True)


def _show_rows(title: str, style: str, count: int, rows: Sequence[Refusal]) -> None:
    if not count:
        return
    out.print(Text.assemble((f"{title}: ", style), f"{count:,}"))
    for each in rows[:SHOWN]:
        out.print(Padding(Text(f"{each.where}: {each.reason}"), (0, 0, 0, 2), expand=False))
    if count > SHOWN:
        out.print(f"  and {count - SHOWN:,} more (--json lists the first thousand)", markup=False)


def _show_item(number: int, item: dict[str, Any]) -> None:
    out.print(Text(f"item {number}", "bold"))
    for name in ("system", "prompt", "messages", "steps", "completion", "final_answer"):
        value = item.get(name)
        if not value:
            continue
        if name == "messages":
            value = "\n".join(f"{turn['role']}: {turn['content']}" for turn in value)
        elif name == "steps":
            value = "\n".join(value)
        elif isinstance(value, list):
            value = " | ".join(value)
        text = value if len(value) <= LONGEST else f"{value[:LONGEST]}..."
        out.print(Padding(Text.assemble((f"{name}: ", "dim"), text), (0, 0, 0, 2), expand=False))
