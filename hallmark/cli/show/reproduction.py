"""What came of repeating a run, as text."""

from __future__ import annotations

from rich.text import Text

from experiments.differences import shown
from experiments.reproducing import Reproduction
from hallmark.cli.terminal import out


def show_reproduction(reproduction: Reproduction) -> None:
    """Print each part with its first difference, and what changed since."""
    out.print(Text(reproduction.headline, "bold green" if reproduction.identical else "bold red"))
    out.print(f"repeated as run {reproduction.again}")
    for name, difference in reproduction.parts.items():
        if difference is None:
            out.print(f"{name:<12} identical")
            continue
        more = f", and {difference.count - 1} more" if difference.count and difference.count > 1 else ""
        out.print(f"{name:<12} first difference: {difference.where}{more}", markup=False, soft_wrap=True)
        out.print(f"             recorded  {shown(difference.recorded)}", markup=False, soft_wrap=True)
        out.print(f"             now       {shown(difference.now)}", markup=False, soft_wrap=True)
    out.print()
    if not reproduction.environment:
        out.print("The environment is unchanged: code, packages, Python, hardware, switches, judge.")
        return
    out.print(Text("Changed since the run was recorded", "bold"))
    for changed in reproduction.environment:
        out.print(
            f"  {changed.field}: was {shown(changed.recorded)}, is {shown(changed.now)}",
            markup=False,
            soft_wrap=True,
        )
