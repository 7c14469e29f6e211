"""The registry: one object for everything that is recorded."""

from __future__ import annotations

from pathlib import Path

from sqlmodel import Session, select

from core.errors import InputError
from registry.aliases import Aliases
from registry.artifacts.garbage import Collected
from registry.artifacts.store import Store
from registry.database_errors import describe
from registry.database import Database
from registry.models import Models
from registry.promotion import Promotion
from registry.rows import Problem
from registry.runs import Runs
from registry.tables import ModelVersion, Run
from registry.verify import verify

GRACE_S = 3600.0
"""Age below which garbage collection leaves an artifact alone, in seconds: its promotion may be on the way."""


class Registry(Runs, Models, Promotion, Aliases):
    """Datasets, runs, model versions, aliases, the promotion log and the artifacts, on one database and one store.

    Every row that comes out of it stays usable after its transaction.
    """

    def __init__(self, database: Database, store: Store) -> None:
        Promotion.__init__(self, database, store)

    @property
    def description(self) -> str:
        """Where the registry is, without any password."""
        return describe(self.database.engine.url)

    def model_directory(self, reference: str) -> tuple[Path, str]:
        """The verified directory of NAME@ALIAS or NAME@vN, and its version as NAME@vN.

        Raises:
            InputError: there is no such version.
            IntegrityError: its artifact is missing or changed.
        """
        version = self.get_version(reference)
        return self.artifacts.get_tree(version.weights_sha256), f"{version.model}@v{version.number}"

    def weights_in_use(self) -> set[str]:
        """Hashes of the weights that running runs judge or start from."""
        with self.database.reading() as session:
            return _in_use(session)

    def collect_garbage(self, dry_run: bool = False, grace_s: float = GRACE_S) -> Collected:
        """Remove artifacts that no model version and no running run names.

        The store is listed first, which may take long and holds nobody up. What is found is removed inside a write transaction, except
        what a version or run has come to need meanwhile; an artifact that is stored but not promoted yet is then missing, which its
        promotion notices in its own transaction.

        Args:
            dry_run: only tell what would be removed.
            grace_s: artifacts stored less than so many seconds ago stay.

        Raises:
            InputError: no version is recorded here, so that nothing in the store is known to be this registry's.
            IntegrityError: an artifact of a version is missing or damaged; nothing is removed.
            ResourceError: the store is not usable.
        """
        with self.database.reading() as session:
            versions, in_use = _versions(session), _in_use(session)
        if not versions and any(True for _ in self.artifacts.blobs.list()):
            raise InputError(
                f"{self.artifacts.place}: no model version of this registry is kept there, so it may be another registry's. "
                "Check HALLMARK_HOME, HALLMARK_REGISTRY_URL and HALLMARK_ARTIFACTS; nothing was removed."
            )
        survey = self.artifacts.survey(versions | in_use, grace_s)
        for sha256 in versions:
            if not survey.kept[sha256]:
                self.artifacts.tree(sha256)  # says that it is missing
        with self.database.writing() as session:
            return self.artifacts.sweep(survey, _versions(session) | _in_use(session), dry_run)

    def verify(self) -> list[Problem]:
        """Hash everything again; what is not as it was recorded."""
        return verify(self.database, self.artifacts)

    def close(self) -> None:
        """Give back all database connections."""
        self.database.close()


def _versions(session: Session) -> set[str]:
    return set(session.exec(select(ModelVersion.weights_sha256)))


def _in_use(session: Session) -> set[str]:
    rows = session.exec(select(Run.model_sha256, Run.parent_model_sha256).where(Run.status == "running"))
    return {sha256 for row in rows for sha256 in row if sha256}
