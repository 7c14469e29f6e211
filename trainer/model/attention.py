"""Causal self-attention over packed rows: the fastest exact form for the device at hand."""

from __future__ import annotations

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp

Array = jax.Array
HIDDEN = -1e30
"""A score that `exp` turns into zero; finite, so that no row of scores can become NaN."""


def attend(
    q: Array,
    k: Array,
    v: Array,
    segments: Array,
    *,
    scale: float,
    window: int | None = None,
    softcap: float | None = None,
) -> Array:
    """Softmax attention in which a token sees itself and earlier tokens of its own segment.

    Query heads share key and value heads in groups (Ainslie et al. 2023, arXiv:2305.13245); keys and values
    are not repeated.

    Args:
        q: float [batch, time, heads, head_dim].
        k: float [batch, time, kv_heads, head_dim].
        v: float [batch, time, kv_heads, head_dim].
        segments: int32 [batch, time]; 0, the padding, is a segment like any other.
        scale: factor on the scores.
        window: a token sees itself and the `window` - 1 tokens before it; None is no limit.
        softcap: c in c * tanh(score / c), applied before the mask (Gemma Team 2024, arXiv:2408.00118).

    Returns:
        [batch, time, heads, head_dim] in q's dtype; the softmax is computed in float32.
    """
    mask = _visible(segments, window)
    if jax.default_backend() == "gpu" and softcap is None:
        mixed: Array = jax.nn.dot_product_attention(
            q, k, v, mask=mask[:, None], scale=scale, implementation=_implementation(q)
        )
        return mixed
    batch, time, heads, size = q.shape
    shared = k.shape[2]  # kv_heads
    group = heads // shared  # query heads that share one of them
    # The query heads of a group become more queries of one head, so that k and v need not be repeated.
    rows = (q * scale).reshape(batch, time, shared, group, size).transpose(0, 2, 3, 1, 4)
    rows = rows.reshape(batch, shared, group * time, size)
    mixed = _grouped(rows, k.transpose(0, 2, 1, 3), v.transpose(0, 2, 1, 3), mask, softcap)
    return mixed.reshape(batch, shared, group, time, size).transpose(0, 3, 1, 2, 4).reshape(q.shape)


def _visible(segments: Array, window: int | None) -> Array:
    """What sees what: bool [batch, query time, key time]."""
    time = segments.shape[1]
    distance = jnp.arange(time)[:, None] - jnp.arange(time)[None, :]
    near = distance >= 0 if window is None else (distance >= 0) & (distance < window)
    return near & (segments[:, :, None] == segments[:, None, :])


def _implementation(q: Array) -> Literal["cudnn", "xla"]:
    """Whether cuDNN's flash attention can be used.

    It wants Ampere or newer, half precision, an even length, and a head_dim that is a multiple of 8 up to
    128.
    """
    half = q.dtype in (jnp.bfloat16, jnp.float16)
    fits = half and q.shape[3] % 8 == 0 and q.shape[3] <= 128 and q.shape[1] % 2 == 0
    return "cudnn" if fits and float(jax.devices()[0].compute_capability) >= 8 else "xla"


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _grouped(q: Array, k: Array, v: Array, mask: Array, softcap: float | None) -> Array:
    """Attention by key and value head, with a derivative of its own: one exponential, normalised last.

    The derivative is FlashAttention's (Dao et al. 2022, arXiv:2205.14135, section B.2), which needs the mixed
    output and not the normalised probabilities.

    Args:
        q: float [batch, kv_heads, group * time, head_dim], scaled.
        k: float [batch, kv_heads, time, head_dim].
        v: float [batch, kv_heads, time, head_dim].
        mask: bool [batch, time, time], query by key.
        softcap: see `attend`.

    Returns:
        [batch, kv_heads, group * time, head_dim] in q's dtype.
    """
    return _grouped_forward(q, k, v, mask, softcap)[0]


def _grouped_forward(
    q: Array, k: Array, v: Array, mask: Array, softcap: float | None
) -> tuple[Array, tuple[Array, ...]]:
    """The output, and what the derivative needs. In the formulas q and k are places, d is head_dim."""
    scores = jnp.einsum("bhqd,bhkd->bhqk", q, k, preferred_element_type=jnp.float32)
    slope = jnp.ones(())  # of the softcap: d(c tanh(s / c)) / ds = 1 - tanh(s / c) ** 2
    if softcap is not None:
        tanh = jnp.tanh(scores / softcap)
        scores = softcap * tanh
        slope = 1 - tanh * tanh
    by_query = scores.reshape(*scores.shape[:2], -1, *mask.shape[1:])  # [batch, kv_heads, group, time, time]
    scores = jnp.where(mask[:, None, None], by_query, HIDDEN).reshape(scores.shape)
    # softmax(s) v = (exp(s - max) v) / sum(exp(s - max)): the division is of [q, d] and not of [q, k].
    weights = jnp.exp(scores - scores.max(-1, keepdims=True))  # [batch, kv_heads, q, k]
    inverse = 1 / weights.sum(-1, keepdims=True)  # [batch, kv_heads, q, 1]
    mixed = jnp.einsum("bhqk,bhkd->bhqd", weights, v, preferred_element_type=jnp.float32) * inverse
    return mixed.astype(q.dtype), (q, k, v, weights, inverse, mixed, slope)


def _grouped_backward(
    softcap: float | None, saved: tuple[Array, ...], gradient: Array
) -> tuple[Array, Array, Array, None]:
    """Gradients for q, k, v and none for the mask.

    With P = softmax(S), O = P V and the gradient G of O, the gradient of S is P * (G V' - rowsum(G * O)):
    since the rows of P sum to 1, what softmax takes off every score is rowsum(P * G V') = rowsum(G * O),
    which needs no [q, k]. P is `weights * inverse`, and the factor `inverse` of every row is multiplied into
    G once.
    """
    q, k, v, weights, inverse, mixed, slope = saved
    share = gradient.astype(jnp.float32) * inverse  # G / sum(exp), [batch, kv_heads, q, d]
    to_v = jnp.einsum("bhqk,bhqd->bhkd", weights, share)  # P' G
    to_weights = jnp.einsum("bhqd,bhkd->bhqk", share, v, preferred_element_type=jnp.float32)  # G V'
    to_scores = weights * (to_weights - jnp.sum(share * mixed, -1, keepdims=True)) * slope
    to_q = jnp.einsum("bhqk,bhkd->bhqd", to_scores, k, preferred_element_type=jnp.float32)
    to_k = jnp.einsum("bhqk,bhqd->bhkd", to_scores, q, preferred_element_type=jnp.float32)
    return to_q.astype(q.dtype), to_k.astype(k.dtype), to_v.astype(v.dtype), None


_grouped.defvjp(_grouped_forward, _grouped_backward)
