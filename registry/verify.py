"""Is everything still as it was recorded?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlmodel import Session, col, select

from registry.engine import Database
from registry.promotion import FIRST_HASH, log_hash, version_sha256
from registry.records import MetricRow, PredictionRow, Problem
from registry.runs import content_sha256
from registry.store import Store
from registry.tables import Alias, Metric, ModelVersion, Prediction, PromotionLog, Run


def verify(database: Database, store: Store) -> list[Problem]:
    """Hash every finished run, model version, artifact and log row again.

    Returns:
        Everything that is not as it was recorded; empty when all is.
    """
    with database.reading() as session:
        problems = [*_runs(session), *_versions(session), *_log(session), *_aliases(session)]
        artifacts = sorted(set(session.exec(select(ModelVersion.weights_sha256))))
    return [*problems, *_artifacts(store, artifacts)]


def _runs(session: Session) -> Iterator[Problem]:
    for run in session.exec(select(Run).where(Run.status == "finished").order_by(col(Run.id))):
        metrics = session.exec(select(Metric).where(Metric.run_id == run.run_id).order_by(col(Metric.id)))
        predictions = session.exec(select(Prediction).where(Prediction.run_id == run.run_id).order_by(col(Prediction.position)))
        rows = [{"run_id": row.run_id, **_columns(row, MetricRow)} for row in metrics]
        answers = [{"run_id": row.run_id, "position": row.position, **_columns(row, PredictionRow)} for row in predictions]
        if content_sha256(run, rows, answers) != run.content_sha256:
            yield Problem(f"run {run.run_id}", "its row, its metrics or its predictions were changed after it finished")


def _columns(row: Metric | Prediction, like: type[MetricRow] | type[PredictionRow]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in like.__slots__}


def _versions(session: Session) -> Iterator[Problem]:
    found = select(ModelVersion, Run).join(Run, col(Run.run_id) == ModelVersion.run_id).order_by(col(ModelVersion.id))
    for version, run in session.exec(found):
        if version_sha256(version, run) != version.content_sha256:
            yield Problem(f"version {version.model} v{version.number}", "its row was changed after it was written")


def _log(session: Session) -> Iterator[Problem]:
    previous, expected = FIRST_HASH, 1
    versions = {(version.model, version.number): version.content_sha256 for version in session.exec(select(ModelVersion))}
    for row in session.exec(select(PromotionLog).order_by(col(PromotionLog.id))):
        where = f"promotion log row {row.id}"
        if row.id != expected:
            yield Problem(where, f"row {expected} before it is missing")
        elif row.previous_hash != previous:
            yield Problem(where, "does not continue the row before it")
        if log_hash(row) != row.hash:
            yield Problem(where, "was changed after it was written")
        if row.to_version is not None and versions.get((row.model, row.to_version)) != row.version_sha256:
            yield Problem(where, f"names {row.model} v{row.to_version}, which is not the version that was promoted")
        previous, expected = row.hash, row.id + 1


def _aliases(session: Session) -> Iterator[Problem]:
    for alias in session.exec(select(Alias).order_by(col(Alias.id))):
        moves = select(PromotionLog).where(
            PromotionLog.model == alias.model, PromotionLog.alias == alias.name, col(PromotionLog.to_version).is_not(None)
        )
        last = session.exec(moves.order_by(col(PromotionLog.id).desc()).limit(1)).first()
        if last is None or last.to_version != alias.version:
            logged = "nothing" if last is None else f"v{last.to_version}"
            yield Problem(f"alias {alias.model}@{alias.name}", f"points at v{alias.version}, but the log says {logged}")


def _artifacts(store: Store, hashes: list[str]) -> Iterator[Problem]:
    for sha256 in hashes:
        for sentence in store.check_tree(sha256):
            yield Problem(f"artifact {sha256}", sentence)
