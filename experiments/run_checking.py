"""The files of the runs that are on this machine, compared with what is recorded of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import HallmarkError, InputError, IntegrityError
from core.files import read_json
from core.locks import holder
from core.sealed import SUMS, damage, file_size, intact_lines, sha256_files
from experiments.run_files import LOCK, files_of, is_here, misplaced, predictions_damage, training_damage
from experiments.workspace import Workspace
from registry import Problem, Registry, Run
from registry.artifacts.checkouts import is_intact

ALL = 1_000_000
"""More runs than any registry has."""

STAGE = "verify files of runs"


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

    Example:
        >>> check_runs(open_workspace()).problems
        ()
    """
    registry = workspace.registry
    runs = registry.runs.list(limit=ALL)
    checks = [_Check(run, registry) for run in runs if is_here(registry.runs.directory(run.run_id))]
    paths = [path for check in checks for path in check.recorded]
    hashes = dict(zip(paths, sha256_files(paths, STAGE), strict=True))
    here = {check.run.run_id for check in checks}
    return RunsCheck(
        problems=tuple(problem for check in checks for problem in check.problems(hashes)),
        runs=len(checks),
        files=sum(sha256 is not None for sha256 in hashes.values()),
        bytes=sum(map(file_size, hashes)),
        elsewhere=tuple(run.run_id for run in runs if run.status == "finished" and run.run_id not in here),
        without_model=tuple(check.run.run_id for check in checks if check.is_without_model),
    )


class _Check:
    """One run whose folder is here.

    Attributes:
        run: its row, without its documents.
        recorded: the files whose sha256 is recorded, and that.
        unreadable: its row could not be read.
    """

    def __init__(self, run: Run, registry: Registry) -> None:
        self.run = run
        self.registry = registry
        self.files = files_of(run, registry)
        self.recorded: dict[Path, str] = {}
        self.older = self.unreadable = False
        if run.status != "finished":
            return
        try:
            names = registry.runs.files(run.run_id)
            if names is None:
                self.older = True
                dataset = registry.datasets.get(run.dataset_id).sha256
                predictions = str(run.predictions_sha256)
                names = {self.files.predictions.name: predictions, self.files.dataset.name: dataset}
            self.recorded = {self.files.directory / name: sha256 for name, sha256 in names.items()}
        except IntegrityError:
            self.unreadable = True
        except HallmarkError:
            raise
        except Exception:  # whatever an edited row breaks; the others are still checked
            self.unreadable = True

    @property
    def is_without_model(self) -> bool:
        """Whether the run left a model, and its folder is gone."""
        return not self.files.model.is_dir() and any(map(self._is_of_model, self.recorded))

    def _is_of_model(self, path: Path) -> bool:
        return path.is_relative_to(self.files.model)

    def problems(self, hashes: Mapping[Path, str | None]) -> Iterator[Problem]:
        """What is wrong with the run's files.

        Args:
            hashes: the sha256 of each recorded file as it is now; None for one that is missing.
        """
        try:
            for what in self._unfinished() if self.run.status != "finished" else self._finished(hashes):
                yield Problem(f"run {self.run.run_id}", what)
        except HallmarkError:
            raise
        except Exception:  # as above
            self.unreadable = True
        if self.unreadable:
            yield Problem(f"run {self.run.run_id}", "its row cannot be read, so its files cannot be checked")

    def _finished(self, hashes: Mapping[Path, str | None]) -> Iterator[str]:
        removed = not self.files.model.is_dir()
        for path, sha256 in self.recorded.items():
            if hashes[path] != sha256 and not (removed and self._is_of_model(path)):
                yield f"{path}: {_how(path, hashes[path])}"
        if not removed and any(map(self._is_of_model, self.recorded)):  # one tree, hashed as a whole
            for path in sorted(self.files.model.rglob("*")):
                if path not in self.recorded and (path.is_symlink() or not path.is_dir()):
                    yield f"{path}: added"
        if self.older:
            row = self.registry.runs.get(self.run.run_id)
            yield from _differs(self.files.manifest, row.manifest)
            yield from _differs(self.files.predictions_meta, row.predictions_meta)
            if not removed and not is_intact(self.files.model, str(row.model_sha256)):
                yield f"{self.files.model}: changed"
        if self.files.comparison.is_file():  # written after the run
            yield from _differs(self.files.comparison, *self.registry.comparisons.reports(self.run.run_id))

    def _unfinished(self) -> Iterator[str]:
        """What is wrong with what an interrupted run resumes from; nothing while somebody works on it."""
        files, lock = self.files, self.files.directory / LOCK
        if holder(lock) is not None:
            return
        if odd := misplaced(files):  # nothing is read before: to open a pipe waits for ever
            yield from (f"{path}: not what a run has there. The same command makes it again" for path in odd)
            return
        problems = [
            *_differs(files.manifest, self.registry.runs.get(self.run.run_id).manifest),
            *filter(None, map(damage, sorted(files.directory.glob(f"**/{SUMS}")))),
            *filter(None, [intact_lines(files.predictions_partial).problem]),
        ]
        for sums, wrong in (
            (files.training_sums, training_damage),
            (files.predictions_sums, predictions_damage),
        ):
            if sums.exists() and (problem := wrong(files)) is not None:
                problems.append(problem)
        dataset = self.registry.datasets.get(self.run.dataset_id).sha256
        if files.dataset.is_file() and sha256_files([files.dataset]) != [dataset]:
            problems.append(f"{files.dataset}: changed")
        if holder(lock) is None:  # else somebody began to work on it meanwhile
            yield from (f"{problem}. The same command makes it again" for problem in problems)


def _how(path: Path, sha256: str | None) -> str:
    """How a recorded file differs, given what it hashes to now."""
    if sha256 is not None:
        return "changed" if sha256 else "cannot be read"
    return "not a file" if os.path.lexists(path) else "missing"


def _differs(path: Path, *documents: Any) -> Iterator[str]:
    """What is wrong with a JSON file that holds one of some documents."""
    try:
        if read_json(path) not in documents:
            yield f"{path}: changed"
    except InputError as error:
        yield str(error)
