"""A quick look: the first items of a dataset, judged like any other, and never promoted."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import InputError
from evaluation.gate import GateConfig
from experiments.config import EvaluateConfig, evaluation
from experiments.datasets import first_items
from experiments.promoting import promote_run
from experiments.workspace import Workspace, open_workspace
from golden.datasets import load_dataset
from tests.support.recorded_runs import record_baseline, record_trained, right_for

pytestmark = pytest.mark.unit


@pytest.fixture
def place(home: Path) -> Workspace:
    return open_workspace()


def test_the_first_items_are_a_dataset_of_their_own_whose_name_says_how_many(tmp_path: Path) -> None:
    whole = load_dataset("golden-v1")
    first = first_items(whole, 20, tmp_path)
    assert first.name == "golden-first20-v1"
    assert [item.trace_id for item in first.items()] == [item.trace_id for item in whole.items()][:20]
    assert first.judge == whole.judge
    assert first_items(whole, 20, tmp_path) == first, "asked again it is the same file"


def test_a_limit_beyond_the_last_item_is_the_dataset_itself(tmp_path: Path) -> None:
    whole = load_dataset("golden-v1")
    assert first_items(whole, 360, tmp_path) is whole
    assert first_items(whole, 10_000, tmp_path) is whole


@pytest.mark.parametrize("force_reason", [None, "it is urgent"])
def test_nothing_is_promoted_on_a_quick_look(place: Workspace, force_reason: str | None) -> None:
    record_baseline(place, right_for(0.1), limit_items=40)
    run = record_trained(place, right_for(0.9), limit_items=40)
    assert run.manifest["dataset"]["limit_items"] == 40
    with pytest.raises(InputError, match="judged only the first 40 items"):
        promote_run(run.run_id, "support", GateConfig(), place, force_reason=force_reason)
    assert place.registry.models.list() == []


def test_evaluate_takes_the_settings_of_a_whole_experiment_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "hallmark.toml"
    file.write_text(
        'base_model = "models/base"\nmodel_name = "support"\ndataset = "golden-v1"\n'
        'prompt.instruction = "End with: Answer: X"\ngeneration.max_new_tokens = 64\ntrain.steps = 5\n'
    )
    wanted = evaluation(file, {"model": "run:20261126", "generation.threads": 1})
    assert (wanted.model, wanted.dataset) == ("run:20261126", "golden-v1")
    assert (wanted.generation.max_new_tokens, wanted.generation.threads) == (64, 1)
    assert wanted.prompt.instruction == "End with: Answer: X"
    assert evaluation(file, {"model": None}).model == "models/base"


def test_evaluate_takes_a_file_with_the_settings_of_an_evaluation(tmp_path: Path) -> None:
    file = tmp_path / "evaluate.toml"
    file.write_text('model = "models/base"\nlimit_items = 5\n')
    assert evaluation(file, {}) == EvaluateConfig(model="models/base", limit_items=5)
    file.write_text('model = "models/base"\nlimits = 5\n')
    with pytest.raises(InputError, match="toml: limits: unknown setting; did you mean limit_items[?]$"):
        evaluation(file, {})
