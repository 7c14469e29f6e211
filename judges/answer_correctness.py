"""`answer_correctness@v1`: is the final answer the right one?

Frozen: a change of what this code does is a new version, beside this one.

1. The answer is the first line with text after the last `Answer:` (upper or lower case). Without one it is
   the whole text.
2. Both answers are normalised: Unicode NFKC, case folded, white space folded, surrounding punctuation
   removed.
3. Where both are numbers they are compared as numbers, else as strings. A number is an optional sign, digits
   with or without well-placed thousands commas, and an optional decimal part; a leading currency sign is put
   aside.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

from golden.schema import Item
from judges.base import Score

MARKER = re.compile(r"\banswer\s*:", re.IGNORECASE)
NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?", re.ASCII)
CURRENCY = "$€£¥"
DASHES = str.maketrans({"\u2212": "-", "\u2010": "-", "\u2011": "-", "\u2013": "-"})
BEFORE, AFTER = "([{<\"'`*_#:;,!?~“”‘’«» ", ")]}>\"'`*_#:;,.!?~“”‘’«» "


class AnswerCorrectnessV1:
    """Scores 1 for the right final answer, else 0. Reasons: correct, wrong, empty."""

    name = "answer_correctness"
    version = "v1"

    def score(self, item: Item, prediction: str) -> Score:
        """Score one prediction; an empty answer is wrong, with a reason of its own."""
        answer = normalise(extract(prediction))
        if not answer:
            return Score(trace_id=item.trace_id, score=0.0, extracted=None, reason="empty")
        right = same(answer, normalise(item.final_answer))  # type: ignore[arg-type]  # see judging.one_answer_each
        return Score(
            trace_id=item.trace_id,
            score=float(right),
            extracted=answer,
            reason="correct" if right else "wrong",
        )


def extract(prediction: str) -> str:
    """The first line with text after the last `Answer:`; the whole text where there is no `Answer:`."""
    found = list(MARKER.finditer(prediction))
    if not found:
        return prediction
    return prediction[found[-1].end() :].lstrip().split("\n", 1)[0]


def normalise(text: str) -> str:
    """NFKC, case and white space folded, surrounding punctuation removed; signs and decimal points stay."""
    folded = " ".join(unicodedata.normalize("NFKC", text).translate(DASHES).casefold().split())
    return folded.lstrip(BEFORE).rstrip(AFTER)


def number(text: str) -> Decimal | None:
    """The exact value of a number, or None where the text is not one."""
    sign, rest = (text[0], text[1:]) if text[:1] in ("+", "-") else ("", text)
    plain = sign + rest.lstrip(CURRENCY)
    if not NUMBER.fullmatch(plain) or not any(character.isdigit() for character in plain):
        return None
    return Decimal(plain.replace(",", ""))


def same(left: str, right: str) -> bool:
    """Whether two normalised answers are the same number, or else the same text."""
    values = number(left), number(right)
    if None not in values:
        return values[0] == values[1]
    return left == right
