"""A decoder-only transformer in Flax NNX. One module covers Llama, Qwen and Gemma, part by part.

Parameters are float32, whatever the compute dtype: they are cast where they are used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from trainer.model.architecture import Architecture
from trainer.model.attention import attend
from trainer.model.rotary import rotary_tables, rotate

Array = jax.Array
Tables = tuple[Array, Array]
"""Cosines and sines of every position, float32 [batch, time, 1, head_dim]."""

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "silu": jax.nn.silu,
    "gelu_pytorch_tanh": partial(jax.nn.gelu, approximate=True),
}


def over_tokens(function: Callable[[Array], Array], x: Array) -> Array:
    """Apply a map of vectors to x [..., size], all tokens laid end to end.

    The values do not change. The gradient of a kernel becomes one matrix product; left to itself, XLA
    contracts batch and time as two axes, which the CPU does at half the speed.

    Args:
        function: from [tokens, size] to [tokens, features].
        x: float [..., size].

    Returns:
        [..., features].
    """
    return function(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], -1)


class Linear(nnx.Linear):
    """`flax.nnx.Linear` over all tokens laid end to end."""

    def __call__(self, inputs: Array, out_sharding: Any = None) -> Array:
        apply = super().__call__
        return over_tokens(lambda x: apply(x, out_sharding), inputs)


class RMSNorm(nnx.Module):
    """Root mean square normalisation over the last axis (Zhang & Sennrich 2019, arXiv:1910.07467).

    Computed in float32, returned in the dtype of its input.
    """

    def __init__(self, size: int, arch: Architecture) -> None:
        self.scale = nnx.Param(jnp.full(size, 1.0 - arch.norm_offset))
        self.offset = arch.norm_offset
        self.eps = arch.norm_eps

    def __call__(self, x: Array) -> Array:
        """[..., size] to the same."""
        wide = x.astype(jnp.float32)
        normal = wide * jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + self.eps)
        return ((self.offset + self.scale[...]) * normal).astype(x.dtype)


class Attention(nnx.Module):
    """Grouped-query causal self-attention with rotary positions; some with biases or q and k norms."""

    def __init__(self, arch: Architecture, window: int | None, rngs: nnx.Rngs, dtype: DTypeLike) -> None:
        linear = partial(Linear, dtype=dtype, rngs=rngs)
        width = arch.hidden_size
        bias = arch.attention_bias
        self.arch = arch
        self.window = window
        self.q = linear(width, arch.heads * arch.head_dim, use_bias=bias)
        self.k = linear(width, arch.kv_heads * arch.head_dim, use_bias=bias)
        self.v = linear(width, arch.kv_heads * arch.head_dim, use_bias=bias)
        self.o = linear(arch.heads * arch.head_dim, width, use_bias=False)
        self.q_norm = RMSNorm(arch.head_dim, arch) if arch.qk_norm else None
        self.k_norm = RMSNorm(arch.head_dim, arch) if arch.qk_norm else None

    def __call__(self, x: Array, tables: Tables, segments: Array) -> Array:
        """[batch, time, hidden] to the same; segments are int32 [batch, time]."""
        arch = self.arch
        q = self.q(x).reshape(*x.shape[:2], arch.heads, arch.head_dim)
        k = self.k(x).reshape(*x.shape[:2], arch.kv_heads, arch.head_dim)
        v = self.v(x).reshape(*x.shape[:2], arch.kv_heads, arch.head_dim)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = rotate(q, *tables), rotate(k, *tables)
        mixed = attend(
            q, k, v, segments, scale=arch.attention_scale, window=self.window, softcap=arch.attention_softcap
        )
        return self.o(mixed.reshape(*x.shape[:2], -1))


class GatedMLP(nnx.Module):
    """Feed-forward block with a SiLU or GELU gate (Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self, arch: Architecture, rngs: nnx.Rngs, dtype: DTypeLike) -> None:
        linear = partial(Linear, use_bias=False, dtype=dtype, rngs=rngs)
        self.gate = linear(arch.hidden_size, arch.mlp_size)
        self.up = linear(arch.hidden_size, arch.mlp_size)
        self.down = linear(arch.mlp_size, arch.hidden_size)
        self.activation = arch.activation

    def __call__(self, x: Array) -> Array:
        """[batch, time, hidden] to the same."""
        return self.down(ACTIVATIONS[self.activation](self.gate(x)) * self.up(x))


