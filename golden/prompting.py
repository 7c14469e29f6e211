"""How the model is asked: the settings of the prompt. They are an input, the same for base and trained."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from itertools import chain, islice
from typing import Any

from pydantic import BaseModel, Field, field_validator, model_validator

from core.config import Config, validated
from core.errors import InputError
from golden.datasets import load_dataset
from golden.schema import Item

DEFAULT_DATE = datetime.date(2026, 1, 1)
"""What a chat template that prints today's date prints: equal inputs give equal prompts on every day."""

NOT_OF_TEMPLATES = {
    "strftime_now": "What it gives is prompt.date",
    "messages": "The turns are those of the items",
    **dict.fromkeys(("conversation", "conversations"), "The turns are those of the items"),
    **dict.fromkeys(
        ("add_generation_prompt", "continue_final_message", "return_assistant_tokens_mask"),
        "Training and inference set it themselves",
    ),
    "chat_template": "The template is the tokenizer's own: save another as chat_template.jinja",
    **dict.fromkeys(
        (
            *("tokenize", "padding", "truncation", "max_length", "return_tensors", "return_dict"),
            *("tokenizer_kwargs", "sanitize_control_tokens"),
        ),
        "It is an argument of transformers' apply_chat_template, and no template sees it",
    ),
}
"""Names that `template_args` cannot have, and why: transformers would take them for itself."""


class PromptConfig(Config):
    """How the model is asked, beside the items themselves. Recorded, and the same for base and trained."""

    system: str | None = Field(
        default=None, min_length=1, description="System text; an item's own `system` wins over it."
    )
    instruction: str | None = Field(
        default=None,
        min_length=1,
        description="Appended to every prompt, after an empty line: how to answer, how to end the answer.",
    )
    few_shot: str | None = Field(
        default=None,
        description="Dataset whose items are shown as solved examples before each question: a built-in name "
        "or the path of a KEY-vN.jsonl file; never the golden dataset itself.",
    )
    num_fewshot: int = Field(
        default=4, ge=1, le=64, description="How many of its items, from the first on, are shown."
    )
    template_args: dict[str, Any] = Field(
        default_factory=dict,
        description="Arguments of the chat template, as in enable_thinking = false.",
    )
    stop: list[str] = Field(
        default_factory=list, description="Strings that end a completion; they are not part of it."
    )
    thinking_end: str | None = Field(
        default=None,
        min_length=1,
        description="The mark that ends thinking, as in </think>; only what follows it is judged.",
    )
    date: datetime.date = Field(
        default=DEFAULT_DATE, description="What a chat template that prints today's date prints."
    )

    @field_validator("template_args")
    @classmethod
    def _of_the_template(cls, found: dict[str, Any]) -> dict[str, Any]:
        for name in found:
            if name in NOT_OF_TEMPLATES:
                raise ValueError(
                    f"prompt.template_args.{name}: not an argument of a chat template. "
                    f"{NOT_OF_TEMPLATES[name]}. Leave it out."
                )
        return found

    @model_validator(mode="after")
    def _without_nul(self) -> PromptConfig:
        for name in type(self).model_fields:
            if _holds_nul(getattr(self, name)):
                raise ValueError(f"prompt.{name}: holds NUL (\\u0000), which is no text. Remove it.")
        return self


class ResolvedPrompt(BaseModel):
    """The settings of the prompt with what they name.

    Attributes:
        config: the settings.
        examples: the few-shot examples, in the order in which they are shown.
        few_shot_name: key and version of their dataset; None without one.
        few_shot_sha256: of its file.
    """

    config: PromptConfig = Field(default_factory=PromptConfig)
    examples: list[Item] = []
    few_shot_name: str | None = None
    few_shot_sha256: str | None = None

    def recorded(self) -> dict[str, Any]:
        """The prompt as a manifest holds it: settings and examples, to be used again as it was."""
        return self.model_dump(mode="json")

    def conditions(self) -> dict[str, Any]:
        """What a person chose, by setting: what must be equal where two runs are compared. Examples are what
        they are, wherever their file was.
        """
        chosen = self.config.model_dump(mode="json", exclude={"few_shot", "num_fewshot"})
        examples = [self.few_shot_name, self.few_shot_sha256, len(self.examples)] if self.examples else None
        return {**chosen, "few_shot": examples}


def recorded_prompt(manifest: Mapping[str, Any]) -> ResolvedPrompt:
    """The prompt of a recorded run. Runs from before it was recorded had no settings of it.

    Args:
        manifest: of the run.

    Raises:
        InputError: it is not a prompt.
    """
    return validated(ResolvedPrompt, manifest.get("prompt") or {}, "recorded prompt")


def resolve_prompt(config: PromptConfig) -> ResolvedPrompt:
    """Read what the settings of the prompt name.

    Args:
        config: the settings.

    Raises:
        InputError: the few-shot dataset cannot be read, or has fewer items than are to be shown.
        IntegrityError: it is not the file that its manifest pins.
    """
    if config.few_shot is None:
        return ResolvedPrompt(config=config)
    dataset = load_dataset(config.few_shot)
    examples = list(islice(dataset.items(), config.num_fewshot))
    if len(examples) < config.num_fewshot:
        raise InputError(
            f"prompt.num_fewshot: {config.num_fewshot} examples are to be shown, but {config.few_shot} has "
            f"only {len(examples)}. Set it to {len(examples)}, or add items."
        )
    return ResolvedPrompt(
        config=config,
        examples=examples,
        few_shot_name=dataset.name,
        few_shot_sha256=dataset.sha256,
    )


def _holds_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_nul, chain(value, value.values())))
    if isinstance(value, list):
        return any(map(_holds_nul, value))
    return isinstance(value, str) and "\0" in value
