"""How an item becomes the text that a model reads and writes, the same in training and inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.files import sha256_bytes
from golden.prompting import ResolvedPrompt
from golden.schema import Item, Trace

PLAIN_TEMPLATE = "plain@v1"
NO_SETTINGS = ResolvedPrompt()


@dataclass(frozen=True)
class EncodedTrace:
    """A training example as token ids.

    Attributes:
        ids: the prompt's, then the completion's; or those of a whole conversation.
        bears_loss: one for each id: whether the model is taught to write it. Such ids are called loss-bearing
            tokens.
    """

    ids: list[int]
    bears_loss: list[bool]


def conversation(line: Item | Trace, prompt: ResolvedPrompt = NO_SETTINGS) -> list[dict[str, str]]:
    """The turns that a chat template gets: system text, solved examples, and the line's own turns.

    Args:
        line: a golden item or a training trace.
        prompt: how the model is asked. Its instruction is appended to what the user asks last.

    Example:
        >>> item = Item(trace_id="t", prompt="2 + 2?", steps=[], final_answer="4", category="sums")
        >>> conversation(item)
        [{'role': 'user', 'content': '2 + 2?'}]
    """
    config = prompt.config
    turns = [{"role": turn.role, "content": turn.content} for turn in line.turns]
    if config.instruction is not None:
        for turn in turns:
            if turn["role"] == "user":
                turn["content"] = f"{turn['content']}\n\n{config.instruction}"
    shown = []
    for example in prompt.examples:
        shown += conversation(example, ResolvedPrompt(config=config.model_copy(update={"system": None})))
        shown.append({"role": "assistant", "content": render_completion(example.steps, example.reference)})
    if (system := line.system or config.system) is not None and turns[0]["role"] != "system":
        shown.insert(0, {"role": "system", "content": system})
    return [*shown, *turns]


def render_prompt(tokenizer: Any, line: Item | Trace, prompt: ResolvedPrompt = NO_SETTINGS) -> str:
    r"""The text before the completion: by the chat template, or without one the prompt and a line feed.

    Args:
        tokenizer: a Hugging Face tokenizer.
        line: a golden item or a training trace.
        prompt: how the model is asked.

    Example:
        >>> from transformers import AutoTokenizer
        >>> tokenizer = AutoTokenizer.from_pretrained("golden/base/tiny-base")
        >>> item = Item(trace_id="t", prompt="What is 47 + 38?", final_answer="85", category="sums")
        >>> render_prompt(tokenizer, item)
        'What is 47 + 38?\n'
    """
    if not tokenizer.chat_template:
        return "\n\n".join(turn["content"] for turn in conversation(line, prompt)) + "\n"
    text = tokenizer.apply_chat_template(
        conversation(line, prompt), tokenize=False, add_generation_prompt=True, **prompt.config.template_args
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


def encode_prompt(tokenizer: Any, line: Item | Trace, prompt: ResolvedPrompt = NO_SETTINGS) -> list[int]:
    """The token ids of a rendered prompt.

    A chat template writes its own special tokens; plain text gets those that the tokenizer adds.
    """
    ids: list[int] = tokenizer.encode(
        render_prompt(tokenizer, line, prompt), add_special_tokens=not tokenizer.chat_template
    )
    return ids


def encode_traces(
    tokenizer: Any, traces: Sequence[Item | Trace], prompt: ResolvedPrompt = NO_SETTINGS
) -> list[EncodedTrace]:
    """Training examples as token ids; prompts are what `encode_prompt` gives. Two calls of the tokenizer for
    all of them, which is much faster than two for each.

    Args:
        tokenizer: a Hugging Face tokenizer.
        traces: the examples.
        prompt: how the model is asked.
    """

    def encode(texts: list[str], add_special_tokens: bool) -> list[list[int]]:
        encoded = tokenizer(
            texts, add_special_tokens=add_special_tokens, return_attention_mask=False, verbose=False
        )
        ids: list[list[int]] = encoded["input_ids"]
        return ids

    asked = encode([render_prompt(tokenizer, line, prompt) for line in traces], not tokenizer.chat_template)
    taught = encode([_completion(line) for line in traces], False)
    return [
        EncodedTrace(
            [*before, *written, tokenizer.eos_token_id],
            [False] * len(before) + [True] * (len(written) + 1),
        )
        for before, written in zip(asked, taught, strict=True)
    ]


def _completion(line: Item | Trace) -> str:
    if isinstance(line, Trace) and line.completion is not None:
        return line.completion
    answer = line.final_answer if isinstance(line.final_answer, str) else (line.final_answer or [""])[0]
    return render_completion(line.steps, answer)


def prompt_template_id(tokenizer: Any) -> str:
    """What identifies the prompt template: `plain@v1`, or the sha256 of the chat template."""
    if not tokenizer.chat_template:
        return PLAIN_TEMPLATE
    return "chat sha256:" + sha256_bytes(str(tokenizer.chat_template).encode())
