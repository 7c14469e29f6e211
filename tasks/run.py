"""The tasks that make a run: plan, begin, export, train, predict, judge, record."""

from __future__ import annotations

from pathlib import Path

from core.progress import announce, current_listener
from experiments import phases, runs
from experiments import plan as planning
from experiments.config import EvaluateConfig, ExperimentConfig, TrainRunConfig
from experiments.phases import Judged
from experiments.plan import ExperimentPlan, RunPlan
from experiments.runs import RunRef
from experiments.workspace import open_workspace
from inference.contract import PredictResult
from tasks.artifacts import remember_flow_run, show_metrics, show_training
from tasks.retryable import retryable
from tasks.shards import predict_in_parts
from trainer.contract import TrainResult


@retryable("plan the experiment")
def plan_experiment(config: ExperimentConfig) -> ExperimentPlan:
    """Settle both runs before anything is computed: a bad training set is found before the base model
    predicts.
    """
    return planning.plan_experiment(config, open_workspace())


@retryable("plan the evaluation")
def plan_evaluation(config: EvaluateConfig) -> RunPlan:
    """Resolve model, dataset and judge; refuse what is unusable."""
    return planning.plan_evaluation(config, open_workspace())


@retryable("plan the training")
def plan_training(config: TrainRunConfig) -> RunPlan:
    """Resolve everything and run the contamination guard."""
    return planning.plan_training(config, open_workspace())


@retryable("reuse or begin")
def begin(plan: RunPlan) -> RunRef:
    """Take the recorded run of the same inputs, wait for one that another process works on, continue an
    interrupted one, or begin a new one.
    """
    workspace = open_workspace()
    if (reusable := runs.find_reusable(plan, workspace.registry)) is not None:
        runs.keep_datasets(plan, workspace.registry)  # a run of another machine or of an older Hallmark
        return reusable
    if (reason := runs.why_not_reused(plan, workspace.registry)) is not None:
        announce("predicting again:", reason)
    run = runs.begin_run(plan, workspace.registry)
    if not run.reused:
        remember_flow_run(run)
    return run


@retryable("export")
def export(run: RunRef, plan: RunPlan) -> Path:
    """Copy the dataset byte for byte and check its sha256."""
    return phases.export_dataset(run, plan)


@retryable("train")
def train(run: RunRef, plan: RunPlan) -> TrainResult:
    """Train in a process of its own (JAX, Flax NNX, Optax)."""
    result = phases.train_model(run, plan, current_listener())
    open_workspace().registry.runs.trained(run.run_id, result.model_sha256)
    show_training(run, result)
    return result


@retryable("predict")
def predict(run: RunRef, plan: RunPlan) -> PredictResult:
    """Generate in a process of its own, or in several parts."""
    if plan.generation.shards > 1 and plan.model.served is None:  # an endpoint shares its work out itself
        return predict_in_parts(run, plan)
    return phases.predict_items(run, plan, current_listener())


@retryable("judge")
def judge(run: RunRef, plan: RunPlan) -> Judged:
    """Score every prediction once; write scores.jsonl and metrics.json."""
    judged = phases.judge_run(run, plan)
    if (warning := phases.cut_warning(judged, plan.generation)) is not None:
        announce("cut off:", warning)
    return judged


@retryable("record")
def record(run: RunRef, plan: RunPlan, judged: Judged) -> RunRef:
    """Put metrics, predictions and scores into the registry in one transaction."""
    registry = open_workspace().registry
    phases.record_run(run, plan, judged, registry)
    show_metrics(run, registry)
    return run
