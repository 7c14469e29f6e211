"""What is recorded is what the model wrote, up to where it ended."""

from __future__ import annotations

from typing import Any

import pytest

from inference.batching import Prompt
from inference.decoding import Writing, generation_config, pad_token
from tests.support.small_tokenizers import make_tokenizer

pytestmark = pytest.mark.model

PROMPT = Prompt("t", [1], truncated=False)


def written(
    tokenizer: Any, text: str, *, stop: tuple[str, ...] = (), ends: tuple[str, ...] = ("<|im_end|>",)
) -> Any:
    writing = Writing(tokenizer, tokenizer.convert_tokens_to_ids(list(ends)), stop)
    return writing.row(PROMPT, tokenizer.encode(text, add_special_tokens=False))


def test_spaces_before_punctuation_are_kept_whatever_the_tokenizer_is_set_to() -> None:
    tokenizer = make_tokenizer("gemma")
    tokenizer.clean_up_tokenization_spaces = True
    said = "is it 4 , 5 . No !"
    assert tokenizer.decode(tokenizer.encode(said, add_special_tokens=False)) != said
    assert written(tokenizer, said, ends=("<end_of_turn>",)).prediction == said


def test_marks_that_are_special_tokens_are_kept_and_padding_is_not() -> None:
    tokenizer = make_tokenizer("chatml")
    tokenizer.add_special_tokens({"additional_special_tokens": ["[/THINK]"], "pad_token": "<pad>"})
    row = written(tokenizer, "2 or 3?[/THINK]3<|im_end|><pad><pad>")
    assert (row.prediction, row.cut_off) == ("2 or 3?[/THINK]3", False)
    assert written(tokenizer, "3<pad><|im_end|>").prediction == "3"


def test_every_named_end_ends_a_completion_and_none_is_part_of_it() -> None:
    tokenizer = make_tokenizer("chatml")
    both = ("<|endoftext|>", "<|im_end|>")
    for end in both:
        row = written(tokenizer, f"Answer: 85{end}\nAnswer: 86", ends=both)
        assert (row.prediction, row.cut_off) == ("Answer: 85", False)
    assert written(tokenizer, "Answer: 85<|endoftext|> and").prediction == "Answer: 85<|endoftext|> and"


@pytest.mark.parametrize("family", ["chatml", "llama_2", "gemma"])
def test_a_completion_ends_before_the_first_stop_string_even_inside_of_a_token(family: str) -> None:
    tokenizer = make_tokenizer(family)
    text = "Answer: 85\nThe quick brown fox"
    for stop, kept in (
        (("\n",), "Answer: 85"),
        (("quick", "The"), "Answer: 85\n"),
        (("5\nT", "rown"), "Answer: 8"),
        (("Answer",), ""),
    ):
        row = written(tokenizer, text, stop=stop, ends=("</s>",) if family == "llama_2" else ())
        assert (row.prediction, row.cut_off) == (kept, False)
        ids = tokenizer.encode(text, add_special_tokens=False)
        writing = Writing(tokenizer, [], stop)
        assert [writing.stopped(ids[:count]) for count in (row.tokens - 1, row.tokens)] == [False, True]
    row = written(tokenizer, text, stop=("cat",), ends=())
    assert row.cut_off
    assert row.prediction.strip() == text


def test_padding_is_any_id_that_has_an_embedding() -> None:
    tokenizer = make_tokenizer("chatml")
    assert pad_token(tokenizer, [2, 0], rows=300) == 2
    assert pad_token(tokenizer, [400, 2], rows=300) == 2
    assert pad_token(tokenizer, [400], rows=300) == 0
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    assert pad_token(tokenizer, [2], rows=300) == tokenizer.pad_token_id
    assert pad_token(tokenizer, [2], rows=tokenizer.pad_token_id) == 2
    config = generation_config([5, 2], 2, 16)
    assert (config.eos_token_id, generation_config([5], 5, 16).eos_token_id) == ([2, 5], 5)
