"""A run's life in the registry: reused, begun, continued, failed, finished."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from core.config import validated
from core.errors import HallmarkError, IntegrityError, InterruptedWork, ResourceError, interruption
from core.files import raise_for_os_error, remove_unfinished, write_json
from core.locks import Holder, Noting, acquire, acquire_when_free, holder
from core.progress import announce, watching
from experiments.run_files import LOCK, RunFiles, is_here, is_plain, misplaced
from golden.prompting import recorded_prompt
from inference.contract import NO_INPUT, GenerationConfig, ImportedGeneration
from registry import Registry, Run
from registry.artifacts.checkouts import is_intact
from registry.artifacts.store import Store
from registry.runs import is_imported

if TYPE_CHECKING:  # it imports what a run computes with, and a list of runs has no need of that
    from experiments.plan import RunPlan


LOOKED_AT = 200
"""Newest baseline runs among which an explanation is sought."""

CHANGED_PARTS = {
    "code": "Hallmark's inference code",
    "packages": "the packages that predict",
    "python": "Python",
    "hardware": "the hardware",
    "switches": "the engine's switches",
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
    """The newest finished run that may stand for this plan, where the plan allows reuse: one whose scores
    were made from exactly its inputs; of trained runs only one on which nothing was decided yet, as when the
    program was killed before it decided.
    """
    if not plan.reuse or plan.model.served is not None:
        return None
    if plan.training is None:
        run = next(iter(registry.runs.evaluated(plan.evaluation_sha256(plan.model.sha256))), None)
        return run_ref(run, registry, reused=True) if run else None
    run = registry.runs.undecided(plan.inputs_sha256())
    if run is None or "reproduces" in run.manifest:
        return None
    found, weights = run_ref(run, registry, reused=True), str(run.model_sha256)
    if is_intact(found.files.model, weights) or registry.artifacts.has(weights):
        announce("resuming:", f"run {run.run_id} is trained and judged, and nothing was decided on it yet")
        return found
    announce("damaged:", f"{found.files.model}: is not what run {run.run_id} trained. It is trained again")
    return None


def why_not_reused(plan: RunPlan, registry: Registry) -> str | None:
    """Why the newest run of the same model, dataset, judge and settings is not taken, in a sentence.

    Args:
        plan: of an evaluation for which `find_reusable` found nothing.
        registry: holds the earlier runs.

    Returns:
        None where there is no such run, or where the plan does not want one. A run that was only asked
        otherwise is named where there is no other.
    """
    if not plan.reuse or plan.training is not None:
        return None
    if plan.model.served is not None:
        return _served_before(plan, registry)
    inference, asked_otherwise = plan.inference(), None
    for listed in registry.runs.list(limit=LOOKED_AT, kind="baseline"):
        if (listed.status, listed.model_sha256, listed.judge) != ("finished", plan.model.sha256, plan.judge):
            continue
        run = registry.runs.get(listed.run_id)
        recorded = run.manifest.get("inference") or {}
        if run.manifest["dataset"]["sha256"] != plan.dataset.sha256:
            continue
        if unlike := _chosen_otherwise(run, plan):
            if unlike == ["engine"]:
                asked_otherwise = asked_otherwise or _other_engine(run)
            continue
        if recorded_prompt(run.manifest) != plan.prompt:
            asked_otherwise = asked_otherwise or _asked_otherwise(run, plan)
            continue
        changed = sorted(name for name, value in inference.items() if recorded.get(name) != value)
        if run.judge_fingerprint != plan.judge_fingerprint or not changed:
            changed.append("judge")
        parts = ", ".join(CHANGED_PARTS[name] for name in changed)
        return f"run {run.run_id} is not reused: {parts} changed since it was made"
    return asked_otherwise


def recorded_generation(run: Run) -> GenerationConfig:
    """How a run's predictions were made, as its manifest has it. Of imported ones what nobody knows has its
    default.

    Raises:
        InputError: this version of Hallmark knows no such settings.
    """
    kind = ImportedGeneration if is_imported(run) else GenerationConfig
    return validated(kind, run.manifest["generation"], f"manifest of run {run.run_id}")


def _chosen_otherwise(run: Run, plan: RunPlan) -> list[str]:
    """The generation settings that can change predictions and are not those of a run; one that was added
    since had its default.
    """
    now = plan.generation.model_dump(exclude=set(NO_INPUT))
    before = {**GenerationConfig().model_dump(), **run.manifest["generation"]}
    return [name for name in now if before[name] != now[name]]


def _other_engine(run: Run) -> str:
    engine = run.manifest["generation"].get("engine", "transformers")
    return f"run {run.run_id} is not reused: the engine {engine} ran its model"


def _served_before(plan: RunPlan, registry: Registry) -> str | None:
    """That there is a run of the same served model, and why it is not taken."""
    runs = registry.runs.list(limit=LOOKED_AT, kind="baseline")
    same = (
        run.run_id
        for run in runs
        if (run.status, run.model_sha256, run.judge) == ("finished", plan.model.sha256, plan.judge)
    )
    if (run_id := next(same, None)) is None:
        return None
    return (
        f"run {run_id} is not reused: nobody knows whether {plan.generation.endpoint} still serves the same "
        "weights as then"
    )


def _asked_otherwise(run: Run, plan: RunPlan) -> str:
    before, now = recorded_prompt(run.manifest).conditions(), plan.prompt.conditions()
    changed = [f"prompt.{name}" for name in sorted(now) if before.get(name) != now[name]]
    return (
        f"run {run.run_id} is not reused: it was asked otherwise ({', '.join(changed) or 'prompt.few_shot'})"
    )


def begin_run(plan: RunPlan, registry: Registry) -> RunRef:
    """Record that a run starts, or take one with the same inputs; see `continue_or_start`.

    Args:
        plan: what will be done.
        registry: where it is recorded.

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
        joins=plan.joins,
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
    *,
    joins: bool = True,
    **columns: Any,
) -> RunRef:
    """Continue an interrupted run with the same inputs, or record that a new one starts. This process holds
    the run from then on; `owned` takes it over.

    Where another process is at work on the very same, it is waited for, and its run is taken when it is
    finished, or continued when it is not.

    Args:
        inputs_sha256: hash of everything that can change the result.
        manifest_of: gives the manifest for a run id.
        registry: where it is recorded.
        joins: whether to wait for another process.
        columns: the remaining arguments of `registry.runs.Runs.start`.
    """
    while True:
        with _beginning(registry.runs.folder):
            found = (
                run_ref(run, registry, continued=True) for run in registry.runs.unfinished(inputs_sha256)
            )
            here = [run for run in found if is_here(run.directory)]
            at_work = [run for run in here if joins and not _is_free(run.directory)]
            if not at_work:
                for run in here:
                    if _take(run.directory):
                        return _continued(run, registry)
                return _started(inputs_sha256, manifest_of, registry, columns)
        _wait_for(at_work[0])
        if registry.runs.get(at_work[0].run_id).status == "finished":
            return at_work[0].model_copy(update={"reused": True, "continued": False})


