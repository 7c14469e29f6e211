"""Training settings with nothing left open."""

from __future__ import annotations

from experiments.defaults import TINY_TRAINING
from trainer.contract import SettledTrainConfig


def tiny_training(**settings: object) -> SettledTrainConfig:
    """The settings of the tiny base, but for these."""
    return SettledTrainConfig.model_validate({**TINY_TRAINING, **settings})
