"""The training loop: completion-only loss, AdamW with warm-up and cosine decay, clipped gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from hallmark.config import TrainConfig
from hallmark.errors import HallmarkError
from trainer.decoder import Array, Decoder, Packed
from trainer.packing import PackedBatch


@dataclass(frozen=True)
class StepRecord:
    """One point of the loss curve.

    Attributes:
        step: from 1.
        loss: mean negative log-likelihood of the step's completion tokens, in nats.
        learning_rate: as applied.
        gradient_norm: global norm before clipping.
        loss_tokens: tokens that bore loss.
    """

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float
    loss_tokens: int


def learning_rates(config: TrainConfig) -> optax.Schedule:
    """Linear warm-up, then cosine decay to a tenth of the peak (Loshchilov & Hutter 2017, arXiv:1608.03983)."""
    return optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, min(config.warmup_steps, config.steps - 1), config.steps, config.learning_rate * 0.1
    )


def optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) on clipped gradients; norms and biases are not decayed."""
    return optax.chain(
        optax.clip_by_global_norm(config.gradient_clip),
        optax.adamw(
            learning_rates(config),
            b2=0.95,
            weight_decay=config.weight_decay,
            mask=lambda params: jax.tree.map(lambda p: p.ndim > 1, params),
        ),
    )


def completion_loss(model: Decoder, packed: Packed, targets: Array) -> Array:
    """Mean cross entropy over the completion tokens of a batch.

    Args:
        model: the decoder.
        packed: packed sequences [batch, time].
        targets: int32 [batch, time], the next token, or -1 where there is no loss.

    Returns:
        float32 scalar, in nats.
    """
    bears_loss = targets >= 0
    losses = optax.softmax_cross_entropy_with_integer_labels(model(packed), jnp.maximum(targets, 0))
    return jnp.sum(losses * bears_loss) / jnp.maximum(jnp.sum(bears_loss), 1)


def train(model: Decoder, data: Iterator[PackedBatch], config: TrainConfig, on_step: Callable[[StepRecord], None]) -> Decoder:
    """Train for `config.steps` steps.

    Args:
        model: where to start; its arrays are consumed.
        data: packed batches.
        config: the training configuration.
        on_step: called after every step with its record.

    Returns:
        The trained decoder.

    Raises:
        HallmarkError: the loss became NaN or infinite; names the step.
    """
    structure, parameters = nnx.split(model)
    transform = optimizer(config)
    state = transform.init(parameters)
    schedule = learning_rates(config)

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(parameters: Any, state: Any, packed: Packed, targets: Array) -> tuple[Any, Any, Array, Array]:
        loss, gradients = jax.value_and_grad(lambda p: completion_loss(nnx.merge(structure, p), packed, targets))(parameters)
        updates, state = transform.update(gradients, state, parameters)
        return optax.apply_updates(parameters, updates), state, loss, optax.global_norm(gradients)

    for number in range(1, config.steps + 1):
        batch = next(data)
        packed = Packed(jnp.asarray(batch.tokens), jnp.asarray(batch.positions), jnp.asarray(batch.segments))
        parameters, state, loss, norm = step(parameters, state, packed, jnp.asarray(batch.targets))
        record = StepRecord(number, float(loss), float(schedule(number - 1)), float(norm), int((batch.targets >= 0).sum()))
        if not math.isfinite(record.loss):
            raise HallmarkError(
                f"training stopped: the loss became {record.loss} at step {number} of {config.steps}. Nothing was kept. "
                f"Lower train.learning_rate (now {config.learning_rate:g}) or raise train.warmup_steps (now {config.warmup_steps})."
            )
        on_step(record)
    return nnx.merge(structure, parameters)
