"""Promote a recorded run."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core.config import MODEL_NAME_PATTERN
from evaluation.gate import GateConfig, GateRefused
from experiments.promoting import Promotion
from flows.options import loop_flow
from tasks import promote as promoting


@loop_flow("promote", "promote {run} to {model_name}")
def promote(
    run: str,
    model_name: Annotated[str, Field(pattern=MODEL_NAME_PATTERN)] = "tiny-reasoner",
    gate: GateConfig = GateConfig(),
    against: str | None = None,
    force_reason: str | None = None,
    fail_unless_promoted: bool = False,
) -> Promotion:
    """Ask the gate about a recorded run and promote it when the gate agrees.

    Args:
        run: run id, or a unique beginning of one.
        model_name: registered model that it may join.
        gate: the rule.
        against: run to compare with; default is the champion's, else the base model's.
        force_reason: promote even if the gate refuses, and record why.
        fail_unless_promoted: end as failed when the gate says no, for CI.
    """
    promotion = promoting.promote_run(run, model_name, gate, against, force_reason)
    if fail_unless_promoted and promotion.outcome == "refused":
        raise GateRefused(promotion.decision)
    return promotion