_taken: dict[Path, int] = {}
"""Locks of runs that this process began and does not work on yet, by the run's folder."""


@contextmanager
def _beginning(runs: Path) -> Iterator[None]:
    """One process at a time looks for a run to continue and takes it, or begins one: two never the same."""
    lock = acquire_when_free(runs / LOCK, "beginning a run", lambda _: None)
    try:
        yield
    finally:
        os.close(lock)


def _take(directory: Path) -> bool:
    """Lock a run's folder for this process; whether it could be locked."""
    lock_file = directory / LOCK
    if os.path.lexists(lock_file) and not is_plain(lock_file):
        _remove(lock_file)
    if directory not in _taken and (lock := acquire(directory / LOCK, f"run {directory.name}")) is not None:
        _taken[directory] = lock
    return directory in _taken


def _remove(path: Path) -> None:
    """Remove whatever has this name; of a link, the link."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise_for_os_error(error, path)


def _is_free(directory: Path) -> bool:
    """Whether no living process but this one holds a run's folder."""
    return directory in _taken or holder(directory / LOCK) is None


def _wait_for(run: RunRef) -> None:
    """Wait until no process works on a run, and say for whom."""

    def say(owner: Holder) -> None:
        announce("waiting", f"for run {run.run_id}, which does the same work (process {owner.pid})")

    os.close(acquire_when_free(run.directory / LOCK, f"run {run.run_id}", say))


