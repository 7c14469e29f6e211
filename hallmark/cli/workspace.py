"""The registry that commands read and write."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from registry import Registry


def open_registry() -> Registry:
    """The registry of the workspace that the environment names."""
    from experiments.workspace import open_workspace

    return open_workspace().registry


def writable_registry() -> Registry:
    """The same for a command that writes; a ResourceError where home or registry are read-only."""
    from experiments.workspace import open_workspace

    workspace = open_workspace()
    workspace.check_writable()
    return workspace.registry
