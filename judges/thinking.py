"""What of a prediction is judged, where a model thinks before it answers."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from judges.base import Score
from judges.samples import Written, changed, combined, texts_of

UNFINISHED = "unfinished thinking"
"""Why an answer that never came is wrong."""


def answer_of(written: Written, mark: str | None, *, closed: bool) -> Written:
    """What is judged of what a model wrote for an item: what follows the last mark that ends thinking. What
    comes before it is kept in predictions.jsonl, and is never judged; where the mark never came there is no
    answer.

    Args:
        written: in one sample or several.
        mark: as in </think>; None where all that is written is the answer.
        closed: whether thinking was over before the answer began, so that the mark need not come.

    Example:
        >>> [answer_of(text, "</think>", closed=False) for text in ("2 or 3?</think>3", "2 or")]
        ['3', '']
    """
    return written if mark is None else changed(written, partial(_answer, mark=mark, closed=closed))


def _answer(text: str, *, mark: str, closed: bool) -> str:
    return text.rpartition(mark)[2] if mark in text or closed else ""


def unfinished_named(score: Score, written: Written, mark: str | None, *, closed: bool) -> Score:
    """The score, which says so where the answer never came, each sample by itself.

    Args:
        score: of what `answer_of` gave, with the same arguments.
        written: what the model wrote.
        mark: what ends thinking; None where all that is written is the answer.
        closed: see `answer_of`.
    """
    if mark is None or closed:
        return score
    said = [
        each if mark in text else each.model_copy(update={"reason": UNFINISHED})
        for each, text in zip(score.samples or [score], texts_of(written), strict=True)
    ]
    return (
        combined(score.trace_id, said)
        if score.samples
        else score.model_copy(update={"reason": said[0].reason})
    )


def is_closed(closed: bool | Collection[str], trace_id: str) -> bool:
    """Whether thinking was over before an item's answer began.

    Args:
        closed: of all items, or of which.
        trace_id: the item.
    """
    return closed if isinstance(closed, bool) else trace_id in closed
