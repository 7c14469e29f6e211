"""The whole loop: base against trained, and the better one becomes champion."""

from __future__ import annotations

from evaluation.gate import GateRefused
from experiments.config import ExperimentConfig
from experiments.verdict import Verdict
from flows.baseline import baseline
from flows.evaluate import evaluate
from flows.options import loop_flow
from flows.train import train
from tasks.compare import compare
from tasks.promote import champion_reference, promote_if_better


@loop_flow("experiment", "experiment {config.title}")
def experiment(config: ExperimentConfig = ExperimentConfig()) -> Verdict:
    """Judge the base, train, judge the trained model, compare, decide, promote.

    Args:
        config: everything that may be set; the defaults run the built-in experiment.
    """
    base = baseline(config.evaluate(config.base_model, reuse=config.reuse_baseline))
    trained = train(config.trained())
    champion = champion_reference(config.model_name)
    against = evaluate(config.evaluate(champion)) if champion else base
    comparison = compare(base, trained)
    verdict = promote_if_better(config, base, trained, against, comparison)
    if config.fail_unless_promoted and not verdict.stands:
        raise GateRefused(verdict.decision)
    return verdict
