"""What happened, as Prefect events that automations can react to."""

from __future__ import annotations

from typing import Any

from core.settings import get_settings
from experiments.result import ALIAS, ExperimentResult, PromotionResult
from registry import ModelVersion
from reports.markdown import prose
from tasks.logs import harmless

PROMOTED, ROLLED_BACK = "hallmark.model.promoted", "hallmark.model.rolled_back"
REFUSED, FAILED = "hallmark.gate.refused", "hallmark.run.failed"


def emit_outcome(answer: ExperimentResult | PromotionResult) -> None:
    """Say that a model was promoted or refused; nothing else is an event.

    Args:
        answer: of an experiment, or of a promotion asked for by hand.
    """
    run = answer.trained.run_id if isinstance(answer, ExperimentResult) else answer.run_id
    alias = ALIAS if isinstance(answer, ExperimentResult) else answer.alias
    facts = {
        "model": answer.model_name,
        "run": run,
        "version": answer.version,
        "alias": alias,
        "head": answer.head,
    }
    reasons = " ".join(answer.decision.reasons) if answer.decision else ""
    if answer.outcome in ("promoted", "forced"):
        subject = f"{answer.model_name} v{answer.version} is {alias}"
        _emit(PROMOTED, answer.model_name, subject, f"Run {run}. {reasons}", facts)
    elif answer.outcome == "refused":
        _emit(
            REFUSED, answer.model_name, f"{answer.model_name}: not promoted", f"Run {run}. {reasons}", facts
        )


def emit_rollback(version: ModelVersion, alias: str, reason: str, head: str | None) -> None:
    """Say that an alias points at an earlier version again.

    Args:
        version: the one it points at now.
        alias: as in champion.
        reason: why.
        head: the end of the audit log, as N:HASH.
    """
    facts = {
        "model": version.model,
        "run": version.run_id,
        "version": version.number,
        "alias": alias,
        "head": head,
    }
    _emit(ROLLED_BACK, version.model, f"{version.model} v{version.number} is {alias} again", reason, facts)


def emit_failure(name: str, flow_run_id: str, message: str) -> None:
    """Say that a flow run failed.

    Args:
        name: of the flow run.
        flow_run_id: for the link.
        message: why it failed.
    """
    _emit(FAILED, name, f"{name} failed", message, {"flow_run_id": flow_run_id})


def _emit(event: str, name: str, subject: str, message: str, facts: dict[str, Any]) -> None:
    from prefect.events import emit_event

    resource = {"prefect.resource.id": f"{event}/{name}", "prefect.resource.name": name}
    payload = {
        "subject": f"Hallmark: {prose(subject)}",
        "message": "\n".join(map(prose, message.splitlines())),
        "home": str(get_settings().home.absolute()),
        **facts,
    }
    with harmless(f"the event {event}"):
        emit_event(event=event, resource=resource, payload=payload)
