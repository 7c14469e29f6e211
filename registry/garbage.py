"""Which artifacts are garbage: those that no model version and no running run names."""

from __future__ import annotations

from sqlmodel import Session, select

from core.errors import InputError
from registry.artifacts.garbage import Collected
from registry.artifacts.store import Store
from registry.database import Database
from registry.runs import weights_in_use
from registry.tables import ModelVersion

GRACE_S = 3600.0
"""Age below which an artifact stays, in seconds: its promotion may be on the way."""


def collect(database: Database, artifacts: Store, dry_run: bool, grace_s: float) -> Collected:
    """See `registry.registry.Registry.collect_garbage`."""
    with database.reading() as session:
        versions, in_use = _versions(session), weights_in_use(session)
    if not versions and not artifacts.is_empty():
        raise InputError(
            f"{artifacts.place}: no model version of this registry is kept there, so it may be another "
            "registry's. Check HALLMARK_HOME, HALLMARK_REGISTRY_URL and HALLMARK_ARTIFACTS; nothing was "
            "removed."
        )
    # The survey lists and reads the whole store, which may take long, so nobody is held up meanwhile.
    survey = artifacts.survey(versions | in_use, grace_s)
    for sha256 in versions:
        if not survey.kept[sha256]:
            artifacts.files(sha256)  # raises: it is missing
    # What was garbage may be needed by now: somebody promoted it again or runs it. So it is asked once more,
    # and removed, under the write lock. A promotion that stored an artifact and did not commit yet then finds
    # it missing in its own transaction, and stores it again.
    with database.writing() as session:
        return artifacts.sweep(survey, _versions(session) | weights_in_use(session), dry_run)


def _versions(session: Session) -> set[str]:
    return set(session.exec(select(ModelVersion.weights_sha256)))
