"""What an experiment or a promotion ended in, as text."""

from __future__ import annotations

from rich.text import Text

from evaluation.gate import CUT_SHARE, GateDecision
from experiments.result import ExperimentResult, PromotionResult, log_line
from hallmark.cli.show.tables import comparison_table, decision_table, more_categories, rungs_table
from hallmark.cli.terminal import out, relative
from hallmark.console import PlainConsole


def show_result(result: ExperimentResult, console: PlainConsole = out) -> None:
    """Print what was compared, the table, the decision with its reason, where the files are, and what to type
    next.
    """
    comparison = result.comparison
    console.print()
    console.print(Text(f"Base against trained on {comparison.dataset}, judged by {comparison.judge}", "bold"))
    console.print(
        f"base     run {result.baseline.run_id}{' (reused: same inputs)' if result.baseline.reused else ''}"
    )
    continued = " (continued after an interruption)" if result.trained.continued else ""
    console.print(f"trained  run {result.trained.run_id}{continued}")
    if result.repeats:
        console.print(f"         same inputs, same predictions as run {result.repeats}")
    console.print()
    console.print(comparison_table(comparison, "base", "trained"))
    if more := more_categories(comparison, "All: hallmark compare --all-categories"):
        console.print(more)
    if comparison.form is not None:
        console.print()
        console.print(rungs_table(comparison.form, "base", "trained"))
    for note in comparison.notes:
        console.print()
        console.print(note, markup=False)
    console.print()
    _show_decision(result, console)
    console.print()
    for name, value in _facts(result):
        console.print(f"{name:<12} {value}", soft_wrap=True, markup=False, hanging=13)
    console.print()
    console.print(Text("Next", "bold"))
    for command, purpose in _next(result):
        console.print_line(Text(f"  {command}", "cyan"))
        console.print(Text(f"      {purpose}", "dim"))


def _show_decision(result: ExperimentResult, console: PlainConsole) -> None:
    console.print(Text(result.headline, "bold yellow" if result.outcome == "refused" else "bold green"))
    _show_requirements(result.decision, console)
    for reason in result.reasons:
        console.print(reason, markup=False)


def _show_requirements(decision: GateDecision | None, console: PlainConsole) -> None:
    """A table of what was required, where it was more than a gain on one dataset."""
    if decision is not None and decision.is_suite:
        console.print()
        console.print(decision_table(decision))
        console.print()


def _facts(result: ExperimentResult) -> list[tuple[str, str]]:
    version = f"{result.model_name} v{result.version}" if result.version else "none"
    log = [("log", log_line(result.head))] if result.head else []
    return [
        ("version", version),
        ("weights", f"sha256 {result.weights_sha256}"),
        ("predictions", f"sha256 {result.predictions_sha256}"),
        ("base run", relative(result.baseline.directory)),
        ("trained run", relative(result.trained.directory)),
        ("model", relative(result.weights)),
        *([("report", relative(result.report))] if result.report else []),
        *log,
    ]


def _next(result: ExperimentResult) -> list[tuple[str, str]]:
    # what the gate compared with: the champion where there is one, else the base
    commands = [
        (
            f"hallmark compare {result.against.run_id} {result.trained.run_id} --flips 5",
            "read what got better and what got worse",
        )
    ]
    if result.version:
        commands.append(
            (
                f"hallmark evaluate registry:{result.model_name}@champion",
                "judge the champion again, or on a --dataset of your own",
            )
        )
        commands.append((f"hallmark models history {result.model_name}", "who became champion when, and why"))
    else:
        cut = result.comparison.cut
        if cut is not None and max(cut.baseline, cut.candidate) > CUT_SHARE * result.comparison.n:
            commands.append(
                ("hallmark experiment ... --max-new-tokens N", "the same again, with room for whole answers")
            )
        commands.append(("hallmark experiment ... --steps N", "the same again, trained for longer"))
    return commands


def show_promotion(promotion: PromotionResult, reason: str | None) -> None:
    """Print what became of a run that was offered, and why.

    Args:
        promotion: the outcome.
        reason: why the gate was overridden, where it was.
    """
    why = f" ({reason})" if promotion.outcome == "forced" else ""
    style = "bold yellow" if promotion.outcome == "refused" else "bold green"
    out.print(Text(promotion.headline + why, style))
    _show_requirements(promotion.decision, out)
    for sentence in promotion.reasons:
        out.print(sentence, markup=False)
    if promotion.report is not None:
        out.print(f"report: {relative(promotion.report)}", markup=False, soft_wrap=True)
    if promotion.head is not None:
        out.print(f"log: {log_line(promotion.head)}", markup=False, soft_wrap=True)
