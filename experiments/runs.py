"""A run's life in the registry: reused, begun, continued, failed, finished."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from core.errors import HallmarkError, IntegrityError, ResourceError, interruption
from core.files import remove_unfinished, write_json
from core.locks import acquire, holder
from experiments.run_files import RunFiles, is_here
from registry import Registry, Run
from registry.artifacts.store import Store

if TYPE_CHECKING:  # it imports what a run computes with, and a list of runs has no need of that
    from experiments.plan import RunPlan


LOOKED_AT = 200
"""Newest baseline runs among which an explanation is sought."""

CHANGED_PARTS = {
    "code": "Hallmark's inference code",
    "packages": "the packages that predict",
    "python": "Python",
    "hardware": "the hardware",
    "judge": "the judge's code",
}


class RunRef(BaseModel):
    """A run as flows and tasks hand it on: small, and JSON.

    Attributes:
        reused: it was recorded before and nothing was computed.
        continued: it was interrupted before and went on from there.
    """

    run_id: str
    directory: Path
    reused: bool = False
    continued: bool = False

    @property
    def files(self) -> RunFiles:
        """The run's files."""
        return RunFiles(self.directory)


def find_reusable(plan: RunPlan, registry: Registry) -> RunRef | None:
    """The newest finished run whose scores were made from exactly this plan's inputs, where the plan allows
    reuse.
    """
    if not plan.reuse or plan.training is not None:
        return None
    run = next(iter(registry.runs.evaluated(plan.evaluation_sha256(plan.model.sha256))), None)
    return RunRef(run_id=run.run_id, directory=Path(run.directory), reused=True) if run else None


def why_not_reused(plan: RunPlan, registry: Registry) -> str | None:
    """Why the newest run of the same model, dataset, judge and settings is not taken, in a sentence.

    Args:
        plan: of an evaluation for which `find_reusable` found nothing.
        registry: holds the earlier runs.

    Returns:
        None where there is no such run, or where the plan does not want one.
    """
    if not plan.reuse or plan.training is not None:
        return None
    inference = plan.inference()
    for listed in registry.runs.list(limit=LOOKED_AT, kind="baseline"):
        if (listed.status, listed.model_sha256, listed.judge) != ("finished", plan.model.sha256, plan.judge):
            continue
        run = registry.runs.get(listed.run_id)
        recorded = run.manifest.get("inference") or {}
        settings = {**run.manifest["generation"], "batch_size": plan.generation.batch_size}
        if (
            run.manifest["dataset"]["sha256"] != plan.dataset.sha256
            or settings != plan.generation.model_dump()
        ):
            continue
        changed = sorted(name for name, value in inference.items() if recorded.get(name) != value)
        if run.judge_fingerprint != plan.judge_fingerprint or not changed:
            changed.append("judge")
        parts = ", ".join(CHANGED_PARTS[name] for name in changed)
        return f"run {run.run_id} is not reused: {parts} changed since it was made"
    return None


def begin_run(plan: RunPlan, registry: Registry, runs: Path) -> RunRef:
    """Record that a run starts; an interrupted one with the same inputs is continued instead.

    Args:
        plan: what will be done.
        registry: where it is recorded.
        runs: folder of the runs.

    Raises:
        IntegrityError: the dataset's name is registered with other content, or its file changed meanwhile.
        ResourceError: the folder cannot be written, or the artifact store is not usable.
    """
    dataset = registry.datasets.register(
        plan.dataset.key, plan.dataset.version, plan.dataset.sha256, plan.dataset.items
    )
    run = continue_or_start(
        plan.inputs_sha256(),
        plan.manifest,
        registry,
        runs,
        kind=plan.kind,
        name=plan.name,
        base_model=plan.model.reference,
        parent_model_sha256=plan.model.sha256,
        dataset_id=dataset.id,
        judge=plan.judge,
        judge_fingerprint=plan.judge_fingerprint,
    )
    keep_datasets(plan, registry)  # after the rows that name them: garbage collection takes what nobody names
    return run


