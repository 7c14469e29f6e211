"""The whole loop: base against trained, and the better one becomes champion."""

from __future__ import annotations

from typing import Annotated

from evaluation.gate import GateRefused
from experiments.config import ExperimentConfig
from experiments.plan import planned
from experiments.references import RUN_PREFIX
from experiments.result import ExperimentResult, ExperimentRuns
from flows.common import loop_flow
from flows.evaluate import baseline, evaluate
from flows.form import Form, asked
from flows.train import train
from tasks.decide import champion_reference, compare, promote_if_better
from tasks.run import plan_experiment
from tasks.stages import shown_here

FIRST = (
    "base_model",
    "dataset",
    "train.dataset",
    "train.steps",
    "train.learning_rate",
    "model_name",
    "promote",
)
"""What people change first."""


@loop_flow("experiment", "experiment {config.title}")
def experiment(
    config: Annotated[ExperimentConfig, Form(ExperimentConfig, *FIRST)] = asked(ExperimentConfig()),
) -> ExperimentResult:
    """Judge the base, train, judge the trained model, compare, decide, promote.

    Args:
        config: All settings. The defaults run the built-in experiment.
    """
    with shown_here():
        plan = plan_experiment(config)
        config = plan.config
        champion = champion_reference(config.model_name)
        with planned(plan.plans):
            base = [baseline(each) for each in config.baselines()]
            served = [evaluate(each) for each in config.judged(champion)] if champion else base
            first = train(config.trained())
        trained = [first, *(evaluate(each) for each in config.judged(f"{RUN_PREFIX}{first.run_id}")[1:])]
        comparison = compare(base[0].run_id, first.run_id)
        runs = ExperimentRuns(base=base, served=served, trained=trained)
        result = promote_if_better(config, runs, comparison)
    if config.fail_unless_promoted and result.refused:
        raise GateRefused(result.decision)
    return result
