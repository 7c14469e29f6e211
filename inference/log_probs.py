"""How likely a model finds given texts: an item's choices, or its reference, behind its prompt.

An item's texts go through the model together, padded on the right, and never with those of another item: so
what is computed depends on the item alone, whatever the batch size, the order or an interruption. Their
prompt is read once, where a model can go on from what it keeps of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from core.errors import InputError, ResourceError
from core.files import canonical_json
from golden.rendering import Renderer
from golden.schema import Item
from inference.batching import Continuation, Prompt, keeps_everything, positions_depend_on_rows
from inference.choosing import last_logits
from inference.contract import GenerationConfig
from inference.finite import not_finite, refuse_unknown_ids
from inference.partial import Row

AT_ONCE = 16
"""Items whose rows are kept together."""
PLACES = 256
"""Places of a text whose logits are made float64 at a time."""
DECIMALS = 6
"""Of a log-probability as it is written."""
IMPOSSIBLE = -1e9
"""Stands for the log-probability of a text that the model gives no probability at all: JSON has no infinity,
and no text that fits into a context comes near it.
"""


def make_continued(
    items: Sequence[Item], renderer: Renderer, settings: GenerationConfig, *, context: int | None, rows: int
) -> list[Prompt]:
    """Every item's prompt with the texts whose log-probabilities are asked for: what the item offers, else
    its reference as it is written. Where a prompt and the longest of them are beyond the context, the
    beginning of the prompt is left out.

    Args:
        items: the dataset.
        renderer: of the model's tokenizer.
        settings: say what becomes of prompts that are too long.
        context: how many tokens the model can see; None for any number.
        rows: of its embedding.

    Raises:
        InputError: a prompt cannot be made, or holds a token that the model has no embedding for; a text is
            longer than the context; or a prompt must be shortened and the setting is to refuse that.
    """
    prompts = []
    for item in items:
        texts = item.offered or [item.reference]
        asked, ids = renderer.continued(item, texts)
        for tokens in (asked, *ids):
            refuse_unknown_ids(tokens, rows, renderer.tokenizer, f"item {item.trace_id}")
        room = (context or 1 << 30) + 1 - max(map(len, ids))  # the last token is not read
        if room < 1:
            raise InputError(
                f"item {item.trace_id}: its reference or a choice has {max(map(len, ids)):,} tokens, more "
                f"than the model's context of {context:,}."
            )
        if len(asked) > room and settings.on_truncation == "refuse":
            raise InputError(
                f"item {item.trace_id}: its prompt is longer than the context. Shorten it, or set "
                "generation.on_truncation to record."
            )
        given = tuple(
            Continuation(tokens, len(text.encode())) for tokens, text in zip(ids, texts, strict=True)
        )
        prompts.append(Prompt(item.trace_id, asked[-room:], len(asked) > room, given))
    return prompts


def score_all(
    model: Any, prompts: Sequence[Prompt], pad: int, note: Callable[[str], None]
) -> Iterator[list[Row]]:
    """The log-probabilities of each prompt's continuations, in order, a few items at a time.

    Args:
        model: of transformers, in evaluation mode.
        prompts: with continuations.
        pad: any id that the model has an embedding for.
        note: is told which item is computed.

    Raises:
        InputError: the model computes NaN or infinity as a logit; names the item.
        ResourceError: too little memory for one item.
    """
    left = iter(prompts)
    while some := list(islice(left, AT_ONCE)):
        made = []
        for prompt in some:
            note(f"item {prompt.trace_id}")
            made.append(scored_row(prompt, log_probs(model, prompt, pad)))
        yield made


def log_probs(model: Any, prompt: Prompt, pad: int) -> list[tuple[float, bool]]:
    """For each continuation of a prompt its log-probability in nats, the sum over its tokens, and whether
    greedy decoding would write it.

    Args:
        model: of transformers, in evaluation mode.
        prompt: with continuations.
        pad: any id that the model has an embedding for.

    Raises:
        InputError: the model computes NaN or infinity.
        ResourceError: the GPU has too little memory.
    """
    import torch

    rows = [each.tokens for each in prompt.continuations]
    width = len(prompt.tokens) + max(map(len, rows)) - 1
    once = len(rows) > 1 and keeps_everything(model) and not positions_depend_on_rows(model, width)
    try:
        with torch.inference_mode():
            logits = (_behind if once else _together)(model, prompt.tokens, rows, pad)
            return [
                _log_prob(each, tokens, prompt.trace_id) for each, tokens in zip(logits, rows, strict=True)
            ]
    except torch.cuda.OutOfMemoryError as error:
        raise ResourceError(
            f"item {prompt.trace_id}: the GPU has too little memory for its {len(rows)} continuations of up "
            f"to {width:,} tokens: {error}"
        ) from error


def _together(model: Any, prompt: list[int], rows: Sequence[list[int]], pad: int) -> Any:
    """The logits of each row's tokens, [rows, longest, vocabulary], by one pass over prompt and row."""
    longest = max(map(len, rows))
    ids = _padded([[*prompt, *row[:-1]] for row in rows], pad, model.device)
    return model(input_ids=ids, use_cache=False, **last_logits(model, longest)).logits[:, -longest:]


