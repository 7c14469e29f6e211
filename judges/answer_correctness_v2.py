"""`answer_correctness@v2`: is the final answer the right one, as a person who reads the text would say?

Frozen, with answer_ladder.py, answer_numbers.py and answer_text.py: a change of what they do is another
version.

1. The answer is looked for on a ladder, from the plainest statement down, and the score says which rung it
   was on: see answer_ladder.py.
2. Where the right answer is a number, with or without a unit, the number that is stated there must be
   exactly that one: see answer_numbers.py. A unit of the right answer must be there and agree; one that it
   does not have may be there, except for percent. A currency may be left out. Words around the number may be
   there, two numbers of which none is plainly meant may not.
3. Where it is text, what is stated must be that text, but for case, white space, emphasis, quotes, LaTeX
   around it, an article before it and a full stop behind it. `yes`, `no`, `true` and `false` may be followed
   by a reason, and the letter of a choice by its text.
4. A text that ends in the right answer, character for character, behind a marker or with nothing before it,
   is always right.
"""

from __future__ import annotations

import re

from golden.schema import Item
from judges.answer_ladder import (
    AT_MARKER,
    LONGEST_LINE,
    Found,
    find,
    flat,
    is_bare,
    readings,
    said_number,
    until_another_question,
)
from judges.answer_numbers import Number, agree, whole_number
from judges.answer_text import bare, folded, plain, squeezed
from judges.base import Score

LONGEST_SHOWN = 400
ARTICLE = re.compile(r"^(?:the|an|a)\s+(?=\S)")
LETTER = re.compile(r"(?:option |choice )?\(?([a-z])\)?[.:]?")
CASED = re.compile(r"[0-9]\s*(m(?:w|v|a|pa|j)|[kmgt]b)(?![^\W_])", re.IGNORECASE)
RIGHT_ONE = re.compile(
    r"(?:the )?(?:option|choice|letter|answer) \(?([a-z])\)? (?:is|must be|seems|would be) (?:the )?"
    r"(?:most )?(?:correct|right|best|true)(?![^\W_])"
)
CHOSEN = re.compile(
    r"(?:i(?:'d| would| will|'ll)? (?:choose|pick|select|go with|say)|so|hence|thus|therefore)"
    r",? (?:it is |it's |the answer is )?(?:option |choice )?\(?([a-z])\)?"
)
OPTION_LINE = re.compile(r"^[ \t>*-]{0,6}\(?([A-Za-z])[).:](?=\s)", re.MULTILINE)
FACTORIAL = re.compile(r"[0-9]!\W{0,9}$")
OPPOSITE = {"yes": "no", "no": "yes", "true": "false", "false": "true"}
REASONED = re.compile(r"(?:[,.;:!]|\s+-)\s")
BOOLEANS = set(OPPOSITE)


class AnswerCorrectnessV2:
    """Scores 1 for the right final answer, wherever it is stated. Reasons: correct, wrong, empty."""

    name = "answer_correctness"
    version = "v2"

    def score(self, item: Item, prediction: str) -> Score:
        """Score one prediction; one without an answer is wrong, with a reason of its own.

        Args:
            item: the question and its right answer.
            prediction: what the model wrote, unchanged.
        """
        wanted: str = item.final_answer  # type: ignore[assignment]  # see judging.one_answer_each
        number = wanted_number(wanted)
        found = find(prediction, number is not None, wanted_lines(wanted))
        if found is None and not prediction.strip():
            return Score(trace_id=item.trace_id, score=0.0, extracted=None, reason="empty")
        if (rung := verbatim(wanted, prediction, number is not None)) is not None:
            return self._said(item, True, wanted.strip(), rung)
        if found is None:
            return Score(trace_id=item.trace_id, score=0.0, extracted=None, reason="empty")
        if number is None:
            said_text = stated_text(wanted, found.text)
            return self._said(item, said_text is not None, said_text or folded(found.text), found.rung)
        right, said = same_number(wanted, number, found)
        return self._said(item, right, said, found.rung)

    def _said(self, item: Item, right: bool, extracted: str, rung: str) -> Score:
        shown = extracted[:LONGEST_SHOWN].encode("utf-8", "replace").decode()
        reason = "correct" if right else "wrong"
        return Score(trace_id=item.trace_id, score=float(right), extracted=shown, reason=reason, rung=rung)


