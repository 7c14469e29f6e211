"""Causal attention over packed sequences."""

from __future__ import annotations

import jax
import jax.numpy as jnp

Array = jax.Array


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
    """Grouped-query attention (Ainslie et al. 2023, arXiv:2305.13245): each token sees its own segment up to itself.

    Args:
        q: [batch, time, heads, head_dim].
        k: [batch, time, kv_heads, head_dim]; heads is a multiple of kv_heads.
        v: [batch, time, kv_heads, head_dim].
        segments: int32 [batch, time]; tokens of one segment lie next to one another.
        scale: what the scores are multiplied by.
        window: a token sees itself and the window - 1 tokens before it; None: all before it.
        softcap: scores are bounded by softcap * tanh(score / softcap) (Gemma 2, arXiv:2408.00118); None: not bounded.

    Returns:
        [batch, time, heads, head_dim], q's dtype. Scores and softmax are float32.
    """
    batch, time, heads, head_dim = q.shape
    grouped = q.reshape(batch, time, k.shape[2], heads // k.shape[2], head_dim)
    scores = jnp.einsum("btkgd,bskd->bkgts", grouped, k, preferred_element_type=jnp.float32) * scale
    if softcap is not None:
        scores = softcap * jnp.tanh(scores / softcap)
    distance = jnp.arange(time)[:, None] - jnp.arange(time)[None, :]
    near = (distance >= 0) & (distance < (window or time))
    seen = near & (segments[:, :, None] == segments[:, None, :])
    weights = jax.nn.softmax(jnp.where(seen[:, None, None], scores, -1e30), axis=-1)
    return jnp.einsum("bkgts,bskd->btkgd", weights.astype(v.dtype), v).reshape(q.shape).astype(q.dtype)
