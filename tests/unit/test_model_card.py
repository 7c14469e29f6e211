"""The model card: the hub reads its metadata, and nobody's text has power over the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from evaluation.training_data import TrainingData
from provenance import stored_document
from provenance.card import model_card
from provenance.card_data import card_data
from registry import ModelVersion, Registry, open_registry
from tests.support.registry_entries import digest, finish, make_weights, manifest, promote, promoted, start

pytestmark = pytest.mark.unit


@pytest.fixture
def opened(home: Path) -> Iterator[Registry]:
    registry = open_registry(home, None)
    yield registry
    registry.close()


def card(registry: Registry, version: ModelVersion) -> str:
    return model_card(stored_document(registry, version), registry.comparisons.find(version))


def test_the_hub_reads_back_every_result_that_was_written(opened: Registry, tmp_path: Path) -> None:
    version = promoted(opened, tmp_path, manifest=manifest("Qwen/Qwen3-0.6B@main", "c0ffee", method="lora"))
    path = tmp_path / "README.md"
    path.write_text(card(opened, version))
    data = ModelCard.load(path).data
    assert data.eval_results == card_data(stored_document(opened, version)).eval_results
    assert (data.base_model, data.datasets, data.tags) == (
        "Qwen/Qwen3-0.6B",
        ["train-v1"],
        ["hallmark", "lora"],
    )
    assert (data.library_name, data.pipeline_tag, data.model_name) == (
        "transformers",
        "text-generation",
        "m v1",
    )
    overall, addition = data.eval_results
    assert (overall.dataset_name, overall.dataset_revision, overall.dataset_config) == (
        "sample-v1",
        digest("sample"),
        None,
    )
    assert (overall.metric_type, overall.metric_name, overall.metric_value) == (
        "answer_correctness",
        "answer_correctness@v1",
        0.5,
    )
    assert overall.metric_args == {"n": 2, "ci_low": 0.1, "ci_high": 0.9, "level": 0.95, "interval": "wilson"}
    assert (addition.dataset_config, addition.metric_value, addition.metric_args) == (
        "addition",
        1.0,
        {"n": 1},
    )


def test_a_base_model_that_is_not_on_the_hub_is_no_link(opened: Registry, tmp_path: Path) -> None:
    text = card(opened, promoted(opened, tmp_path))
    assert "base_model:" not in text
    assert "Fine-tuned from tiny-base on train-v1" in text


def test_the_card_says_whether_it_is_better_by_how_much_and_how_sure(
    opened: Registry, tmp_path: Path
) -> None:
    text = card(opened, promoted(opened, tmp_path))
    assert "The gate promoted it.\n\n- It is better." in text
    assert "| 2 | 25.0 % | 50.0 % | +25.0 | +10.0 to +40.0 | 0.012 |" in text
    assert "| answer\\_correctness | **overall** | 2 | 50.0 % | 10.0 % to 90.0 % |" in text
    assert "| training.steps | 200 |" in text
    assert "lora" not in text.partition("# m v1")[2]
    assert "`hallmark reproduce m@v1`" in text
    assert "It was judged on 2 items of sample-v1." in text


def test_the_comparison_is_the_one_with_the_champion_of_then(opened: Registry, tmp_path: Path) -> None:
    first = promoted(opened, tmp_path, "first")
    second = promoted(opened, tmp_path, "second")
    report: dict[str, Any] = {"n": 2, "test": "mcnemar_exact"}
    opened.comparisons.record(
        "base-run", second.run_id, delta=0.5, p_value=0.5, ci_low=0.1, ci_high=0.9, report=report
    )
    found = opened.comparisons.find(second)
    assert found is not None
    assert (found.baseline_run_id, found.delta) == (first.run_id, 0.25)
    assert "+25.0 | +10.0 to +40.0 | 0.012 |" in card(opened, second)


def test_the_comparison_is_with_the_run_that_the_gate_looked_at(opened: Registry, tmp_path: Path) -> None:
    promoted(opened, tmp_path, "first")
    newest = finish(opened, start(opened, manifest=manifest()), make_weights(tmp_path, "first"))
    run, weights = start(opened, manifest=manifest()), make_weights(tmp_path, "second")
    finish(opened, run, weights)
    report: dict[str, Any] = {"n": 2, "test": "mcnemar_exact"}
    opened.comparisons.record(
        newest.run_id, run.run_id, delta=0.5, p_value=0.5, ci_low=0.1, ci_high=0.9, report=report
    )
    version = promote(opened, run, weights).version
    assert version is not None
    found = opened.comparisons.find(version)
    assert found is not None
    assert found.baseline_run_id == newest.run_id


def test_a_version_that_was_forced_says_so(opened: Registry, tmp_path: Path) -> None:
    statement = stored_document(opened, promoted(opened, tmp_path))
    statement["predicate"]["hallmark_decision"] = {
        "promote": False,
        "reasons": ["The score changed by -1.0 points."],
    }
    text = model_card(statement)
    assert "It was promoted by hand; the gate did not ask for it." in text
    assert "- The score changed by -1.0 points." in text


def test_names_of_others_have_no_power_over_the_page(opened: Registry, tmp_path: Path) -> None:
    statement = stored_document(opened, promoted(opened, tmp_path))
    evil = "a|b\n---\n# <script>alert(1)</script> [x](javascript:y) `c` ![i](http://e/v)"
    statement["predicate"]["hallmark_evaluation"]["metrics"][1]["category"] = evil
    statement["predicate"]["buildDefinition"]["externalParameters"]["baseModel"] = evil
    path = tmp_path / "README.md"
    path.write_text(model_card(statement))
    loaded = ModelCard.load(path)
    assert loaded.data.eval_results[1].dataset_config == evil
    assert "<script" not in loaded.text
    assert "\n# <" not in loaded.text
    assert (
        "a\\|b --- \\# &lt;script&gt;alert\\(1\\)&lt;/script&gt; \\[x\\]\\(javascript:y\\) \\`c\\` \\!\\[i\\]"
        in loaded.text
    )


def test_the_same_version_has_the_same_card(opened: Registry, tmp_path: Path) -> None:
    version = promoted(opened, tmp_path)
    assert card(opened, version) == card(opened, version)


def test_the_card_says_what_is_known_of_the_training_data(opened: Registry, tmp_path: Path) -> None:
    document = stored_document(opened, promoted(opened, tmp_path))
    assert "Training data" not in model_card(document)
    known = TrainingData(status="unknown", golden="sample-v1", root="Qwen/Qwen3_0.6B@main")
    document["predicate"]["hallmark_decision"]["training_data"] = known.model_dump()
    assert card_data(document).tags == ["hallmark", "full", "training-data-unknown"]
    assert r"nothing is recorded of what Qwen/Qwen3\_0.6B@main was trained on" in model_card(document)