def wanted_number(wanted: str) -> Number | None:
    """The right answer as a number; None where it is text. 3! is no 3."""
    return None if wanted.rstrip().endswith("!") else whole_number(bare(flat(wanted)))


def wanted_lines(wanted: str) -> int:
    """How many lines of the right answer have something on them."""
    return max(1, sum(1 for line in wanted.splitlines() if line.strip()))


def verbatim(wanted: str, prediction: str, numeric: bool) -> str | None:
    """The rung of a text that ends in the very characters of the right answer, behind a marker or nothing."""
    text, wanted = prediction.strip(), wanted.strip()
    if len(until_another_question(text)) < len(text) - len(wanted):
        return None
    if text == wanted:
        return "bare" if numeric or (is_bare(text) and "\n" not in wanted) else "whole_text"
    if text.endswith(wanted) and AT_MARKER.search(text[-len(wanted) - 80 : len(text) - len(wanted)]):
        return "marker"
    return None


def same_number(wanted: str, number: Number, found: Found) -> tuple[bool, str]:
    """Whether what was found states the wanted number, and what it states."""
    if other_case(wanted, found.text):
        return False, folded(found.text)
    if folded(found.text) == folded(wanted) and not found.text.rstrip(" *_`$.").endswith("!"):
        return True, folded(found.text)
    said = said_number(found.text, last=found.rung == "last_number")
    return said.number is not None and agree(number, said.number), said.text


def other_case(wanted: str, text: str) -> bool:
    """Whether two texts have a unit that means another thing in another case, as mW and MW, differently."""
    units = [CASED.search(plain(each)) for each in (wanted, text[-LONGEST_LINE:])]
    return None not in units and len({unit[1] for unit in units if unit}) == 2


def stated_text(wanted: str, text: str) -> str | None:
    """The wanted text as a part of a text states it, in one of the ways a person says it; else None."""
    right = folded(wanted)
    letter = LETTER.fullmatch(right)
    if right[-1:].isdigit() and FACTORIAL.search(text):
        return None
    if letter is not None and lists_options(text):
        return None
    for reading in readings(text):
        if wanted.rstrip().endswith("!") and not reading.rstrip(" *_`$.").endswith("!"):
            continue
        given = folded(reading)
        if right in BOOLEANS and _wavers(given, right):
            continue
        if given == right or squeezed(given) == squeezed(right) or _bare_of_article(given, right):
            return given
        if letter is not None and _chooses(given, letter[1]):
            return given
        if right in BOOLEANS and REASONED.match(given[len(right) :] + " ") and given.startswith(right):
            return given
    return None


def lists_options(text: str) -> bool:
    """Whether a text repeats the options of a question, `A) ...` and `B) ...` on lines of their own."""
    return [letter.upper() for letter in OPTION_LINE.findall(text[:LONGEST_LINE])][:2] == ["A", "B"]


def _wavers(given: str, right: str) -> bool:
    """Whether a text also says the opposite of yes, no, true or false, or perhaps."""
    other = rf"(?<![^\W_])(?:{OPPOSITE[right]}|maybe|perhaps)\s*(?:[,.;!?]|$)"
    return re.search(other, given) is not None


def _bare_of_article(given: str, right: str) -> bool:
    """Whether two texts differ in an article before them only; a letter is not an article."""
    return len(right) > 1 and len(given) > 1 and ARTICLE.sub("", given) == ARTICLE.sub("", right)


def _chooses(given: str, letter: str) -> bool:
    """Whether a text chooses a letter: alone, in brackets, or with the chosen text behind a sign."""
    found = re.match(
        r"(?:the )?(?:correct |right |best )?(?:(?:option|choice|letter|answer)(?: is)? )?"
        r"(?:\(([a-z])\)(?![^\W_])|([a-z])(?:[).:](?:\s|$)|$))",
        given,
    )
    found = found or RIGHT_ONE.match(given) or CHOSEN.fullmatch(given)
    return found is not None and letter in found.groups()
