"""Two homes with one registry and one store: what the one recorded is all that the other needs."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError, IntegrityError
from evaluation.gate import GateConfig
from experiments.comparing import compare_runs, flips
from experiments.config import EvaluateConfig, ExperimentConfig
from experiments.plan import plan_evaluation, plan_experiment
from experiments.promoting import promote_run
from experiments.references import resolve_model
from experiments.rejudging import rejudge
from experiments.reproducing import plan_reproduction
from experiments.runs import find_reusable
from experiments.workspace import Workspace
from golden.datasets import BUILT_IN
from registry import Run, open_registry
from tests.support.recorded_runs import record_baseline, record_from, right_for

pytestmark = pytest.mark.unit


@pytest.fixture
def one(tmp_path: Path) -> Workspace:
    return machine(tmp_path, "one")


@pytest.fixture
def two(tmp_path: Path) -> Workspace:
    return machine(tmp_path, "two")


def machine(folder: Path, name: str) -> Workspace:
    """A home of its own; the registry and the store are everybody's."""
    home = folder / name / "home"
    registry = open_registry(home, f"sqlite:///{folder}/registry.db", artifacts=str(folder / "store"))
    return Workspace(home, registry)


def datasets(folder: Path) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, source, count in (("mine-v1", "golden-v1", 40), ("lessons-v1", "train-v1", 30)):
        lines = (BUILT_IN / f"{source}.jsonl").read_bytes().splitlines(keepends=True)
        (folder / f"{name}.jsonl").write_bytes(b"".join(lines[:count]))
    return {"dataset": str(folder / "mine-v1.jsonl"), "train": {"dataset": str(folder / "lessons-v1.jsonl")}}


@pytest.fixture
def recorded(one: Workspace) -> tuple[Run, Run]:
    """A base and a trained run of the first machine, which is out of reach from now on."""
    folder = one.home.parent
    settings = datasets(folder / "data")
    base = record_baseline(one, dataset=settings["dataset"])
    trained = record_from(one, "tiny-base", right_for(0.8), "trained", **settings)
    folder.rename(folder.with_name("away"))
    return base, trained


def test_everything_is_decided_from_registry_and_store(two: Workspace, recorded: tuple[Run, Run]) -> None:
    base, trained = recorded
    comparison = compare_runs(base.run_id, trained.run_id, two.registry)
    better, _ = flips(comparison, 2, two.registry)
    assert len(better) == 2
    result = promote_run(trained.run_id, "m", GateConfig(), two)
    assert result.outcome == "promoted"
    again = rejudge(trained.run_id, "exact_match@v1", two)
    assert two.registry.runs.get(again.run_id).predictions_sha256 == trained.predictions_sha256
    plan = plan_reproduction(trained.run_id, two)
    assert plan.inputs_sha256() == trained.inputs_sha256
    assert two.registry.verify() == []


def test_what_a_run_trained_is_a_model_by_the_runs_name(two: Workspace, recorded: tuple[Run, Run]) -> None:
    base, trained = recorded
    found = resolve_model(f"run:{trained.run_id[:-1]}", two)
    assert (found.reference, found.sha256) == (f"run:{trained.run_id}", trained.model_sha256)
    assert found.label == f"run:{trained.run_id}"
    with pytest.raises(InputError, match="judged a model and made none. Name that model: tiny-base"):
        resolve_model(f"run:{base.run_id}", two)
    with pytest.raises(InputError, match="run nonsense: there is none"):
        resolve_model("run:nonsense", two)


def test_a_changed_model_is_not_the_one_that_the_run_trained(one: Workspace) -> None:
    run = record_from(one, "tiny-base", right_for(0.8), "trained", **datasets(one.home.parent / "data"))
    (one.runs / run.run_id / "model" / "extra.safetensors").write_text("other")
    with pytest.raises(IntegrityError, match=f"changed since run {run.run_id} judged it"):
        resolve_model(f"run:{run.run_id}", one)


def test_a_run_of_an_older_hallmark_fills_the_store_when_it_is_reused(
    two: Workspace, recorded: tuple[Run, Run]
) -> None:
    base, trained = recorded
    store = two.registry.artifacts
    sha256 = base.manifest["dataset"]["sha256"]
    store.blobs.delete([sha256])
    with pytest.raises(InputError, match="judge any model on the same file: that puts it into the store"):
        compare_runs(base.run_id, trained.run_id, two.registry)
    settings = datasets(two.home.parent / "data")
    plan = plan_evaluation(EvaluateConfig(dataset=settings["dataset"]), two)
    reused = find_reusable(plan, two.registry)
    assert reused is not None
    assert reused.run_id == base.run_id
    record_baseline(two, right_for(0.5), dataset=settings["dataset"], reuse=False)
    assert store.has_file(sha256)
    assert compare_runs(base.run_id, trained.run_id, two.registry).n == 40


def test_an_experiment_whose_champion_is_not_to_be_had_is_refused_when_it_is_planned(
    two: Workspace, recorded: tuple[Run, Run]
) -> None:
    _, trained = recorded
    promote_run(trained.run_id, "m", GateConfig(), two)
    store = two.registry.artifacts
    store.blobs.delete([trained.model_sha256 or ""])
    shutil.rmtree(store.checkouts)
    config = ExperimentConfig.model_validate({**datasets(two.home.parent / "data"), "model_name": "m"})
    with pytest.raises(IntegrityError, match=f"artifact {trained.model_sha256}: missing"):
        plan_experiment(config, two)


def test_a_shared_store_keeps_what_was_trained_until_its_days_are_over(
    two: Workspace, recorded: tuple[Run, Run]
) -> None:
    _, trained = recorded
    registry, weights = two.registry, recorded[1].model_sha256 or ""
    assert registry.collect_garbage(grace_s=-1).files == 0
    assert registry.collect_garbage(grace_s=-1, models_older_than=1).files == 0
    assert registry.artifacts.has(weights)
    assert datetime.now(UTC) - datetime.fromisoformat(trained.finished_at or "") < timedelta(days=1)
    assert registry.collect_garbage(grace_s=-1, models_older_than=-1).files > 0
    assert not registry.artifacts.has(weights)
    assert registry.artifacts.has_file(trained.manifest["training"]["dataset"]["sha256"])
    with pytest.raises(InputError, match="Go to the machine that made it. Or train it again"):
        resolve_model(f"run:{trained.run_id}", two)


def test_a_homes_own_store_holds_no_model_twice(tmp_path: Path) -> None:
    home = tmp_path / "home"
    alone = Workspace(home, open_registry(home))
    assert not alone.registry.artifacts.shared
    named = open_registry(home, artifacts=str(home / "artifacts"))
    assert not named.artifacts.shared, "named, but still its own"
    run = record_from(alone, "tiny-base", right_for(0.8), "trained", **datasets(tmp_path / "data"))
    assert not alone.registry.artifacts.has(run.model_sha256 or "")
    assert alone.registry.artifacts.count() == 2, "the two datasets"
    assert alone.registry.collect_garbage(grace_s=-1).files == 0
