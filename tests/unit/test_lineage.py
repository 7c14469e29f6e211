"""What a model and its ancestors were trained on: clean, leaked or unknown, as far as runs recorded it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError
from core.files import sha256_tree
from evaluation.training_data import Ancestor, TrainingData
from experiments import lineage as module
from experiments.config import TrainRunConfig
from experiments.lineage import training_data
from experiments.plan import plan_training
from experiments.references import TINY_BASE_DIRECTORY
from experiments.rejudging import rejudge
from experiments.workspace import Workspace
from golden.datasets import BUILT_IN, load_dataset
from golden.guard import find_overlaps
from registry import Run
from tests.support.recorded_runs import record_baseline, record_from, right_for, workspace_at

pytestmark = pytest.mark.unit

GOLDEN = BUILT_IN / "golden-v1.jsonl"
CLEAN = BUILT_IN / "train-v1.jsonl"


@pytest.fixture
def place(home: Path) -> Workspace:
    return workspace_at(home)


def lines(path: Path, count: int, start: int = 0) -> list[str]:
    return path.read_text().splitlines(keepends=True)[start : start + count]


def training_set(folder: Path, name: str, rows: Iterable[str]) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.jsonl"
    path.write_text("".join(rows))
    return str(path)


@pytest.fixture
def leaky(tmp_path: Path) -> str:
    """A training set with three golden items."""
    return training_set(tmp_path / "data", "leaky-v1", [*lines(CLEAN, 20), *lines(GOLDEN, 3)])


@pytest.fixture
def clean(tmp_path: Path) -> str:
    return training_set(tmp_path / "data", "clean-v1", lines(CLEAN, 20))


def known(run: Run, place: Workspace) -> TrainingData:
    return training_data(run, place.registry.datasets.get(run.dataset_id), place)


def trained_from(place: Workspace, base: str | Run, data: str, weights: str, **settings: Any) -> Run:
    reference = base if isinstance(base, str) else f"run:{base.run_id}"
    train = {"dataset": data, "allow_contamination": True}
    return record_from(place, reference, right_for(0.6), weights, train=train, **settings)


def test_the_tiny_base_is_known_to_be_clean_for_golden_v1_and_for_nothing_else(
    place: Workspace, tmp_path: Path
) -> None:
    from trainer.make_tiny_base import curriculum

    assert sha256_tree(TINY_BASE_DIRECTORY) == module.TINY_BASE_SHA256
    golden = load_dataset("golden-v1")
    assert golden.sha256 == module.GOLDEN_V1_SHA256
    taught = (made.item for made in curriculum())
    assert not any(overlap.refuses for overlap in find_overlaps(taught, golden.items()))
    assert known(record_baseline(place), place) == TrainingData(
        status="clean", golden="golden-v1", root="tiny-base", root_status="clean"
    )
    other = training_set(tmp_path / "data", "other-v1", lines(GOLDEN, 5))
    found = known(record_baseline(place, dataset=other), place)
    assert (found.status, found.root) == ("unknown", "tiny-base")
    assert " ".join(found.sentences) == (
        "Training data unknown: nothing is recorded of what tiny-base was trained on, so items of other-v1 "
        "may have been among it."
    )


def test_an_ancestor_that_was_trained_on_golden_items_is_found_through_clean_steps(
    place: Workspace, leaky: str, clean: str
) -> None:
    first = trained_from(place, "tiny-base", leaky, "first")
    second = trained_from(place, first, clean, "second")
    third = trained_from(place, second, "train-v1", "third")
    found = known(third, place)
    assert found.status == "leaked"
    assert [(each.run_id, each.dataset, each.status, each.overlaps) for each in found.ancestors] == [
        (third.run_id, "train-v1", "clean", 0),
        (second.run_id, "clean-v1", "clean", 0),
        (first.run_id, "leaky-v1", "leaked", 3),
    ]
    assert (found.root, found.root_status) == ("tiny-base", "clean")
    told = " ".join(found.sentences)
    assert f"Run {first.run_id} trained on leaky-v1, of which 3 items hold items of golden-v1" in told
    assert f"from before run {first.run_id}" in told
    assert "golden guard --write-clean" in told


def test_clean_ancestors_are_clean_and_need_no_guard_where_it_is_recorded(
    place: Workspace, clean: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = trained_from(place, "tiny-base", clean, "first")
    second = trained_from(place, first, "train-v1", "second")
    monkeypatch.setattr(module, "find_overlaps", None)
    module.held_items.cache_clear()
    found = known(second, place)
    assert (found.status, len(found.ancestors)) == ("clean", 2)
    assert found.sentences == [
        "Training data clean: nothing that the model was trained on holds items of golden-v1."
    ]


def test_a_training_set_is_held_against_every_golden_set_also_when_its_path_is_gone(
    place: Workspace, tmp_path: Path
) -> None:
    """Clean for the set that the run was judged on, and made of the items of another."""
    hidden = training_set(tmp_path / "data", "hidden-v1", lines(GOLDEN, 10, start=50))
    judged = training_set(tmp_path / "data", "judged-v1", lines(GOLDEN, 10))
    first = trained_from(place, "tiny-base", hidden, "first", dataset=judged)
    assert known(first, place).ancestors[0].status == "clean"
    shutil.rmtree(tmp_path / "data")
    golden = record_baseline(place)
    found = training_data(first, place.registry.datasets.get(golden.dataset_id), place)
    assert (found.status, found.ancestors[0].overlaps) == ("leaked", 10)


def test_a_training_set_that_nobody_has_any_more_is_unknown(
    place: Workspace, clean: str, tmp_path: Path
) -> None:
    other = training_set(tmp_path / "data", "judged-v1", lines(GOLDEN, 10))
    first = trained_from(place, "tiny-base", clean, "first", dataset=other)
    Path(clean).unlink()
    store = place.registry.artifacts
    pin = first.manifest["training"]["dataset"]["sha256"]
    store.blobs.delete([pin])
    golden = record_baseline(place)
    module.held_items.cache_clear()
    found = training_data(first, place.registry.datasets.get(golden.dataset_id), place)
    assert (found.status, found.ancestors[0].status) == ("unknown", "unknown")
    assert f"clean-v1 (sha256 {pin}), which run {first.run_id} trained on, is not to be had" in " ".join(
        found.sentences
    )


def test_weights_that_two_runs_made_are_leaked_if_either_run_leaked(
    place: Workspace, leaky: str, clean: str
) -> None:
    record_baseline(place)
    honest = trained_from(place, "tiny-base", clean, "same")
    assert known(honest, place).status == "clean"
    trained_from(place, "tiny-base", leaky, "same")
    assert known(honest, place).status == "leaked"


def test_weights_of_a_run_that_failed_after_its_training_are_known_too(
    place: Workspace, leaky: str, tmp_path: Path
) -> None:
    from experiments.runs import begin_run

    train = {"dataset": leaky, "allow_contamination": True}
    plan = plan_training(TrainRunConfig(train=train), place)
    run = begin_run(plan, place.registry)
    model = Path(shutil.copytree(TINY_BASE_DIRECTORY, run.files.model))
    (model / "README.md").write_text("trained, and then the light went out")
    place.registry.runs.trained(run.run_id, sha256_tree(model))
    found = known(record_baseline(place, model=str(model)), place)
    assert (found.status, found.ancestors[0].run_id) == ("leaked", run.run_id)


def test_a_copy_with_another_card_is_known_by_its_tensors_as_candidate_and_as_base(
    place: Workspace, leaky: str, clean: str, tmp_path: Path
) -> None:
    first = trained_from(place, "tiny-base", leaky, "first")
    copy = Path(shutil.copytree(f"{place.runs / first.run_id}/model", tmp_path / "copy"))
    (copy / "README.md").write_text("a new model")
    (copy / "extra.safetensors").rename(copy / "another.safetensors")
    judged = record_baseline(place, model=str(copy))
    assert judged.model_sha256 != first.model_sha256
    second = trained_from(place, str(copy), clean, "second")
    for run, count in ((judged, 1), (second, 2)):
        found = known(run, place)
        assert (found.status, len(found.ancestors), found.root) == ("leaked", count, "tiny-base")
        assert found.ancestors[-1].run_id == first.run_id


def test_a_run_whose_predictions_were_judged_again_has_the_same_training_behind_it(
    place: Workspace, leaky: str
) -> None:
    first = trained_from(place, "tiny-base", leaky, "first")
    again = rejudge(first.run_id, "exact_match@v1", place)
    found = known(place.registry.runs.get(again.run_id), place)
    assert (found.status, [each.run_id for each in found.ancestors]) == ("leaked", [first.run_id])


def test_training_from_a_leaked_model_is_refused_before_it_starts_naming_the_run(
    place: Workspace, leaky: str, clean: str
) -> None:
    first = trained_from(place, "tiny-base", leaky, "first")
    base = f"run:{first.run_id[:-2]}"
    with pytest.raises(InputError, match=f"Run {first.run_id} trained on leaky-v1.*allow_contamination"):
        plan_training(TrainRunConfig(base_model=base, train={"dataset": clean}), place)
    allowed = TrainRunConfig(base_model=base, train={"dataset": clean, "allow_contamination": True})
    contamination = plan_training(allowed, place).manifest("x")["training"]["contamination"]
    assert contamination["base"]["status"] == "leaked"
    assert json.loads(json.dumps(contamination)) == contamination


def test_a_record_of_an_older_rule_is_looked_at_again(place: Workspace, leaky: str) -> None:
    first = trained_from(place, "tiny-base", leaky, "first")
    old = {**first.manifest["training"], "contamination": {"overlaps": 0, "allowed": True, "pairs": []}}
    golden = module.Golden("golden-v1", module.GOLDEN_V1_SHA256, lambda: GOLDEN)
    assert list(module._recorded(old, first.manifest, golden)) == []
    first.manifest = {**first.manifest, "training": old}
    assert module._ancestor(first, golden, {}, place.registry.artifacts).overlaps == 3


def test_many_runs_on_one_training_set_are_one_sentence() -> None:
    every = [
        Ancestor(run_id=f"r{n}", dataset="x-v1", sha256="0" * 64, status="leaked", overlaps=1)
        for n in range(5)
    ]
    told = TrainingData(status="leaked", golden="g-v1", ancestors=every, root="base").sentences
    assert told[0] == (
        "Runs r4, r3, r2 and 2 more trained on x-v1, of which 1 item holds items of g-v1, so a gain may be "
        "memory."
    )
    assert len(told) == 2
