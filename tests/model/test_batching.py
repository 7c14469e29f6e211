"""No prediction depends on which other prompts are answered at the same time, whatever the family."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from golden.prompting import PromptConfig, ResolvedPrompt
from inference.contract import GenerationConfig, PredictionMeta, PredictSpec
from tests.support.small_models import MODELS, make_model

pytestmark = pytest.mark.model

PROMPTS = [
    "Hi",
    "2 + 2?",
    "What is 47 + 38?",
    "Reverse ab",
    "9 - 1?",
    "Add " + "1, 22, 333, " * 4,
    "yes or no?",
]
BATCHING = {
    "mamba": "equal_length",
    "recurrent_gemma": "equal_length",
    "llama": "equal_length",
    "rwkv": "single",
}
ROUTED = ("mixtral",)
"""Rounding may send a token to another expert, so that equal bytes are not promised."""


def predicted(model: Path, output: Path, batch_size: int, order: int = 1, **prompt: Any) -> dict[str, str]:
    """Trace_id -> prediction, by a run of its own."""
    from inference.generate import predict

    output.mkdir()
    items = [
        {"trace_id": text, "prompt": text, "final_answer": "x", "category": "c"} for text in PROMPTS[::order]
    ]
    for number, item in enumerate(items):
        item["trace_id"] = f"t{number if order == 1 else len(items) - 1 - number}"
    dataset = output / "few-v1.jsonl"
    dataset.write_text("".join(json.dumps(item) + "\n" for item in items))
    spec = PredictSpec(
        model=model,
        dataset=dataset,
        output=output,
        label="predict",
        generation=GenerationConfig(max_new_tokens=12, batch_size=batch_size, device="cpu"),
        prompt=ResolvedPrompt(config=PromptConfig(**prompt)),
    )
    predict(spec, lambda _: None)
    rows = map(json.loads, (output / "predictions.jsonl").read_text().splitlines())
    return {row["trace_id"]: row["prediction"] for row in rows}


def meta(output: Path) -> PredictionMeta:
    return PredictionMeta.model_validate_json((output / "predictions_meta.json").read_text())


@pytest.mark.parametrize("family", MODELS)
def test_batch_size_and_order_change_nothing(family: str, tmp_path: Path) -> None:
    model = make_model(family, tmp_path / "model")
    alone = predicted(model, tmp_path / "alone", 1)
    assert len(set(alone.values())) > 4, "the model says different things"
    assert predicted(model, tmp_path / "together", 64) == alone
    assert predicted(model, tmp_path / "reversed", 3, order=-1) == alone
    found = meta(tmp_path / "together")
    assert found.batching == BATCHING.get(family, "padded")
    promised = family not in ROUTED
    assert (found.engine.reproducible, found.engine.ties is not None) == (promised, promised)


@pytest.mark.parametrize("step", [0, 1])
def test_a_shortest_prompt_whose_answer_ends_at_once_does_not_stop_the_probe(
    tmp_path: Path, step: int
) -> None:
    model = make_model("mixtral", tmp_path / "model")
    said = predicted(model, tmp_path / "said", 1)["t0"][step]
    tokens = json.loads((model / "tokenizer.json").read_text())["model"]["vocab"]
    file = model / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "eos_token_id": [1, tokens[said]]}))
    alone = predicted(model, tmp_path / "alone", 1)
    assert len(alone["t0"]) <= step
    assert predicted(model, tmp_path / "together", 64) == alone
    assert meta(tmp_path / "together").batching == "padded"


def test_stop_strings_end_completions_the_same_alone_and_together(tmp_path: Path) -> None:
    model = make_model("gpt2", tmp_path / "model")
    whole = predicted(model, tmp_path / "whole", 1)
    stop = [whole["t0"][3:5], whole["t2"][7]]
    alone = predicted(model, tmp_path / "alone", 1, stop=stop)
    assert predicted(model, tmp_path / "together", 64, stop=stop) == alone
    for trace_id, text in whole.items():
        places = [text.index(each) for each in stop if each in text]
        assert alone[trace_id] == text[: min(places, default=None)]
    found = meta(tmp_path / "together")
    assert found.stop == stop
    cut = {trace_id for trace_id, text in whole.items() if not any(each in text for each in stop)}
    assert set(found.reached_max_new_tokens) == cut
    assert found.completion_tokens == sum(
        len(alone[trace_id])
        if trace_id in cut
        else min(text.index(each) + len(each) for each in stop if each in text)
        for trace_id, text in whole.items()
    )


def test_stop_strings_end_completions_of_families_that_go_through_generate(tmp_path: Path) -> None:
    model = make_model("mixtral", tmp_path / "model")
    whole = predicted(model, tmp_path / "whole", 64)
    stop = [whole["t1"][3:5], whole["t4"][2]]
    cut = predicted(model, tmp_path / "cut", 64, stop=stop)
    assert cut != whole
    for trace_id, text in whole.items():
        places = [text.index(each) for each in stop if each in text]
        assert cut[trace_id] == text[: min(places, default=None)]
