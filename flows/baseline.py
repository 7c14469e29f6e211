"""Judge the base model: the run that every trained run is compared with."""

from __future__ import annotations

from prefect import flow

from experiments.config import EvaluateConfig
from experiments.runs import RunRef
from flows.evaluate import evaluate


@flow(name="baseline", flow_run_name="baseline {config.model} on {config.dataset}", validate_parameters=True)
def baseline(config: EvaluateConfig | None = None) -> RunRef:
    """Evaluate the base model; nothing is trained.

    Args:
        config: model, dataset, judge and generation settings; the defaults judge the tiny base on golden-v1.
    """
    return evaluate(config or EvaluateConfig())
