"""Promote a recorded run."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core.config import MODEL_NAME_PATTERN
from evaluation.gate import GateConfig, GateRefused
from evaluation.suite import Suite
from experiments.result import PromotionResult
from flows.common import loop_flow
from flows.form import Form, asked, open_text
from tasks.decide import promote_run


@loop_flow("promote", "promote {run}")
def promote(
    run: str,
    model_name: Annotated[
        str | None, Field(pattern=MODEL_NAME_PATTERN), *open_text(MODEL_NAME_PATTERN)
    ] = asked("", "Name in the registry"),
    gate: Annotated[GateConfig, Form(GateConfig)] = asked(GateConfig(), "Gate"),
    against: Annotated[str | None, *open_text()] = asked("", "Compare with run"),
    force_reason: Annotated[str | None, *open_text()] = asked("", "Promote against the gate, because"),
    fail_unless_promoted: bool = asked(False, "Fail unless promoted"),
    suite: Annotated[Suite | None, Form(Suite, empty=None)] = asked(None, "Suite"),
) -> PromotionResult:
    """Ask the gate about a recorded run and promote it when the gate agrees.

    Args:
        run: run id, or a unique beginning or end of one.
        model_name: name in the registry; the run's model becomes its next version. Default: that of a
            registered base model, tiny-reasoner for the built-in tiny base.
        gate: the rule.
        against: run to compare with; default is the champion's, else the base model's.
        force_reason: promote even if the gate refuses, and record why.
        fail_unless_promoted: end as failed when the gate says no, for CI.
        suite: what must hold, where it is more than a gain on the run's own dataset.
    """
    result = promote_run(run, model_name, gate, against, force_reason, suite)
    if fail_unless_promoted and result.refused:
        raise GateRefused(result.decision)
    return result
