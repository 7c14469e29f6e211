"""Settings of the prompt that could not mean what they say are refused before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.config import validated
from core.errors import InputError
from golden.prompting import PromptConfig, resolve_prompt
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "name",
    [
        *("add_generation_prompt", "continue_final_message", "conversation", "conversations", "messages"),
        *("chat_template", "tokenize", "return_dict", "max_length", "strftime_now"),
    ],
)
def test_an_argument_that_transformers_takes_for_itself_is_none_of_the_template(name: str) -> None:
    with pytest.raises(InputError, match=rf"ask: prompt\.template_args\.{name}: not an argument of a chat"):
        validated(PromptConfig, {"template_args": {"enable_thinking": False, name: True}}, "ask")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("system", "a\0b"),
        ("instruction", "\0"),
        ("few_shot", "\0"),
        ("thinking_end", "\0"),
        ("stop", ["a", "\0"]),
        ("template_args", {"documents": [{"title": "a\0"}]}),
        ("template_args", {"\0": 1}),
    ],
)
def test_nul_is_refused_since_no_database_takes_it(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"^ask: prompt\.{name}: holds NUL \(\\u0000\)"):
        validated(PromptConfig, {name: value}, "ask")


def test_more_examples_than_there_are_is_refused(tmp_path: Path) -> None:
    path = str(small_dataset(tmp_path))
    assert len(resolve_prompt(PromptConfig(few_shot=path, num_fewshot=4)).examples) == 4
    with pytest.raises(InputError, match=r"num_fewshot: 5 .* has only 4\. Set it to 4, or add items"):
        resolve_prompt(PromptConfig(few_shot=path, num_fewshot=5))
