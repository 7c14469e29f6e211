"""The end of an experiment, as text."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console
from rich.text import Text

from experiments.result import ExperimentResult
from hallmark.cli.tables import comparison_table
from hallmark.cli.terminal import out


def show_verdict(verdict: ExperimentResult, console: Console = out) -> None:
    """Print what was compared, the table, the decision with its reason, where the files are, and what to type next."""
    comparison = verdict.comparison
    console.print()
    console.print(Text(f"Base against trained on {comparison.dataset}, judged by {comparison.judge}", "bold"))
    console.print(
        f"base     run {verdict.baseline.run_id}{' (reused: same inputs)' if verdict.baseline.reused else ''}"
    )
    continued = " (continued after an interruption)" if verdict.trained.continued else ""
    console.print(f"trained  run {verdict.trained.run_id}{continued}")
    if verdict.repeats:
        console.print(f"         same inputs, same predictions as run {verdict.repeats}")
    console.print()
    console.print(comparison_table(comparison, "base", "trained"))
    console.print()
    _show_decision(verdict, console)
    console.print()
    for name, value in _facts(verdict):
        console.print(f"{name:<12} {value}", soft_wrap=True, markup=False)
    console.print()
    console.print(Text("Next", "bold"))
    for command, purpose in _next(verdict):
        console.print(Text(f"  {command}", "cyan"), soft_wrap=True)
        console.print(Text(f"      {purpose}", "dim"))


def _show_decision(verdict: ExperimentResult, console: Console) -> None:
    console.print(Text(verdict.headline, "bold yellow" if verdict.outcome == "refused" else "bold green"))
    for reason in verdict.reasons:
        console.print(reason)


def _facts(verdict: ExperimentResult) -> list[tuple[str, str]]:
    version = f"{verdict.model_name} v{verdict.version}" if verdict.version else "none"
    return [
        ("version", version),
        ("weights", f"sha256 {verdict.weights_sha256}"),
        ("predictions", f"sha256 {verdict.predictions_sha256}"),
        ("base run", relative(verdict.baseline.directory)),
        ("trained run", relative(verdict.trained.directory)),
        ("model", relative(verdict.weights)),
    ]


def _next(verdict: ExperimentResult) -> list[tuple[str, str]]:
    commands = [
        (
            f"hallmark compare {verdict.baseline.run_id} {verdict.trained.run_id} --flips 5",
            "read what got better and what got worse",
        )
    ]
    if verdict.version:
        commands.append(
            (
                f"hallmark evaluate registry:{verdict.model_name}@champion",
                "judge the champion again, or on a --dataset of your own",
            )
        )
        commands.append(
            (f"hallmark models history {verdict.model_name}", "who became champion when, and why")
        )
    else:
        commands.append(("hallmark experiment --steps 400", "train for longer"))
    return commands


def relative(path: Path) -> str:
    """A path from the working directory where it is below it, else absolute."""
    shown = os.path.relpath(path)
    return str(path) if shown.startswith("..") else shown
