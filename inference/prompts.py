"""Every prompt of a dataset as token ids, or the reason why one cannot be made. Without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from core.errors import InputError
from golden.rendering import Renderer
from golden.schema import Item
from inference.batching import Prompt
from inference.contract import GenerationConfig
from inference.finite import refuse_unknown_ids
from inference.log_probs import make_continued


def make_prompts(
    items: Sequence[Item], renderer: Renderer, settings: GenerationConfig, *, context: int | None, rows: int
) -> list[Prompt]:
    """Every item's prompt, shortened where it leaves no room for the longest completion. All of a dataset are
    made before the first is answered, a window of items at a time, so that one that cannot be made is met at
    once; and when a run is planned, so that it is met before hours of training. Where log-probabilities
    are asked for, with the texts that they are of (`inference.log_probs.make_continued`).

    Args:
        items: of one window.
        renderer: of the model's tokenizer.
        settings: `max_new_tokens` is a number.
        context: how many tokens the model can see; None for any number.
        rows: of its embedding.

    Raises:
        InputError: one cannot be made, or holds a token that the model has no embedding for; nothing says
            where an answer ends; or no room is left.
    """
    if settings.output == "log_probs":
        return make_continued(items, renderer, settings, context=context, rows=rows)
    _ = renderer.ends  # there must be one
    room = (context or 1 << 30) - settings.longest
    if room < 1:
        raise InputError(
            f"generation.max_new_tokens: {settings.longest} leaves no room for a prompt "
            f"in a context of {context} tokens."
        )
    encoded = renderer.prompts(items)
    for item, tokens in zip(items, encoded, strict=True):
        refuse_unknown_ids(tokens, rows, renderer.tokenizer, f"item {item.trace_id}")
    fitted = [renderer.fitted(item, tokens, room) for item, tokens in zip(items, encoded, strict=True)]
    return [
        Prompt(item.trace_id, ids, shortened, closes_thinking=renderer.closes_thinking(item))
        for item, (ids, shortened) in zip(items, fitted, strict=True)
    ]


@dataclass
class Asked:
    """What is kept of a dataset's prompts, which are made a window at a time.

    Attributes:
        items: how many there are.
        tokens: of all of them.
        truncated: ids of the items whose prompt was shortened.
        closed: ids of those whose prompt ends thinking.
        shortest: the prompt with the fewest tokens, texts behind it included; of equals, the one with the
            first id.
        longest: the one with the most; of equals, the one with the last id.
    """

    items: int = 0
    tokens: int = 0
    truncated: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    shortest: Prompt | None = None
    longest: Prompt | None = None

    def add(self, prompts: Sequence[Prompt]) -> None:
        """Count the prompts of a window."""
        self.items += len(prompts)
        self.tokens += sum(len(prompt.tokens) for prompt in prompts)
        self.truncated += [prompt.trace_id for prompt in prompts if prompt.truncated]
        self.closed += [prompt.trace_id for prompt in prompts if prompt.closes_thinking]
        self.shortest = min(filter(None, [self.shortest, *prompts]), key=_size, default=None)
        self.longest = max(filter(None, [self.longest, *prompts]), key=_size, default=None)

    @property
    def thinking_closed(self) -> bool | list[str]:
        """Whether all prompts end thinking, or none; else the items of those that do."""
        return self.closed if 0 < len(self.closed) < self.items else bool(self.closed)

    def refuse_truncated(self, settings: GenerationConfig) -> None:
        """Refuse prompts that had to be shortened, where the setting is to.

        Raises:
            InputError: there are some; names the first.
        """
        if self.truncated and settings.on_truncation == "refuse":
            raise InputError(
                f"{len(self.truncated)} prompts are longer than the context, the first is "
                f"{self.truncated[0]}. Lower generation.max_new_tokens, shorten the prompts, or set "
                "generation.on_truncation to record."
            )


def _size(prompt: Prompt) -> tuple[int, str]:
    return prompt.length, prompt.trace_id
