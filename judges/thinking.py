"""What of a prediction is judged, where a model thinks before it answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from judges.base import Score

UNFINISHED = "unfinished thinking"
"""Why an answer that never came is wrong."""


def after_thinking(
    predictions: Mapping[str, str], mark: str | None, *, closed: bool | Collection[str]
) -> dict[str, str]:
    """What is judged: what follows the last mark that ends thinking. What comes before it is kept in
    predictions.jsonl, and is never judged; where the mark never came there is no answer.

    Args:
        predictions: trace_id -> what the model wrote.
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
        trace_id: text.rpartition(mark)[2] if mark in text or _is_closed(closed, trace_id) else ""
        for trace_id, text in predictions.items()
    }


def unfinished_named(
    scores: Sequence[Score],
    predictions: Mapping[str, str],
    mark: str | None,
    *,
    closed: bool | Collection[str],
) -> list[Score]:
    """The scores, of which those of answers that never came say so.

    Args:
        scores: of what `after_thinking` gave, with the same arguments.
        predictions: trace_id -> what the model wrote.
        mark: what ends thinking; None where all that is written is the answer.
        closed: see `after_thinking`.
    """
    if mark is None:
        return list(scores)
    return [
        score
        if mark in predictions[score.trace_id] or _is_closed(closed, score.trace_id)
        else score.model_copy(update={"reason": UNFINISHED})
        for score in scores
    ]


def _is_closed(closed: bool | Collection[str], trace_id: str) -> bool:
    return closed if isinstance(closed, bool) else trace_id in closed
