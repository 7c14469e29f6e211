"""What of a prediction is judged, where a model thinks before it answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial

from judges.base import Score
from judges.samples import Written, changed, combined, texts_of

UNFINISHED = "unfinished thinking"
"""Why an answer that never came is wrong."""


def after_thinking(
    predictions: Mapping[str, Written], mark: str | None, *, closed: bool | Collection[str]
) -> dict[str, Written]:
    """What is judged: what follows the last mark that ends thinking. What comes before it is kept in
    predictions.jsonl, and is never judged; where the mark never came there is no answer.

    Args:
        predictions: trace_id -> what the model wrote, in one sample or several.
        mark: as in </think>; None where all that is written is the answer.
        closed: whether thinking was over before the answers began, so that the mark need not come; or of
            which items.

    Example:
        >>> after_thinking({"a": "2 or 3?</think>3", "b": "2 or"}, "</think>", closed=False)
        {'a': '3', 'b': ''}
    """
    if mark is None:
        return dict(predictions)
    return {
        trace_id: changed(written, partial(_answer, mark=mark, closed=_is_closed(closed, trace_id)))
        for trace_id, written in predictions.items()
    }


def _answer(text: str, *, mark: str, closed: bool) -> str:
    return text.rpartition(mark)[2] if mark in text or closed else ""


def unfinished_named(
    scores: Sequence[Score],
    predictions: Mapping[str, Written],
    mark: str | None,
    *,
    closed: bool | Collection[str],
) -> list[Score]:
    """The scores, of which those of answers that never came say so, each sample by itself.

    Args:
        scores: of what `after_thinking` gave, with the same arguments.
        predictions: trace_id -> what the model wrote.
        mark: what ends thinking; None where all that is written is the answer.
        closed: see `after_thinking`.
    """
    if mark is None:
        return list(scores)
    return [
        score if _is_closed(closed, score.trace_id) else _named(score, predictions[score.trace_id], mark)
        for score in scores
    ]


def _named(score: Score, written: Written, mark: str) -> Score:
    said = [
        each if mark in text else each.model_copy(update={"reason": UNFINISHED})
        for each, text in zip(score.samples or [score], texts_of(written), strict=True)
    ]
    return (
        combined(score.trace_id, said)
        if score.samples
        else score.model_copy(update={"reason": said[0].reason})
    )


def _is_closed(closed: bool | Collection[str], trace_id: str) -> bool:
    return closed if isinstance(closed, bool) else trace_id in closed
