"""`choice@v1`: is the chosen letter of a multiple choice the right one?

Frozen, with the modules of this package that it imports: a change of what they do is another version.

The right answer is a letter, or the text of one of the options. The options are in the item's metadata, as a
list (the first one is A) or by letter; they are not needed where answers are letters.

The choice is looked for on the ladder of answer_ladder.py, and there it is: a letter alone or in brackets
(`B`, `(B)`, `B.`, `**B**`), a letter with its text behind a sign (`B) Paris`), a letter that is called one
(`option B`), or the text of exactly one option. In a text without a statement its last line counts, else the
last letter that is called an option, choice or answer. A letter in running text, as in `A dog`, is none; two
letters are none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from core.errors import InputError
from golden.schema import Item
from judges.answer_ladder import find
from judges.answer_text import folded, plain
from judges.base import JudgeParameters, Score

CALLED = r"(?:option|choice|letter|answer|alternative)"
ALONE = re.compile(r"[(\[]?([A-Za-z])[)\].:,;!]{0,2}")
BEGINS = re.compile(
    "(?:the )?(?:correct |right |best |final )?(?:" + CALLED + " (?:is )?:? ?)?"
    r"(?:[(\[]([A-Z])[)\]](?![^\W_])"
    r"|([A-Z])(?:[).:](?=\s|$)|\s+-\s|,?\s+(?=because\b|since\b|as it\b)|$))",
    re.IGNORECASE,
)
NAMED = re.compile(r"\b" + CALLED + r"\s+(?:is\s+)?[(\[]?([A-Z])[)\]]?(?![\w'])(?!\s+[a-z])", re.IGNORECASE)
ENDS = re.compile(
    r"(?:\bis|\bbe|:|=|\bchoose|\bpick|\bselect)\s+(?:option |choice )?[(\[]?([A-Z])[)\]]?[.!]?$"
)
SEVERAL = re.compile(r"[(\[]?\b[A-Za-z]\b[)\]]?\s*(?:,|/|&|\band\b|\bor\b)\s*[(\[]?[A-Za-z]\b[)\]]?(?![\w'])")


class ChoiceV1:
    """Scores 1 for the right letter of a multiple choice. Reasons: correct, wrong, no_choice, empty."""

    name = "choice"
    version = "v1"

    class Parameters(JudgeParameters):
        """Where the options are."""

        options: str = Field(
            default="options",
            min_length=1,
            description="The name in the items' metadata that holds the options.",
        )

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters

    def score(self, item: Item, prediction: str) -> Score:
        """Score one prediction; one that chooses nothing, or several, is wrong, with a reason of its own.

        Args:
            item: the question, its right letter, and in its metadata the options.
            prediction: what the model wrote, unchanged.

        Raises:
            InputError: the right answer is neither a letter nor one of the options.
        """
        options = self._options(item)
        wanted = chosen(item.reference, options)
        if wanted is None:
            raise InputError(
                f"the right answer {item.reference[:80]!r} is neither a letter nor one of the options "
                f"(metadata.{self.parameters.options})"
            )
        found = find(prediction, numeric=False)
        if found is None:
            return Score(trace_id=item.trace_id, score=0.0, extracted=None, reason="empty")
        given = chosen(found.text, options)
        if given is None and found.rung == "whole_text":
            given = concluded(found.text, options)
        if given is None:
            return Score(
                trace_id=item.trace_id, score=0.0, extracted=None, reason="no_choice", rung=found.rung
            )
        right = given == wanted
        reason = "correct" if right else "wrong"
        return Score(
            trace_id=item.trace_id, score=float(right), extracted=given, reason=reason, rung=found.rung
        )

    def _options(self, item: Item) -> dict[str, str]:
        held: Any = (item.metadata or {}).get(self.parameters.options)
        if held is None:
            return {}
        if isinstance(held, list):
            held = {chr(ord("A") + place): text for place, text in enumerate(held[:26])}
        if not isinstance(held, Mapping) or not all(len(letter) == 1 and letter.isalpha() for letter in held):
            raise InputError(
                f"metadata.{self.parameters.options}: expected a list of options, or an object of letters"
            )
        return {letter.upper(): str(text) for letter, text in held.items()}


def chosen(text: str, options: Mapping[str, str]) -> str | None:
    """The letter that a short text chooses; None where it chooses none, or several."""
    if len(text) > 2000:
        return None
    same = [letter for letter, option in options.items() if folded(option) == folded(text)]
    line = " ".join(plain(text).split()).strip("\"'`$ ")
    alone = ALONE.fullmatch(line)
    if alone is not None and (letter := _known(alone[1], options)) is not None:
        return letter
    if len(same) == 1:
        return same[0]
    if SEVERAL.match(line):
        return None
    for pattern in (BEGINS.match, NAMED.fullmatch, ENDS.search):
        if (found := pattern(line)) is not None:
            return _known(next(filter(None, found.groups())), options)
    return None


def concluded(text: str, options: Mapping[str, str]) -> str | None:
    """The choice of a text without a statement: of its last line, else the last letter that is called one."""
    lines = text.strip().splitlines()
    if (last := chosen(lines[-1], options)) is not None:
        return last
    named = NAMED.findall(text[-20_000:])
    return _known(named[-1], options) if named else None


def _known(letter: str, options: Mapping[str, str]) -> str | None:
    letter = letter.upper()
    return letter if letter in options or not options else None
