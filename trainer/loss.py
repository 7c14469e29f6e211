"""Cross entropy on completions, without ever holding the logits of more tokens than memory allows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from trainer.model.decoder import Array, Decoder, Packed

LOGIT_BYTES = 256 * 10**6
"""How many bytes of float32 logits are held at once where the configuration does not say."""


def summed_loss(model: Decoder, packed: Packed, targets: Array, chunk: int | None = None) -> Array:
    """Cross entropy summed over the completion tokens of a batch.

    Args:
        model: the decoder.
        packed: packed sequences [batch, time].
        targets: int32 [batch, time], the next token, or -1 where there is no loss.
        chunk: tokens whose logits are held at once; more are computed piece by piece, and again on the way back.

    Returns:
        float32 scalar, in nats.
    """
    hidden = model.hidden(packed)
    batch, time = targets.shape
    chunk = chunk or max(1, LOGIT_BYTES // (4 * model.arch.vocab_size))
    length = max(1, chunk // batch)
    if length >= time:
        return _summed(model, hidden, targets)
    pieces = -(-time // length)
    padding = pieces * length - time
    hidden = jnp.pad(hidden, ((0, 0), (0, padding), (0, 0))).reshape(batch, pieces, length, -1).swapaxes(0, 1)
    targets = jnp.pad(targets, ((0, 0), (0, padding)), constant_values=-1).reshape(batch, pieces, length).swapaxes(0, 1)
    piece = jax.checkpoint(lambda total, part: (total + _summed(model, *part), None))
    return jax.lax.scan(piece, jnp.zeros((), jnp.float32), (hidden, targets))[0]


def _summed(model: Decoder, hidden: Array, targets: Array) -> Array:
    losses = optax.softmax_cross_entropy_with_integer_labels(model.logits(hidden), jnp.maximum(targets, 0))
    return jnp.sum(losses * (targets >= 0))
