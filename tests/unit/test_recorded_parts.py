"""A part of another machine's run: predicted only where it would be the same, and handed over whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import InputError, IntegrityError
from core.sealed import seal
from experiments import shards
from experiments.runs import begin_run
from experiments.shards import Part, PartJob
from experiments.workspace import Workspace
from inference.contract import META, PREDICTIONS, SUMS
from tests.support.recorded_runs import plan_of, recorded_run, workspace_at
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.unit


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return workspace_at(tmp_path / "home")


@pytest.fixture
def job(place: Workspace, tmp_path: Path) -> PartJob:
    """A part of a run that is under way, with files in it."""
    plan = plan_of(place, dataset=str(small_dataset(tmp_path)))
    run = begin_run(plan, place.registry)
    job = shards.part_job(run, plan, Part(1, 3), place)
    job.folder.mkdir(parents=True)
    for name in (PREDICTIONS, META):
        (job.folder / name).write_text(name)
    seal(job.folder / SUMS, [job.folder / PREDICTIONS, job.folder / META])
    return job


def test_the_registry_tells_another_worker_what_the_part_is(place: Workspace, job: PartJob) -> None:
    found = shards.recorded_part(job.run_id, job.part, place)
    same = {"label", "dataset"}
    assert found.spec.model_dump(exclude=same) == job.spec.model_dump(exclude=same)
    assert found.folder == job.folder


def test_a_worker_of_another_environment_predicts_no_part(
    place: Workspace, job: PartJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.environment.platform.python_version", lambda: "3.11.0")
    with pytest.raises(
        IntegrityError, match=r'would not predict as the one that began it: python was .*, is "3.11.0"'
    ):
        shards.recorded_part(job.run_id, job.part, place)


def test_no_part_is_predicted_of_a_run_that_is_finished(place: Workspace) -> None:
    run = recorded_run(place)
    with pytest.raises(InputError, match="is finished, so no part of it is needed any more"):
        shards.recorded_part(run.run_id, Part(0, 10), place)


def test_a_part_is_handed_over_by_the_store_whole_or_not_at_all(place: Workspace, job: PartJob) -> None:
    before = {path.name: path.read_bytes() for path in job.folder.iterdir()}
    sha256 = shards.give_part(job, place)
    assert not shards.is_made(job)
    shards.take_part(job, sha256, place)
    assert {path.name: path.read_bytes() for path in job.folder.iterdir()} == before
    assert shards.is_made(job)
    (job.folder / PREDICTIONS).write_text("others")
    changed = shards.give_part(job, place)
    with pytest.raises(IntegrityError, match="items 2 to 3 .* changed since it was written"):
        shards.take_part(job, changed, place)
