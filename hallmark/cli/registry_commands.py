"""`hallmark compare`, `promote`, `rollback`, `runs`, `models`, `verify`, `registry`: what was recorded."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.padding import Padding
from rich.text import Text

from hallmark.cli.terminal import Json, emit, out

if TYPE_CHECKING:
    from evaluation.comparison import Comparison
    from registry import Registry

runs = typer.Typer(no_args_is_help=True, help="Recorded runs: list, show.")
models = typer.Typer(no_args_is_help=True, help="Registered models: list, show, history.")
aliases = typer.Typer(no_args_is_help=True, help="Aliases of a model: list, set, remove, protect, unprotect.")
models.add_typer(aliases, name="alias")
registry = typer.Typer(no_args_is_help=True, help="The registry's database and artifacts.")

Alias = Annotated[str, typer.Option(help="Which alias moves.")]
Reason = Annotated[str, typer.Option(help="Why; recorded in the history.")]
RunId = Annotated[str, typer.Argument(help="Run id, or a unique beginning of one.")]
Model = Annotated[str, typer.Argument(help="Registered model.")]
AliasName = Annotated[str, typer.Argument(metavar="ALIAS", help="Name of the alias, such as staging.")]
ModelName = Annotated[str, typer.Option("--model-name", "-n", help="Registered model.")]


def compare(
    baseline: RunId,
    candidate: RunId,
    flips: Annotated[int, typer.Option(help="Show this many items that got better and that got worse, with both texts.")] = 0,
    json: Json = False,
) -> None:
    """Compare two runs item by item: delta, interval, p value, per category."""
    from experiments.comparing import compare_runs
    from hallmark.cli.tables import comparison_table

    opened = _registry()
    comparison = compare_runs(baseline, candidate, opened)
    if json:
        emit(comparison.model_dump(mode="json"))
        return
    out.print(Text(f"{comparison.candidate_run} against {comparison.baseline_run} on {comparison.dataset}", "bold"))
    out.print(f"judged by {comparison.judge}; p values: {comparison.test.replace('_', ' ')}; interval: paired bootstrap")
    out.print()
    out.print(comparison_table(comparison, "first", "second"))
    if flips:
        _show_flips(comparison, flips, opened)


def _show_flips(comparison: Comparison, count: int, opened: Registry) -> None:
    from experiments.comparing import flips

    shown = flips(comparison, count, opened)
    for title, ids, changed in (("got better", comparison.gained, shown[0]), ("got worse", comparison.lost, shown[1])):
        out.print()
        out.print(Text(f"{len(ids)} {title}", "bold"))
        for flip in changed:
            out.print(Text(f"  {flip.prompt}", "cyan"), Text(f"  right: {flip.answer}  ({flip.trace_id})", "dim"), soft_wrap=True)
            for label, text in (("first ", flip.before), ("second", flip.after)):
                out.print(f"    {label} {' | '.join(text.split(chr(10)))[:400]}", markup=False, soft_wrap=True)


def promote(
    run: RunId,
    model_name: ModelName = "tiny-reasoner",
    against: Annotated[str | None, typer.Option(help="Run to compare with. [default: the champion's, else the base model's]")] = None,
    alpha: Annotated[float, typer.Option(help="Chance of any false promotion, over all comparisons on the dataset together.")] = 0.05,
    alias: Alias = "champion",
    force: Annotated[bool, typer.Option("--force", help="Promote even if the gate refuses; needs --reason, and is recorded.")] = False,
    reason: Annotated[str | None, typer.Option(help="Why the gate is overridden.")] = None,
    fail_unless_promoted: Annotated[bool, typer.Option("--fail-unless-promoted", help="Exit with 5 when the gate says no.")] = False,
    json: Json = False,
) -> None:
    """Ask the gate about a recorded run, and make it champion when the gate agrees."""
    from evaluation.gate import GateConfig
    from experiments.promoting import promote_run
    from experiments.workspace import open_workspace
    from hallmark.config import validated
    from hallmark.errors import InputError

    if force != bool(reason):
        raise InputError("--force and --reason go together: overriding the gate is recorded with its reason")
    gate = validated(GateConfig, {"alpha": alpha}, "promote")
    promotion = promote_run(run, model_name, gate, open_workspace(), against=against, force_reason=reason, alias=alias)
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

    chosen = _registry().rollback(model_name, version, reason, actor(), alias)
    if json:
        emit(chosen.model_dump(mode="json"))
    else:
        out.print(Text(f"{model_name} v{chosen.number} is {alias} again", "bold green"))


def verify(json: Json = False) -> None:
    """Hash every artifact, row and log entry again. Exits with 3 when something is not as it was recorded."""
    problems = [str(problem) for problem in _registry().verify()]
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

    opened = _registry()
    found = opened.list_runs(limit=limit)
    status = {run.run_id: current_status(run) for run in found}
    headline = {run.run_id: _headline(opened, run.run_id) for run in found}
    if json:
        shown = {"id", "manifest", "predictions_meta"}
        emit([{**run.model_dump(exclude=shown), "status": status[run.run_id], "metric": headline[run.run_id]} for run in found])
        return
    table = plain_table(["run", "status", "score", "what"], right=(2,))
    for run in found:
        value = headline[run.run_id]
        table.add_row(run.run_id, status[run.run_id], "" if value is None else f"{100 * value['value']:.1f} %", run.name)
    out.print(table if found else "no runs yet: hallmark experiment")


def _headline(opened: Registry, run_id: str) -> dict[str, Any] | None:
    """The overall metric of a run; None while it has none."""
    overall = [row for row in opened.run_metrics(run_id) if row.category == ""]
    return overall[0].model_dump(exclude={"id", "run_id", "category"}) if overall else None


@runs.command("show")
def show(run: RunId, json: Json = False) -> None:
    """Show one run: inputs, metrics, files."""
    from hallmark.cli.run_display import run_document, show_run

    if json:
        emit(run_document(_registry(), run))
    else:
        show_run(_registry(), run)


@models.command("list")
def list_models(json: Json = False) -> None:
    """List the registered models and their champions."""
    from hallmark.cli.tables import plain_table

    rows = _registry().list_models()
    if json:
        emit([asdict(row) for row in rows])
        return
    table = plain_table(["model", "champion", "versions"], right=(2,))
    for row in rows:
        table.add_row(row.name, _number(row.champion), str(row.versions))
    out.print(table if rows else "no models yet: hallmark experiment")


@models.command("show")
def show_model(
    reference: Annotated[str, typer.Argument(help="NAME for all versions, or NAME@champion or NAME@v3 for one.")],
    limit: Annotated[int, typer.Option(min=1, help="Newest versions to show.")] = 20,
    json: Json = False,
) -> None:
    """Show a model's versions, or one version with its provenance."""
    from hallmark.cli.tables import plain_table

    opened = _registry()
    if "@" in reference:
        version = opened.get_version(reference)
        document = {**version.model_dump(mode="json", exclude={"id"}), "path": str(opened.store.get_tree(version.weights_sha256))}
        if json:
            from provenance import stored_document
            from provenance.signing import opened as statement_of

            emit({**document, "statement": statement_of(stored_document(opened, version))})
            return
        for name in (
            "model",
            "number",
            "run_id",
            "weights_sha256",
            "dataset_key",
            "dataset_version",
            "judge",
            "parent_model",
            "created_at",
            "path",
        ):
            out.print(f"{name:<16} {document[name]}", markup=False, soft_wrap=True)
        return
    versions = opened.list_versions(reference, limit=limit)
    if json:
        emit([version.model_dump(mode="json", exclude={"id", "manifest"}) for version in versions])
        return
    table = plain_table(["version", "run", "dataset", "weights sha256"])
    for version in versions:
        table.add_row(
            f"v{version.number}", version.run_id, f"{version.dataset_key}-{version.dataset_version}", version.weights_sha256[:32] + "..."
        )
    out.print(table)


