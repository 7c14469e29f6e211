"""Which prompts may go through a model together, so that none changes what is predicted for another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from core.progress import announce
from inference.contract import Batching

ATTENTION = frozenset(
    {"full_attention", "sliding_attention", "chunked_attention", "attention", "full", "sliding"}
)
"""Kinds of layers, as `layer_types` names them, that keep no state in which padding would leave a trace."""
PROBED_TOKENS = 256
"""Prompts are cut to this for the probe."""
PROBED_STEPS = 3
NOISE = {"float32": 1e-3, "bfloat16": 0.1}
"""Largest difference of logits, as a share of their range, that rounding may explain."""


@dataclass(frozen=True)
class Continuation:
    """A text of which the log-probability behind a prompt is asked for.

    Attributes:
        tokens: its ids, with white space from the end of the prompt.
        bytes: of the text, in UTF-8.
    """

    tokens: list[int]
    bytes: int


@dataclass(frozen=True)
class Prompt:
    """What a model is asked about an item.

    Attributes:
        trace_id: the item.
        tokens: token ids.
        truncated: it was longer than the context, and is shortened.
        continuations: texts of which the log-probabilities are asked for.
        closes_thinking: it ends with the mark that ends thinking, so that an answer need not.
    """

    trace_id: str
    tokens: list[int]
    truncated: bool
    continuations: tuple[Continuation, ...] = ()
    closes_thinking: bool = False


def find_batching(model: Any, prompts: Sequence[Prompt], pad: int, longest: int) -> Batching:
    """How a model's prompts may be batched. Recurrent models take padding into their state, some models
    scale positions by the longest row; what else a family does is found out with the shortest and the longest
    prompt, alone and together.

    Args:
        model: of transformers, in evaluation mode.
        prompts: all that will be asked.
        pad: the padding id.
        longest: tokens of the longest completion.
    """
    if not prompts:
        return "padded"
    shortest, longest_prompt = (
        choose(prompts, key=lambda prompt: (len(prompt.tokens), prompt.trace_id)).tokens
        for choose in (min, max)
    )
    one, other = shortest[-PROBED_TOKENS:], longest_prompt[-PROBED_TOKENS:]
    family = is_recurrent(model) or positions_depend_on_rows(model, len(longest_prompt) + longest)
    if not family and (len(one) == len(other) or _alike(model, one, other, pad)):
        return "padded"
    if _alike(model, one, one[::-1], pad):
        announce("batching:", "padding would change predictions, so only prompts of equal length go together")
        return "equal_length"
    announce("batching:", "a second prompt would change predictions, so each goes alone")
    return "single"


def is_recurrent(model: Any) -> bool:
    """Whether any layer of a model carries a state from token to token, padding included."""
    kinds = getattr(model.config.get_text_config(), "layer_types", None) or ()
    return bool(getattr(model, "_is_stateful", False)) or any(kind not in ATTENTION for kind in kinds)


def positions_depend_on_rows(model: Any, tokens: int) -> bool:
    """Whether rotary positions are scaled by the longest row of a batch, at this many tokens."""
    config = model.config.get_text_config()
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    scalings = [each for each in (rope, *rope.values()) if isinstance(each, dict)]
    return any(
        (each.get("rope_type") or each.get("type")) in ("dynamic", "longrope")
        and tokens > (each.get("original_max_position_embeddings") or config.max_position_embeddings)
        for each in scalings
    )


def _alike(model: Any, one: list[int], other: list[int], pad: int) -> bool:
    """Whether a prompt gives the same logits alone and beside another."""
    import torch

    try:
        alone, beside = (_logits(model, rows, pad) for rows in ([one], [one, other]))
    except torch.cuda.OutOfMemoryError:
        return False  # then they cannot go together either
    noise = NOISE[str(model.dtype).removeprefix("torch.")]
    for first, second in zip(alone, beside, strict=True):
        range_ = (first.max() - first.min()).item()
        if not torch.isfinite(first).all():
            return True  # which whoever looks at the logits will say better
        if not (first - second).abs().max().item() <= noise * range_:
            return False
        if first.argmax() != second.argmax():
            break  # a tie, which rounding decides: what follows are other words
    return True


def _logits(model: Any, rows: list[list[int]], pad: int) -> list[Any]:
    """Logits of the first row for each of the first steps; float32 [vocabulary]."""
    import torch
    from transformers import GenerationConfig

    ids, mask = (each.to(model.device) for each in left_padded(rows, pad))
    config = GenerationConfig(
        do_sample=False,
        max_new_tokens=PROBED_STEPS,
        pad_token_id=pad,
        output_logits=True,
        return_dict_in_generate=True,
    )
    with torch.inference_mode():
        made = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
    return [logits[0].float() for logits in made.logits]


def batches(prompts: Sequence[Prompt], size: int, batching: Batching) -> Iterator[list[Prompt]]:
    """Batches of prompts of like length, longest first: little padding; too large a batch fails at once.

    Args:
        prompts: in any order, which does not matter.
        size: the largest batch.
        batching: which prompts may go together.
    """
    ordered = sorted(prompts, key=lambda prompt: (-len(prompt.tokens), prompt.trace_id))
    groups = [ordered] if batching == "padded" else [list(each) for _, each in groupby(ordered, _length)]
    for group in groups:
        step = 1 if batching == "single" else size
        for start in range(0, len(group), step):
            yield group[start : start + step]


def _length(prompt: Prompt) -> int:
    return len(prompt.tokens)


def left_padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[Any, Any]:
    """Token ids as tensors, padded on the left, so that all completions of the batch begin at the same place.

    Padding is masked and positions are counted from the first real token.

    Args:
        rows: token ids.
        pad: the padding id; any that the model has an embedding for.

    Returns:
        Ids and mask, int64 [batch, time]; the mask is 0 on padding.
    """
    import torch

    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, width - len(row) :] = torch.tensor(row, dtype=torch.int64)
        mask[number, width - len(row) :] = 1
    return ids, mask
