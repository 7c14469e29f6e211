"""Which artifacts are garbage: those that no model version, no dataset and no run needs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlmodel import Session, select

from core.errors import InputError
from registry.artifacts.garbage import Collected
from registry.artifacts.store import Store
from registry.database import Database
from registry.runs import dataset_files, last_run, trained_weights, weights_in_use
from registry.tables import ModelVersion

GRACE_S = 3600.0
"""Age below which an artifact stays, in seconds: its promotion may be on the way."""


def collect(
    database: Database, artifacts: Store, dry_run: bool, grace_s: float, models_older_than: float | None
) -> Collected:
    """See `registry.registry.Registry.collect_garbage`."""
    if not dry_run:
        database.check_writable()
    since = None if models_older_than is None else _days_ago(models_older_than)
    with database.reading() as session:
        versions, models = _versions(session), _models(session, artifacts, since)
        trained = trained_weights(session) if artifacts.shared else set()
        files, last = dataset_files(session), last_run(session)
    # The survey lists and reads the whole store, which may take long, so nobody is held up meanwhile.
    survey = artifacts.survey(models, grace_s, files)
    # Datasets prove nothing: everybody has golden-v1.
    if survey.dead and not versions and not any(map(artifacts.has, trained)):
        raise InputError(
            f"{artifacts.place}: no model of this registry is kept there, so it may be another registry's. "
            "Check HALLMARK_HOME, HALLMARK_REGISTRY_URL and HALLMARK_ARTIFACTS; nothing was removed."
        )
    for sha256 in versions:
        if not survey.kept[sha256]:
            artifacts.files(sha256)  # raises: it is missing
    # What was garbage may be needed by now: somebody promoted it again or runs it. So it is asked once more,
    # and removed, under the write lock. A promotion that stored an artifact and did not commit yet then finds
    # it missing in its own transaction, and stores it again.
    with database.reading() if dry_run else database.writing() as session:
        models, files = _models(session, artifacts, since), files | dataset_files(session, after=last)
        return artifacts.sweep(survey, models, dry_run, files)


def _models(session: Session, artifacts: Store, since: str | None) -> set[str]:
    """Hashes of the weights that stay: of the versions, of what runs work with, and, where other homes may
    need them, of what was trained.
    """
    trained = trained_weights(session, since or "") if artifacts.shared else set()
    return _versions(session) | weights_in_use(session) | trained


def _versions(session: Session) -> set[str]:
    return set(session.exec(select(ModelVersion.weights_sha256)))


def _days_ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()
