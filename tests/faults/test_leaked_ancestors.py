"""A model whose ancestor was trained on golden items wins nothing, whichever way it comes: row 37."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from experiments.workspace import Workspace
from golden.datasets import BUILT_IN
from registry import Run
from tests.support.recorded_runs import record_baseline, record_from, right_for, workspace_at
from tests.support.refusals import assert_refused

pytestmark = pytest.mark.unit

NAMED = ("--model-name", "tiny-reasoner")
"""Only the tiny base itself, and registered models, go without a name."""


@pytest.fixture
def place(home: Path) -> Workspace:
    return workspace_at(home)


@pytest.fixture
def leaked(place: Workspace, tmp_path: Path) -> Run:
    """A run that was trained on 40 golden items, as `train.allow_contamination` allows."""
    golden, lessons = (
        (BUILT_IN / f"{name}.jsonl").read_text().splitlines(keepends=True)
        for name in ("golden-v1", "train-v1")
    )
    path = tmp_path / "copies-v1.jsonl"
    path.write_text("".join([*golden[:40], *lessons[:40]]))
    record_baseline(place)
    train = {"dataset": str(path), "allow_contamination": True}
    return record_from(place, "tiny-base", right_for(0.8), "leaked", train=train)


def named(run: Run) -> tuple[str, ...]:
    return f"Run {run.run_id} trained on copies-v1", "40 items hold items of golden-v1", "--write-clean"


def test_an_experiment_from_a_leaked_run_is_refused_before_it_begins(
    place: Workspace, leaked: Run, hallmark: Any
) -> None:
    for base in (f"{place.runs / leaked.run_id}/model", f"run:{leaked.run_id}"):
        result = hallmark("experiment", "--base-model", base, "--model-name", "m", "--steps", 5)
        assert_refused(result, 2, *named(leaked), "allow_contamination")
    assert place.registry.runs.count() == 2


def test_clean_steps_after_a_leaked_run_are_refused_by_the_gate(
    place: Workspace, leaked: Run, hallmark: Any
) -> None:
    """The three nights: train on copies, take the result as base, train cleanly, offer it."""
    train = {"dataset": "train-v1", "allow_contamination": True}
    clean = record_from(
        place, f"{place.runs / leaked.run_id}/model", right_for(0.85), "clean steps", train=train
    )
    base = place.registry.runs.list(limit=1, kind="baseline")[0]
    result = hallmark("promote", clean.run_id, "--against", base.run_id, *NAMED, "--json")
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer["outcome"] == "refused"
    for part in named(leaked):
        assert part in " ".join(answer["decision"]["reasons"])
    assert place.registry.models.aliased("tiny-reasoner") is None


def test_the_leaked_weights_in_another_folder_are_refused_by_the_gate(
    place: Workspace, leaked: Run, tmp_path: Path, hallmark: Any
) -> None:
    folder = Path(shutil.copytree(f"{place.runs / leaked.run_id}/model", tmp_path / "new-model"))
    base = place.registry.runs.list(limit=1, kind="baseline")[0]
    judged = record_baseline(place, right_for(0.8), model=str(folder))
    refused = hallmark("promote", judged.run_id, "--against", base.run_id, *NAMED)
    assert refused.returncode == 0, refused.stderr
    told = " ".join(refused.stdout.split())
    for part in ("NOT PROMOTED", *named(leaked)):
        assert part in told
    log = place.registry.models.history("tiny-reasoner")
    assert [row.action for row in log] == ["refused"]
    assert log[0].decision["training_data"]["status"] == "leaked"


def test_who_forces_it_carries_it_in_decision_statement_and_card(
    place: Workspace, leaked: Run, tmp_path: Path, hallmark: Any
) -> None:
    forced = hallmark("promote", leaked.run_id, "--force", "--reason", "a demonstration")
    assert forced.returncode == 0, forced.stderr
    exported = hallmark("models", "export", "tiny-reasoner@champion", tmp_path / "out")
    assert exported.returncode == 0, exported.stderr
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"Run {leaked.run_id} trained on copies-v1" in card


def test_a_model_of_unknown_training_is_promoted_and_its_decision_and_card_say_so(
    place: Workspace, tmp_path: Path, hallmark: Any
) -> None:
    from experiments.references import TINY_BASE_DIRECTORY

    base = record_baseline(place)
    folder = Path(shutil.copytree(TINY_BASE_DIRECTORY, tmp_path / "somebodys"))
    (folder / "README.md").write_text("from somewhere")
    judged = record_baseline(place, right_for(0.8), model=str(folder))
    result = hallmark("promote", judged.run_id, "--against", base.run_id, *NAMED, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["outcome"] == "promoted"
    decision = place.registry.models.history("tiny-reasoner")[-1].decision
    assert decision["training_data"]["status"] == "unknown"
    assert hallmark("models", "export", "tiny-reasoner@v1", tmp_path / "out").returncode == 0
    assert (
        "Training data unknown: nothing is recorded of what" in (tmp_path / "out" / "README.md").read_text()
    )
