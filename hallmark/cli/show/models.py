"""Registered models, their versions, aliases and history, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.padding import Padding
from rich.text import Text

from hallmark.cli.show.tables import plain_table
from hallmark.cli.terminal import out
from registry import ModelVersion
from registry.models import ModelSummary
from registry.tables import Alias, PromotionLog

SHOWN = (
    "model",
    "number",
    "run_id",
    "weights_sha256",
    "dataset_key",
    "dataset_version",
    "judge",
    "parent_model",
    "created_at",
    "path",
)
SHOWN_HASH = 16
"""Characters of a hash that a line of a table has."""


def show_models(models: Sequence[ModelSummary]) -> None:
    """Print a line per model."""
    table = plain_table(["model", "champion", "versions"], right=(2,))
    for model in models:
        table.add_row(model.name, _number(model.champion), str(model.versions))
    out.print(table if models else "no models yet: hallmark experiment")


def show_version(document: Mapping[str, Any]) -> None:
    """Print what pins a version, and where it is."""
    for name in SHOWN:
        out.print(f"{name:<15} {document[name]}", markup=False, soft_wrap=True, hanging=16)


def show_versions(versions: Sequence[ModelVersion]) -> None:
    """Print a line per version."""
    table = plain_table(["version", "run", "dataset", "weights sha256"], whole=(0, 1))
    for version in versions:
        table.add_row(
            f"v{version.number}",
            version.run_id,
            f"{version.dataset_key}-{version.dataset_version}",
            version.weights_sha256[:SHOWN_HASH] + "...",
        )
    out.print(table)


def show_aliases(model: str, aliases: Sequence[Alias]) -> None:
    """Print a line per alias."""
    table = plain_table(["alias", "version", ""])
    for alias in aliases:
        table.add_row(alias.name, _number(alias.version), "protected" if alias.protected else "")
    out.print(table if aliases else f"{model} has no alias")


def show_history(rows: Sequence[PromotionLog]) -> None:
    """Print each decision with its reason."""
    for row in rows:
        moves = row.to_version is not None or row.action == "removed"
        move = f"{_number(row.from_version)} -> {_number(row.to_version)}" if moves else "no change"
        moved = f"{row.alias}: {move}"
        out.print(
            f"{row.id:>4}  {row.created_at[:19]}  {row.action:<11} {moved:<24} {row.actor}", markup=False
        )
        out.print(Padding(Text(row.reason, "dim"), (0, 0, 0, 6)))


def _number(version: int | None) -> str:
    return "none" if version is None else f"v{version}"
