"""`hallmark compare`, `promote`, `rollback`, `runs`, `verify`: what was recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from hallmark.cli.terminal import Json, emit, out

if TYPE_CHECKING:
    from evaluation.comparison import Comparison
    from registry import Registry

runs = typer.Typer(no_args_is_help=True, help="Recorded runs: list, show.")

Alias = Annotated[str, typer.Option(help="Which alias moves.")]
Reason = Annotated[str, typer.Option(help="Why; recorded in the history.")]
RunId = Annotated[str, typer.Argument(help="Run id, or a unique beginning of one.")]
ModelName = Annotated[str, typer.Option("--model-name", "-n", help="Registered model.")]


def compare(
    baseline: RunId,
    candidate: RunId,
    flips: Annotated[
        int, typer.Option(help="Show this many items that got better and that got worse, with both texts.")
    ] = 0,
    json: Json = False,
) -> None:
    """Compare two runs item by item: delta, interval, p value, per category."""
    from experiments.comparing import compare_runs
    from hallmark.cli.tables import comparison_table

    opened = open_registry()
    comparison = compare_runs(baseline, candidate, opened)
    if json:
        emit(comparison.model_dump(mode="json"))
        return
    out.print(
        Text(f"{comparison.candidate_run} against {comparison.baseline_run} on {comparison.dataset}", "bold")
    )
    out.print(
        f"judged by {comparison.judge}; p values: {comparison.test.replace('_', ' ')}; interval: paired bootstrap"
    )
    out.print()
    out.print(comparison_table(comparison, "first", "second"))
    if flips:
        _show_flips(comparison, flips, opened)


def _show_flips(comparison: Comparison, count: int, opened: Registry) -> None:
    from experiments.comparing import flips

    shown = flips(comparison, count, opened)
    for title, ids, changed in (
        ("got better", comparison.gained, shown[0]),
        ("got worse", comparison.lost, shown[1]),
    ):
        out.print()
        out.print(Text(f"{len(ids)} {title}", "bold"))
        for flip in changed:
            out.print(
                Text(f"  {flip.prompt}", "cyan"),
                Text(f"  right: {flip.answer}  ({flip.trace_id})", "dim"),
                soft_wrap=True,
            )
            for label, text in (("first ", flip.before), ("second", flip.after)):
                out.print(
                    f"    {label} {' | '.join(text.split(chr(10)))[:400]}", markup=False, soft_wrap=True
                )


def promote(
    run: RunId,
    model_name: ModelName = "tiny-reasoner",
    against: Annotated[
        str | None, typer.Option(help="Run to compare with. [default: the champion's, else the base model's]")
    ] = None,
    alpha: Annotated[
        float,
        typer.Option(help="Chance of any false promotion, over all comparisons on the dataset together."),
    ] = 0.05,
    alias: Alias = "champion",
    force: Annotated[
        bool,
        typer.Option("--force", help="Promote even if the gate refuses; needs --reason, and is recorded."),
    ] = False,
    reason: Annotated[str | None, typer.Option(help="Why the gate is overridden.")] = None,
    fail_unless_promoted: Annotated[
        bool, typer.Option("--fail-unless-promoted", help="Exit with 5 when the gate says no.")
    ] = False,
    json: Json = False,
) -> None:
    """Ask the gate about a recorded run, and make it champion when the gate agrees."""
    from core.config import validated
    from core.errors import InputError
    from evaluation.gate import GateConfig
    from experiments.promoting import promote_run
    from experiments.workspace import open_workspace
    from hallmark.cli.local_prefect import announce

    if force != bool(reason):
        raise InputError("--force and --reason go together: overriding the gate is recorded with its reason")
    gate = validated(GateConfig, {"alpha": alpha}, "promote")
    promotion = promote_run(
        run, model_name, gate, open_workspace(), against=against, force_reason=reason, alias=alias
    )
    announce(lambda events: events.emit_outcome(promotion))
    if json:
        emit(promotion.model_dump(mode="json"))
    else:
        headline = {
            "promoted": f"PROMOTED: {model_name} v{promotion.version} is {alias} now",
            "forced": f"FORCED: {model_name} v{promotion.version} is {alias} now, against the gate ({reason})",
            "refused": "NOT PROMOTED: the gate said no",
            "already_champion": f"NOTHING TO CHANGE: these very weights are {model_name} v{promotion.version}, the {alias}",
        }[promotion.outcome]
        out.print(Text(headline, "bold yellow" if promotion.outcome == "refused" else "bold green"))
        for sentence in promotion.decision.reasons if promotion.decision else []:
            out.print(sentence, markup=False)
    if fail_unless_promoted and promotion.outcome == "refused":
        raise typer.Exit(5)


def rollback(
    version: Annotated[int, typer.Argument(help="Version number to serve again.", min=1)],
    reason: Reason,
    model_name: ModelName = "tiny-reasoner",
    alias: Alias = "champion",
    json: Json = False,
) -> None:
    """Make an earlier version champion again."""
    from experiments.promoting import actor
    from hallmark.cli.local_prefect import announce

    chosen = open_registry().aliases.rollback(model_name, version, reason, actor(), alias)
    announce(lambda events: events.emit_rollback(chosen, alias, reason))
    if json:
        emit(chosen.model_dump(mode="json"))
    else:
        out.print(Text(f"{model_name} v{chosen.number} is {alias} again", "bold green"))


def verify(json: Json = False) -> None:
    """Hash every artifact, row and log entry again. Exits with 3 when something is not as it was recorded."""
    problems = [str(problem) for problem in open_registry().verify()]
    if json:
        emit({"problems": problems})
    else:
        for problem in problems:
            out.print(problem, markup=False, style="red", soft_wrap=True)
        out.print(f"{len(problems)} problems" if problems else "everything is as it was recorded")
    if problems:
        raise typer.Exit(3)


@runs.command("list")
def list_runs(
    limit: Annotated[int, typer.Option(min=1, help="Newest runs to show.")] = 20,
    json: Json = False,
) -> None:
    """List the newest runs."""
    from experiments.runs import current_status
    from hallmark.cli.tables import plain_table

    opened = open_registry()
    found = opened.runs.list(limit=limit)
    status = {run.run_id: current_status(run) for run in found}
    headline = {run.run_id: _headline(opened, run.run_id) for run in found}
    if json:
        shown = {"id", "manifest", "predictions_meta"}
        emit(
            [
                {
                    **run.model_dump(exclude=shown),
                    "status": status[run.run_id],
                    "metric": headline[run.run_id],
                }
                for run in found
            ]
        )
        return
    table = plain_table(["run", "status", "score", "what"], right=(2,))
    for run in found:
        value = headline[run.run_id]
        table.add_row(
            run.run_id, status[run.run_id], "" if value is None else f"{100 * value['value']:.1f} %", run.name
        )
    out.print(table if found else "no runs yet: hallmark experiment")


def _headline(opened: Registry, run_id: str) -> dict[str, Any] | None:
    """The overall metric of a run; None while it has none."""
    overall = [row for row in opened.runs.metrics(run_id) if row.category == ""]
    return overall[0].model_dump(exclude={"id", "run_id", "category"}) if overall else None


@runs.command("show")
def show(run: RunId, json: Json = False) -> None:
    """Show one run: inputs, metrics, files."""
    from hallmark.cli.run_display import run_document, show_run

    if json:
        emit(run_document(open_registry(), run))
    else:
        show_run(open_registry(), run)


def open_registry() -> Registry:
    """The registry of this workspace."""
    from experiments.workspace import open_workspace

    return open_workspace().registry
