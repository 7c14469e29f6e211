"""What `hallmark init` found and wrote, as text."""

from __future__ import annotations

from rich.text import Text

from core.text import counted
from experiments.importing import ImportReport
from hallmark.cli.show.tables import plain_table
from hallmark.cli.terminal import out
from hallmark.preparing import Prepared


def show_prepared(prepared: Prepared) -> None:
    """Print model, machine, data, the settings with their reasons, and the next command."""
    facts = {
        "model": f"{prepared.model}, {prepared.parameters / 1e6:,.1f} M parameters",
        "machine": prepared.machine,
        "golden set": _imported(prepared.golden, "item"),
        "training set": _imported(prepared.train, "trace") if prepared.train else "none",
    }
    for name, fact in facts.items():
        out.print(f"{name:<13} {fact}", markup=False, soft_wrap=True, hanging=14)
    if prepared.untrained:
        out.print(Text(f"Nothing is trained: {prepared.untrained}", "yellow"), soft_wrap=True)
    out.print(" ".join(prepared.golden.can_show[:1]), markup=False)
    for warning in prepared.warnings:
        out.print(Text(warning, "yellow"))
    out.print()
    table = plain_table(["setting", "value", "why"], whole=(0,))
    for setting in prepared.settings:
        table.add_row(setting.name, Text(str(setting.value)), Text(setting.why, "dim"))
    out.print(table)
    out.print()
    out.print(f"{prepared.config} is written: look at it, change what you like. Then run:", markup=False)
    out.print_line(Text(f"  {prepared.command}", "bold"))
    if prepared.minutes is not None:
        about = f"{max(1, prepared.minutes):,.0f} minutes"
        out.print(f"On this CPU, as busy as it is now, it takes about {about}.")


def _imported(report: ImportReport, what: str) -> str:
    left_out = f", {counted(report.refused, 'row')} left out" if report.refused else ""
    return f"{report.path}, {counted(report.taken, what)} of {counted(report.rows, 'row')}{left_out}"
