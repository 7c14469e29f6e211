"""A dataset that is predicted in parts gives the bytes of a single job, whatever their number."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from core.errors import IntegrityError
from core.files import read_json, write_json
from core.progress import listening
from core.sealed import seal
from experiments import shards
from experiments.phases import export_dataset, finished_predictions, prediction_job
from experiments.plan import RunPlan
from experiments.runs import RunRef
from experiments.shards import Part, PartJob
from experiments.workspace import Workspace
from golden.prompting import PromptConfig, ResolvedPrompt
from inference.contract import META, PREDICTIONS, SUMS
from inference.generate import predict
from tests.support.recorded_runs import plan_of, workspace_at

pytestmark = pytest.mark.model

OF_SPEED = ("timing", "batch_size_used")


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return workspace_at(tmp_path / "home")


def planned(place: Workspace, dataset: Path, **generation: object) -> RunPlan:
    return plan_of(place, dataset=str(dataset), generation={"max_new_tokens": 8, **generation})


def begun(folder: Path, plan: RunPlan) -> RunRef:
    run = RunRef(run_id=folder.name, directory=folder)
    folder.mkdir()
    export_dataset(run, plan)
    return run


def jobs_of(run: RunRef, plan: RunPlan, count: int, place: Workspace) -> list[PartJob]:
    parts = shards.split(plan.dataset.items, count)
    jobs = [shards.part_job(run, plan, part, place) for part in parts]
    for job in jobs:
        job.folder.mkdir(parents=True)
    return jobs


def test_any_number_of_parts_gives_the_bytes_of_one_job(
    tmp_path: Path, place: Workspace, small_dataset
) -> None:
    plan = planned(place, small_dataset("golden-v1", 14))
    whole = begun(tmp_path / "whole", plan)
    expected = predict(prediction_job(whole, plan), lambda _: None)
    meta = read_json(whole.files.predictions_meta)
    for count in (1, 2, 3, 7):
        run = begun(tmp_path / f"in-{count}", plan)
        jobs = jobs_of(run, plan, count, place)
        for job in reversed(jobs):
            predict(job.spec, lambda _: None)
        result = shards.merge(run, jobs, place)
        assert result.predictions_sha256 == expected.predictions_sha256
        assert run.files.predictions.read_bytes() == whole.files.predictions.read_bytes()
        merged = read_json(run.files.predictions_meta)
        assert {name: merged[name] for name in meta if name not in OF_SPEED} == {
            name: meta[name] for name in meta if name not in OF_SPEED
        }
        assert finished_predictions(run) is not None
        assert not jobs[0].folder.parent.exists()


def test_parts_of_which_only_some_prompts_end_thinking_name_the_same_items(
    tmp_path: Path, place: Workspace, tiny_copy: Path
) -> None:
    (tiny_copy / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.content }}\n{% endfor %}"
        "{{ '</think>' if '/off' in messages[0].content }}"
    )
    dataset = tmp_path / "mixed-v1.jsonl"
    systems = ["/off", "/off", "Add.", "/off"]
    rows = (
        {"trace_id": f"t{n}", "prompt": f"{n}?", "system": system, "final_answer": "4", "category": "c"}
        for n, system in enumerate(systems)
    )
    dataset.write_text("".join(json.dumps(row) + "\n" for row in rows))
    plan = planned(place, dataset, max_new_tokens=1)
    plan = plan.model_copy(
        update={
            "model": plan.model.model_copy(update={"path": tiny_copy}),
            "prompt": ResolvedPrompt(config=PromptConfig(thinking_end="</think>")),
        }
    )
    run = begun(tmp_path / "run", plan)
    jobs = jobs_of(run, plan, 2, place)
    for job in jobs:
        predict(job.spec, lambda _: None)
    shards.merge(run, jobs, place)
    assert read_json(run.files.predictions_meta)["thinking_closed"] == ["t0", "t1", "t3"]


def test_a_part_that_was_changed_is_made_again_alone_and_one_of_other_conditions_is_refused(
    tmp_path: Path, place: Workspace, small_dataset
) -> None:
    plan = planned(place, small_dataset("golden-v1", 6))
    run = begun(tmp_path / "run", plan)
    jobs = jobs_of(run, plan, 2, place)
    for job in jobs:
        predict(job.spec, lambda _: None)
    predictions = jobs[1].folder / PREDICTIONS
    before = predictions.read_bytes()
    predictions.write_bytes(before.replace(b"prediction", b"predictiom", 1))
    with pytest.raises(IntegrityError, match="changed since it was written.* that part is made again"):
        shards.merge(run, jobs, place)
    said: list[str] = []
    with listening(lambda progress: said.append(progress.sentence())):
        results = [shards.predict_part(job, lambda _: None) for job in jobs]
    assert [result.resumed for result in results] == [3, 0]
    assert any("The part is made again" in each for each in said)
    assert predictions.read_bytes() == before
    meta = read_json(jobs[1].folder / META)
    write_json(jobs[1].folder / META, {**meta, "device": "cuda"})
    seal(jobs[1].folder / SUMS, [predictions, jobs[1].folder / META])
    with pytest.raises(IntegrityError, match='device was "cpu", is "cuda"'):
        shards.merge(run, jobs, place)


@pytest.mark.parametrize("items", [1, 2, 9, 1000])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 1024])
def test_parts_follow_each_other_and_differ_by_one_item_at_most(items: int, count: int) -> None:
    parts = shards.split(items, count)
    assert parts[0].first == 0
    assert parts[-1].last == items
    assert all(one.last == following.first for one, following in pairwise(parts))
    assert max(part.items for part in parts) - min(part.items for part in parts) <= 1
    assert min(part.items for part in parts) >= 1
    assert str(Part(0, 3)) == "items 1 to 3"
