"""Judge a recorded run's predictions by another judge; nothing is predicted again."""

from __future__ import annotations

from experiments.runs import RunRef
from flows.common import loop_flow
from tasks import again


@loop_flow("rejudge", "rejudge {run} by {judge}")
def rejudge(run: str, judge: str = "answer_correctness@v1") -> RunRef:
    """A new finished run of the same weights and the same predictions, with the scores of another judge.

    Args:
        run: run id, or a unique beginning or end of one.
        judge: as NAME@vN.
    """
    return again.rejudge(run, judge)
