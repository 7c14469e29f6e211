"""Datasets: a key and a version stand for one file, forever."""

from __future__ import annotations

from sqlmodel import Session, select

from core.errors import IntegrityError
from registry.columns import now
from registry.database import Database
from registry.tables import Dataset


class Datasets:
    """The frozen datasets that runs are judged on, each pinned by the sha256 of its file."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def register(self, key: str, version: str, sha256: str, items: int) -> Dataset:
        """Record a dataset. One that is recorded already must be the same.

        Raises:
            IntegrityError: the key and version stand for another file.

        Example:
            >>> registry.datasets.register("golden", "v1", sha256, items=360).id
            1
        """
        with self.database.writing() as session:
            known = _known(session, key, version, sha256)
            if known is None:
                known = Dataset(key=key, version=version, sha256=sha256, items=items, created_at=now())
                session.add(known)
                session.flush()
            return known

    def check(self, key: str, version: str, sha256: str) -> None:
        """Record nothing; raise IntegrityError where the key and version stand for another file already.

        Example:
            >>> registry.datasets.check("golden", "v1", sha256)
        """
        with self.database.reading() as session:
            _known(session, key, version, sha256)

    def get(self, dataset_id: int) -> Dataset:
        """A dataset by its row id, as a run names it.

        Example:
            >>> registry.datasets.get(run.dataset_id).key
            'golden'
        """
        with self.database.reading() as session:
            return session.exec(select(Dataset).where(Dataset.id == dataset_id)).one()

    def named(self, key: str, version: str) -> Dataset | None:
        """A dataset by its name; None where none of this name is recorded.

        Example:
            >>> registry.datasets.named("golden", "v9") is None
            True
        """
        with self.database.reading() as session:
            return session.exec(select(Dataset).where(Dataset.key == key, Dataset.version == version)).first()


def _known(session: Session, key: str, version: str, sha256: str) -> Dataset | None:
    known = session.exec(select(Dataset).where(Dataset.key == key, Dataset.version == version)).first()
    if known is not None and known.sha256 != sha256:
        raise IntegrityError(
            f"dataset {key}-{version}: changed since it was registered: expected sha256 {known.sha256}, "
            f"found {sha256}. Restore the file, or give the changed one a new version."
        )
    return known
