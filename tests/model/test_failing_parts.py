"""Parts that fail or come late, here and on other workers: what is made stays, and nothing waits for ever."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelled, Completed, Failed, Running, Scheduled

from core.errors import HallmarkError
from core.progress import Progress, listening
from experiments import shards
from experiments.phases import export_dataset
from experiments.plan import RunPlan
from experiments.runs import RunRef
from experiments.shards import PartJob
from experiments.workspace import Workspace, open_workspace
from inference.generate import predict
from tasks import shards as parts
from tests.support.recorded_runs import plan_of

pytestmark = pytest.mark.model


@pytest.fixture
def place(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A home whose registry and store other machines can read."""
    monkeypatch.setenv("HALLMARK_REGISTRY_URL", f"sqlite:///{tmp_path / 'registry.db'}")
    monkeypatch.setenv("HALLMARK_ARTIFACTS", str(tmp_path / "store"))
    return open_workspace()


def begun(folder: Path, place: Workspace, dataset: Path, count: int) -> tuple[RunRef, RunPlan, list[PartJob]]:
    """A run of so many parts, of which none is made."""
    plan = plan_of(place, dataset=str(dataset), generation={"max_new_tokens": 8, "shards": count})
    run = RunRef(run_id=folder.name, directory=folder)
    folder.mkdir()
    export_dataset(run, plan)
    return run, plan, [shards.part_job(run, plan, part, place) for part in shards.split(6, count)]


def kill_child() -> None:
    """As the system does where memory runs out."""
    for task in Path("/proc/self/task").iterdir():
        for pid in map(int, (task / "children").read_text().split()):
            if b"inference" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)


def test_a_part_that_fails_is_named_and_the_next_run_makes_it_alone(
    tmp_path: Path, place: Workspace, small_dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "predict_part", parts.predict_part.fn)  # a task without its server
    run, plan, jobs = begun(tmp_path / "run", place, small_dataset("golden-v1", 6), 2)
    seen: list[str] = []

    def watch(progress: Progress) -> None:
        seen.append(progress.stage)
        if len(seen) > 1 and "items 4 to 6" in progress.stage:
            kill_child()

    with listening(watch), pytest.raises(HallmarkError, match="^items 4 to 6: inference ended without"):
        parts.predict_in_parts(run, plan)
    assert [shards.is_made(job) for job in jobs] == [True, False]
    seen.clear()
    with listening(lambda progress: seen.append(progress.stage)):
        result = parts.predict_in_parts(run, plan)
    assert (result.items, result.resumed) == (6, 3)
    assert not any("items 1 to 3" in stage for stage in seen)
    assert any("items 4 to 6" in stage for stage in seen)


class OtherWorkers:
    """What the Prefect server says of parts that other workers were offered, look after look; the last answer
    stays.
    """

    def __init__(self) -> None:
        self.answers: dict[UUID, list[State]] = {}
        self.offered: list[UUID] = []

    def run_deployment(self, _name: str, *, parameters: dict[str, object], timeout: float) -> FlowRun:
        made = FlowRun(id=uuid4(), flow_id=uuid4())
        self.offered.append(made.id)
        self.answers[made.id] = [Scheduled()]
        return made

    def say(self, states: Sequence[Sequence[State]]) -> None:
        """What each part's flow run is from now on."""
        self.answers = {one: list(each) for one, each in zip(self.offered, states, strict=True)}

    def read_flow_run(self, flow_run: UUID) -> SimpleNamespace:
        answers = self.answers[flow_run]
        return SimpleNamespace(state=answers.pop(0) if len(answers) > 1 else answers[0])

    def set_flow_run_state(self, flow_run: UUID, state: State) -> None:
        self.answers[flow_run] = [state]


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> OtherWorkers:
    """Stand-ins for a Prefect server and the workers that it tells what to do."""
    workers = OtherWorkers()

    @contextmanager
    def client(**_: object) -> Iterator[OtherWorkers]:
        yield workers

    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", str(uuid4()))
    monkeypatch.setattr("prefect.deployments.run_deployment", workers.run_deployment)
    monkeypatch.setattr("prefect.client.orchestration.get_client", client)
    monkeypatch.setattr(parts, "LOOK_EVERY_SECONDS", 0.1)
    return workers


def test_what_other_workers_fail_at_or_never_end_is_made_here_and_a_late_part_is_waited_for(
    tmp_path: Path, place: Workspace, small_dataset, others: OtherWorkers
) -> None:
    run, plan, jobs = begun(tmp_path / "run", place, small_dataset("golden-v1", 6), 6)
    said: list[str] = []
    with (
        listening(lambda progress: said.append(progress.sentence())),
        parts._Offers(run, plan, jobs, place) as offers,
    ):
        jobs[1].folder.mkdir(parents=True)
        predict(jobs[1].spec, lambda _: None)
        late = shards.give_part(jobs[1], place)
        busy = Running()
        others.say(
            [
                [Failed(message="the disk is full")],
                [busy, busy, busy, Completed(message=late)],
                [Completed(message="0" * 64)],
                [busy],
                [Scheduled()],
                [Scheduled(), Cancelled(message="by somebody else")],
            ]
        )
        assert [offers.take_back(job.part) for job in jobs] == [False, False, False, False, True, True]
        here = list(offers.ended(patience=0.5))
    assert [job.part for job in here] == [jobs[n].part for n in (0, 2, 3)]
    assert shards.is_made(jobs[1]), "fetched from the store"
    assert "waiting for 2 parts that other workers predict" in said
    ends = [each for each in said if "predicted here" in each]
    assert len(ends) == 3
    for sentence, part, why in zip(
        ends, ("1 to 1", "3 to 3", "4 to 4"), ("the disk is full", "0000", "not ended in time"), strict=True
    ):
        assert f"items {part} are predicted here; of the other worker: " in sentence
        assert why in sentence
