"""Drawing tokens, by numbers that depend on seed, item, sample and step alone."""

from __future__ import annotations

import math
from hashlib import sha256
from typing import Any

NUCLEUS = 2048
"""How many of the likeliest tokens are sorted at first; all, where these do not make up a nucleus."""


def uniform(seed: int, trace_id: str, sample: int, step: int) -> float:
    """The number in [0, 1) that decides a token: the first 53 bits of a sha256, so that no number depends on
    how many were drawn before it.

    Args:
        seed: of the run.
        trace_id: the item.
        sample: which of the item's completions.
        step: which of its tokens, from 0.

    Example:
        >>> uniform(0, "a", 0, 0)
        0.4857248603017089
    """
    digest = sha256(f"{seed} {sample} {step} {trace_id}".encode("utf-8", "surrogatepass")).digest()
    return float((int.from_bytes(digest[:8], "big") >> 11) * 2.0**-53)


def draw(logits: Any, uniforms: Any, temperature: float, top_p: float, noise: float = 0.0) -> tuple[Any, Any]:
    """Draw a token for each row, by temperature, from the fewest of the likeliest tokens that make up `top_p`
    (Holtzman et al. 2020, https://arxiv.org/abs/1904.09751); of equally likely ones those with the lower ids.

    Each token gets Gumbel noise of its own, which follows from the row's number and the token's id, times the
    temperature; the largest sum of logit and noise is drawn (Gumbel 1954; Maddison et al. 2014,
    https://arxiv.org/abs/1411.0030). So a token is as sure as in greedy decoding: another one may be drawn
    only when two logits move apart by as much as the two largest sums are. By the inverse of the cumulative
    distribution, in which each token's place depends on all others, rounding would decide far more tokens.

    Args:
        logits: float32 [rows, vocabulary], finite or -inf.
        uniforms: float64 [rows], as `uniform` gives them.
        temperature: above 0.
        top_p: above 0, at most 1.
        noise: how far any two logits may move apart, twice the error of one. Tokens that this can put in or
            out of the likeliest ones count to the disadvantage of the drawn one; does nothing where `top_p`
            is 1.

    Returns:
        int64 [rows], the tokens; and float64 [rows], by how much two logits may move apart before another
        may be drawn. Above `noise` a token is sure.
    """
    import torch

    wide = logits.double()
    kept, surely, maybe = _nucleus(wide, temperature, top_p, noise)
    sums = _gumbel(uniforms.to(logits.device), logits.shape[-1]).mul_(temperature).add_(wide)
    if kept is None:
        largest, tokens = sums.max(-1, keepdim=True)
        others = sums.scatter_(1, tokens, -torch.inf).amax(-1, keepdim=True)
        return tokens[:, 0], (largest - others)[:, 0]
    tokens = sums.masked_fill(~kept, -torch.inf).argmax(-1, keepdim=True)
    largest = sums.gather(1, tokens)
    others = sums.masked_fill_(~maybe, -torch.inf).scatter_(1, tokens, -torch.inf).amax(-1, keepdim=True)
    margins = torch.where(surely.gather(1, tokens), largest - others, 0.0).clamp(min=0)
    return tokens[:, 0], margins[:, 0]


def _gumbel(uniforms: Any, size: int) -> Any:
    """Standard Gumbel noise, float64 [rows, size]: -log(-log(u)), where u has the first 52 bits of SplitMix64
    (Steele et al. 2014, https://doi.org/10.1145/2714064.2660195), begun at the row's number.

    Args:
        uniforms: float64 [rows], in [0, 1).
        size: of the vocabulary.
    """
    import torch

    ids = torch.arange(1, size + 1, dtype=torch.int64, device=uniforms.device)
    begun = _mixed((uniforms * 2.0**53).long()[:, None])
    mixed = _mixed(begun + ids * _signed(0x9E3779B97F4A7C15))
    bits = mixed.bitwise_right_shift_(12).bitwise_and_((1 << 52) - 1)
    return bits.double().add_(0.5).mul_(2.0**-52).log_().neg_().log_().neg_()


def _mixed(bits: Any) -> Any:
    """The output function of SplitMix64 on int64 of any shape, which it changes; products wrap around."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        bits ^= (bits >> shift) & ((1 << (64 - shift)) - 1)
        bits *= _signed(factor)
    return bits


def _signed(number: int) -> int:
    """The int64 with the bits of a uint64."""
    return number - (1 << 64) if number >> 63 else number


def _nucleus(logits: Any, temperature: float, top_p: float, noise: float) -> tuple[Any, Any, Any]:
    """Which tokens are kept, and which of them surely and perhaps, when two logits may move apart by `noise`.

    The odds of a sum of likelihoods change by a factor of at most exp(noise / temperature) then. That bounds
    how many tokens make up `top_p`; and a token stays among the first when its logit is by more than `noise`
    above that of the first one behind them.

    Args:
        logits: float64 [rows, vocabulary].
        temperature: see `draw`.
        top_p: see `draw`.
        noise: see `draw`.

    Returns:
        three of bool [rows, vocabulary]; None, three times, where all tokens are kept.
    """
    import torch

    if top_p >= 1:
        return None, None, None
    size = logits.shape[-1]
    most_likely = logits.amax(-1, keepdim=True)
    total = ((logits - most_likely) / temperature).exp_().sum(-1, keepdim=True)
    factor = math.exp(min(noise / temperature, 600))
    for count in (min(NUCLEUS, size), size):
        ordered = logits.topk(count).values
        sums = ((ordered - most_likely) / temperature).exp_().cumsum(-1)
        before = torch.nn.functional.pad(sums, (1, 0))[:, :-1] / total
        odds = before / (1 - before).clamp(min=1e-300) * ((1 - top_p) / top_p)
        if count == size or bool((odds[:, -1] >= factor).all()):
            break
    taken, few, many = (
        within.sum(-1, keepdim=True) for within in (before < top_p, odds < 1 / factor, odds < factor)
    )
    threshold = ordered.gather(1, taken - 1)
    above, equal = logits > threshold, logits == threshold
    kept = above | (equal & (equal.cumsum(-1) <= taken - above.sum(-1, keepdim=True)))
    behind = ordered.gather(1, few.clamp(max=count - 1)).masked_fill(few == size, -torch.inf)
    return kept, logits > behind + noise, logits >= ordered.gather(1, (many - 1).clamp(min=0)) - noise
