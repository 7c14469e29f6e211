"""Every kind of trace is taught as it is asked for later, and the model stops where it was taught to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError
from experiments.config import ExperimentConfig, configured
from experiments.defaults import is_tiny
from experiments.plan import plan_experiment, plan_key
from experiments.references import TINY_BASE_DIRECTORY
from golden.prompting import PromptConfig, ResolvedPrompt
from golden.rendering import EncodedTrace, encode_traces
from golden.schema import Item, Trace
from golden.tokenizer import load_tokenizer
from inference.contract import GenerationConfig, PredictSpec
from tests.support.recorded_runs import workspace_at
from tests.support.small_datasets import write_items
from tests.support.training import tiny_training
from trainer.contract import TrainResult, TrainSpec

pytestmark = pytest.mark.model

TRACES: list[dict[str, Any]] = [
    {"trace_id": "item", "prompt": "Go?", "final_answer": "on", "category": "c"},
    {"trace_id": "several", "prompt": "Go!", "steps": ["so"], "final_answer": ["on", "off"], "category": "c"},
    {"trace_id": "pair", "prompt": "Say ok", "completion": "ok"},
    {
        "trace_id": "conversation",
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "ho"},
            {"role": "user", "content": "Bye"},
            {"role": "assistant", "content": "so long"},
        ],
    },
]
LONG = {"trace_id": "long", "prompt": "Count", "completion": "1 2 3 4 5 6 7 8 9 " * 9}
LENGTH = 128
PROMPT = ResolvedPrompt(
    config=PromptConfig(system="Help.", instruction="Now!"),
    examples=[Item(trace_id="e", prompt="1?", final_answer="1", category="c")],
)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def cut_off(trace: EncodedTrace, length: int) -> EncodedTrace:
    return EncodedTrace(trace.ids[:length], trace.bears_loss[:length])


def train(folder: Path, dataset: Path, prompt: ResolvedPrompt, **settings: object) -> TrainResult:
    from trainer.job import run_training

    chosen = {"batch_size": 5, "warmup_steps": 1, "sequence_length": LENGTH, **settings}
    spec = TrainSpec(
        base=TINY_BASE_DIRECTORY,
        base_label="tiny-base",
        dataset=dataset,
        output=folder,
        config=tiny_training(**chosen),
        prompt=prompt,
    )
    return run_training(spec, lambda _: None)


def test_each_turn_that_is_taught_bears_loss_and_the_model_stops_where_it_was_taught_to(
    tmp_path: Path,
) -> None:
    from inference.generate import predict

    dataset = write(tmp_path / "kinds-v1.jsonl", [*TRACES, LONG])
    result = train(tmp_path, dataset, PROMPT, steps=40, packing=False, on_too_long="truncate")
    tokenizer = load_tokenizer(TINY_BASE_DIRECTORY)
    encoded = encode_traces(tokenizer, [Trace.model_validate(row) for row in TRACES], PROMPT)
    encoded += [cut_off(encode_traces(tokenizer, [Trace.model_validate(LONG)], PROMPT)[0], LENGTH)]
    assert result.loss_tokens == 40 * sum(sum(trace.bears_loss) for trace in encoded)
    assert (result.traces, result.dropped, result.truncated, result.epochs) == (5, 0, 1, 40)
    card = (tmp_path / "model" / "README.md").read_text()
    assert "0 were dropped and 1 cut off at the end" in card
    assert "| on_too_long | truncate |" in card
    assert result.last_loss < 0.5 * result.first_loss

    golden = write_items(
        tmp_path / "asked-v1.jsonl",
        [
            Item(trace_id="pair", prompt="Say ok", final_answer="ok", category="c"),
            Item.model_validate(
                {
                    "trace_id": "conversation",
                    "system": "Be brief.",
                    "messages": TRACES[3]["messages"][:3],
                    "final_answer": "so long",
                    "category": "c",
                }
            ),
        ],
    )
    spec = PredictSpec(
        model=tmp_path / "model",
        dataset=golden,
        output=tmp_path,
        label="predict",
        generation=GenerationConfig(max_new_tokens=24, device="cpu"),
        prompt=PROMPT,
    )
    predict(spec, lambda _: None)
    written = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert [row["prediction"] for row in written] == ["ok", "so long"]
    assert json.loads((tmp_path / "predictions_meta.json").read_text())["reached_max_new_tokens"] == []


@pytest.fixture
def other_base(tmp_path: Path) -> Path:
    """Weights that Hallmark knows nothing of: another tokenizer file, so no longer the tiny base."""
    folder = Path(shutil.copytree(TINY_BASE_DIRECTORY, tmp_path / "other"))
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text() + "\n")
    assert not is_tiny(folder)
    return folder


def test_all_models_of_an_experiment_are_asked_for_answers_of_one_length_that_the_data_settle(
    other_base: Path, home: Path, tmp_path: Path
) -> None:
    golden = write(tmp_path / "golden-v9.jsonl", [{**TRACES[0], "prompt": "Stop?", "steps": ["x" * 60]}])
    wanted = {
        "base_model": str(other_base),
        "model_name": "support",
        "dataset": str(golden),
        "train.dataset": str(write(tmp_path / "mine-v1.jsonl", TRACES[1:])),
    }
    found = plan_experiment(configured(ExperimentConfig, None, wanted), workspace_at(home))
    longest = len("x" * 60 + "\nAnswer: on")
    assert found.config.generation.max_new_tokens == -(-(longest * 3 // 2 + 32) // 32) * 32
    main, *_ = found.config.baselines()
    base, trained = (found.plans[plan_key(each)] for each in (main, found.config.trained()))
    assert base.generation == trained.generation == found.config.generation
    assert all(
        each.generation == base.generation for each in found.config.judged("registry:support@champion")
    )
    training = trained.training
    assert training is not None
    assert (training.config.learning_rate, training.config.sequence_length) == (2e-5, 64)
    assert training.config.steps == 1
    manifest = trained.manifest("r")
    assert manifest["generation"]["max_new_tokens"] == found.config.generation.max_new_tokens
    assert manifest["training"]["config"]["learning_rate"] == 2e-5


def test_a_trace_that_is_too_long_is_refused_before_anything_is_predicted(home: Path, tmp_path: Path) -> None:
    mine = write(tmp_path / "mine-v1.jsonl", [*TRACES[:3], LONG])
    wanted = configured(ExperimentConfig, None, {"train.dataset": str(mine)})
    with pytest.raises(InputError, match=r"1 of 4 traces have .* = 128: the longest is long with 169\. "):
        plan_experiment(wanted, workspace_at(home))
