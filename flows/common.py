"""What all flows have in common: validated parameters, small results as JSON, an event when they fail, a run
that is held.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from inspect import signature, unwrap
from typing import Any, ParamSpec, TypeVar, get_type_hints

from prefect import Flow, flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Failed

from core.child_process import stop_if_asked
from core.errors import HallmarkError
from evaluation.gate import GateRefused
from experiments.runs import RunRef, owned
from experiments.workspace import open_workspace
from flows.naming import run_name
from tasks.events import emit_failure
from tasks.heartbeats import begin_heartbeats, end_heartbeats

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


def report_failure(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:
    """Emit `hallmark.run.failed` for a flow run that nobody called; a refusal has an event of its own, and a
    stop is no failure.
    """
    del flow
    if flow_run.parent_task_run_id is not None:
        return
    error = state.result(raise_on_failure=False)
    if not isinstance(error, GateRefused):
        emit_failure(flow_run.name, str(flow_run.id), str(error))


def loop_flow(
    name: str, title: str
) -> Callable[[Callable[Parameters, Returned]], Flow[Parameters, Returned]]:
    """A Prefect flow of Hallmark.

    Args:
        name: of the flow.
        title: of its runs that nobody named: a format string over the parameters, saying kind, model and
            dataset.
    """
    decorate = flow(
        name=name,
        flow_run_name=run_name(title),
        validate_parameters=True,
        persist_result=True,
        result_serializer="json",
        on_running=[begin_heartbeats],
        on_completion=[end_heartbeats],
        on_failure=[end_heartbeats, report_failure],
        on_crashed=[end_heartbeats],
        on_cancellation=[end_heartbeats],
    )
    return lambda function: decorate(reason_alone(unwrap(function)))  # one flow may be made of another's


def reason_alone(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """Let a flow that fails with an error of ours end in a state whose message is its sentence, and without
    a traceback in its log. Whoever called the flow gets the error itself.
    """

    @wraps(function)
    def answered(*args: Parameters.args, **settings: Parameters.kwargs) -> Any:
        stop_if_asked()  # when the flow before this one ended
        try:
            returned = function(*args, **settings)
        except HallmarkError as error:
            return Failed(message=str(error), data=error)
        stop_if_asked()
        return returned

    # Prefect would look for the names of the annotations in this file
    answered.__annotations__ = get_type_hints(function, include_extras=True)
    answered.__dict__["__signature__"] = signature(function, eval_str=True)
    return answered


def working_on(run: RunRef) -> AbstractContextManager[None]:
    """Hold a run while a flow works on it, and record why when it fails. See `experiments.runs.owned`."""
    return owned(run, open_workspace().registry)
