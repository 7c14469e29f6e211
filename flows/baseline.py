"""Judge the base model: the run that every trained run is compared with."""

from __future__ import annotations

from experiments.config import EvaluateConfig
from experiments.runs import RunRef
from flows.evaluate import evaluate
from flows.options import loop_flow


@loop_flow("baseline", "baseline {config.title}")
def baseline(config: EvaluateConfig = EvaluateConfig()) -> RunRef:
    """Evaluate the base model; nothing is trained.

    Args:
        config: model, dataset, judge and generation settings; the defaults judge the tiny base on golden-v1.
    """
    return evaluate(config)
