"""Killed at any moment, and with damaged files, a run ends in the same bytes when it is continued."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from core.progress import current_listener, listening
from evaluation.gate import GateConfig
from experiments import phases
from experiments import runs as life
from experiments.config import ExperimentConfig
from experiments.plan import plan_experiment, plan_key
from experiments.promoting import promote_run
from experiments.run_checking import check_runs
from experiments.runs import begin_run, find_reusable, owned
from experiments.verifying import verify
from experiments.workspace import Workspace, open_workspace
from golden.datasets import BUILT_IN
from tests.support.damage import DAMAGE, damage_one_file, flip_a_bit
from tests.support.killing import kill_at_random_moment
from tests.support.recorded_runs import (
    plan_of,
    record_baseline,
    record_planned,
    right_for,
    workspace_at,
    write_predictions,
)
from tests.support.small_datasets import small_dataset


def work(home: Path, settings: dict[str, Any]) -> str:
    """What the flow of a run does, without Prefect; gives the id of the run."""
    workspace = workspace_at(home)
    plan = plan_of(workspace, trained="train" in settings, **settings)
    run = begin_run(plan, workspace.registry)
    with owned(run, workspace.registry):
        phases.export_dataset(run, plan)
        if plan.training is not None:
            phases.train_model(run, plan, current_listener())
        phases.predict_items(run, plan, current_listener())
        phases.record_run(run, plan, phases.judge_run(run, plan), workspace.registry)
    return run.run_id


def result(workspace: Workspace, run_id: str) -> dict[str, str]:
    """The sha256 of every file of a run that has to come out the same."""
    run = workspace.registry.runs.get(run_id)
    assert run.status == "finished"
    of_time = ("manifest.json", "predictions_meta.json", "training_result.json", "log.txt")
    files = {name: sha256 for name, sha256 in (run.files or {}).items() if not name.endswith(".sha256")}
    return {name: sha256 for name, sha256 in files.items() if name not in of_time}


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    for name, source, count in (("few-v1", "golden-v1", 60), ("lessons-v1", "train-v1", 60)):
        lines = (BUILT_IN / f"{source}.jsonl").read_bytes().splitlines(keepends=True)
        (tmp_path / f"{name}.jsonl").write_bytes(b"".join(lines[:count]))
    train = {
        "dataset": str(tmp_path / "lessons-v1.jsonl"),
        "steps": 8,
        "batch_size": 2,
        "checkpoint_every": 2,
        "held_out": 0.1,
        "evaluate_every": 2,
    }
    generation = {"max_new_tokens": 12, "batch_size": 4, "device": "cpu"}
    return {"dataset": str(tmp_path / "few-v1.jsonl"), "generation": generation, "train": train}


@pytest.mark.long
@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize(("kind", "kills"), [("baseline", 3), ("trained", 2)])
def test_a_run_killed_and_damaged_at_random_ends_in_the_same_bytes(
    kind: str, kills: int, home: Path, settings: dict[str, Any]
) -> None:
    if kind == "baseline":
        settings = {name: value for name, value in settings.items() if name != "train"} | {"reuse": False}
    workspace, chance = open_workspace(), random.Random(kind)
    began = time.monotonic()
    undisturbed = result(workspace, work(home, settings))
    took = time.monotonic() - began
    for kill in range(kills):
        process = multiprocessing.get_context("fork").Process(target=work, args=(home, settings))
        process.start()
        process.join(chance.uniform(0.1, 1.0) * took)
        process.kill()
        process.join()
        for run in workspace.registry.runs.list():
            if run.status != "finished":
                print(f"kill {kill}: {damage_one_file(workspace.runs / run.run_id, chance)}")
    work(home, settings)
    for run in workspace.registry.runs.list():
        assert result(workspace, run.run_id) == undisturbed


@pytest.mark.unit
def test_an_export_and_a_judging_killed_at_any_moment_end_in_the_same_bytes(
    home: Path, tmp_path: Path
) -> None:
    dataset = str(small_dataset(tmp_path, map(str, range(400))))

    def judged() -> str:
        workspace = workspace_at(home)
        plan = plan_of(workspace, dataset=dataset)
        run = begin_run(plan, workspace.registry)
        with owned(run, workspace.registry):
            phases.export_dataset(run, plan)
            write_predictions(run, plan, right_for(0.5))
            phases.record_run(run, plan, phases.judge_run(run, plan), workspace.registry)
        workspace.registry.close()
        return run.run_id

    began = time.monotonic()
    first = judged()
    took, killed, run_ids = time.monotonic() - began, 0, {first}
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        for _ in range(20 if number == signal.SIGKILL else 5):
            killed += kill_at_random_moment(judged, took, number)
            run_ids.add(judged())
    assert killed > 0
    workspace = workspace_at(home)
    undisturbed = result(workspace, first)
    assert undisturbed.keys() >= {"dataset.jsonl", "predictions.jsonl", "scores.jsonl", "metrics.json"}
    runs = workspace.registry.runs.list(limit=100)
    assert run_ids <= {run.run_id for run in runs}
    for run in runs:
        assert result(workspace, run.run_id) == undisturbed
        assert len(workspace.registry.runs.scores(run.run_id)) == 400
    assert verify(workspace).problems == []


@pytest.mark.unit
def test_damage_before_the_work_goes_on_is_said_in_one_line_and_repaired(home: Path, tmp_path: Path) -> None:
    """Manifest, items, predictions and the lock of a run that was killed before it was judged."""
    workspace = open_workspace()
    plan = plan_of(workspace, dataset=str(small_dataset(tmp_path)))
    chance, said = random.Random(1), list[str]()
    run = begin_run(plan, workspace.registry)
    with listening(lambda progress: said.append(progress.sentence())):
        for name in ("manifest.json", "dataset.jsonl", ".lock"):
            for kind in sorted(DAMAGE):
                phases.export_dataset(run, plan)
                os.close(life._taken.pop(run.directory))  # as if its process had been killed
                path = run.directory / name
                before = path.read_bytes()
                DAMAGE[kind](path, chance)
                damaged = not path.exists() or path.read_bytes() != before
                said.clear()
                assert begin_run(plan, workspace.registry).run_id == run.run_id
                phases.export_dataset(run, plan)
                if name != ".lock":
                    assert path.read_bytes() == before
                    told = damaged and not (name == "dataset.jsonl" and kind == "deleted")
                    assert [str(path) in line for line in said] == [True] * told
        with owned(run, workspace.registry):
            write_predictions(run, plan, right_for(0.5))
            for path in (run.files.scores, run.files.metrics, run.files.judge_errors):
                path.write_bytes(b"garbage")
            phases.record_run(run, plan, phases.judge_run(run, plan), workspace.registry)
    assert check_runs(workspace).problems == ()


@pytest.mark.unit
def test_a_trained_run_is_taken_until_something_is_decided_on_it_and_only_while_its_model_is_whole(
    home: Path, tmp_path: Path
) -> None:
    workspace = open_workspace()
    config = ExperimentConfig(dataset=str(small_dataset(tmp_path)))
    found = plan_experiment(config, workspace)
    plan = found.plans[plan_key(found.config.trained())]
    first, second = (record_planned(workspace, plan, right_for(0.5), "trained") for _ in range(2))
    assert find_reusable(plan, workspace.registry) == second.model_copy(update={"reused": True})
    fresh = plan_experiment(config.model_copy(update={"reuse_baseline": False}), workspace)
    assert find_reusable(fresh.plans[plan_key(fresh.config.trained())], workspace.registry) is None
    record_baseline(workspace, dataset=config.dataset)
    promote_run(second.run_id, "m", GateConfig(), workspace)
    found = find_reusable(plan, workspace.registry)
    assert found is not None
    assert found.run_id == first.run_id
    flip_a_bit(first.files.model / "config.json", random.Random(1))
    assert find_reusable(plan, workspace.registry) is None
