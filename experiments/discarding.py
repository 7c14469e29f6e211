"""Giving up a run that was not finished: what it left on the disk goes, and its row says so."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from core.errors import InputError, ResourceError
from core.files import raise_for_os_error
from core.locks import acquire, holder
from experiments.promoting import actor
from experiments.run_files import LOCK, files_of, is_here
from experiments.workspace import Workspace
from registry.artifacts.staging import remove_leftovers, remove_tree


@dataclass(frozen=True, slots=True)
class Discarded:
    """A run that was, or would be, given up.

    Attributes:
        run_id: the run; its row stays, as failed.
        directory: of its files.
        files: how many there were.
        bytes: their size.
    """

    run_id: str
    directory: Path
    files: int
    bytes: int


def discard(reference: str, workspace: Workspace, reason: str = "", dry_run: bool = False) -> Discarded:
    """Give up a run that failed or was interrupted: it is recorded as failed, with who gave it up and why,
    and its folder is removed: predictions so far, checkpoints, whatever it trained. The same experiment then
    begins again.

    Args:
        reference: run id, or a unique beginning or end of one.
        workspace: home folder and registry.
        reason: why; recorded.
        dry_run: report what would be removed, and change nothing.

    Raises:
        InputError: there is no such run, it is finished, or its files are on another machine.
        ResourceError: a process works on it, or its folder cannot be removed.
    """
    registry = workspace.registry
    run = registry.runs.get(reference)
    if run.status == "finished":
        raise InputError(
            f"run {run.run_id}: is finished, and what was decided may rest on it. What finished runs take is "
            "freed by: hallmark registry gc --models-older-than DAYS"
        )
    files = files_of(run, registry)
    if not is_here(files.directory):
        if run.status == "running" and run.error is None:
            raise InputError(
                f"run {run.run_id}: {files.directory} is on another machine, which may be at work on it, or "
                "gone. Discard it there."
            )
        return Discarded(run.run_id, files.directory, 0, 0)
    lock = acquire(files.directory / LOCK, f"discarding run {run.run_id}")
    if lock is None:
        owner = holder(files.directory / LOCK)
        by = f" (process {owner.pid})" if owner else ""
        raise ResourceError(f"run {run.run_id}: a process works on it{by}. Stop that first.")
    try:
        found = [path for path in files.directory.rglob("*") if not path.is_dir() and path.name != LOCK]
        size = sum(path.lstat().st_size for path in found)
        if not dry_run:
            before = f"; before that: {run.error}" if run.error else ""
            why = f": {reason}" if reason else ""
            registry.runs.fail(run.run_id, f"discarded by {actor()}{why}{before}")
            remove_tree(files.directory, workspace.runs)
            remove_leftovers(workspace.runs)
    except OSError as error:
        raise_for_os_error(error, files.directory)
    finally:
        os.close(lock)
    return Discarded(run.run_id, files.directory, len(found), size)
