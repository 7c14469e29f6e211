"""Predictions are real, greedy, and depend on nothing but the model and the items."""

from __future__ import annotations

import functools
import json
import os
import time
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError, IntegrityError, ResourceError
from core.progress import Progress
from experiments.references import TINY_BASE_DIRECTORY
from golden.prompting import PromptConfig, ResolvedPrompt
from inference.contract import GenerationConfig, PredictionMeta, PredictResult, PredictSpec
from tests.support.child_process import start_child_process

pytestmark = pytest.mark.model

KILLS = int(os.environ.get("HALLMARK_TEST_KILLS", "20"))


def spec(output: Path, dataset: Path, model: Path = TINY_BASE_DIRECTORY, **generation: object) -> PredictSpec:
    output.mkdir(exist_ok=True)
    return PredictSpec(
        model=model,
        dataset=dataset,
        output=output,
        label="predict",
        generation=GenerationConfig.model_validate({"max_new_tokens": 128, **generation}),
    )


def predict(wanted: PredictSpec) -> tuple[PredictResult, list[Progress]]:
    from inference.generate import predict as generate

    seen: list[Progress] = []
    return generate(wanted, seen.append), seen


def predictions(output: Path) -> dict[str, str]:
    rows = [json.loads(line) for line in (output / "predictions.jsonl").read_text().splitlines()]
    return {row["trace_id"]: row["prediction"] for row in rows}


def test_predictions_depend_neither_on_batch_size_nor_on_item_order(tmp_path: Path, small_dataset) -> None:
    dataset = small_dataset("golden-v1", 90)
    reordered = tmp_path / "reversed-v1.jsonl"
    reordered.write_text("".join(reversed(dataset.read_text().splitlines(keepends=True))))
    results = {}
    for name, data, size in (
        ("b64", dataset, 64),
        ("b7", dataset, 7),
        ("b1", dataset, 1),
        ("order", reordered, 64),
    ):
        results[name], seen = predict(spec(tmp_path / name, data, batch_size=size))
        assert seen[-1].done == seen[-1].total == 90
    assert len({results[name].predictions_sha256 for name in ("b64", "b7", "b1")}) == 1
    assert predictions(tmp_path / "order") == predictions(tmp_path / "b64")


def test_predictions_are_what_generate_says(tmp_path: Path, small_dataset) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    dataset = small_dataset("golden-v1", 5)
    predict(spec(tmp_path / "run", dataset))
    tokenizer = AutoTokenizer.from_pretrained(TINY_BASE_DIRECTORY)
    model = AutoModelForCausalLM.from_pretrained(TINY_BASE_DIRECTORY, dtype=torch.float32)
    made = predictions(tmp_path / "run")
    for line in dataset.read_text().splitlines():
        item = json.loads(line)
        encoded = tokenizer(item["prompt"] + "\n", return_tensors="pt")
        output = model.generate(**encoded, do_sample=False, max_new_tokens=128)[
            0, encoded["input_ids"].shape[1] :
        ]
        assert made[item["trace_id"]] == tokenizer.decode(output, skip_special_tokens=True)


def test_a_completion_that_is_cut_off_and_a_prompt_that_is_cut_are_recorded(tmp_path: Path) -> None:
    dataset = tmp_path / "long-v1.jsonl"
    items = [
        {"trace_id": "short", "prompt": "Reverse baba"},
        {"trace_id": "long", "prompt": "Reverse " + "ba" * 200},
    ]
    dataset.write_text(
        "".join(
            json.dumps({**item, "steps": [], "final_answer": "x", "category": "c"}) + "\n" for item in items
        )
    )
    predict(spec(tmp_path / "run", dataset, max_new_tokens=4))
    meta = PredictionMeta.model_validate_json((tmp_path / "run" / "predictions_meta.json").read_text())
    assert meta.truncated_prompts == ["long"]
    assert set(meta.reached_max_new_tokens) == {"short", "long"}
    assert meta.prompt_tokens == 13 + (256 - 4)
    with pytest.raises(InputError, match="1 prompts are longer than the context, the first is long"):
        predict(spec(tmp_path / "refused", dataset, max_new_tokens=4, on_truncation="refuse"))


def test_of_which_items_the_prompt_ends_thinking_is_recorded(tmp_path: Path, tiny_copy: Path) -> None:
    """SmolLM3 switches thinking off by what the system text says."""
    (tiny_copy / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.content }}\n{% endfor %}"
        "{{ '</think>' if '/off' in messages[0].content }}"
    )
    rows = [
        {"trace_id": f"t{n}", "prompt": "2 + 2?", "system": system, "final_answer": "4", "category": "c"}
        for n, system in enumerate(["/off", "Add.", "/off"])
    ]
    prompt = ResolvedPrompt(config=PromptConfig(thinking_end="</think>"))
    for number, (chosen, closed) in enumerate([(rows, ["t0", "t2"]), (rows[:1], True), (rows[1:2], False)]):
        dataset = tmp_path / f"d{number}-v1.jsonl"
        dataset.write_text("".join(json.dumps(row) + "\n" for row in chosen))
        wanted = spec(tmp_path / f"run{number}", dataset, tiny_copy, max_new_tokens=1)
        predict(wanted.model_copy(update={"prompt": prompt}))
        meta = json.loads((wanted.output / "predictions_meta.json").read_text())
        assert PredictionMeta.model_validate(meta).thinking_closed == closed