@models.command()
def history(
    model: Model,
    limit: Annotated[int, typer.Option(min=1, help="Newest decisions to show.")] = 50,
    json: Json = False,
) -> None:
    """Decisions about a model: promoted, refused, forced, rolled back, by whom and why; oldest first."""
    rows = _registry().history(model, limit)
    if json:
        emit([row.model_dump(mode="json") for row in rows])
        return
    for row in rows:
        moves = row.to_version is not None or row.action == "removed"
        moved = f"{row.alias}: {_number(row.from_version)} -> {_number(row.to_version)}" if moves else f"{row.alias}: no change"
        out.print(f"{row.id:>4}  {row.created_at[:19]}  {row.action:<11} {moved:<24} {row.actor}", markup=False)
        out.print(Padding(Text(row.reason, "dim"), (0, 0, 0, 6)))


def _number(version: int | None) -> str:
    return "none" if version is None else f"v{version}"


@aliases.command("list")
def list_aliases(model: Model, json: Json = False) -> None:
    """List a model's aliases, where they point, and whether they are protected."""
    from hallmark.cli.tables import plain_table

    rows = _registry().list_aliases(model)
    if json:
        emit([row.model_dump(exclude={"id"}) for row in rows])
        return
    table = plain_table(["alias", "version", ""])
    for row in rows:
        table.add_row(row.name, _number(row.version), "protected" if row.protected else "")
    out.print(table if rows else f"{model} has no alias")


