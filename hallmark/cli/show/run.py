"""One run, as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from core.text import counted
from evaluation.numbers import interval_text, metric_text
from evaluation.shown import SHOWN, largest, more_largest
from experiments.run_files import is_here
from hallmark.cli.show.tables import plain_table
from hallmark.cli.terminal import emit, out, relative
from hallmark.results import RunResult
from inference.endpoint import served_name
from registry import Run


def report_run(result: RunResult, json: bool) -> None:
    """Print a run as JSON or as text, and how to see what the model wrote."""
    if json:
        emit(result.document())
        return
    show_run(result)
    if result.score is not None and result.score < 1:
        out.print()
        command = f"hallmark runs show {result.run_id} --wrong 5"
        out.print_line(Text.assemble(("What did it say? ", "bold"), (command, "cyan")))


def show_run(result: RunResult) -> None:
    """Print a run's state, inputs, metrics, hints and files."""
    run, place = result.run, result.directory
    out.print(f"[bold]run {run.run_id}[/]  {result.status}", end="")
    out.print("  (reused: same inputs)" if result.reused else "")
    facts = {
        "what": run.name,
        "model": run.base_model,
        "weights": _weights(run),
        "judge": run.judge,
        "from": f"predictions of run {source}" if (source := run.manifest.get("rejudged_from")) else "",
        "imported": imported_from(run.manifest),
        "started": run.started_at,
        "finished" if run.status == "finished" else "ended": run.finished_at or "",
        "error": run.error or "",
        "files": relative(place) if is_here(place) else f"{place}, on another machine or no longer there",
    }
    for name, value in facts.items():
        if value:
            out.print(f"{name:<9} {value}", markup=False, soft_wrap=True, hanging=10)
    if result.metrics:
        table = plain_table(["metric", "category", "items", "value", "95 % interval"], right=(2, 3, 4))
        overall = [row for row in result.metrics if not row.category]
        categories = [row for row in result.metrics if row.category]
        for row in [*overall, *largest(categories, lambda row: (row.n, row.value))]:
            between = interval_text(row.name, row.ci_low, row.ci_high)
            shown = metric_text(row.name, row.value)
            table.add_row(row.name, row.category or "overall", str(row.n), shown, between)
        out.print()
        out.print(table)
        if more := more_largest(len(categories), "All: --json"):
            out.print(more)
        out.print()
        out.print(f"judged    {_reasons(result.counts)}", markup=False, soft_wrap=True, hanging=10)
        if result.rungs:
            found = ", ".join(f"{right + wrong} {rung}" for rung, (right, wrong) in result.rungs.items())
            out.print(f"found by  {found}", markup=False, soft_wrap=True, hanging=10)
        if (cut := result.truncated) is not None:
            below = f"{cut['completions_below_one']} of them without the full score"
            completions = f"{counted(cut['completions'] or 0, 'completion')} at max_new_tokens ({below})"
            prompts = (
                "what ran the model says nothing of prompts"
                if cut["prompts"] is None
                else f"{counted(cut['prompts'], 'prompt')} to fit the context"
            )
            out.print(f"cut off   {completions}, {prompts}", soft_wrap=True, hanging=10)
    if ended := Counter(((run.predictions_meta or {}).get("ended_otherwise") or {}).values()):
        shown = ", ".join(f"{count} by {reason}" for reason, count in ended.most_common())
        out.print(f"ended     {shown}, as the server says", markup=False, soft_wrap=True, hanging=10)
    for hint in result.hints:
        out.print(Text.assemble(("hint      ", "yellow"), hint), soft_wrap=True, hanging=10)


def imported_from(manifest: Mapping[str, Any]) -> str:
    """Which file a run's predictions came from, and what is not known of them; empty where we made them."""
    if not (imported := manifest.get("imported")):
        return ""
    unknown = ", ".join(imported["unknown"])
    tool = " ".join(filter(None, (imported["tool"], imported["tool_version"])))
    return f"{imported['file']} of {tool}" + (f"; unknown: {unknown}" if unknown else "")


def _weights(run: Run) -> str:
    """What is known of the weights that a run judged."""
    if served_name(run.base_model) is not None:
        place = (run.manifest.get("generation") or {}).get("endpoint")
        return f"unknown, served by {place}"
    return f"sha256 {run.model_sha256}" if run.model_sha256 else "not known yet"


def _reasons(counts: Mapping[str, int]) -> str:
    """The judge's reasons, the most frequent ones where it has many."""
    if len(counts) <= SHOWN:
        return ", ".join(f"{count} {reason}" for reason, count in counts.items())
    most = sorted(counts.items(), key=lambda each: -each[1])[:SHOWN]
    rest = sum(counts.values()) - sum(count for _, count in most)
    told = ", ".join(f"{count} {reason}" for reason, count in most)
    return f"{told}, {rest:,} for {counted(len(counts) - SHOWN, 'other reason')} (--json)"
