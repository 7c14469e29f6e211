"""What all flows have in common: validated parameters, small results as JSON, an event when they fail, a run
that is held.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ParamSpec, TypeVar

from prefect import Flow, flow
from prefect.client.schemas.objects import FlowRun, State

from core.errors import InterruptedWork
from evaluation.gate import GateRefused
from experiments.runs import RunRef, owned
from experiments.workspace import open_workspace
from tasks.events import emit_failure
from tasks.heartbeats import begin_heartbeats, end_heartbeats

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")

REPORTED_OTHERWISE = (GateRefused, InterruptedWork)


def report_failure(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:
    """Emit `hallmark.run.failed` for a flow run that nobody called; a refusal has an event of its own, a stop
    is no failure.
    """
    del flow
    if flow_run.parent_task_run_id is not None:
        return
    error = state.result(raise_on_failure=False)
    if not isinstance(error, REPORTED_OTHERWISE):
        emit_failure(flow_run.name, str(flow_run.id), str(error))


def loop_flow(
    name: str, run_name: str
) -> Callable[[Callable[Parameters, Returned]], Flow[Parameters, Returned]]:
    """A Prefect flow of Hallmark.

    Args:
        name: of the flow.
        run_name: of its runs: a format string over the parameters, saying kind, model and dataset.
    """
    return flow(
        name=name,
        flow_run_name=run_name,
        validate_parameters=True,
        persist_result=True,
        result_serializer="json",
        on_running=[begin_heartbeats],
        on_completion=[end_heartbeats],
        on_failure=[end_heartbeats, report_failure],
        on_crashed=[end_heartbeats],
        on_cancellation=[end_heartbeats],
    )


def working_on(run: RunRef) -> AbstractContextManager[None]:
    """Hold a run while a flow works on it, and record why when it fails. See `experiments.runs.owned`."""
    return owned(run, open_workspace().registry)
