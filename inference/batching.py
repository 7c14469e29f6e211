"""What of a prompt's answer could depend on which other prompts are answered at the same time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import ResourceError
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

    @property
    def length(self) -> int:
        """Tokens, with the longest of the continuations."""
        return len(self.tokens) + max((len(each.tokens) for each in self.continuations), default=0)


@dataclass(frozen=True)
class Company:
    """What a probe found out about a model's batches.

    Attributes:
        batching: which prompts may go together.
        moved: by how much company moved a logit.
    """

    batching: Batching
    moved: float = 0.0


def find_company(model: Any, shortest: Prompt, longest: Prompt, pad: int, written: int) -> Company:
    """How a model's prompts may be batched. Recurrent models take padding into their state, some models
    scale positions by the longest row; what else a family does is found out with the shortest and the longest
    prompt, alone and together.

    Args:
        model: of transformers, in evaluation mode.
        shortest: of all prompts that will be asked.
        longest: likewise.
        pad: the padding id.
        written: tokens of the longest completion.
    """
    one, other = probed(shortest), probed(longest)
    if not is_recurrent(model) and not positions_depend_on_rows(model, len(longest.tokens) + written):
        moved = _moved(model, one, other, pad)
        if moved is not None:
            return Company("padded", moved)
    moved = _moved(model, one, one[::-1], pad)
    if moved is not None:
        announce("batching:", "padding would change predictions, so only prompts of equal length go together")
        return Company("equal_length", moved)
    announce("batching:", "a second prompt would change predictions, so each goes alone")
    return Company("single")


def probed(prompt: Prompt) -> list[int]:
    """As much of a prompt as a probe reads."""
    return prompt.tokens[-PROBED_TOKENS:]


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


def is_routed(model: Any) -> bool:
    """Whether a model sends tokens to some of its experts: where two of these are nearly tied, rounding
    chooses between computations that have little to do with each other.
    """
    settings = model.config.get_text_config().to_dict()
    return any("expert" in name and isinstance(value, int) and value > 1 for name, value in settings.items())


def keeps_everything(model: Any) -> bool:
    """Whether each layer of a model keeps the keys and values of all tokens, and nothing else."""
    from transformers.cache_utils import DynamicCache, DynamicLayer

    config = model.config.get_text_config(decoder=True)
    if is_recurrent(model) or config.is_encoder_decoder or not model._supports_default_dynamic_cache():
        return False
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)


def _moved(model: Any, one: list[int], other: list[int], pad: int) -> float | None:
    """By how much a prompt's logits differ alone and beside another; None where that is more than rounding
    explains, or where both do not fit into memory.
    """
    import torch

    try:
        alone, beside = (_logits(model, rows, pad) for rows in ([one], [one, other]))
    except torch.cuda.OutOfMemoryError:
        return None
    return difference(model, zip(alone, beside, strict=True))


def difference(model: Any, pairs: Iterable[tuple[Any, Any]]) -> float | None:
    """The largest difference of logits of the same tokens, alone and in company; None where it is more than
    rounding explains.

    Args:
        model: of transformers.
        pairs: for each of the first tokens, both of float32 [vocabulary].
    """
    import torch

    noise = NOISE[str(model.dtype).removeprefix("torch.")]
    moved = 0.0
    for first, second in pairs:
        if not torch.isfinite(first).all():
            break  # which whoever looks at the logits will say better
        moved = max(moved, (first - second).abs().max().item())
        if not moved <= noise * (first.max() - first.min()).item():
            return None
        if first.argmax() != second.argmax():
            break  # a tie, which rounding decides: what follows are other words
    return moved


def _logits(model: Any, rows: list[list[int]], pad: int) -> list[Any]:
    """Logits of the first row for each of the first steps; float32 [vocabulary]."""
    import torch
    from transformers import GenerationConfig

    ids, mask = (each.to(model.device) for each in left_padded(rows, pad))
    config = GenerationConfig(
        do_sample=False,
        min_new_tokens=PROBED_STEPS,  # a row that ends would leave its company, or read padding
        max_new_tokens=PROBED_STEPS,
        pad_token_id=pad,
        output_logits=True,
        return_dict_in_generate=True,
    )
    with torch.inference_mode():
        made = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
    return [logits[0].float() for logits in made.logits]


def refuse_single(prompts: Sequence[Prompt], error: Exception) -> None:
    """What does not fit into the GPU's memory is tried again as two halves.

    Raises:
        ResourceError: there is nothing to halve.
    """
    if len(prompts) == 1:
        raise ResourceError(
            f"item {prompts[0].trace_id}: the GPU has too little memory for a single prompt: {error}"
        ) from error


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
