"""`exact_match@v1`: is the final answer the right one, character for character?

Frozen: a change of what this code does is a new version, beside this one.

The answer is the first line with text after the last `Answer:` (upper or lower case); without one it is the
whole text. White space around it and around the right answer is removed, and nothing else: case, punctuation
and the way a number is written count.
"""

from __future__ import annotations

import re

from golden.schema import Item
from judges.base import Score

MARKER = re.compile(r"\banswer\s*:", re.IGNORECASE)


class ExactMatchV1:
    """Scores 1 where the answer is the right one character for character. Reasons: correct, wrong, empty."""

    name = "exact_match"
    version = "v1"

    def score(self, item: Item, prediction: str) -> Score:
        """Score one prediction; an empty answer is wrong, with a reason of its own.

        Args:
            item: the question and its right answer.
            prediction: what the model wrote, unchanged.
        """
        answer = extract(prediction)
        if not answer:
            return Score(trace_id=item.trace_id, score=0.0, extracted=None, reason="empty")
        right = answer == item.final_answer.strip()  # type: ignore[union-attr]  # see judging.one_answer_each
        return Score(
            trace_id=item.trace_id,
            score=float(right),
            extracted=answer,
            reason="correct" if right else "wrong",
        )


def extract(prediction: str) -> str:
    """The first line with text after the last `Answer:`, else the whole text; no white space around it."""
    found = list(MARKER.finditer(prediction))
    if not found:
        return prediction.strip()
    return prediction[found[-1].end() :].lstrip().split("\n", 1)[0].strip()
