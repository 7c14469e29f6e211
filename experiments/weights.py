"""Where the weights are that a run made."""

from __future__ import annotations

from pathlib import Path

from core.errors import InputError
from experiments.run_files import files_of, is_here
from registry import Registry, Run


def origin_of(run: Run, registry: Registry) -> Run:
    """The run whose model wrote a run's predictions: itself, or what it was judged again from. The weights
    are in that run's folder.
    """
    while source := run.manifest.get("rejudged_from"):
        run = registry.runs.get(source)
    return run


def model_of(run: Run, registry: Registry) -> Path:
    """Where the weights that a trained run judged are on this machine: in its folder, else in the artifact
    store. Only those of the store are hashed here.

    Raises:
        InputError: they are in neither.
        IntegrityError: they are damaged in the store.
    """
    path = files_of(origin_of(run, registry), registry).model
    if is_here(path):
        return path
    if run.model_sha256 and registry.artifacts.has(run.model_sha256):
        return registry.artifacts.get(run.model_sha256)
    raise InputError(
        f"run {run.run_id}: its model (sha256 {run.model_sha256}) is neither at {path} nor in the artifact "
        f"store at {registry.artifacts.place}. Go to the machine that made it. Or train it again: that gives "
        "the same bytes."
    )
