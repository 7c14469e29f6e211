"""The items of a dataset with what one run, or several, answered to each: in dataset order, one at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from core.config import Record
from core.errors import IntegrityError
from experiments.answers import Sample, Written, some_items
from experiments.datasets import dataset_file
from golden.datasets import read_items
from golden.prompting import recorded_prompt
from golden.rendering import conversation
from golden.schema import Item
from inference.contract import CUT_OFF
from registry import Registry, Run
from registry.tables import Prediction


class ItemAnswers(Record):
    """An item and what each run wrote for it.

    Attributes:
        position: of the item in its dataset, from 0.
        band: its difficulty, where the dataset has bands.
        asked: the turns as the chat template got them, system text, examples and instruction included: each
            has `role` and `content`.
        accepted: the right answers, the reference first.
        answers: one for each run, in the order of the runs.
    """

    position: int
    trace_id: str
    category: str
    band: str | None
    asked: list[dict[str, str]]
    accepted: list[str]
    answers: list[Written]

    @property
    def change(self) -> float:
        """The last run's score less the first's; 0 where there is one run."""
        return self.answers[-1].score - self.answers[0].score


def side_by_side(
    runs: Sequence[Run], registry: Registry, trace_ids: Sequence[str] | None = None
) -> Iterator[ItemAnswers]:
    """The items of finished runs of one dataset, in its order, with what each run wrote.

    Args:
        runs: one, or several on the same dataset; the prompt of the first is shown.
        registry: holds them.
        trace_ids: only these items; None for all, which are read one at a time.

    Raises:
        InputError: the items are not to be had.
        IntegrityError: they were changed, or the runs do not have the same items.

    Example:
        >>> better = [each.trace_id for each in side_by_side([base, trained], registry) if each.change > 0]
    """
    path = dataset_file(runs[0], registry.datasets.get(runs[0].dataset_id), registry)
    yield from _together(runs, _paired(runs, registry, path, trace_ids))


def answers_to(items: Sequence[Item], runs: Sequence[Run], registry: Registry) -> Iterator[ItemAnswers]:
    """The same for items of the runs' dataset that were read before, in the order in which they are given.

    Raises:
        IntegrityError: a run has no answer to one of them.
    """
    wanted = [item.trace_id for item in items]
    found = [registry.runs.predictions_of(run.run_id, wanted) for run in runs]
    pairs = ((item, [rows.get(item.trace_id) for rows in found]) for item in items)
    yield from _together(runs, pairs)


def _together(
    runs: Sequence[Run], pairs: Iterable[tuple[Item, Sequence[Prediction | None]]]
) -> Iterator[ItemAnswers]:
    prompt = recorded_prompt(runs[0].manifest)
    bands: dict[str, str] = (runs[0].manifest.get("dataset") or {}).get("bands") or {}
    cut = [frozenset((run.predictions_meta or {}).get(CUT_OFF, ())) for run in runs]
    for item, found in pairs:
        rows = [row for row in found if row is not None and row.trace_id == item.trace_id]
        if len(rows) < len(runs):
            raise IntegrityError(
                f"runs {', '.join(run.run_id for run in runs)}: item {item.trace_id} is not where it should "
                "be. `hallmark verify` says what was changed."
            )
        yield ItemAnswers(
            position=rows[0].position,
            trace_id=item.trace_id,
            category=item.category,
            band=bands.get(item.trace_id),
            asked=[dict(turn) for turn in conversation(item, prompt)],
            accepted=item.accepted,
            answers=[_written(row, item.trace_id in gone) for row, gone in zip(rows, cut, strict=True)],
        )


def _paired(
    runs: Sequence[Run], registry: Registry, path: Path, trace_ids: Sequence[str] | None
) -> Iterator[tuple[Item, list[Prediction]]]:
    if trace_ids is None:
        each = [registry.runs.each_prediction(run.run_id) for run in runs]
        for item, *rows in zip(read_items(path), *each, strict=True):
            yield item, rows
        return
    items = some_items(path, trace_ids)
    found = [registry.runs.predictions_of(run.run_id, trace_ids) for run in runs]
    for trace_id in sorted(trace_ids, key=lambda name: found[0][name].position):
        yield items[trace_id], [rows[trace_id] for rows in found]


def _written(row: Prediction, cut_off: bool) -> Written:
    return Written(
        prediction=row.prediction,
        score=row.score,
        extracted=row.extracted,
        rung=row.rung,
        reason=row.reason,
        cut_off=cut_off,
        samples=None if row.samples is None else [Sample.model_validate(each) for each in row.samples],
    )
