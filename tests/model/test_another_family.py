"""A champion is challenged by a model of another family, with another tokenizer, template and end token."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import InputError
from evaluation.gate import GateConfig
from experiments.comparing import compare_runs
from experiments.config import EvaluateConfig
from experiments.phases import export_dataset, judge_run, predict_items, record_run
from experiments.plan import plan_evaluation
from experiments.promoting import promote_run
from experiments.runs import begin_run, owned
from experiments.workspace import Workspace, open_workspace

pytestmark = pytest.mark.model

TEMPLATE = "{% for message in messages %}[{{ message.role }}] {{ message.content }}\n{% endfor %}[assistant] "


def write_llama(directory: Path) -> Path:
    """A Llama with a byte tokenizer and a chat template, that ends every answer before it has begun."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["</s>", "[pad]", *alphabet])}
    model = Tokenizer(models.BPE(vocabulary, []))
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=model, eos_token="</s>", pad_token="[pad]", padding_side="left"
    )
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    llama = LlamaForCausalLM(config)
    torch.nn.init.zeros_(llama.lm_head.weight)  # of equal logits the first wins
    llama.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture
def workspace(home: Path) -> Workspace:
    return open_workspace()


@pytest.fixture
def evaluate(workspace: Workspace, small_dataset: Callable[[str, int], Path]) -> Callable[..., str]:
    dataset = str(small_dataset("golden-v1", 24))

    def run(model: str, **generation: object) -> str:
        config = EvaluateConfig.model_validate(
            {
                "model": model,
                "dataset": dataset,
                "generation": {"max_new_tokens": 48, "device": "cpu", **generation},
            }
        )
        plan = plan_evaluation(config, workspace)
        made = begin_run(plan, workspace.registry)
        with owned(made, workspace.registry):
            export_dataset(made, plan)
            predict_items(made, plan, lambda _progress: None)
            record_run(made, plan, judge_run(made, plan), workspace.registry)
        return made.run_id

    return run


def test_another_family_is_compared_and_may_take_the_championship(
    workspace: Workspace, evaluate: Callable[..., str], tmp_path: Path
) -> None:
    llama = evaluate(str(write_llama(tmp_path / "llama")))
    tiny = evaluate("tiny-base", batch_size=5, threads=1)
    comparison = compare_runs(llama, tiny, workspace.registry)
    assert comparison.delta > 0
    assert set(comparison.of_model) == {
        "eos_token_id",
        "pad_token_id",
        "prompt_template",
        "tokenizer_sha256",
    }
    other = promote_run(llama, "m", GateConfig(), workspace, against=tiny, force_reason="the first")
    assert other.outcome == "forced"
    assert promote_run(tiny, "m", GateConfig(), workspace).outcome == "promoted"


@pytest.mark.long
def test_what_a_person_chose_still_has_to_be_equal(
    workspace: Workspace, evaluate: Callable[..., str], tmp_path: Path
) -> None:
    llama = evaluate(str(write_llama(tmp_path / "llama")))
    tiny = evaluate("tiny-base", max_new_tokens=47)
    with pytest.raises(InputError, match="differ in generation.max_new_tokens: 48 against 47\\. "):
        compare_runs(llama, tiny, workspace.registry)
