"""Learning rates and optimizers, put together from Optax."""

from __future__ import annotations

from typing import Any

import jax
import optax

from trainer.contract import SettledTrainConfig

BETA_2 = 0.95
"""Decay of AdamW's second moment, as usual for language models (Brown et al. 2020, arXiv:2005.14165)."""


def learning_rates(config: SettledTrainConfig) -> optax.Schedule:
    """Learning rate by steps taken: linear warm-up from 0, then cosine decay to a tenth of the peak.

    The decay is that of Loshchilov & Hutter 2017, arXiv:1608.03983.
    """
    return optax.warmup_cosine_decay_schedule(
        0.0,
        config.learning_rate,
        min(config.warmup_steps, config.steps - 1),
        config.steps,
        config.learning_rate * 0.1,
    )


def optimizer(config: SettledTrainConfig) -> optax.GradientTransformation:
    """AdamW or Adafactor on clipped gradients; decoupled weight decay of matrices, not of norms and biases.

    AdamW: Loshchilov & Hutter 2019, arXiv:1711.05101. Adafactor: Shazeer & Stern 2018, arXiv:1804.04235,
        without
    relative step sizes.
    """
    if config.optimizer == "adamw":
        scaling = optax.scale_by_adam(b2=BETA_2)
    else:
        scaling = optax.chain(optax.scale_by_factored_rms(), optax.clip_by_block_rms(1.0))
    return optax.chain(
        optax.clip_by_global_norm(config.gradient_clip),
        scaling,
        optax.add_decayed_weights(config.weight_decay, mask=_matrices),
        optax.scale_by_learning_rate(learning_rates(config)),
    )


def _matrices(parameters: Any) -> Any:
    """True for every array with two axes or more, in a tree like theirs."""
    return jax.tree.map(lambda parameter: parameter.ndim > 1, parameters)
