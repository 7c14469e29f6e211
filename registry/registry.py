"""The registry: one object for everything that is recorded."""

from __future__ import annotations

from pathlib import Path

from registry.aliases import Aliases
from registry.engine import Database
from registry.failures import describe
from registry.models import Models
from registry.promotion import Promotion
from registry.records import Problem
from registry.runs import Runs
from registry.store import Store
from registry.verify import verify


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
        return self.store.get_tree(version.weights_sha256), f"{version.model}@v{version.number}"

    def verify(self) -> list[Problem]:
        """Hash everything again; what is not as it was recorded."""
        return verify(self.database, self.store)

    def close(self) -> None:
        """Give back all database connections."""
        self.database.close()
