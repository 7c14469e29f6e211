"""Comparisons of two runs: recorded, and found again for the version that one of them decided on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlmodel import Session, col, select

from registry.columns import frozen_json, now
from registry.database import Database
from registry.tables import Comparison, ModelVersion, PromotionLog, Run


class Comparisons:
    """Paired comparisons of a candidate run with a baseline run."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def record(
        self,
        baseline: str,
        candidate: str,
        *,
        delta: float,
        p_value: float,
        ci_low: float,
        ci_high: float,
        report: dict[str, Any],
    ) -> Comparison:
        """Record a comparison of two runs.

        Args:
            baseline: run id.
            candidate: run id.
            delta: difference of the two scores, a share from -1 to 1.
            p_value: of the comparison's test.
            ci_low, ci_high: confidence interval of `delta`.
            report: the whole comparison as JSON.
        """
        row = Comparison(
            baseline_run_id=baseline,
            candidate_run_id=candidate,
            delta=delta,
            p_value=p_value,
            ci_low=ci_low,
            ci_high=ci_high,
            report=frozen_json(report, "comparison"),
            created_at=now(),
        )
        with self.database.writing() as session:
            session.add(row)
        return row

    def reports(self, candidate: str) -> list[dict[str, Any]]:
        """The documents of all comparisons of a candidate's run, oldest first.

        Example:
            >>> [report["candidate_run"] for report in registry.comparisons.reports(run.run_id)]
            []
        """
        found = select(Comparison.report).where(Comparison.candidate_run_id == candidate)
        with self.database.reading() as session:
            return [dict(report) for report in session.exec(found.order_by(col(Comparison.id)))]

    def find(self, version: ModelVersion) -> Comparison | None:
        """The comparison on which a version was promoted: with what was served before, or with the base.

        The same two runs always compare the same, so the first such row is as good as any.

        Returns:
            None where no such comparison was recorded.

        Example:
            >>> comparison = registry.comparisons.find(registry.models.get("tiny-reasoner@v2"))
            >>> comparison.delta, comparison.p_value
            (0.25, 0.012)
        """
        found = (
            select(Comparison)
            .where(Comparison.candidate_run_id == version.run_id)
            .order_by(col(Comparison.id))
        )
        with self.database.reading() as session:
            opponents = _opponents(session, version)
            return next((row for row in session.exec(found) if row.baseline_run_id in opponents), None)


def _opponents(session: Session, version: ModelVersion) -> Sequence[str]:
    """The runs that a version's run may have been compared with when it was promoted."""
    promoted = select(PromotionLog).where(
        PromotionLog.model == version.model, PromotionLog.to_version == version.number
    )
    row = session.exec(promoted.order_by(col(PromotionLog.id)).limit(1)).first()
    against, before = (row.decision.get("against"), row.from_version) if row else (None, None)
    if against is not None:
        return [against]
    # Decided before the log said against which run: then it was the champion's run, or, without a champion,
    # the base's.
    if before is None:
        return session.exec(select(Run.run_id).where(Run.model_sha256 == version.parent_sha256)).all()
    earlier = select(ModelVersion.run_id).where(
        ModelVersion.model == version.model, ModelVersion.number == before
    )
    return session.exec(earlier).all()