class Block(nnx.Module):
    """One transformer layer: normalised before each half and, in Gemma, after it too."""

    def __init__(self, arch: Architecture, window: int | None, rngs: nnx.Rngs, dtype: DTypeLike) -> None:
        self.attention_norm = RMSNorm(arch.hidden_size, arch)
        self.attention = Attention(arch, window, rngs, dtype)
        self.attention_post_norm = RMSNorm(arch.hidden_size, arch) if arch.sandwich_norms else None
        self.mlp_norm = RMSNorm(arch.hidden_size, arch)
        self.mlp = GatedMLP(arch, rngs, dtype)
        self.mlp_post_norm = RMSNorm(arch.hidden_size, arch) if arch.sandwich_norms else None

    def __call__(self, x: Array, tables: Tables, segments: Array) -> Array:
        """[batch, time, hidden] to the same; segments are int32 [batch, time]."""
        mixed = self.attention(self.attention_norm(x), tables, segments)
        x = x + (mixed if self.attention_post_norm is None else self.attention_post_norm(mixed))
        fed = self.mlp(self.mlp_norm(x))
        return x + (fed if self.mlp_post_norm is None else self.mlp_post_norm(fed))


def _apply(block: Block, x: Array, tables: Tables, segments: Array) -> Array:
    return block(x, tables, segments)


def _apply_again(block: Block, x: Array, tables: Tables, segments: Array) -> Array:
    """As `_apply`, keeping only the inputs for the backward pass (Chen et al. 2016, arXiv:1604.06174)."""
    graph, state = nnx.split(block)
    result: Array = jax.checkpoint(lambda state, *inputs: nnx.merge(graph, state)(*inputs))(
        state, x, tables, segments
    )
    return result


class Decoder(nnx.Module):
    """Token ids to next-token logits."""

    def __init__(
        self, arch: Architecture, rngs: nnx.Rngs, *, dtype: DTypeLike = jnp.float32, remat: bool = False
    ) -> None:
        """Make a decoder with random weights.

        Args:
            arch: sizes and switches.
            rngs: where the weights come from.
            dtype: what to compute in; norms, softmax and logits are float32, and so are the parameters,
                always.
            remat: compute each block again in the backward pass instead of keeping its activations.
        """
        self.arch = arch
        self.dtype = jnp.dtype(dtype)
        self.remat = remat
        self.embed = nnx.Embed(arch.vocab_size, arch.hidden_size, dtype=dtype, rngs=rngs)
        self.layers = nnx.List([Block(arch, window, rngs, dtype) for window in arch.windows])
        self.norm = RMSNorm(arch.hidden_size, arch)
        self.head = (
            None
            if arch.tied_embeddings
            else Linear(arch.hidden_size, arch.vocab_size, use_bias=False, rngs=rngs)
        )

    def __call__(self, tokens: Array, positions: Array, segments: Array) -> Array:
        """Logits of the next token at every place, float32 [batch, time, vocab]. Arguments: see `hidden`."""
        return self.logits(self.hidden(tokens, positions, segments))

    def hidden(self, tokens: Array, positions: Array, segments: Array) -> Array:
        """What the last norm gives at every place of packed rows.

        Args:
            tokens: int32 [batch, time], token ids.
            positions: int32 [batch, time], each token's place in its own segment, from 0.
            segments: int32 [batch, time], number of the segment from 1; 0 is padding. Tokens see their own
                only.

        Returns:
            [batch, time, hidden], compute dtype.
        """
        arch = self.arch
        ropes = {arch.rope, arch.local_rope}
        tables = {rope: rotary_tables(positions, arch.head_dim, rope) for rope in ropes}
        x = self.embed(tokens) * jnp.asarray(arch.embedding_scale, self.dtype)
        apply = _apply_again if self.remat else _apply
        for layer, window in zip(self.layers, arch.windows, strict=True):
            x = apply(layer, x, tables[arch.rope if window is None else arch.local_rope], segments)
        return self.norm(x)

    def logits(self, hidden: Array) -> Array:
        """Logits of hidden states [..., hidden]: float32 [..., vocab], the products in the compute dtype."""
        if self.head is None:
            weights, pattern = self.embed.embedding[...], "th,vh->tv"
        else:
            weights, pattern = self.head.kernel[...], "th,hv->tv"
        weights = weights.astype(self.dtype)
        logits = over_tokens(
            lambda x: jnp.einsum(pattern, x, weights, preferred_element_type=jnp.float32),
            hidden.astype(self.dtype),
        )
        cap = self.arch.logit_softcap
        return logits if cap is None else cap * jnp.tanh(logits / cap)
