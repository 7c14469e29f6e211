"""A decoder-only transformer in Flax NNX. One module covers Llama, Qwen2 and Qwen3; the config says which parts it has."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx

from trainer.architecture import Architecture

Array = jax.Array


@dataclass(frozen=True)
class Packed:
    """A batch of packed sequences.

    Attributes:
        tokens: int32 [batch, time], token ids.
        positions: int32 [batch, time], each token's place in its own segment, from 0.
        segments: int32 [batch, time], number of the segment from 1; 0 is padding. Tokens see only their own segment.
    """

    tokens: Array
    positions: Array
    segments: Array


jax.tree_util.register_dataclass(Packed, data_fields=["tokens", "positions", "segments"], meta_fields=[])


def rotary_tables(positions: Array, head_dim: int, theta: float) -> tuple[Array, Array]:
    """Cosines and sines of rotary position embedding (Su et al. 2021, arXiv:2104.09864), halves layout.

    Args:
        positions: int32 [batch, time].
        head_dim: size of a head, even.
        theta: base of the frequencies.

    Returns:
        Two float32 arrays [batch, time, 1, head_dim].
    """
    frequencies = 1.0 / theta ** (jnp.arange(0, head_dim, 2, dtype=jnp.float32) / head_dim)
    angles = positions[..., None].astype(jnp.float32) * frequencies
    angles = jnp.concatenate([angles, angles], axis=-1)[:, :, None, :]
    return jnp.cos(angles), jnp.sin(angles)


def rotate(x: Array, cos: Array, sin: Array) -> Array:
    """Apply rotary position embedding to x [batch, time, heads, head_dim]."""
    left, right = jnp.split(x, 2, axis=-1)
    return x * cos + jnp.concatenate([-right, left], axis=-1) * sin


class RMSNorm(nnx.Module):
    """Root mean square normalisation over the last axis (Zhang & Sennrich 2019, arXiv:1910.07467), computed in float32."""

    def __init__(self, size: int, eps: float) -> None:
        self.scale = nnx.Param(jnp.ones(size))
        self.eps = eps

    def __call__(self, x: Array) -> Array:
        wide = x.astype(jnp.float32)
        normal = wide * jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + self.eps)
        return (self.scale[...] * normal).astype(x.dtype)


class Attention(nnx.Module):
    """Grouped-query causal self-attention with rotary positions; optional bias on q, k, v and norms on q and k."""

    def __init__(self, arch: Architecture, rngs: nnx.Rngs) -> None:
        width, bias = arch.hidden_size, arch.attention_bias
        self.arch = arch
        self.q = nnx.Linear(width, arch.heads * arch.head_dim, use_bias=bias, rngs=rngs)
        self.k = nnx.Linear(width, arch.kv_heads * arch.head_dim, use_bias=bias, rngs=rngs)
        self.v = nnx.Linear(width, arch.kv_heads * arch.head_dim, use_bias=bias, rngs=rngs)
        self.o = nnx.Linear(arch.heads * arch.head_dim, width, use_bias=False, rngs=rngs)
        self.q_norm = RMSNorm(arch.head_dim, arch.norm_eps) if arch.qk_norm else None
        self.k_norm = RMSNorm(arch.head_dim, arch.norm_eps) if arch.qk_norm else None

    def __call__(self, x: Array, cos: Array, sin: Array, mask: Array) -> Array:
        batch, time, _ = x.shape
        q = self.q(x).reshape(batch, time, self.arch.heads, self.arch.head_dim)
        k = self.k(x).reshape(batch, time, self.arch.kv_heads, self.arch.head_dim)
        v = self.v(x).reshape(batch, time, self.arch.kv_heads, self.arch.head_dim)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        mixed = jax.nn.dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, mask=mask)
        return self.o(mixed.reshape(batch, time, -1))


class GatedMLP(nnx.Module):
    """SwiGLU feed-forward block (Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self, arch: Architecture, rngs: nnx.Rngs) -> None:
        self.gate = nnx.Linear(arch.hidden_size, arch.mlp_size, use_bias=False, rngs=rngs)
        self.up = nnx.Linear(arch.hidden_size, arch.mlp_size, use_bias=False, rngs=rngs)
        self.down = nnx.Linear(arch.mlp_size, arch.hidden_size, use_bias=False, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        return self.down(jax.nn.silu(self.gate(x)) * self.up(x))


class Block(nnx.Module):
    """One pre-norm transformer layer."""

    def __init__(self, arch: Architecture, rngs: nnx.Rngs) -> None:
        self.attention_norm = RMSNorm(arch.hidden_size, arch.norm_eps)
        self.attention = Attention(arch, rngs)
        self.mlp_norm = RMSNorm(arch.hidden_size, arch.norm_eps)
        self.mlp = GatedMLP(arch, rngs)

    def __call__(self, x: Array, cos: Array, sin: Array, mask: Array) -> Array:
        x = x + self.attention(self.attention_norm(x), cos, sin, mask)
        return x + self.mlp(self.mlp_norm(x))


class Decoder(nnx.Module):
    """Token ids to next-token logits."""

    def __init__(self, arch: Architecture, rngs: nnx.Rngs) -> None:
        self.arch = arch
        self.embed = nnx.Embed(arch.vocab_size, arch.hidden_size, rngs=rngs)
        self.layers = nnx.List([Block(arch, rngs) for _ in range(arch.layers)])
        self.norm = RMSNorm(arch.hidden_size, arch.norm_eps)
        self.head = None if arch.tied_embeddings else nnx.Linear(arch.hidden_size, arch.vocab_size, use_bias=False, rngs=rngs)

    def __call__(self, batch: Packed) -> Array:
        """Logits of the next token at every place.

        Args:
            batch: packed sequences [batch, time].

        Returns:
            float32 [batch, time, vocab].
        """
        time = batch.tokens.shape[1]
        causal = jnp.tril(jnp.ones((time, time), dtype=bool))
        same = batch.segments[:, :, None] == batch.segments[:, None, :]
        mask = (causal[None] & same)[:, None]
        cos, sin = rotary_tables(batch.positions, self.arch.head_dim, self.arch.rope_theta)
        x = self.embed(batch.tokens)
        for layer in self.layers:
            x = layer(x, cos, sin, mask)
        x = self.norm(x)
        return self.embed.attend(x) if self.head is None else self.head(x)
