"""`contains@v1`: does the text hold the right answer, or given words?

Frozen, with the modules of this package that it imports: a change of what they do is another version.

Text is compared after Unicode, LaTeX, emphasis and white space are folded (answer_text.py). Without `all` and
`any` the right answer must be in the text. A number is in a text only as a whole: 5 is not in 15.
"""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from golden.schema import Item
from judges.answer_text import plain
from judges.base import JudgeParameters, Score

Part = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]


class ContainsV1:
    """Scores 1 where the text holds what it must. Reasons: correct, wrong, forbidden, empty."""

    name = "contains"
    version = "v1"

    class Parameters(JudgeParameters):
        """What must, may and must not be in the text."""

        all: list[Part] = Field(default=[], description="Each of these must be in the text.")
        any: list[Part] = Field(default=[], description="At least one of these must be in the text.")
        none: list[Part] = Field(default=[], description="None of these may be in the text.")
        ignore_case: bool = Field(default=True, description="Whether A is a.")
        words: bool = Field(
            default=True, description="Whether only whole words count, so that art is not in party."
        )

        @model_validator(mode="after")
        def _can_hold(self) -> Self:
            if both := sorted({*self.all} & {*self.none}):
                raise ValueError(f"parameters all and none: {both[0]!r} is in both, so no text can be right")
            return self

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters

    def score(self, item: Item, prediction: str) -> Score:
        """Score one prediction.

        Args:
            item: the question and its right answer.
            prediction: what the model wrote, unchanged.
        """
        wanted, text = self.parameters, self._folded(prediction)
        if not text:
            return Score(trace_id=item.trace_id, score=0.0, extracted=None, reason="empty")
        needed = wanted.all or ([] if wanted.any else [item.reference])
        held = [part for part in (*needed, *wanted.any) if self._holds(text, part)]
        right = set(needed) <= set(held) and (not wanted.any or any(part in held for part in wanted.any))
        reason = "correct" if right else "wrong"
        if any(self._holds(text, part) for part in wanted.none):
            right, reason = False, "forbidden"
        extracted = ", ".join(held)[:400] or None
        return Score(trace_id=item.trace_id, score=float(right), extracted=extracted, reason=reason)

    def _folded(self, text: str) -> str:
        folded = " ".join(plain(text).split())
        return folded.casefold() if self.parameters.ignore_case else folded

    def _holds(self, text: str, part: str) -> bool:
        part = self._folded(part)
        if not self.parameters.words:
            return part in text
        before = r"(?<![^\W_])" if part[:1].isalnum() else ""
        after = r"(?![^\W_])" if part[-1:].isalnum() else ""
        if part[:1].isdigit():
            before += r"(?<![0-9][.,])(?<!-)"
        if part[-1:].isdigit():
            after += r"(?![.,][0-9])"
        return re.search(before + re.escape(part) + after, text) is not None
