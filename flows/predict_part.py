"""Predict a part of a run that another worker works on."""

from __future__ import annotations

from typing import Annotated, Any

from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import Field

from flows.common import loop_flow
from tasks.shards import predict_for_another


@loop_flow("predict-part", "predict part {first} to {last} of {run}")
def predict_part(
    run: str, first: Annotated[int, Field(ge=0)], last: Annotated[int, Field(ge=1)]
) -> State[Any]:
    """Fetch dataset and model from the registry and the store that both workers share, predict some items,
    and put the part into the store. Started by a run whose `generation.shards` is more than 1.

    Args:
        run: id of the run.
        first: the first of the items, counted from 0.
        last: the one behind the last.

    Returns:
        A state whose message is the sha256 of the part in the store.
    """
    return Completed(message=predict_for_another(run, first, last))
