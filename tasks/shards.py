"""The tasks that predict a run in parts: here one after the other, and meanwhile on whatever other workers
are free.

A worker that has nothing else to do takes a part that is offered as a flow run of `predict-part`. What nobody
has taken when it is its turn is predicted here, so a run never waits for a worker that does not come.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import UUID

from core.progress import Progress, announce, current_listener
from core.text import counted
from experiments import phases, shards
from experiments.plan import RunPlan
from experiments.runs import RunRef
from experiments.shards import Part, PartJob
from experiments.workspace import Workspace, open_workspace
from inference.contract import PredictResult
from tasks.logs import harmless
from tasks.retryable import retryable

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

DEPLOYMENT = "predict-part/predict-part"
"""As prefect.yaml has it."""
LOOK_EVERY_SECONDS = 1.0
PATIENCE_SECONDS = 60.0
"""How much longer than three of our own parts another worker may take for one, before it is made here too."""


@retryable("predict a part")
def predict_part(job: PartJob) -> PredictResult:
    """Generate for a range of items in a process of its own."""
    return shards.predict_part(job, current_listener())


@retryable("predict a part for another worker")
def predict_for_another(run: str, first: int, last: int) -> str:
    """The same for a run of another machine; gives the sha256 of the part in the store."""
    workspace = open_workspace()
    job = shards.recorded_part(run, Part(first, last), workspace)
    shards.predict_part(job, current_listener())
    return shards.give_part(job, workspace)


def predict_in_parts(run: RunRef, plan: RunPlan) -> PredictResult:
    """Predict every part, here or elsewhere, and merge them."""
    if (done := phases.finished_predictions(run)) is not None:
        return done
    workspace = open_workspace()
    parts = shards.split(plan.dataset.items, plan.generation.shards)
    jobs = [shards.part_job(run, plan, part, workspace) for part in parts]
    left = [job for job in jobs if not shards.is_made(job)]
    resumed = sum(job.part.items for job in jobs if job not in left)
    with _Offers(run, plan, left[1:], workspace) as offers:
        longest = 0.0
        for job in left:
            if offers.take_back(job.part):
                started = time.monotonic()
                resumed += predict_part(job).resumed
                longest = max(longest, time.monotonic() - started)
        for job in offers.ended(PATIENCE_SECONDS + 3 * longest):
            resumed += predict_part(job).resumed
    return shards.merge(run, jobs, workspace, resumed)


class _Offers:
    """Parts that other workers may take, where this flow run is itself one of a deployment, and registry and
    store are shared. Whatever goes wrong with an offer, the part is made here instead.

    Args:
        run: the run.
        plan: of it.
        jobs: the parts.
        workspace: its registry tells the others what to do.
    """

    def __init__(self, run: RunRef, plan: RunPlan, jobs: list[PartJob], workspace: Workspace) -> None:
        self.workspace = workspace
        self.jobs = {job.part: job for job in jobs}
        self.flow_runs: dict[Part, UUID] = {}
        if not jobs or not _is_deployed():
            return
        if not shards.is_shared(workspace):
            announce(
                "parts:",
                "one after the other: other workers can only help where HALLMARK_REGISTRY_URL and "
                "HALLMARK_ARTIFACTS are places that they can read",
            )
            return
        shards.share_model(run, plan, workspace)
        with harmless("the parts of the run"):
            for job in jobs:
                self.flow_runs[job.part] = _offered(job)

    def __enter__(self) -> _Offers:
        return self

    def __exit__(self, *_error: object) -> None:
        """Nobody needs what nobody has begun."""
        for part in list(self.flow_runs):
            self.take_back(part)

    def take_back(self, part: Part) -> bool:
        """Whether a part is to be made here: it was not offered, or nobody has taken it until now."""
        flow_run = self.flow_runs.get(part)
        if flow_run is not None and not _withdrawn(flow_run):
            return False
        self.flow_runs.pop(part, None)
        return True

    def ended(self, patience: float) -> Iterator[PartJob]:
        """Wait for the parts that others have taken, and fetch them; gives those that have to be made here.

        Args:
            patience: how long to wait without any part ending, in seconds.
        """
        since = time.monotonic()
        while self.flow_runs:
            for part, flow_run in list(self.flow_runs.items()):
                state, late = _state(flow_run), time.monotonic() - since > patience
                if not (state.is_final() or late):
                    continue
                del self.flow_runs[part]
                if not (state.is_completed() and self._fetched(self.jobs[part], state.message or "")):
                    ended = (state.message or state.name) if state.is_final() else "it has not ended in time"
                    announce("parts:", f"{part} are predicted here; of the other worker: {ended}")
                    yield self.jobs[part]
                since = time.monotonic()
            if self.flow_runs:
                note = f"for {counted(len(self.flow_runs), 'part')} that other workers predict"
                current_listener()(Progress(stage="waiting", done=0, total=0, unit="", note=note))
                time.sleep(LOOK_EVERY_SECONDS)

    def _fetched(self, job: PartJob, sha256: str) -> bool:
        with harmless(f"{job.part} of another worker"):
            shards.take_part(job, sha256, self.workspace)
            return True
        return False


def _is_deployed() -> bool:
    from prefect.runtime import deployment

    return deployment.id is not None


def _offered(job: PartJob) -> UUID:
    """A flow run for a part, which the next free worker takes."""
    from prefect.client.schemas.objects import FlowRun
    from prefect.deployments import run_deployment

    parameters = {"run": job.run_id, "first": job.part.first, "last": job.part.last}
    made = run_deployment(DEPLOYMENT, parameters=parameters, timeout=0)
    assert isinstance(made, FlowRun)  # noqa: S101 - outside an event loop it is no coroutine
    return made.id


def _state(flow_run: UUID) -> State:
    from prefect.client.orchestration import get_client
    from prefect.states import Crashed

    try:
        with get_client(sync_client=True) as client:
            return client.read_flow_run(flow_run).state or Crashed(message="it has no state")
    except Exception as error:
        return Crashed(message=f"{type(error).__name__}: {error}")


def _withdrawn(flow_run: UUID) -> bool:
    """Cancel a flow run, unless a worker has taken it."""
    from prefect.client.orchestration import get_client
    from prefect.states import Cancelled

    if not _state(flow_run).is_scheduled():
        return False
    with harmless("a part"), get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run, Cancelled(message="predicted by the worker that offered it"))
    return _state(flow_run).is_cancelled()
