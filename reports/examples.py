"""Some items of a report, for forms that cannot hold all: the first that got worse, the first that got
better, or the first that one run did not get right.
"""

from __future__ import annotations

from core.config import Record
from experiments.side_by_side import ItemAnswers, side_by_side
from registry import Registry
from reports.document import Report

SHOWN = 10
"""Items of each kind."""


class Examples(Record):
    """The first items of one kind.

    Attributes:
        title: the kind: Got worse, Got better, or Not right.
        count: how many items are of this kind.
        items: the first of them, in the order of the dataset.
    """

    title: str
    count: int
    items: list[ItemAnswers]


def examples(report: Report, registry: Registry, most: int = SHOWN) -> list[Examples]:
    """The items that a reader looks at first.

    Args:
        report: of one run, or of two.
        registry: holds the runs.
        most: items of each kind.

    Raises:
        InputError: the items are not to be had.
        IntegrityError: they were changed.

    Example:
        >>> [(each.title, each.count) for each in examples(report, registry)]
        [('Got worse', 17), ('Got better', 70)]
    """
    runs = [registry.runs.finished(run.run_id) for run in report.runs]
    if (comparison := report.comparison) is not None:
        kinds = {"Got worse": comparison.lost, "Got better": comparison.gained}
    else:
        scores = registry.runs.scores(runs[0].run_id)
        kinds = {"Not right": [trace_id for trace_id, score in scores.items() if score < 1]}
    return [
        Examples(title=title, count=len(ids), items=list(side_by_side(runs, registry, ids[:most])))
        for title, ids in kinds.items()
    ]
