"""Making room: removes trained models. Their scores stay, and training again gives the same bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from core.files import raise_for_os_error
from core.locks import acquire
from experiments.run_files import LOCK, files_of, is_here
from experiments.workspace import Workspace
from registry import Run
from registry.artifacts.staging import leftovers, remove_leftovers, remove_tree


@dataclass(frozen=True, slots=True)
class RemovedModel:
    """A finished run's `model/` directory that was, or would be, removed.

    Attributes:
        run_id: the run; its predictions, scores and manifest stay.
        path: the directory.
        bytes: the size of its files.
        stored: the same weights are in the artifact store.
    """

    run_id: str
    path: Path
    bytes: int
    stored: bool


def remove_models(workspace: Workspace, older_than_days: float, dry_run: bool = False) -> list[RemovedModel]:
    """Remove the models of trained runs that finished long ago, except those that some run works with.

    Args:
        workspace: home folder and registry.
        older_than_days: how long ago a run must have finished, in days.
        dry_run: report what would be removed, and remove nothing.

    Raises:
        ResourceError: a folder cannot be removed, or the artifact store is not usable.
    """
    registry = workspace.registry
    before = (datetime.now(UTC) - timedelta(days=older_than_days)).isoformat()
    in_use = registry.runs.weights_in_use()
    removed: list[RemovedModel] = []
    for run in registry.runs.list(limit=1_000_000, kind="trained"):
        old = run.status == "finished" and (run.finished_at or "") < before
        if old and run.model_sha256 not in in_use:
            removed.extend(_remove_model(run, workspace, dry_run))
    return removed


def _remove_model(run: Run, workspace: Workspace, dry_run: bool) -> Iterator[RemovedModel]:
    files = files_of(run, workspace.registry)
    if not is_here(files.model) and not leftovers(files.directory):
        return
    lock = acquire(files.directory / LOCK, f"garbage collection, run {run.run_id}")
    if lock is None:  # the run is being worked on
        return
    try:
        if files.model.is_dir():
            size = sum(path.lstat().st_size for path in files.model.rglob("*") if not path.is_dir())
            stored = run.model_sha256 is not None and workspace.registry.artifacts.has(run.model_sha256)
            if not dry_run:
                remove_tree(files.model, files.directory)
            yield RemovedModel(run.run_id, files.model, size, stored)
        if not dry_run:
            remove_leftovers(files.directory)
    except OSError as error:
        raise_for_os_error(error, files.model)
    finally:
        os.close(lock)
