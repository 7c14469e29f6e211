"""What a flow run shows in the Prefect UI. Showing is never a reason for a step to fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from uuid import UUID

from core.files import read_json, write_json
from evaluation.comparison import Comparison
from experiments.answers import answers, count_answers
from experiments.comparing import flips
from experiments.reproducing import Reproduction
from experiments.result import ExperimentResult
from experiments.run_files import RunFiles, files_of, is_here
from experiments.runs import RunRef
from registry import Registry
from reports import prefect_pages, prefect_runs
from reports.markdown import prose
from tasks import stages
from tasks.logs import harmless
from trainer.contract import TrainResult

SHOWN_FLIPS = 10
SHOWN_WRONG = 10


def remember_flow_run(run: RunRef) -> None:
    """Write down which flow run works on a run, so that others can link to it."""
    from prefect.runtime import flow_run

    if flow_run.id:
        write_json(run.files.flow_run, {"flow_run_id": str(flow_run.id), "name": flow_run.name})


def show_training(run: RunRef, result: TrainResult) -> None:
    """The loss curve and the training's figures."""
    curve = run.files.loss_curve
    _publish(
        "loss-curve",
        f"Training of run {run.run_id}",
        lambda: prefect_runs.training_report(
            result, curve.read_bytes() if curve.is_file() else None, str(curve), run.run_id
        ),
    )


def show_metrics(run: RunRef, registry: Registry) -> None:
    """The scores of a run, and what the model wrote where it was wrong."""
    from evaluation.metrics import MetricsSnapshot

    def text() -> str:
        snapshot = MetricsSnapshot.model_validate(read_json(run.files.metrics))
        counts = count_answers(registry.runs.get(run.run_id), registry)
        wrong = answers(run.run_id, registry, wrong=SHOWN_WRONG)
        return prefect_runs.metrics_report(snapshot, run.run_id, counts, wrong)

    _publish("metrics", f"Scores of run {run.run_id}", text)


def show_comparison(comparison: Comparison, registry: Registry) -> None:
    """The comparison with its picture and its flips."""
    runs = (comparison.baseline_run, comparison.candidate_run)

    def text() -> str:
        return prefect_pages.comparison_report(
            comparison, flips(comparison, SHOWN_FLIPS, registry), links(runs, registry)
        )

    made = _publish("comparison", f"{runs[1]} against {runs[0]}", text)
    stages.remember_comparison(f"/artifacts/artifact/{made}" if made else "")


def show_result(result: ExperimentResult, registry: Registry) -> None:
    """The decision and its reasons."""
    runs = [
        result.baseline.run_id,
        result.trained.run_id,
        result.against.run_id,
        *([result.repeats] if result.repeats else []),
    ]
    page = stages.comparison_page()
    _publish(
        "decision",
        result.headline,
        lambda: prefect_pages.decision_report(result, links(runs, registry), page),
    )


def show_reproduction(reproduction: Reproduction) -> None:
    """What came of repeating a run."""
    _publish("reproduction", reproduction.headline, lambda: prefect_pages.reproduction_report(reproduction))


def links(runs: Iterable[str], registry: Registry) -> dict[str, str]:
    """Run id -> the id as a link to the flow run that made it, where that is known."""
    return {run: _link(run, files_of(registry.runs.get(run), registry)) for run in runs}


def _link(run: str, files: RunFiles) -> str:
    if not is_here(files.flow_run):
        return run
    return f"[{run}](/runs/flow-run/{read_json(files.flow_run)['flow_run_id']})"


def _publish(key: str, description: str, text: Callable[[], str]) -> UUID | None:
    """Show something under a key; gives its id, None where it could not be shown."""
    from prefect.artifacts import create_markdown_artifact

    with harmless(f"the artifact {key}"):
        made = create_markdown_artifact(markdown=text(), key=key, description=prose(description))
        assert isinstance(made, UUID)  # noqa: S101 - outside an event loop it is no coroutine
        return made
    return None
