"""Learning rates and optimizers, put together from Optax."""

from __future__ import annotations

import jax
import optax

from trainer.contract import TrainConfig

BETA_2 = 0.95


def learning_rates(config: TrainConfig) -> optax.Schedule:
    """Linear warm-up, then cosine decay to a tenth of the peak (Loshchilov & Hutter 2017, arXiv:1608.03983)."""
    return optax.warmup_cosine_decay_schedule(
        0.0,
        config.learning_rate,
        min(config.warmup_steps, config.steps - 1),
        config.steps,
        config.learning_rate * 0.1,
    )


def optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """The optimizer on clipped gradients, with decoupled weight decay of matrices; norms and biases are not decayed.

    AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) or Adafactor (Shazeer & Stern 2018, arXiv:1804.04235) without
    relative step sizes.
    """
    return optax.chain(
        optax.clip_by_global_norm(config.gradient_clip),
        *(
            [optax.scale_by_adam(b2=BETA_2)]
            if config.optimizer == "adamw"
            else [optax.scale_by_factored_rms(), optax.clip_by_block_rms(1.0)]
        ),
        optax.add_decayed_weights(
            config.weight_decay, mask=lambda parameters: jax.tree.map(lambda p: p.ndim > 1, parameters)
        ),
        optax.scale_by_learning_rate(learning_rates(config)),
    )