@aliases.command("set")
def set_alias(
    model: Model,
    alias: AliasName,
    version: Annotated[int, typer.Argument(min=1, help="Version number.")],
    reason: Reason,
    json: Json = False,
) -> None:
    """Point an alias that is not protected at a version; the gate is not asked."""
    from experiments.promoting import actor

    chosen = _registry().assign_alias(model, alias, version, reason, actor())
    _say_alias(model, alias, chosen.number, f"{model}@{alias} is v{chosen.number}", json)


@aliases.command("remove")
def remove_alias(model: Model, alias: AliasName, reason: Reason, json: Json = False) -> None:
    """Take an alias that is not protected away; its history stays."""
    from experiments.promoting import actor

    _registry().remove_alias(model, alias, reason, actor())
    _say_alias(model, alias, None, f"{model}@{alias} is removed", json)


@aliases.command()
def protect(model: Model, alias: AliasName, reason: Reason, json: Json = False) -> None:
    """From now on only the gate, a rollback or a forced promotion moves this alias. The champion is protected always."""
    from experiments.promoting import actor

    row = _registry().protect_alias(model, alias, True, reason, actor())
    _say_alias(model, alias, row.version, f"{model}@{alias} is protected", json)


@aliases.command()
def unprotect(model: Model, alias: AliasName, reason: Reason, json: Json = False) -> None:
    """Let an alias be set by hand again."""
    from experiments.promoting import actor

    row = _registry().protect_alias(model, alias, False, reason, actor())
    _say_alias(model, alias, row.version, f"{model}@{alias} is no longer protected", json)


def _say_alias(model: str, alias: str, version: int | None, sentence: str, json: bool) -> None:
    if json:
        emit({"model": model, "alias": alias, "version": version})
    else:
        out.print(Text(sentence, "bold green"))


@registry.command()
def upgrade(json: Json = False) -> None:
    """Bring the database to the schema of this version of Hallmark, in one transaction, and a local artifact store to its layout."""
    from hallmark.settings import get_settings
    from registry import upgrade as upgrade_registry

    settings = get_settings()
    adopted = upgrade_registry(settings.home.absolute(), settings.registry_url, artifacts=settings.artifacts)
    if json:
        emit({"upgraded": True, "artifacts_moved": adopted.moved, "problems": adopted.damaged})
    else:
        out.print("the registry has the newest schema")
        if adopted.moved:
            out.print(f"{adopted.moved} artifacts were moved to the newest layout of the store")
        for problem in adopted.damaged:
            out.print(problem, markup=False, style="red", soft_wrap=True)
    if adopted.damaged:
        raise typer.Exit(3)


@registry.command()
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")] = False,
    models_older_than: Annotated[
        float | None,
        typer.Option(min=0, metavar="DAYS", help="Also remove the model/ folder of trained runs that finished so many days ago."),
    ] = None,
    json: Json = False,
) -> None:
    """Remove artifacts that no model version needs, and what killed processes left behind. The last hour's artifacts stay."""
    from experiments.cleaning import remove_models
    from experiments.workspace import open_workspace

    workspace = open_workspace()
    collected = workspace.registry.collect_garbage(dry_run)
    models = [] if models_older_than is None else remove_models(workspace, models_older_than, dry_run)
    if json:
        emit({"dry_run": dry_run, **asdict(collected), "models": [asdict(model) for model in models]})
        return
    for name in collected.names:
        out.print(name, markup=False, style="dim", soft_wrap=True)
    for model in models:
        note = "kept in the artifact store" if model.stored else "train again; it gives the same bytes"
        out.print(f"{model.path}  ({note})", markup=False, style="dim", soft_wrap=True)
    verb = "would be freed" if dry_run else "freed"
    out.print(f"{workspace.registry.store.place}: {collected.files} files, {collected.bytes / 1e6:,.1f} MB {verb}", soft_wrap=True)
    if models_older_than is not None:
        out.print(f"{workspace.runs}: {len(models)} models, {sum(model.bytes for model in models) / 1e6:,.1f} MB {verb}", soft_wrap=True)


def _registry() -> Registry:
    from experiments.workspace import open_workspace

    return open_workspace().registry
