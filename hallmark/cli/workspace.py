"""The registry that commands read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from registry import Registry


def open_registry() -> Registry:
    """The registry of the workspace that the environment names."""
    from experiments.workspace import open_workspace

    return open_workspace().registry
