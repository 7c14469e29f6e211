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
    """Draw a token for each row: the one in whose part of the cumulative distribution, which goes through the
    kept tokens in the order of their ids, the row's number lies. Computed in float64.

    Kept are the fewest of the likeliest tokens that make up `top_p`; of equally likely ones those with the
    lower ids (Holtzman et al. 2020, https://arxiv.org/abs/1904.09751).

    A margin says by how much two logits may move apart before another token may be drawn: like the distance
    of the two largest when decoding is greedy, it is to be compared with twice the error of a logit. The odds
    of a sum of likelihoods change by a factor of at most exp(noise / temperature) when any two logits move
    apart by at most `noise`; so the margin is the temperature times the distance of the log odds of the
    number from those of either end of the token's part. Tokens that `noise` could put in or out of the kept
    ones count to the token's disadvantage.

    Args:
        logits: float32 [rows, vocabulary], finite or -inf.
        uniforms: float64 [rows], in [0, 1).
        temperature: above 0.
        top_p: above 0, at most 1.
        noise: the margin that the caller asks for; does nothing where `top_p` is 1.

    Returns:
        int64 [rows], the tokens; and float64 [rows], their margins, of which those above `noise` are sure.
    """
    import torch

    scaled = (logits.double() - logits.double().amax(-1, keepdim=True)) / temperature
    weights = scaled.exp()
    kept, surely, maybe = _nucleus(scaled, weights, top_p, noise / temperature)
    parts = (weights * kept).cumsum(-1)
    total = parts[:, -1:].contiguous()
    numbers = uniforms.double().to(parts.device)[:, None]
    # A number just below 1 times the total can be rounded to the total itself, behind which nothing lies.
    last = torch.searchsorted(parts, total)
    tokens = torch.searchsorted(parts, numbers * total, right=True).minimum(last)

    def before(mask: Any) -> Any:
        return ((weights * mask).cumsum(-1) - weights * mask).gather(1, tokens)

    def behind(mask: Any) -> Any:
        masked = weights * mask
        return (masked.flip(-1).cumsum(-1).flip(-1) - masked).gather(1, tokens)

    own = (weights * surely).gather(1, tokens)
    odds = numbers.log() - (-numbers).log1p()
    lower = before(maybe).log() - (own + behind(surely)).log()
    upper = (before(surely) + own).log() - behind(maybe).log()
    margins = temperature * torch.minimum(odds - lower, upper - odds)
    margins = torch.where(own > 0, margins.nan_to_num(nan=0.0, posinf=float("inf")), 0.0).clamp(min=0)
    return tokens[:, 0], margins[:, 0]


def _nucleus(scaled: Any, weights: Any, top_p: float, noise: float) -> tuple[Any, Any, Any]:
    """Which tokens are kept, and which of them surely and perhaps, when any two may move apart by `noise`.

    Args:
        scaled: float64 [rows, vocabulary], logits by temperature.
        weights: float64 [rows, vocabulary], their exponentials.
        top_p: see `draw`.
        noise: in the units of `scaled`.

    Returns:
        three of bool [rows, vocabulary].
    """
    import torch

    if top_p >= 1:
        every = torch.ones_like(scaled, dtype=torch.bool)
        return every, every, every
    size = scaled.shape[-1]
    total = weights.sum(-1, keepdim=True)
    least, most = (top_p / (1 - top_p) * math.exp(sign * min(noise, 600)) for sign in (-1, 1))
    for count in (min(NUCLEUS, size), size):
        ordered = scaled.topk(count).values
        sums = ordered.exp().cumsum(-1)
        shares = torch.nn.functional.pad(sums, (1, 0))[:, :-1] / total
        odds = shares / (1 - shares).clamp(min=1e-300)
        if count == size or bool((odds[:, -1] >= most).all()):
            break

    def lowest(taken: Any) -> Any:
        return ordered.gather(1, (taken - 1).clamp(min=0))

    taken, few, many = (
        (within).sum(-1, keepdim=True) for within in (shares < top_p, odds < least, odds < most)
    )
    threshold = lowest(taken)
    equal = scaled == threshold
    above = scaled > threshold
    kept = above | (equal & (equal.cumsum(-1) <= taken - above.sum(-1, keepdim=True)))
    next_one = ordered.gather(1, few.clamp(max=count - 1))
    outside = torch.where(few < size, next_one, -torch.inf)
    return kept, scaled > outside + noise, scaled >= lowest(many) - noise
