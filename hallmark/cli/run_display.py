"""One run, as text and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluation.metrics import count_truncated
from experiments.runs import current_status
from hallmark.cli.tables import plain_table
from hallmark.cli.terminal import out
from hallmark.cli.verdict_display import relative
from registry import Registry, Run


def run_document(registry: Registry, reference: str, *, reused: bool = False) -> dict[str, Any]:
    """Everything that is recorded of a run but its predictions."""
    run = registry.runs.get(reference)
    metrics = [row.model_dump(exclude={"id", "run_id"}) for row in registry.runs.metrics(run.run_id)]
    more = {"counts": registry.runs.reasons(run.run_id), "truncated": truncated(registry, run)}
    return {
        **run.model_dump(exclude={"id"}),
        "status": current_status(run),
        "metrics": metrics,
        **more,
        "reused": reused,
    }


def truncated(registry: Registry, run: Run) -> dict[str, int] | None:
    """How many items of a run were cut off; None where it has no predictions, or where that was not recorded."""
    meta = run.predictions_meta or {}
    if "truncated_prompts" not in meta or "reached_max_new_tokens" not in meta:
        return None
    return count_truncated(
        registry.runs.scores(run.run_id), meta["truncated_prompts"], meta["reached_max_new_tokens"]
    ).model_dump()


def show_run(registry: Registry, reference: str, *, reused: bool = False) -> None:
    """Print a run's state, inputs, metrics and files."""
    run = registry.runs.get(reference)
    out.print(f"[bold]run {run.run_id}[/]  {current_status(run)}", end="")
    out.print("  (reused: same inputs)" if reused else "")
    facts = {
        "what": run.name,
        "model": run.base_model,
        "weights": f"sha256 {run.model_sha256}" if run.model_sha256 else "not known yet",
        "judge": run.judge,
        "from": f"predictions of run {source}" if (source := run.manifest.get("rejudged_from")) else "",
        "started": run.started_at,
        "finished": run.finished_at or "",
        "error": run.error or "",
        "files": relative(Path(run.directory)),
    }
    for name, value in facts.items():
        if value:
            out.print(f"{name:<9} {value}", markup=False, soft_wrap=True)
    metrics = registry.runs.metrics(run.run_id)
    if metrics:
        table = plain_table(["metric", "category", "items", "value", "95 % interval"], right=(2, 3, 4))
        for row in metrics:
            between = (
                ""
                if row.ci_low is None or row.ci_high is None
                else f"{100 * row.ci_low:.1f} to {100 * row.ci_high:.1f}"
            )
            table.add_row(
                row.name, row.category or "overall", str(row.n), f"{100 * row.value:.1f} %", between
            )
        out.print()
        out.print(table)
        out.print()
        out.print(
            "judged    "
            + ", ".join(f"{count} {reason}" for reason, count in registry.runs.reasons(run.run_id).items()),
            markup=False,
        )
        if (cut := truncated(registry, run)) is not None:
            out.print(
                f"cut off   {cut['completions']} completions at max_new_tokens ({cut['completions_below_one']} of them without the "
                f"full score), {cut['prompts']} prompts to fit the context",
                soft_wrap=True,
            )
