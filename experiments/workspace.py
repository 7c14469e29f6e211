"""The home folder and the registry that a process works with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.files import make_home
from core.settings import Settings, get_settings
from core.tabular import Row, Tabular
from registry import Registry, open_registry


@dataclass(frozen=True, repr=False)
class Workspace(Tabular):
    """Where everything is kept.

    Attributes:
        home: runs, artifacts and hub models are below it; absolute.
        registry: the open registry.
    """

    home: Path
    registry: Registry

    @property
    def runs(self) -> Path:
        """Folder of the runs."""
        return self.registry.runs.folder

    def check_writable(self) -> None:
        """Refuse, before anything is computed, what could not be kept.

        Raises:
            ResourceError: the home or the registry is read-only.
        """
        make_home(self.home)
        self.registry.database.check_writable()

    def table_caption(self) -> str:
        """Where it is."""
        return f"workspace {self.home}"

    def table_rows(self) -> list[Row]:
        """One row: the places, and how much is recorded."""
        registry = self.registry
        return [
            {
                "home": str(self.home),
                "registry": registry.description,
                "artifacts": registry.artifacts.place,
                "runs": registry.runs.count(),
                "models": len(registry.models.list()),
            }
        ]


def open_workspace(settings: Settings | None = None) -> Workspace:
    """Open the workspace that the environment names, making it when it is new; one that is read-only, for
    reading.

    The names are HALLMARK_HOME, HALLMARK_REGISTRY_URL and HALLMARK_ARTIFACTS.

    Example:
        >>> workspace = open_workspace()
        >>> workspace.registry.runs.count()
        2
    """
    settings = settings or get_settings()
    home = settings.home.absolute()
    return Workspace(home, open_registry(home, settings.registry_url, artifacts=settings.artifacts))
