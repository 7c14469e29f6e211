"""Putting a report together from what is recorded."""

from __future__ import annotations

from typing import get_args

from core import __version__
from core.errors import InputError
from evaluation.comparison import Comparison
from evaluation.gate import GateDecision
from evaluation.hints import hints
from evaluation.metrics import Metric, MetricsSnapshot
from experiments.answers import count_answers, truncation
from experiments.comparing import compared
from experiments.result import PromotionResult
from inference.contract import CUT_OFF, PredictionMeta
from registry import Outcome, Registry, Run
from registry.tables import PromotionLog
from reports.changes import Changes, changes
from reports.document import Decided, Report, ReportedRun


def report_on(
    candidate: str, registry: Registry, baseline: str | None = None, comparison: Comparison | None = None
) -> Report:
    """The report of a run, or of a candidate against a baseline, with what was decided.

    Args:
        candidate: run id, or a unique beginning or end of one.
        registry: holds the runs.
        baseline: what it is compared with, likewise; None for the run alone.
        comparison: of the two, where it is known; else they are compared, and nothing is recorded.

    Raises:
        InputError: a run is unknown or not finished, or the two cannot be compared; names what differs.
        IntegrityError: what is recorded was changed.

    Example:
        >>> report_on("20261125-205329", registry, "20261125-205318").headline
        'PROMOTED: tiny-reasoner v2 is champion now'
    """
    run = registry.runs.finished(candidate)
    first = None if baseline is None else registry.runs.finished(baseline)
    if first is not None and comparison is None:
        comparison = compared(first, run, registry)
    return Report(
        runs=[
            *([reported_run(first, registry, "baseline")] if first else []),
            reported_run(run, registry, "candidate" if first else "run"),
        ],
        comparison=comparison,
        changes=changes_of(comparison, (first, run), registry) if first and comparison else None,
        decided=newest_decision(run, registry, first),
        made_with=__version__,
    )


def changes_of(comparison: Comparison, runs: tuple[Run, Run], registry: Registry) -> Changes:
    """What the changed items of a comparison have in common.

    Args:
        comparison: of the two runs.
        runs: baseline and candidate, with their documents.
        registry: holds them.
    """
    rungs = [registry.runs.rungs(run.run_id) for run in runs]
    cut = [frozenset((run.predictions_meta or {}).get(CUT_OFF, ())) for run in runs]
    reasons = None if any(rungs) else registry.runs.reason_of_each(runs[1].run_id)
    return changes(comparison, rungs, cut, reasons)


def reported_run(run: Run, registry: Registry, role: str) -> ReportedRun:
    """A finished run as a report shows it.

    Args:
        run: with its manifest.
        registry: holds its scores.
        role: baseline, candidate, or run.
    """
    counted = count_answers(run, registry)
    dataset = registry.datasets.get(run.dataset_id)
    return ReportedRun(
        role=role,
        run_id=run.run_id,
        name=run.name,
        kind=run.kind,
        base_model=run.base_model,
        model_sha256=run.model_sha256,
        dataset=dataset.name,
        dataset_sha256=dataset.sha256,
        judge=run.judge,
        engine=_ran_by(run),
        started_at=run.started_at,
        finished_at=run.finished_at,
        metrics=_snapshot(run, registry),
        rungs=dict(counted.rungs),
        hints=hints(counted),
        manifest=run.manifest,
    )


def _ran_by(run: Run) -> str:
    if imported := run.manifest.get("imported"):
        tool = " ".join(filter(None, (imported["tool"], imported["tool_version"]))) or "another program"
        return f"{tool}, imported from {imported['file']}"
    return PredictionMeta.model_validate(run.predictions_meta).ran_by


def newest_decision(candidate: Run, registry: Registry, baseline: Run | None = None) -> Decided | None:
    """The newest decision about a run; None where there was none.

    Args:
        candidate: the run that was offered.
        registry: holds the log.
        baseline: only a decision that compared with this run; None for any.
    """
    rows = [
        row for row in registry.models.decisions_about(candidate.run_id) if row.action in get_args(Outcome)
    ]
    if baseline is not None:
        rows = [row for row in rows if _compared_with(row, baseline.run_id)]
    return _decided(rows[-1]) if rows else None


def _compared_with(row: PromotionLog, run_id: str) -> bool:
    against = row.decision.get("against")
    return against is None or against == run_id


def _decided(row: PromotionLog) -> Decided:
    known = {name: value for name, value in row.decision.items() if name in _GATE}
    decision = GateDecision.model_validate(known) if known else None
    result = PromotionResult(
        outcome=row.action,
        model_name=row.model,
        alias=row.alias,
        run_id=row.run_id,
        version=row.to_version,
        decision=decision,
        comparison=None,
    )
    return Decided(
        outcome=result.outcome,
        headline=result.headline,
        reasons=[*_override(row), *result.reasons] or [row.reason],
        model_name=row.model,
        alias=row.alias,
        version=row.to_version,
        decision=decision,
        actor=row.actor,
        decided_at=row.created_at,
        against=row.decision.get("against"),
    )


def _override(row: PromotionLog) -> list[str]:
    """Who overrode the gate and why, which the log has as its reason."""
    return [f"Forced by {row.actor}: {row.reason}"] if row.action == "forced" else []


_GATE = {field.alias or name for name, field in GateDecision.model_fields.items()}


def _snapshot(run: Run, registry: Registry) -> MetricsSnapshot:
    overall: dict[str, Metric] = {}
    categories: dict[str, dict[str, Metric]] = {}
    for row in registry.runs.metrics(run.run_id):
        if row.ci_low is None or row.ci_high is None:
            raise InputError(f"run {run.run_id}: its metric {row.name} has no interval")
        found = Metric(value=row.value, n=row.n, ci_low=row.ci_low, ci_high=row.ci_high, method=row.method)
        (categories.setdefault(row.category, {}) if row.category else overall)[row.name] = found
    return MetricsSnapshot(
        overall=overall,
        categories=categories,
        counts=registry.runs.reasons(run.run_id),
        truncated=truncation(run, registry),
    )
