"""What training has to know of its data before anything heavy starts: `python -m trainer.settling`.

Tokenises the training set in a process of its own, refuses what training would refuse, and settles what was
left open. Imports no jax.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np

from core.child_process import answering
from core.progress import Listener
from golden.tokenizer import load_tokenizer
from trainer.contract import SettledTrainConfig, SettleSpec, Settling, TrainConfig
from trainer.data.stream import held_out, rows_per_epoch
from trainer.data.tokens import (
    TokenizedDataset,
    check_ids,
    fit,
    rounded_up,
    tokenize,
)
from trainer.model.architecture import read_architecture

TOKENS_PER_STEP = 4096
"""About how many tokens a step has where the configuration does not say: enough for steady gradients, and no
more than a machine with 16 GB can hold of a model with some hundred million parameters.
"""
LEARNING_RATES = {"full": 2e-5, "lora": 2e-4}
WARMUP_SHARE, WARMUP_STEPS = 0.03, 10


def settle(spec: SettleSpec, listener: Listener) -> Settling:
    """Tokenise a training set, and settle what the configuration leaves open.

    Args:
        spec: what to train, from what, and how.
        listener: gets progress in traces.

    Raises:
        InputError: the training set does not suit the model or the configuration; see `tokenize`,
            `check_ids`, `fit` and `held_out`.
    """
    arch = read_architecture(spec.base)
    tokenizer = load_tokenizer(spec.base)
    with tempfile.TemporaryDirectory() as folder:
        dataset = tokenize(spec.dataset, tokenizer, Path(folder) / "tokens", spec.prompt, listener)
        check_ids(dataset, tokenizer, arch.vocab_size)
        return settled_by(dataset, spec.config, arch.context)


def settled_by(dataset: TokenizedDataset, config: TrainConfig, context: int) -> Settling:
    """The settings for a tokenised training set.

    Args:
        dataset: the traces.
        config: what a person chose.
        context: the model's longest sequence, in tokens.

    Raises:
        InputError: see `fit` and `held_out`.
    """
    longest = int(dataset.sizes.max())
    length = config.sequence_length or max(8, min(rounded_up(longest), context))
    fitted = fit(dataset, length, config.on_too_long, context)
    batch_size = config.batch_size or rows_per_step(length, config.parts)
    train_on, _ = held_out(fitted.dataset, config.held_out, config.seed)
    rows = rows_per_epoch(fitted.dataset, train_on, length=length, seed=config.seed, packing=config.packing)
    steps = config.steps or max(1, math.ceil((config.epochs or 1) * rows / batch_size))
    warmup = min(WARMUP_STEPS, math.ceil(WARMUP_SHARE * steps))
    settled = {
        "sequence_length": length,
        "batch_size": batch_size,
        "steps": steps,
        "epochs": None,
        "learning_rate": config.learning_rate or LEARNING_RATES[config.method],
        "warmup_steps": warmup if config.warmup_steps is None else config.warmup_steps,
    }
    return Settling(
        config=SettledTrainConfig.model_validate({**config.model_dump(), **settled}),
        traces=len(fitted.dataset),
        longest=longest,
        typical=int(np.quantile(dataset.sizes, 0.99, method="higher")),
        dropped=fitted.dropped,
        truncated=fitted.truncated,
        epochs=steps * batch_size / rows,
    )


def rows_per_step(length: int, parts: int) -> int:
    """How many rows have about `TOKENS_PER_STEP` tokens: a power of two, which can be shared out evenly.

    Args:
        length: tokens per row.
        parts: in how many equal parts the rows are computed.

    Example:
        >>> rows_per_step(384, 1), rows_per_step(384, 3), rows_per_step(8192, 1)
        (8, 9, 1)
    """
    rows = 1 << max(0, round(math.log2(TOKENS_PER_STEP / length)))
    return -(-rows // parts) * parts


if __name__ == "__main__":
    with answering(SettleSpec) as job:
        job.answer(settle(job.spec, job.listener))
