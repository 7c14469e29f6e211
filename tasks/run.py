"""The tasks that make a run: plan, begin, export, train, predict, judge, record."""

from __future__ import annotations

from pathlib import Path

from core.progress import announce, current_listener
from core.text import counted
from evaluation.numbers import metric_text
from experiments import phases, runs
from experiments import plan as planning
from experiments.config import EvaluateConfig, ExperimentConfig, TrainRunConfig
from experiments.phases import Judged
from experiments.plan import ExperimentPlan, RunPlan, plan_key
from experiments.runs import RunRef
from experiments.workspace import open_workspace
from inference.contract import PredictResult
from registry import Registry
from tasks import stages
from tasks.artifacts import remember_flow_run, show_metrics, show_training
from tasks.retryable import retryable
from tasks.shards import predict_in_parts
from tasks.stages import Clock, job, tell
from trainer.contract import TrainResult


@retryable("plan the experiment")
def plan_experiment(config: ExperimentConfig) -> ExperimentPlan:
    """Settle both runs before anything is computed: a bad training set is found before the base model
    predicts.
    """
    workspace = open_workspace()
    plan = planning.plan_experiment(config, workspace)
    champion = workspace.registry.models.aliased(plan.config.model_name)
    stages.expect(1 + len(plan.config.datasets) * (3 if champion else 2))
    tell("planned", _planned(plan))
    return plan


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
        stages.done(1 if plan.training is None else 2)
        score = _score(reusable, workspace.registry)
        tell(
            "reused",
            f"{plan.judging}: {score}, recorded as run {reusable.run_id}",
        )
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
    clock = Clock()
    with job():
        result = phases.train_model(run, plan, current_listener())
    open_workspace().registry.runs.trained(run.run_id, result.model_sha256)
    show_training(run, result)
    loss = f"loss {result.first_loss:.3f} to {result.last_loss:.3f}"
    tell("trained", f"{counted(result.steps, 'step')} in {clock}, {loss}")
    return result


@retryable("predict")
def predict(run: RunRef, plan: RunPlan) -> PredictResult:
    """Generate in a process of its own, or in several parts."""
    clock = Clock()
    with job():
        if plan.generation.shards > 1 and plan.model.served is None:  # an endpoint shares its work out itself
            result = predict_in_parts(run, plan)
        else:
            result = phases.predict_items(run, plan, current_listener())
    resumed = f", {result.resumed:,} of them earlier" if result.resumed else ""
    tell("predicted", f"{plan.judging}: {counted(result.items, 'item')} in {clock}{resumed}")
    return result


@retryable("judge")
def judge(run: RunRef, plan: RunPlan) -> Judged:
    """Score every prediction once; write scores.jsonl and metrics.json."""
    clock = Clock()
    judged = phases.judge_run(run, plan)
    name, found = next(iter(judged.metrics.overall.items()))
    score = f"{metric_text(name, found.value)} of {counted(found.n, 'item')}"
    tell("judged", f"{plan.judging}: {score}, by {plan.judge} in {clock}")
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


def _planned(plan: ExperimentPlan) -> str:
    """What an experiment is going to do, in a line."""
    trained = plan.plans[plan_key(plan.config.trained())]
    training = trained.training
    judged_on = {
        f"{each.dataset.name} ({counted(each.dataset.items, 'item')})" for each in plan.plans.values()
    }
    assert training is not None  # noqa: S101 - it is the plan of the trained run
    return (
        f"{trained.model.label}, {counted(training.config.steps, 'step')} of "
        f"{counted(training.config.batch_size, 'row')} on "
        f"{training.label}, judged on {' and '.join(sorted(judged_on))}"
    )


def _score(run: RunRef, registry: Registry) -> str:
    """The score of a recorded run."""
    overall = next(row for row in registry.runs.metrics(run.run_id) if not row.category)
    return f"{metric_text(overall.name, overall.value)} of {counted(overall.n, 'item')}"
