"""The files of the runs that are on this machine, compared with what is recorded of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import read_json
from core.locks import holder
from core.sealed import SUMS, damage, file_size, intact_lines, sha256_files
from experiments.run_files import LOCK, files_of, is_here
from experiments.workspace import Workspace
from registry import Problem, Registry, Run
from registry.artifacts.checkouts import is_intact

ALL = 1_000_000
"""More runs than any registry has."""


@dataclass(frozen=True, slots=True)
class RunsCheck:
    """What a look at the files of all runs found.

    Attributes:
        problems: each file that was changed, or is missing from a folder that is there.
        runs: how many folders were looked at.
        files: how many files were hashed.
        bytes: their total size.
        elsewhere: ids of finished runs whose whole folder is not on this machine.
        without_model: ids of finished runs whose whole `model/` is gone, as garbage collection leaves them.
    """

    problems: tuple[Problem, ...] = ()
    runs: int = 0
    files: int = 0
    bytes: int = 0
    elsewhere: tuple[str, ...] = ()
    without_model: tuple[str, ...] = ()


def check_runs(workspace: Workspace) -> RunsCheck:
    """Hash the files of every run that is here, with progress, and compare them with what is recorded.

    Of a finished run all files that it left are recorded; of one from before that, what its row says of its
    model, its predictions, its dataset and its manifest. Of an unfinished run only what it resumes from is
    looked at, and nothing while a process works on it. What else is in a folder is nobody's business.

    Args:
        workspace: its registry knows the runs.

    Raises:
        ResourceError: a file is there and cannot be read.

    Example:
        >>> check_runs(open_workspace()).problems
        ()
    """
    registry = workspace.registry
    runs = registry.runs.list(limit=ALL)
    here = [run for run in runs if is_here(registry.runs.directory(run.run_id))]
    finished = [run for run in here if run.status == "finished"]
    wanted = [file for run in finished for file in _recorded(run, registry)]
    found = sha256_files([file.path for file in wanted], "verify files of runs")
    without_model = {run.run_id for run in finished if _is_without_model(run, registry)}
    problems = [
        Problem(f"run {file.run_id}", f"{file.path}: {'missing' if sha256 is None else 'changed'}")
        for file, sha256 in zip(wanted, found, strict=True)
        if sha256 != file.sha256 and not (file.of_model and file.run_id in without_model)
    ]
    for run in here:
        checks = _documents if run.status == "finished" else _unfinished
        problems.extend(Problem(f"run {run.run_id}", what) for what in checks(run, registry))
    ids = {run.run_id for run in here}
    return RunsCheck(
        problems=tuple(problems),
        runs=len(here),
        files=sum(sha256 is not None for sha256 in found),
        bytes=sum(file_size(file.path) for file in wanted),
        elsewhere=tuple(run.run_id for run in runs if run.status == "finished" and run.run_id not in ids),
        without_model=tuple(sorted(without_model)),
    )


@dataclass(frozen=True, slots=True)
class _File:
    """A file whose sha256 is recorded.

    Attributes:
        of_model: whether it belongs to the trained model.
    """

    run_id: str
    path: Path
    sha256: str
    of_model: bool = False


def _recorded(run: Run, registry: Registry) -> Iterator[_File]:
    """The files of a finished run's folder whose sha256 is recorded."""
    files = files_of(run, registry)
    if run.files is None:  # from before they were recorded
        yield _File(run.run_id, files.predictions, str(run.predictions_sha256))
        yield _File(run.run_id, files.dataset, registry.datasets.get(run.dataset_id).sha256)
    for name, sha256 in (run.files or {}).items():
        path = files.directory / name
        yield _File(run.run_id, path, sha256, of_model=path.is_relative_to(files.model))


def _is_without_model(run: Run, registry: Registry) -> bool:
    files = files_of(run, registry)
    prefix = f"{files.model.name}/"
    return not files.model.is_dir() and any(name.startswith(prefix) for name in run.files or ())


def _documents(run: Run, registry: Registry) -> Iterator[str]:
    """What is wrong with the files of a finished run that no recorded sha256 is for."""
    files = files_of(run, registry)
    if run.files is None:
        row = registry.runs.get(run.run_id)
        yield from _differs(files.manifest, row.manifest)
        yield from _differs(files.predictions_meta, row.predictions_meta)
        if files.model.is_dir() and not is_intact(files.model, str(run.model_sha256)):
            yield f"{files.model}: changed"
    if files.comparison.is_file():  # written after the run
        yield from _differs(files.comparison, *registry.comparisons.reports(run.run_id))


def _unfinished(run: Run, registry: Registry) -> Iterator[str]:
    """What is wrong with what an interrupted run resumes from."""
    files = files_of(run, registry)
    lock = files.directory / LOCK
    if holder(lock) is not None:
        return
    sums = [path for name in ("*.sha256", f"**/{SUMS}") for path in sorted(files.directory.glob(name))]
    problems = [
        *_differs(files.manifest, registry.runs.get(run.run_id).manifest),
        *filter(None, map(damage, sums)),
        *filter(None, [intact_lines(files.predictions_partial)[1]]),
    ]
    if files.dataset.is_file():
        expected = registry.datasets.get(run.dataset_id).sha256
        problems += [f"{files.dataset}: changed"] if sha256_files([files.dataset]) != [expected] else []
    if holder(lock) is None:  # else somebody is at work on it by now
        yield from (f"{problem}. The same command makes it again" for problem in problems)


def _differs(path: Path, *documents: Any) -> Iterator[str]:
    """What is wrong with a JSON file that holds one of some documents."""
    try:
        if read_json(path) not in documents:
            yield f"{path}: changed"
    except InputError as error:
        yield str(error)
