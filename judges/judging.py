"""Judging a whole dataset. An absent prediction is an error, never a score of zero."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from core.errors import InputError
from core.files import read_jsonl
from core.progress import quiet_meter
from core.text import cut, visible_lines
from golden.schema import Item
from judges.base import Judge, Score
from judges.samples import Written, combined, texts_of

SHOWN_FAILURES = 5
LONGEST_FAILURE = 500
"""Characters of what a judge raised that are kept: it may quote what the model wrote."""


class MissingPrediction(InputError):
    """An item has no prediction."""


class JudgeError(InputError):
    """A judge failed on items, or gave something that is no score. Then the run has no score at all.

    Attributes:
        failures: trace_id -> what went wrong, for every item that the judge failed on.
    """

    def __init__(self, judge: str, failures: Mapping[str, str], items: int, remedy: str = "") -> None:
        self.failures = dict(failures)
        shown = "".join(
            f"\n  item {trace_id}: {problem}"
            for trace_id, problem in list(self.failures.items())[:SHOWN_FAILURES]
        )
        more = f"\n  and {len(failures) - SHOWN_FAILURES} more" if len(failures) > SHOWN_FAILURES else ""
        super().__init__(
            f"judge {judge} failed on {len(failures)} of {items} items, so there is no score:{shown}{more}"
            + (f"\n{remedy}" if remedy else "")
        )


def judge_items(items: Iterable[Item], predictions: Mapping[str, Written], judge: Judge) -> Iterator[Score]:
    """Score each item once, in dataset order. Items on which the judge fails are left out, then named.

    Args:
        items: the dataset.
        predictions: trace_id -> what the model wrote; of several samples each is scored, and the item gets
            the mean.
        judge: who scores.

    Raises:
        MissingPrediction: names the first trace_id without a prediction.
        JudgeError: after the last item: the judge raised, or its score was for another item or out of bounds;
            names every item.

    Example:
        >>> from judges import load_judge
        >>> item = Item(trace_id="t", prompt="2 + 2?", steps=[], final_answer="4", category="sums")
        >>> [score.reason for score in judge_items([item], {"t": "Answer: 4"}, load_judge("exact_match@v1"))]
        ['correct']
    """

    def pairs() -> Iterator[tuple[Item, Written]]:
        for item in items:
            if item.trace_id not in predictions:
                raise MissingPrediction(
                    f"item {item.trace_id} has no prediction. The run is incomplete; "
                    "run it again and it continues."
                )
            yield item, predictions[item.trace_id]

    return judge_pairs(pairs(), judge, len(predictions))


def judge_pairs(pairs: Iterable[tuple[Item, Written]], judge: Judge, total: int) -> Iterator[Score]:
    """The same for items that come with what the model wrote, in flat memory: a score is given before the
    next pair is taken.

    Args:
        pairs: each item once.
        judge: who scores.
        total: how many there are, for the progress.

    Raises:
        JudgeError: see `judge_items`.
    """
    failures: dict[str, str] = {}
    count, meter = 0, quiet_meter("judge", total, "items")
    for item, written in pairs:
        count += 1
        try:
            scores = [best_score(judge, item, text) for text in texts_of(written)]
        except ValidationError as error:
            problem = error.errors()[0]
            failures[item.trace_id] = _shown(
                f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}, got {problem['input']!r}"
            )
        except Exception as error:
            failures[item.trace_id] = _shown(f"{type(error).__name__}: {error}")
        else:
            if other := [score.trace_id for score in scores if score.trace_id != item.trace_id]:
                failures[item.trace_id] = f"the judge answered for item {other[0]}"
            else:
                yield scores[0] if isinstance(written, str) else combined(item.trace_id, scores)
        meter.update(count)
    if failures:
        raise JudgeError(f"{judge.name}@{judge.version}", failures, count)


def _shown(problem: str) -> str:
    return cut(visible_lines(problem), LONGEST_FAILURE)


def best_score(judge: Judge, item: Item, prediction: str) -> Score:
    """A judge's score by the accepted answer that fits best; judges see one answer at a time.

    Args:
        judge: who scores.
        item: the question.
        prediction: what the model wrote.

    Raises:
        ValidationError: the judge gave something that is no score.
        Exception: whatever the judge raises.
    """
    scores = [
        Score.model_validate(judge.score(each, prediction), from_attributes=True)
        for each in one_answer_each(item)
    ]
    return max(scores, key=lambda score: score.score)  # the first of equals


def checked_items(judge: Judge, items: Iterable[Item]) -> Iterator[Item]:
    """The items as they come, once the judge has said that it can judge them; for the time before anything is
    computed.

    Args:
        judge: who will score.
        items: a dataset.

    Raises:
        InputError: it cannot judge one; names the item.
    """
    check: Callable[[Item], None] = getattr(judge, "check", lambda _: None)
    for item in items:
        try:
            for each in one_answer_each(item):
                check(each)
        except InputError as error:
            raise InputError(f"item {item.trace_id}: {judge.name}@{judge.version}: {error}") from error
        yield item


def one_answer_each(item: Item) -> list[Item]:
    """The item once for each accepted answer, as if that were the only one."""
    if isinstance(item.final_answer, str):
        return [item]
    return [item.model_copy(update={"final_answer": answer}) for answer in item.final_answer]


def each_prediction(
    path: Path, items: Callable[[], Iterable[Item]], samples: int = 1
) -> Iterator[tuple[Item, Written]]:
    """Read predictions.jsonl beside its dataset, pair by pair, in flat memory.

    Args:
        path: the file.
        items: gives the dataset, from its beginning at each call.
        samples: how many texts each item has.

    Raises:
        InputError: see `read_predictions`.
    """
    for item, line in zip_longest(items(), read_jsonl(path, any_text=True)):
        if item is not None and line is not None:
            trace_id, written = _row(line[1], f"{path}:{line[0]}", samples)
            if trace_id == item.trace_id:
                yield item, written
                continue
        read_predictions(path, list(items()), samples)  # says what is wrong
        raise InputError(f"{path}: changed while it was read. Run it again.")


def read_predictions(path: Path, items: Sequence[Item], samples: int = 1) -> dict[str, Written]:
    """Read predictions.jsonl, which holds each item exactly once, in dataset order: with one sample its text
    as `prediction`, with several all of them as `predictions`.

    Args:
        path: the file.
        items: the dataset.
        samples: how many texts each item has.

    Raises:
        InputError: missing file, bad line, repeated or unknown id, wrong order, more or fewer samples; names
            the line and the id.
        MissingPrediction: names the first item without a prediction.
    """
    known = {item.trace_id for item in items}
    lines: dict[str, int] = {}
    predictions: dict[str, Written] = {}
    for number, value in read_jsonl(path, any_text=True):
        where = f"{path}:{number}"
        trace_id, prediction = _row(value, where, samples)
        if trace_id in lines:
            raise InputError(
                f"{where}: trace_id: {trace_id} was already on line {lines[trace_id]}. "
                "Each item has one prediction."
            )
        if trace_id not in known:
            raise InputError(f"{where}: trace_id: {trace_id} is not an item of the dataset.")
        lines[trace_id] = number
        predictions[trace_id] = prediction
    for place, item in enumerate(items, start=1):
        if item.trace_id not in predictions:
            raise MissingPrediction(
                f"{path}: item {item.trace_id} (number {place} of the dataset) has no prediction."
            )
        if lines[item.trace_id] != place:
            raise InputError(
                f"{path}:{lines[item.trace_id]}: trace_id: {item.trace_id} belongs on line {place}. "
                "Predictions are in dataset order."
            )
    return predictions


def _row(value: Any, where: str, samples: int) -> tuple[str, Written]:
    field = "prediction" if samples == 1 else "predictions"
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object with trace_id and {field}")
    for name in ("trace_id", field):
        if name not in value:
            raise InputError(f"{where}: {name}: missing field")
    for name in {"trace_id", "prediction"} & value.keys():
        if not isinstance(value[name], str):
            raise InputError(f"{where}: {name}: expected a string")
    if surplus := sorted(value.keys() - {"trace_id", field}):
        raise InputError(f"{where}: {surplus[0]}: unknown field")
    if samples > 1:
        texts = value[field]
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise InputError(f"{where}: {field}: expected a list of strings")
        if len(texts) != samples:
            raise InputError(
                f"{where}: {field}: item {value['trace_id']} has {len(texts)} samples, and the run asks for "
                f"{samples} of each"
            )
    return value["trace_id"], value[field]
