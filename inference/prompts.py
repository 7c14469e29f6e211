"""Every prompt of a dataset as token ids, or the reason why one cannot be made. Without torch."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import InputError
from golden.rendering import Renderer
from golden.schema import Item
from inference.batching import Prompt
from inference.contract import GenerationConfig
from inference.finite import refuse_unknown_ids


def make_prompts(
    items: Sequence[Item], renderer: Renderer, settings: GenerationConfig, *, context: int | None, rows: int
) -> list[Prompt]:
    """Every item's prompt, shortened where it leaves no room for the longest completion. All are made before
    the first is answered, so that one that cannot be made is met at once; and when a run is planned, so that
    it is met before hours of training.

    Args:
        items: the dataset.
        renderer: of the model's tokenizer.
        settings: `max_new_tokens` is a number.
        context: how many tokens the model can see; None for any number.
        rows: of its embedding.

    Raises:
        InputError: one cannot be made, or holds a token that the model has no embedding for; nothing says
            where an answer ends; no room is left, or a prompt must be shortened and the setting is to refuse
            that.
    """
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
    cut = [item.trace_id for item, tokens in zip(items, encoded, strict=True) if len(tokens) > room]
    if cut and settings.on_truncation == "refuse":
        raise InputError(
            f"{len(cut)} prompts are longer than the context, the first is {cut[0]}. "
            "Lower generation.max_new_tokens, shorten the prompts, or set generation.on_truncation to record."
        )
    fitted = [renderer.fitted(item, tokens, room) for item, tokens in zip(items, encoded, strict=True)]
    return [
        Prompt(item.trace_id, ids, shortened) for item, (ids, shortened) in zip(items, fitted, strict=True)
    ]
