"""Log-probabilities by vLLM are those of transformers, and so of lm-evaluation-harness; and of one item."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.errors import InputError
from inference.batching import Continuation, Prompt
from inference.contract import PredictionMeta, PredictSpec
from tests.support.engines import needs_vllm, run_vllm
from tests.support.scored_texts import scoring_job, written_by

pytestmark = pytest.mark.model

COPIES = 8
"""So many that a job can be interrupted."""


def by_vllm(spec: PredictSpec) -> dict[str, str]:
    last, code = run_vllm(spec)
    assert (last["event"], code) == ("result", 0), last
    return written_by(spec)


def by_transformers(spec: PredictSpec, folder: Path) -> dict[str, str]:
    from inference.generate import predict

    folder.mkdir()
    generation = spec.generation.model_copy(update={"engine": "transformers"})
    other = spec.model_copy(update={"output": folder, "generation": generation})
    predict(other, lambda _: None)
    return written_by(other)


@needs_vllm
def test_they_are_those_of_transformers_in_any_order_and_after_an_interruption(
    tmp_path: Path, tiny_copy: Path
) -> None:
    config = json.loads((tiny_copy / "config.json").read_text())
    short = {**config, "max_position_embeddings": 64}  # one item fills it, and loses its beginning
    (tiny_copy / "config.json").write_text(json.dumps(short))
    whole = scoring_job(tiny_copy, tmp_path / "whole", copies=COPIES, engine="vllm")
    ours, theirs = by_vllm(whole), by_transformers(whole, tmp_path / "transformers")
    for trace_id, said in ours.items():
        both = [json.loads(each) for each in (said, theirs[trace_id])]
        for one, other in zip(*(each.get("choices", [each]) for each in both), strict=True):
            assert one.pop("log_prob") == pytest.approx(other.pop("log_prob"), abs=1e-4), trace_id
            assert one == other, trace_id
    meta = PredictionMeta.model_validate_json((whole.output / "predictions_meta.json").read_text())
    assert meta.truncated_prompts[:2] == ["t2", "t8"]
    assert (meta.engine.name, meta.engine.reproducible) == ("vllm", True)

    order = {"order": -1, "copies": COPIES, "batch_size": 1, "engine": "vllm"}
    again = scoring_job(tiny_copy, tmp_path / "again", **order)
    message, code = run_vllm(again, lambda each: each["event"] == "progress" and each["body"]["done"] > 0)
    assert (code, message["body"]["done"] < len(ours)) == (143, True), "its parent is gone"
    assert by_vllm(again) == ours


@needs_vllm
def test_a_model_that_computes_nan_is_refused_by_item(tmp_path: Path, tiny_copy: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(tiny_copy / "model.safetensors")
    for name in ("up_proj", "down_proj"):
        tensors[f"model.layers.2.mlp.{name}.weight"][:] = 3e38
    save_file(tensors, tiny_copy / "model.safetensors", {"format": "pt"})
    last, code = run_vllm(scoring_job(tiny_copy, tmp_path / "run", engine="vllm"))
    assert (last["event"], code) == ("error", 2), last
    assert "item t0: the model computed NaN or infinity, in float32" in last["body"]


def test_a_text_without_any_probability_is_the_least_likely_and_nan_is_refused() -> None:
    from inference.engines.vllm_log_probs import Reading, _read

    def said(value: float, rank: int = 1) -> SimpleNamespace:
        return SimpleNamespace(logprob=value, rank=rank)

    texts = tuple(Continuation([7, last], 1) for last in (8, 9))
    reading = Reading(Prompt("t0", [1, 2], False, texts), (7,), [8, 9])
    completion = SimpleNamespace(token_ids=[8], logprobs=[{8: said(-1.0), 9: said(float("-inf"), 2)}])
    output = SimpleNamespace(prompt_logprobs=[None, {2: said(-5.0)}, {7: said(-0.5)}], outputs=[completion])
    found = _read(reading, output, "float32")
    assert found == {("t0", (7, 8)): (-1.5, True), ("t0", (7, 9)): (float("-inf"), False)}
    output.prompt_logprobs[2][7].logprob = float("nan")
    with pytest.raises(InputError, match="item t0: the model computed NaN or infinity, in float32"):
        _read(reading, output, "float32")