@pytest.fixture
def memory_for_three_prompts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A GPU that has memory for three prompts at a time, and for the first tokens of three answers; lists how
    many rows were tried.
    """
    import torch
    from transformers import Qwen3ForCausalLM

    tried: list[int] = []
    forward = Qwen3ForCausalLM.forward

    @functools.wraps(forward)
    def within_memory(self: object, input_ids: torch.Tensor, **named: Any) -> object:
        tried.append(len(input_ids))
        length = named["past_key_values"].get_seq_length() if named.get("past_key_values") else 0
        if len(input_ids) > 3 or (len(input_ids) > 2 and length > 40):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return forward(self, input_ids=input_ids, **named)

    monkeypatch.setattr(Qwen3ForCausalLM, "forward", within_memory)
    return tried


def test_too_many_for_gpu_memory_are_halved_and_predict_the_same(
    tmp_path: Path, small_dataset, memory_for_three_prompts: list[int]
) -> None:
    dataset = small_dataset("golden-v1", 12)
    undisturbed, _ = predict(spec(tmp_path / "undisturbed", dataset, batch_size=1, max_new_tokens=24))
    memory_for_three_prompts.clear()
    result, seen = predict(spec(tmp_path / "halved", dataset, batch_size=12, max_new_tokens=24))
    assert result.predictions_sha256 == undisturbed.predictions_sha256
    sizes = [size for size, _ in groupby(memory_for_three_prompts)]
    assert [size for size in sizes if size > 3] == [12, 6]
    assert 3 in sizes, "half of six fit at first"
    assert [progress.done for progress in seen][-1] == 12
    used = {
        name: json.loads((tmp_path / name / "predictions_meta.json").read_text())["batch_size_used"]
        for name in ("undisturbed", "halved")
    }
    assert used == {"undisturbed": 1, "halved": 1}


def test_a_prompt_that_alone_exceeds_gpu_memory_is_named(
    tmp_path: Path, small_dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import Qwen3ForCausalLM

    forward = Qwen3ForCausalLM.forward

    @functools.wraps(forward)
    def full(self: object, use_cache: bool = False, **named: object) -> object:
        if use_cache:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return forward(self, **named)

    monkeypatch.setattr(Qwen3ForCausalLM, "forward", full)
    with pytest.raises(
        ResourceError, match="item .*: the GPU has too little memory for a single prompt: CUDA out"
    ):
        predict(spec(tmp_path / "run", small_dataset("golden-v1", 3), batch_size=2))


@pytest.mark.slow
def test_killed_inference_continues_to_the_same_bytes(tmp_path: Path, small_dataset) -> None:
    """Killed again and again while requests join and leave, each time a little later."""
    dataset = small_dataset("golden-v1", 120)
    undisturbed, _ = predict(spec(tmp_path / "undisturbed", dataset, batch_size=64))
    wanted = spec(tmp_path / "killed", dataset, batch_size=4)
    reached = 0
    for kill in range(1, KILLS + 1):
        child = start_child_process("inference", wanted)
        assert child.stdout is not None
        for line in child.stdout:
            done = json.loads(line)["body"]["done"]
            if done >= kill * 100 // KILLS:
                break
        child.kill()
        child.wait()
        assert done >= reached, "what was done is kept"
        reached = done
    assert not (tmp_path / "killed" / "predictions.jsonl").exists()
    result, _ = predict(wanted)
    assert reached <= result.resumed < 120
    assert result.predictions_sha256 == undisturbed.predictions_sha256
    left = sorted(path.name for path in (tmp_path / "killed").iterdir())
    assert left == ["predictions.jsonl", "predictions.sha256", "predictions_meta.json"]


def test_inference_ends_when_its_parent_is_gone(tmp_path: Path, small_dataset) -> None:
    wanted = spec(tmp_path / "run", small_dataset("golden-v1", 120), batch_size=1)
    child = start_child_process("inference", wanted)
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdout.readline()
    started = time.monotonic()
    child.stdin.close()
    assert child.wait(timeout=20) == 143
    assert time.monotonic() - started < 20


def test_truncated_weights_are_named(tmp_path: Path, small_dataset, tiny_copy: Path) -> None:
    weights = tiny_copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(IntegrityError, match="damaged safetensors"):
        predict(spec(tmp_path / "run", small_dataset("golden-v1", 2), tiny_copy))


@pytest.mark.parametrize(
    ("field", "value"),
    [("hidden_size", 64), ("vocab_size", 50), ("num_hidden_layers", 6), ("num_hidden_layers", 3)],
)
def test_weights_that_do_not_fit_the_config_are_refused(
    field: str, value: int, tmp_path: Path, small_dataset, tiny_copy: Path
) -> None:
    config = json.loads((tiny_copy / "config.json").read_text())
    changed = {**config, field: value}
    if field == "num_hidden_layers":
        changed["layer_types"] = ["full_attention"] * value
    (tiny_copy / "config.json").write_text(json.dumps(changed))
    with pytest.raises(InputError, match=str(tiny_copy)) as caught:
        predict(spec(tmp_path / "run", small_dataset("golden-v1", 2), tiny_copy))
    assert "model." in str(caught.value), "the message names a tensor"
    assert not (tmp_path / "run" / "predictions.jsonl").exists()