def _behind(model: Any, prompt: list[int], rows: Sequence[list[int]], pad: int) -> Iterator[Any]:
    """The same, row by row, by a pass over the prompt and one over what comes behind it in any row."""
    import torch

    from inference.kv_cache import read

    cache, first = read(model, prompt)
    longer = [number for number, row in enumerate(rows) if len(row) > 1]
    others: dict[int, Any] = {}
    if longer:
        cache.batch_repeat_interleave(len(longer))
        ids = _padded([rows[number][:-1] for number in longer], pad, model.device)
        found = model(input_ids=ids, past_key_values=cache, use_cache=True).logits
        others = dict(zip(longer, found, strict=True))
    for number in range(len(rows)):
        yield torch.cat([first, others[number]]) if number in others else first


def _padded(rows: Sequence[list[int]], pad: int, device: Any) -> Any:
    """Token ids, int64 [rows, longest], padded on the right."""
    import torch

    longest = max(map(len, rows))
    return torch.tensor([row + [pad] * (longest - len(row)) for row in rows], device=device)


def _log_prob(logits: Any, tokens: Sequence[int], trace_id: str) -> tuple[float, bool]:
    """Sum of the tokens' log-probabilities, and whether each has the largest.

    Args:
        logits: float32 or bfloat16 [at least tokens, vocabulary]; those before the first token come first.
        tokens: ids.
        trace_id: for the message.
    """
    import torch

    total, greedy, computed = 0.0, True, True
    for start in range(0, len(tokens), PLACES):
        wanted = torch.tensor(tokens[start : start + PLACES], device=logits.device)
        here = logits[start : start + len(wanted)].double()
        chosen = here.gather(1, wanted[:, None])[:, 0]
        everything = here.logsumexp(-1)
        computed = computed and bool(everything.isfinite().all())
        total += (chosen - everything).sum().item()
        greedy = greedy and bool((here.argmax(-1) == wanted).all())
    if not computed:
        raise not_finite(trace_id, str(logits.dtype).removeprefix("torch."))
    return total, greedy


def scored_row(prompt: Prompt, found: Sequence[tuple[float, bool]]) -> Row:
    """What is written of an item.

    Args:
        prompt: with continuations.
        found: of each its log-probability, -inf where there is none, and whether greedy decoding would write
            it.
    """
    said = [
        {
            "bytes": each.bytes,
            "greedy": greedy,
            "log_prob": round(max(value, IMPOSSIBLE), DECIMALS) + 0.0,  # no -0.0
            "tokens": len(each.tokens),
        }
        for each, (value, greedy) in zip(prompt.continuations, found, strict=True)
    ]
    return Row(
        trace_id=prompt.trace_id,
        prediction=canonical_json({"choices": said} if len(said) > 1 else said[0]),
        tokens=sum(len(each.tokens) for each in prompt.continuations),
        cut_off=False,
    )
