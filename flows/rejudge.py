"""Judge a recorded run's predictions by another judge, or on a revised dataset, without predicting again."""

from __future__ import annotations

from typing import Annotated

from experiments.runs import RunRef
from flows.common import loop_flow
from flows.form import asked, open_text
from tasks import again


@loop_flow("rejudge", "rejudge {run}")
def rejudge(
    run: str,
    judge: Annotated[str | None, *open_text()] = asked("", "Judge"),
    dataset: Annotated[str | None, *open_text()] = asked("", "Revised dataset"),
) -> RunRef:
    """A new finished run of the same weights and the same predictions, with the scores of another judge, or
    those on a revised dataset.

    Args:
        run: run id, or a unique beginning or end of one.
        judge: as NAME@vN; without one the run's own.
        dataset: a revised dataset, by its name or path; without one the items that the run was judged on.
    """
    return again.rejudge(run, judge, dataset)
