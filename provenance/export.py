"""A model version as a directory that one can push to the hub, serve, and give to others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import InputError, IntegrityError
from core.files import atomic_writer, canonical_json, fsync_directory, raise_for_os_error
from provenance.attestation import stored_document, tree_files
from provenance.card import model_card
from provenance.files import CARD, METRICS, STATEMENT, WRITTEN
from provenance.keys import SigningKey
from provenance.signing import opened
from provenance.statement import metrics_json
from provenance.verification import subjects
from registry.artifacts.staging import beside, remove_leftovers, staging

if TYPE_CHECKING:
    from registry import ModelVersion, Registry


def export(
    registry: Registry,
    version: ModelVersion,
    target: Path,
    *,
    key: SigningKey | None = None,
    force: bool = False,
) -> int:
    """Write a version's verified files, model card, statement and metrics to a directory, atomically.

    Args:
        registry: holds the version.
        version: its row.
        target: the directory.
        key: signs the statement, where it was not signed at the promotion.
        force: replace an earlier export.

    Returns:
        How many files the directory holds.

    Raises:
        InputError: `target` holds something else.
        IntegrityError: the artifact is missing or changed, or is not what the statement says.
        ResourceError: the disk is full or cannot be written.

    Example:
        >>> export(registry, registry.models.get("tiny-reasoner@champion"), Path("exported"))
        5
    """
    target = target.absolute()
    check_target(target, force=force)
    document = stored_document(registry, version, key)
    statement = opened(document)
    held = {file.name: file.sha256 for file in tree_files(registry, version) if file.name not in WRITTEN}
    if held != subjects(statement):
        raise IntegrityError(
            f"{version.model} v{version.number}: its statement names other files than its artifact holds. "
            "See: hallmark verify"
        )
    written = {
        CARD: model_card(statement, registry.comparisons.find(version)).encode(),
        STATEMENT: canonical_json(document).encode() + b"\n",
        METRICS: metrics_json(
            statement["predicate"]["hallmark_version"], statement["predicate"]["hallmark_evaluation"]
        ),
    }
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target.parent, beside(target))
        with staging(target.parent, beside(target)) as folder:
            made = folder / "new"
            _copy(registry, version.weights_sha256, made)
            for name, data in written.items():
                with atomic_writer(made / name) as file:
                    file.write(data)
            _replace(made, target, folder / "old")
    except OSError as error:
        raise_for_os_error(error, target)
    return len(held) + len(written)


def check_target(target: Path, *, force: bool) -> None:
    """Raise InputError where nothing may be written: at a file, a link, or what is no earlier export."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise InputError(f"{target}: is not a directory. Name one that is new or empty.")
    if not target.is_dir() or not any(target.iterdir()):
        return
    if not force:
        raise InputError(
            f"{target}: is not empty. Name another directory, or replace an earlier export with --force."
        )
    if not (target / STATEMENT).is_file() or (target / ".git").exists():
        raise InputError(
            f"{target}: holds something other than an export, which --force does not replace. "
            "Name another directory."
        )


def _replace(made: Path, target: Path, old: Path) -> None:
    replaced = target.exists()
    if replaced:
        target.rename(old)
    try:
        made.rename(target)
    except OSError:
        if replaced:
            old.rename(target)
        raise
    fsync_directory(target.parent)


def _copy(registry: Registry, sha256: str, target: Path) -> None:
    """The verified files of an artifact."""
    registry.artifacts.export(sha256, target)
