"""The files of a run (see the reference page "Files of a run")."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import IntegrityError
from core.sealed import sha256_files
from registry import Registry, Run

LOCK = ".lock"
"""The file of a run's folder that is locked while a process works on the run."""


def is_here(path: Path) -> bool:
    """Whether a path is there and may be read: a run of another machine names folders that are not, or that
    are somebody else's here.
    """
    return os.access(path, os.R_OK)


@dataclass(frozen=True)
class RunFiles:
    """Names of the files in a run's directory."""

    directory: Path

    @property
    def manifest(self) -> Path:
        """Every input that can change the result."""
        return self.directory / "manifest.json"

    @property
    def dataset(self) -> Path:
        """The exported golden items."""
        return self.directory / "dataset.jsonl"

    @property
    def predictions(self) -> Path:
        """What the model wrote, one item a line."""
        return self.directory / "predictions.jsonl"

    @property
    def predictions_partial(self) -> Path:
        """The predictions of a run that is not done, with a hash in each line."""
        return self.directory / "predictions.partial.jsonl"

    @property
    def predictions_meta(self) -> Path:
        """How the predictions were made."""
        return self.directory / "predictions_meta.json"

    @property
    def scores(self) -> Path:
        """What the judge said, one item a line."""
        return self.directory / "scores.jsonl"

    @property
    def judge_errors(self) -> Path:
        """Items that the judge failed on; there is no score then."""
        return self.directory / "judge_errors.jsonl"

    @property
    def metrics(self) -> Path:
        """Aggregates of the scores."""
        return self.directory / "metrics.json"

    @property
    def model(self) -> Path:
        """The trained model's Hugging Face directory."""
        return self.directory / "model"

    @property
    def training(self) -> Path:
        """The loss curve, one step a line."""
        return self.directory / "training.jsonl"

    @property
    def loss_curve(self) -> Path:
        """The loss curve as a picture."""
        return self.directory / "loss_curve.svg"

    @property
    def training_result(self) -> Path:
        """The training's summary."""
        return self.directory / "training_result.json"

    @property
    def adapter(self) -> Path:
        """The trained adapters, apart from the model."""
        return self.directory / "adapter"

    @property
    def training_sums(self) -> Path:
        """The sha256 of the files of a training that is done, as sha256sum writes it."""
        return self.directory / "training.sha256"

    @property
    def predictions_sums(self) -> Path:
        """The sha256 of the predictions when they are done, as sha256sum writes it."""
        return self.directory / "predictions.sha256"

    @property
    def comparison(self) -> Path:
        """The comparison of this run with its baseline."""
        return self.directory / "comparison.json"

    @property
    def flow_run(self) -> Path:
        """The Prefect flow run that worked on this run last."""
        return self.directory / "flow_run.json"

    @property
    def log(self) -> Path:
        """What the libraries printed."""
        return self.directory / "log.txt"


def files_of(run: Run, registry: Registry) -> RunFiles:
    """The files of a recorded run; none of them is there where another machine made it."""
    return RunFiles(registry.runs.directory(run.run_id))


def left_files(files: RunFiles) -> dict[str, str]:
    """The sha256 of every file that a run leaves when it finishes, by its name relative to the run's folder.
    What is hidden is no part of the run: its lock, and what a killed writer left.

    Raises:
        IntegrityError: a file went away meanwhile.
    """
    paths = sorted(_visible(files.directory))
    names = [path.relative_to(files.directory).as_posix() for path in paths]
    found: dict[str, str] = {}
    for name, sha256 in zip(names, sha256_files(paths), strict=True):
        if sha256 is None:
            raise IntegrityError(f"{files.directory / name}: went away while the run was being recorded.")
        found[name] = sha256
    return found


def _visible(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if not path.name.startswith("."):
            yield from _visible(path) if path.is_dir() else [path]
