"""How an item becomes the text that a model reads and writes, the same in training and inference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.files import sha256_bytes
from golden.schema import Item

PLAIN_TEMPLATE = "plain@v1"


def render_prompt(tokenizer: Any, prompt: str) -> str:
    r"""The text before the completion: by the chat template, or without one the prompt and a line feed.

    Args:
        tokenizer: a Hugging Face tokenizer.
        prompt: an item's prompt.

    Example:
        >>> from transformers import AutoTokenizer
        >>> tokenizer = AutoTokenizer.from_pretrained("golden/base/tiny-base")
        >>> render_prompt(tokenizer, "What is 47 + 38?")
        'What is 47 + 38?\n'
    """
    if not tokenizer.chat_template:
        return prompt + "\n"
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
    )
    return str(text)


def render_completion(steps: Sequence[str], final_answer: str) -> str:
    """The text that a model should write: each step on a line of its own, then `Answer:` and the answer.

    Example:
        >>> print(render_completion(["7+8+0=15", "4+3+1=8"], "85"))
        7+8+0=15
        4+3+1=8
        Answer: 85
    """
    return "\n".join([*steps, f"Answer: {final_answer}"])


def encode_prompt(tokenizer: Any, prompt: str) -> list[int]:
    """The token ids of a rendered prompt.

    A chat template writes its own special tokens; plain text gets those that the tokenizer adds.
    """
    ids: list[int] = tokenizer.encode(
        render_prompt(tokenizer, prompt), add_special_tokens=not tokenizer.chat_template
    )
    return ids


def encode_completion(tokenizer: Any, steps: Sequence[str], final_answer: str) -> list[int]:
    """The token ids of a completion, ended by the end-of-sequence token."""
    ids: list[int] = tokenizer.encode(render_completion(steps, final_answer), add_special_tokens=False)
    return [*ids, tokenizer.eos_token_id]


def encode_items(tokenizer: Any, items: Sequence[Item]) -> list[tuple[list[int], list[int]]]:
    """The token ids of each item's prompt and completion.

    They are what `encode_prompt` and `encode_completion` give, in two calls of the tokenizer, which is much
    faster.
    """

    def encode(texts: list[str], add_special_tokens: bool) -> list[list[int]]:
        encoded = tokenizer(
            texts, add_special_tokens=add_special_tokens, return_attention_mask=False, verbose=False
        )
        ids: list[list[int]] = encoded["input_ids"]
        return ids

    prompts = encode([render_prompt(tokenizer, item.prompt) for item in items], not tokenizer.chat_template)
    completions = encode([render_completion(item.steps, item.final_answer) for item in items], False)
    return [
        (prompt, [*completion, tokenizer.eos_token_id])
        for prompt, completion in zip(prompts, completions, strict=True)
    ]


def prompt_template_id(tokenizer: Any) -> str:
    """What identifies the prompt template: `plain@v1`, or the sha256 of the chat template."""
    if not tokenizer.chat_template:
        return PLAIN_TEMPLATE
    return "chat sha256:" + sha256_bytes(str(tokenizer.chat_template).encode())
