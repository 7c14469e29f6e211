"""The home folder and the registry that a process works with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.settings import Settings, get_settings
from registry import Registry, open_registry


@dataclass(frozen=True)
class Workspace:
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
        return self.home / "runs"


def open_workspace(settings: Settings | None = None) -> Workspace:
    """Open the workspace that the environment names, making it when it is new.

    The names are HALLMARK_HOME, HALLMARK_REGISTRY_URL and HALLMARK_ARTIFACTS.

    Example:
        >>> workspace = open_workspace()
        >>> workspace.registry.runs.count()
        2
    """
    settings = settings or get_settings()
    home = settings.home.absolute()
    return Workspace(home, open_registry(home, settings.registry_url, artifacts=settings.artifacts))