def _continued(run: RunRef, registry: Registry) -> RunRef:
    """An interrupted run, whose manifest says what the registry says."""
    if wrong := misplaced(run.files):
        for found in wrong:
            _remove(found)
        names = ", ".join(found.relative_to(run.directory).as_posix() for found in wrong)
        announce("damaged:", f"{run.directory}: not what a run has there: {names}. Removed, to be made again")
    recorded = registry.runs.resume(run.run_id).manifest
    path = run.files.manifest
    before = path.read_bytes() if path.is_file() else None
    write_json(path, recorded)
    if before != path.read_bytes():
        problem = "missing" if before is None else "changed since it was written"
        announce("damaged:", f"{path}: {problem}. It is written again from the registry")
    return run


def _started(
    inputs_sha256: str,
    manifest_of: Callable[[str], dict[str, Any]],
    registry: Registry,
    columns: dict[str, Any],
) -> RunRef:
    run_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    run, manifest = RunRef(run_id=run_id, directory=registry.runs.directory(run_id)), manifest_of(run_id)
    _take(run.directory)
    write_json(run.files.manifest, manifest)
    registry.runs.start(run_id=run_id, inputs_sha256=inputs_sha256, manifest=manifest, **columns)
    return run


@contextmanager
def owned(run: RunRef, registry: Registry) -> Iterator[None]:
    """Hold a run while working on it, and record the reason when the work fails or is stopped. Meanwhile its
    lock says how far it is.

    The lock is the operating system's, so it is gone the moment its process is, however it ended.

    Raises:
        ResourceError: another process is working on this very run.
    """
    if not _take(run.directory):
        owner = holder(run.directory / LOCK)
        by = f" (process {owner.pid})" if owner else ""
        raise ResourceError(f"run {run.run_id}: another process{by} is working on it. Wait for it to end.")
    lock = _taken.pop(run.directory)
    try:
        remove_unfinished(run.directory)
        with watching(Noting(lock)):
            yield
    except BaseException as error:
        if (stopped := _stopped(error)) is not None:
            registry.runs.interrupt(run.run_id, stopped)
        else:
            registry.runs.fail(run.run_id, _reason(error))
        raise
    finally:
        os.close(lock)


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, HallmarkError) else f"{type(error).__name__}: {error}"


def _stopped(error: BaseException) -> str | None:
    """What stopped the work from outside; None where it failed of itself."""
    if isinstance(error, InterruptedWork):
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
    return None


def current_status(run: Run, registry: Registry) -> str:
    """The run's status as it is now: `interrupted` where somebody stopped it, or where it is recorded as
    running but no process of this machine works on it.
    """
    directory = registry.runs.directory(run.run_id)
    killed = run.status == "running" and is_here(directory) and holder(directory / LOCK) is None
    return "interrupted" if run.is_interrupted or killed else run.status


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


def run_ref(run: Run, registry: Registry, *, reused: bool = False, continued: bool = False) -> RunRef:
    """The reference of a recorded run."""
    directory = registry.runs.directory(run.run_id)
    return RunRef(run_id=run.run_id, directory=directory, reused=reused, continued=continued)
