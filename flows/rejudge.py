"""Judge a recorded run's predictions by another judge, without predicting anew."""

from __future__ import annotations

from experiments.runs import RunRef
from flows.options import loop_flow
from tasks import rejudge as rejudging


@loop_flow("rejudge", "rejudge {run} by {judge}")
def rejudge(run: str, judge: str = "answer_correctness@v1") -> RunRef:
    """A new finished run of the same weights and the same predictions, with the scores of another judge.

    Args:
        run: run id, or a unique beginning of one.
        judge: as NAME@vN.
    """
    return rejudging.rejudge(run, judge)