def continue_or_start(
    inputs_sha256: str,
    manifest_of: Callable[[str], dict[str, Any]],
    registry: Registry,
    runs: Path,
    **columns: Any,
) -> RunRef:
    """Continue an interrupted run with the same inputs, or record that a new one starts.

    Args:
        inputs_sha256: hash of everything that can change the result.
        manifest_of: gives the manifest for a run id.
        registry: where it is recorded.
        runs: folder of the runs.
        columns: the remaining arguments of `Registry.start_run`.
    """
    for run in registry.runs.unfinished(inputs_sha256):
        if _is_abandoned(Path(run.directory)):
            registry.runs.resume(run.run_id)
            return RunRef(run_id=run.run_id, directory=Path(run.directory), continued=True)
    run_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    files, manifest = RunFiles(runs / run_id), manifest_of(run_id)
    write_json(files.manifest, manifest)
    registry.runs.start(
        run_id=run_id,
        inputs_sha256=inputs_sha256,
        manifest=manifest,
        directory=str(files.directory),
        **columns,
    )
    return RunRef(run_id=run_id, directory=files.directory)


@contextmanager
def owned(run: RunRef, registry: Registry) -> Iterator[None]:
    """Hold a run while working on it, and record the reason when the work fails.

    The lock is the operating system's, so it is gone the moment its process is, however it ended.

    Raises:
        ResourceError: another process is working on this very run.
    """
    lock = _lock(run.directory)
    try:
        remove_unfinished(run.directory)
        yield
    except BaseException as error:
        registry.runs.fail(run.run_id, _reason(error))
        raise
    finally:
        os.close(lock)


def _reason(error: BaseException) -> str:
    if isinstance(error, HallmarkError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return interruption(signal.SIGINT)
    if isinstance(error, SystemExit):
        return (
            "its process was asked to exit, as when its worker is gone. What was finished is kept; "
            "the same command continues."
        )
    if isinstance(number := getattr(error, "signal", None), int):  # Prefect's TerminationSignal
        return interruption(number)
    return f"{type(error).__name__}: {error}"


def _lock(directory: Path) -> int:
    path = directory / ".lock"
    descriptor = acquire(path, f"run {directory.name}")
    if descriptor is None:
        owner = holder(path)
        by = f" (process {owner.pid})" if owner else ""
        raise ResourceError(
            f"run {directory.name}: another process{by} is working on it. Wait for it to end."
        )
    return descriptor


def _is_abandoned(directory: Path) -> bool:
    """Whether the run's folder is still there and no living process holds its lock."""
    if not is_here(directory / "manifest.json"):
        return False
    try:
        os.close(_lock(directory))
    except ResourceError:
        return False
    return True


def current_status(run: Run) -> str:
    """The run's status as it is now: `interrupted` where it is recorded as running but no process of this
    machine works on it.
    """
    if run.status == "running" and _is_abandoned(Path(run.directory)):
        return "interrupted"
    return run.status


def keep_datasets(plan: RunPlan, registry: Registry) -> None:
    """Put the files of a plan's datasets into the artifact store, so that what is decided on them can be
    decided again, and on any machine.

    Raises:
        IntegrityError: a file is no longer the one that was planned with.
        ResourceError: the store is not usable.
    """
    for dataset in (plan.dataset, *([plan.training.dataset] if plan.training else [])):
        keep_dataset(dataset.path, dataset.sha256, registry.artifacts)


def keep_dataset(path: Path, sha256: str, artifacts: Store) -> None:
    """The same for one file, which has to have this sha256."""
    if not artifacts.has_file(sha256) and (found := artifacts.put_file(path)) != sha256:
        raise IntegrityError(
            f"{path}: changed while the run was starting: expected sha256 {sha256}, found {found}."
        )


def run_ref(run: Run) -> RunRef:
    """The reference of a recorded run."""
    return RunRef(run_id=run.run_id, directory=Path(run.directory))
