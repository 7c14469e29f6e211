"""What a person reads of a file with predictions."""

from __future__ import annotations

from collections.abc import Sequence

from rich.padding import Padding
from rich.text import Text

from core.files import canonical_json
from core.text import counted, cut, visible_lines
from experiments.exchange.importing import PredictionsReport, Setting
from experiments.exchange.matching import Refusal
from hallmark.cli.terminal import out

SHOWN = 5
LONGEST = 300
"""Characters of a text in the preview."""
SOURCES = {"file": "the file says", "given": "given", "prompts": "the prompts show"}


def show_predictions(report: PredictionsReport) -> None:
    """Print what was read, what is known of it, and the rows that keep it from being taken.

    Args:
        report: of an import.
    """
    found = "found" if report.detected else "given"
    tool = " ".join(filter(None, (report.tool, report.tool_version)))
    out.print(f"{report.source}: {counted(report.rows, 'row')}, {tool}", markup=False, soft_wrap=True)
    out.print(f"format {report.format} ({found}), matched by {report.matched_by}", markup=False)
    for number, answer in enumerate(report.preview, start=1):
        out.print(Text(f"item {number}", "bold"))
        for name in ("question", "reference", "prediction"):
            text = visible_lines(cut(answer[name], LONGEST))
            of = f" 1 of {report.samples}" if name == "prediction" and report.samples > 1 else ""
            line = Text.assemble((f"{name}{of}: ", "dim"), text)
            out.print(Padding(line, (0, 0, 0, 2), expand=False))
    _show_settings(report.settings)
    if report.unknown:
        out.print(Text.assemble(("unknown: ", "yellow"), ", ".join(report.unknown)), soft_wrap=True)
    taken = f"{report.taken:,} of {counted(report.items, 'item')} of {report.dataset}"
    each = f", {report.samples} samples each" if report.samples > 1 else ""
    out.print(Text.assemble(("taken: ", "green"), taken, each))
    kinds = {
        "without a prediction": ("bad", report.bad),
        "doubled": ("doubled", report.doubled),
        "of no item": ("unknown", report.unknown_rows),
        "missing": ("missing", report.missing),
        "with another number of samples": ("uneven", report.uneven),
    }
    for title, (kind, rows) in kinds.items():
        _show_rows(title, report.counts[kind], rows)


def _show_settings(settings: Sequence[Setting]) -> None:
    for source, words in SOURCES.items():
        known = [setting for setting in settings if setting.source == source]
        if known:
            values = ", ".join(f"{each.name} = {canonical_json(each.value)}" for each in known)
            out.print(f"{words}: {values}", markup=False, soft_wrap=True)


def _show_rows(title: str, count: int, rows: Sequence[Refusal]) -> None:
    if not count:
        return
    out.print(Text.assemble((f"{title}: ", "red"), f"{count:,}"))
    for each in rows[:SHOWN]:
        out.print(Padding(Text(f"{each.where}: {each.reason}"), (0, 0, 0, 2), expand=False))
    if count > SHOWN:
        out.print(f"  and {count - SHOWN:,} more (--json lists the first thousand)", markup=False)
