"""The comparison on which a version was promoted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlmodel import col, select

from registry.tables import Comparison, ModelVersion, PromotionLog, Run

if TYPE_CHECKING:
    from registry import Registry


def gate_comparison(registry: Registry, version: ModelVersion) -> dict[str, Any] | None:
    """The comparison of a version's run with what was served before, or with the base model's run where nothing was.

    The same two runs always compare the same, so the first such row is as good as any.

    Args:
        registry: holds the version.
        version: its row.

    Returns:
        `baseline_run_id`, `delta`, `ci_low`, `ci_high`, `p_value`, `report`; None where no such comparison was recorded.
    """
    found = select(Comparison).where(Comparison.candidate_run_id == version.run_id).order_by(col(Comparison.id))
    with registry.database.reading() as session:
        comparisons = session.exec(found).all()
        promoted = select(PromotionLog).where(PromotionLog.model == version.model, PromotionLog.to_version == version.number)
        row = session.exec(promoted.order_by(col(PromotionLog.id)).limit(1)).first()
        against, before = (row.decision.get("against"), row.from_version) if row else (None, None)
        if against is not None:
            opponents: Sequence[str] = [against]
        elif before is None:  # decided before the log said against which run, as what follows
            opponents = session.exec(select(Run.run_id).where(Run.model_sha256 == version.parent_sha256)).all()
        else:
            earlier = select(ModelVersion.run_id).where(ModelVersion.model == version.model, ModelVersion.number == before)
            opponents = session.exec(earlier).all()
    chosen = next((comparison for comparison in comparisons if comparison.baseline_run_id in opponents), None)
    return None if chosen is None else chosen.model_dump(exclude={"id", "created_at"})
