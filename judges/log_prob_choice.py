"""`log_prob_choice@v1`: does the model find the right choice the likeliest one?

Frozen, with log_probs.py: a change of what they do is another version.

The model is asked for nothing: each choice of the item is put behind its prompt, and the one with the largest
log-probability is what the model chooses; of equal ones the first. A longer text is less likely, so the
log-probability may be divided by the length of the choice: in bytes, characters or tokens. In
lm-evaluation-harness `none` is called acc, `characters` acc_norm and `bytes` acc_bytes.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from typing import Literal

from pydantic import Field

from core.errors import InputError
from golden.schema import Item
from judges.base import JudgeParameters, Score
from judges.log_probs import ChoiceLogProbs, LogProb, read_log_probs

Length = Literal["none", "bytes", "characters", "tokens"]
LENGTHS: Mapping[Length, Callable[[str, LogProb], int]] = {
    "none": lambda text, found: 1,
    "bytes": lambda text, found: found.bytes,
    "characters": lambda text, found: len(text),
    "tokens": lambda text, found: found.tokens,
}


class LogProbChoiceV1:
    """Scores 1 where the right choice is the likeliest. Reasons: correct, wrong."""

    name = "log_prob_choice"
    version = "v1"
    reads = "log_probs"

    class Parameters(JudgeParameters):
        """How choices of different lengths are compared."""

        normalise: Length = Field(
            default="none", description="The length of a choice by which its log-probability is divided."
        )

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters

    def check(self, item: Item) -> None:
        """Refuse an item that cannot be judged, before anything is computed.

        Raises:
            InputError: it offers no choices, or its right answer is none of them.
        """
        if not item.offered:
            raise InputError("it has no choices. Judge it by likelihood@v1, or give it `choices`")
        if right_place(item) is None:
            raise InputError(f"the right answer {item.reference[:80]!r} is not one of its choices")

    def score(self, item: Item, prediction: str) -> Score:
        """Score one prediction.

        Args:
            item: the question, its choices and the right one.
            prediction: the log-probabilities of the choices.

        Raises:
            InputError: the item offers no choices, or its right answer is none of them; or these are not its
                log-probabilities.
        """
        self.check(item)
        offered, right = item.offered, right_place(item)
        found = read_log_probs(prediction)
        if not isinstance(found, ChoiceLogProbs) or len(found.choices) != len(offered):
            raise InputError(f"expected the log-probabilities of {len(offered)} choices")
        length = LENGTHS[self.parameters.normalise]
        values = [
            each.log_prob / length(text, each) for text, each in zip(offered, found.choices, strict=True)
        ]
        chosen = values.index(max(values))
        return Score(
            trace_id=item.trace_id,
            score=float(chosen == right),
            extracted=offered[chosen],
            reason="correct" if chosen == right else "wrong",
        )


def right_place(item: Item) -> int | None:
    """The place of the right answer among what an item offers: that of its text, else of its letter, else of
    the option with its text; None where it is none of them.
    """
    letters = list(string.ascii_uppercase[: len(item.offered)])
    for texts in (item.offered, letters, list(item.options.values())):
        if item.reference in texts:
            return texts.index(item.reference)
    return None
