"""One decorator for every task: its progress is shown, and it is retried with back-off and jitter, but only
where that can help.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from core.errors import HallmarkError
from tasks.progress import progress_shown

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")

RETRIES = 3


def retryable(name: str) -> Callable[[Callable[Parameters, Returned]], Task[Parameters, Returned]]:
    """A Prefect task with Hallmark's retry policy, whose progress is shown.

    Args:
        name: as the Prefect UI shows it.

    Example:
        >>> @retryable("predict")
        ... def predict(run: RunRef, plan: RunPlan) -> PredictResult: ...
    """
    retried = task(
        name=name,
        retries=RETRIES,
        retry_delay_seconds=exponential_backoff(2),
        retry_jitter_factor=0.5,
        retry_condition_fn=is_transient,
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    return lambda function: retried(progress_shown()(function))


def is_transient(_task: Any, _run: Any, state: Any) -> bool:
    """Whether a failed task may be tried again: a locked database may, a bad file never."""
    try:
        state.result()
    except HallmarkError as error:
        return error.transient
    except Exception:
        return False
    return False
