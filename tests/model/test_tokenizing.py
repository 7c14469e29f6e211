"""Tokenising many items at once is tokenising each; it is kept for the same inputs only, and atomic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InputError
from core.progress import Progress, listening
from experiments.references import TINY_BASE_DIRECTORY
from golden.datasets import load_dataset, read_items
from golden.prompting import PromptConfig, ResolvedPrompt
from golden.rendering import encode_prompt, encode_traces, render_completion
from golden.schema import Item
from trainer.data.stream import PackedStream, TokenizedDataset, tokenize

pytestmark = pytest.mark.model

CHAT = (
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}<eos>{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


@pytest.fixture(params=[None, CHAT], ids=["plain", "chat"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(TINY_BASE_DIRECTORY, local_files_only=True)
    loaded.chat_template = request.param
    return loaded


def stamp(folder: Path) -> int:
    return (folder / "key.json").stat().st_ino


def trace(dataset: TokenizedDataset, index: int) -> list[int]:
    begin = dataset.begins[index]
    return dataset.tokens[begin : begin + dataset.sizes[index]].tolist()


def completion(tokenizer: Any, item: Item) -> list[int]:
    text = render_completion(item.steps, item.reference)
    ids = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    return [*ids, tokenizer.eos_token_id]


def test_many_at_once_are_the_same_as_each_alone(tokenizer: Any) -> None:
    items = list(load_dataset("golden-v1").items())
    odd = items[0].model_copy(update={"prompt": "<eos> é 漢\n\n" + "x" * 400, "final_answer": " <pad>\t7 "})
    for item, encoded in zip([*items, odd], encode_traces(tokenizer, [*items, odd]), strict=True):
        asked, taught = encode_prompt(tokenizer, item), completion(tokenizer, item)
        assert encoded.ids == asked + taught
        assert encoded.bears_loss == [False] * len(asked) + [True] * len(taught)


def test_the_files_hold_every_trace_and_the_prompt_bears_no_loss(
    tokenizer: Any, small_dataset, tmp_path: Path
) -> None:
    path = small_dataset("train-v1", 50)
    seen: list[Progress] = []
    dataset = tokenize(path, tokenizer, tmp_path / "tokens", listener=seen.append)
    assert dataset.tokens.dtype == np.uint16
    assert (seen[-1].done, seen[-1].total) == (50, 50)
    completions = []
    for index, item in enumerate(read_items(path)):
        taught = completion(tokenizer, item)
        assert trace(dataset, index) == encode_prompt(tokenizer, item) + taught
        assert dataset.trace_id(index) == item.trace_id
        completions.append(taught)
    batch = next(PackedStream(dataset, batch=50, length=128, seed=0, packing=False))
    assert sorted(row[row >= 0].tolist() for row in batch.targets) == sorted(completions)
    assert dataset.loss_tokens == sum(map(len, completions))


def test_a_second_call_opens_what_is_there_and_other_inputs_make_it_again(
    tokenizer: Any, small_dataset, tmp_path: Path
) -> None:
    path, folder = small_dataset("train-v1", 20), tmp_path / "tokens"
    first = tokenize(path, tokenizer, folder)
    made = stamp(folder)
    again = tokenize(path, tokenizer, folder)
    assert stamp(folder) == made
    assert np.array_equal(again.tokens, first.tokens)

    asked = ResolvedPrompt(config=PromptConfig(instruction="Think."))
    assert trace(tokenize(path, tokenizer, folder, asked), 0) != trace(first, 0)
    tokenizer.chat_template = "{{ messages[0].content }}!"
    assert trace(tokenize(path, tokenizer, folder), 0) != trace(first, 0)
    tokenizer.add_tokens(["c="])
    assert len(tokenizer) - 1 in tokenize(path, tokenizer, folder).tokens
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:10]))
    assert len(tokenize(path, tokenizer, folder)) == 10
    assert [left.name for left in tmp_path.iterdir() if left.is_dir()] == ["tokens"]


def test_a_bad_line_leaves_nothing_behind(tokenizer: Any, small_dataset, tmp_path: Path) -> None:
    path = small_dataset("train-v1", 20)
    path.write_text(path.read_text() + json.dumps({"trace_id": "x"}) + "\n")
    with pytest.raises(InputError, match=r":21: "):
        tokenize(path, tokenizer, tmp_path / "out" / "tokens")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_tokenizer_without_an_end_is_refused(tokenizer: Any, small_dataset, tmp_path: Path) -> None:
    tokenizer.eos_token = None
    tokenizer.chat_template = None
    tokenizer.name_or_path = str(tmp_path)  # where no config.json names one either
    with pytest.raises(InputError, match="nothing says where an answer ends: neither the chat template"):
        tokenize(small_dataset("train-v1", 5), tokenizer, tmp_path / "tokens")


def test_special_tokens_that_are_taught_as_text_are_said_before_training(
    tokenizer: Any, tmp_path: Path
) -> None:
    path = tmp_path / "train.jsonl"
    row = {"trace_id": "t", "prompt": "2 + 2?", "completion": f"4{tokenizer.eos_token}"}
    path.write_text(json.dumps(row) + "\n")
    seen: list[Progress] = []
    with listening(seen.append):
        tokenize(path, tokenizer, tmp_path / "tokens")
    said = [progress.note for progress in seen if progress.stage == "prompt:"]
    assert len(said) == 1
    assert f"{tokenizer.eos_token!r} is taught as text, in 1 completion" in said[0]
