"""Rotary position embedding (Su et al. 2021, arXiv:2104.09864), halves layout as in Hugging Face."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from trainer.model.rope_config import Rope

Array = jax.Array


def frequencies(rope: Rope, head_dim: int) -> np.ndarray:
    """Radians per position, float32 [head_dim / 2].

    "linear" is position interpolation (Chen et al. 2023, arXiv:2306.15595). "llama3" (Grattafiori et al.
    2024, arXiv:2407.21783) divides long wavelengths by the factor, keeps short ones and blends in between.
    """
    plain = rope.theta ** -(np.arange(0, head_dim, 2) / head_dim)
    kept = np.zeros_like(plain)  # share of each frequency that is not stretched
    if rope.kind == "llama3":
        turns = rope.original_context * plain / (2 * np.pi)  # full turns within the original context
        kept = np.clip(
            (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor), 0.0, 1.0
        )
    return np.asarray((1 - kept) * plain / rope.factor + kept * plain, dtype=np.float32)


def rotary_tables(positions: Array, head_dim: int, rope: Rope) -> tuple[Array, Array]:
    """Cosines and sines of every position.

    Args:
        positions: int32 [batch, time].
        head_dim: size of a head, even.
        rope: base and stretching of the frequencies.

    Returns:
        Two float32 arrays [batch, time, 1, head_dim].
    """
    angles = positions[..., None].astype(jnp.float32) * frequencies(rope, head_dim)
    angles = jnp.concatenate([angles, angles], axis=-1)[:, :, None, :]
    return jnp.cos(angles), jnp.sin(angles)


def rotate(x: Array, cos: Array, sin: Array) -> Array:
    """Apply rotary position embedding to x, float [batch, time, heads, head_dim].

    Computed in float32, returned in x's dtype. `cos` and `sin` are from `rotary_tables`.
    """
    wide = x.astype(jnp.float32)
    left, right = jnp.split(wide, 2, axis=-1)  # each pair of a left and a right value is turned by one angle
    return (wide * cos + jnp.concatenate([-right, left], axis=-1) * sin).astype(x.dtype)
