"""The files of a run (see the reference page "Files of a run")."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import IntegrityError
from core.files import TEMPORARY, read_json
from core.sealed import damage, sha256_files
from inference.contract import META, PARTIAL, PREDICTIONS, SUMS
from registry import Registry, Run
from registry.artifacts.checkouts import is_intact
from trainer.contract import CHECKPOINTS, RESUMABLE

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
        return self.directory / PREDICTIONS

    @property
    def predictions_partial(self) -> Path:
        """The predictions of a run that is not done, with a hash in each line."""
        return self.directory / PARTIAL

    @property
    def predictions_meta(self) -> Path:
        """How the predictions were made."""
        return self.directory / META

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
        return self.directory / SUMS

    @property
    def trained(self) -> tuple[Path, ...]:
        """The files that the list of a training has to name; it also names those of adapters."""
        return self.training, self.loss_curve, self.training_result

    @property
    def predicted(self) -> tuple[Path, ...]:
        """The files that the list of the predictions names."""
        return self.predictions, self.predictions_meta

    @property
    def plain(self) -> tuple[Path, ...]:
        """Every plain file that a run may have when it finishes."""
        return (
            self.manifest,
            self.dataset,
            *self.predicted,
            self.predictions_partial,
            self.predictions_sums,
            self.scores,
            self.judge_errors,
            self.metrics,
            *self.trained,
            self.training_sums,
            self.flow_run,
            self.log,
        )

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder that a run may have, with nothing but plain files and folders in it."""
        return (self.model, self.adapter, *(self.directory / name for name in RESUMABLE))

    @property
    def comparison(self) -> Path:
        """The comparison of this run with its baseline."""
        return self.directory / "comparison.json"

    @property
    def report(self) -> Path:
        """The decision about this run as a page, with every item; it is made from what is recorded."""
        return self.directory / "report.html"

    @property
    def difference(self) -> Path:
        """The last look at which answers differ from those of a run that should have written the same."""
        return self.directory / "difference.json"

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


def training_damage(files: RunFiles) -> str | None:
    """What is wrong with what a training left, the trained weights included; None where it is intact."""
    if (problem := damage(files.training_sums, files.trained)) is not None:
        return problem
    whole = is_intact(files.model, str(read_json(files.training_result)["model_sha256"]))
    return (
        None
        if whole
        else f"{files.model}: {'changed since it was written' if files.model.is_dir() else 'missing'}"
    )


def predictions_damage(files: RunFiles) -> str | None:
    """What is wrong with finished predictions; None where they are intact."""
    return damage(files.predictions_sums, files.predicted)


def misplaced(files: RunFiles) -> list[Path]:
    """What has one of our names in an unfinished run's folder and is no plain file, or no plain folder, where
    we make one. Nobody but somebody's hand or a broken disk puts it there.
    """
    in_checkpoints = [files.directory / CHECKPOINTS / name for name in ("latest", "best")]
    unfinished = list(files.directory.glob(".*.partial"))
    folders = [path for path in (*files.folders, *in_checkpoints, *unfinished) if os.path.lexists(path)]
    plain = [*files.plain, files.comparison, files.report, *files.directory.glob(f".*{TEMPORARY}")]
    inside = (path for folder in files.folders if _is_folder(folder) for path in folder.rglob("*"))
    wrong = [path for path in folders if not _is_folder(path)]
    wrong += [path for path in plain if os.path.lexists(path) and not is_plain(path)]
    wrong += [path for path in inside if not (_is_folder(path) or is_plain(path))]
    return sorted(set(wrong))


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def is_plain(path: Path) -> bool:
    """Whether a path is a file, and no link to one."""
    return path.is_file() and not path.is_symlink()


def left_files(files: RunFiles) -> dict[str, str]:
    """The sha256 of every file that a run leaves when it finishes, by its name relative to the run's folder.
    What else is there is no part of the run: what is hidden, links, names that are not ours or not text.

    Raises:
        IntegrityError: a file went away meanwhile.
    """
    paths = sorted(
        path for path in (*files.plain, *_visible(files.model), *_visible(files.adapter)) if is_plain(path)
    )
    names = [path.relative_to(files.directory).as_posix() for path in paths]
    found: dict[str, str] = {}
    for name, sha256 in zip(names, sha256_files(paths), strict=True):
        if not sha256:
            raise IntegrityError(f"{files.directory / name}: cannot be read while the run is being recorded.")
        found[name] = sha256
    return found


def _visible(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir() if _is_folder(folder) else ():
        if not path.name.startswith(".") and path.name.isprintable():  # else bytes that are no text
            yield from _visible(path) if path.is_dir() else [path]
