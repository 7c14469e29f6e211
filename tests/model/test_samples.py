"""Several samples of an item, drawn by a real model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.references import TINY_BASE_DIRECTORY
from golden.datasets import load_dataset
from inference.contract import GenerationConfig, PredictionMeta, PredictSpec
from judges import read_predictions

pytestmark = pytest.mark.model

ITEMS = list(load_dataset("golden-v1").items())[::30]


def drawn(folder: Path, order: int = 1, **settings: Any) -> dict[str, Any]:
    """Trace_id -> samples, by a job of its own."""
    from inference.generate import predict

    folder.mkdir()
    dataset = folder / "few-v1.jsonl"
    items = ITEMS[::order]
    dataset.write_text("".join(item.model_dump_json() + "\n" for item in items))
    chosen = {"samples": 3, "temperature": 0.9, "top_p": 0.95, "max_new_tokens": 8, "device": "cpu"}
    generation = GenerationConfig.model_validate({**chosen, **settings})
    spec = PredictSpec(
        model=TINY_BASE_DIRECTORY, dataset=dataset, output=folder, label="predict", generation=generation
    )
    predict(spec, lambda _: None)
    return dict(read_predictions(folder / "predictions.jsonl", items, generation.samples))


def test_samples_depend_on_seed_item_and_number_alone(tmp_path: Path) -> None:
    first = drawn(tmp_path / "first")
    assert all(len(samples) == 3 for samples in first.values())
    assert any(len(set(samples)) > 1 for samples in first.values())
    assert drawn(tmp_path / "alone", batch_size=1) == first
    assert drawn(tmp_path / "other order", order=-1, batch_size=7) == first
    more = drawn(tmp_path / "more", samples=5)
    assert {trace_id: samples[:3] for trace_id, samples in more.items()} == first
    assert drawn(tmp_path / "another seed", seed=1) != first
    meta = PredictionMeta.model_validate(json.loads((tmp_path / "first/predictions_meta.json").read_text()))
    assert meta.items == len(ITEMS)
    assert meta.engine.reproducible


def test_a_low_temperature_writes_what_greedy_decoding_writes(tmp_path: Path) -> None:
    greedy = drawn(tmp_path / "greedy", samples=1, temperature=0, top_p=1)
    cold = drawn(tmp_path / "cold", samples=2, temperature=1e-6, top_p=1)
    assert cold == {trace_id: [text] * 2 for trace_id, text in greedy.items()}
