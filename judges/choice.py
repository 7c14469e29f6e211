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
from judges.answer_correctness_v2 import lists_options
from judges.answer_ladder import Found, find
from judges.answer_text import folded, plain
from judges.base import JudgeParameters, Score

CALLED = r"(?:option|choice|letter|answer|alternative)"
ALONE = re.compile(r"[(\[]?([A-Za-z])[)\].:,;!?]{0,2}")
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
DENIED = re.compile(
    r"(?<![^\W_])(?:not|never|neither|nor|cannot|incorrect|wrong|false|untrue|eliminated?|rules? out"
    r"|ruled out|except|anything but|everything but|unlikely)(?![^\W_])|n['\u2019]t(?![^\W_])",
    re.IGNORECASE,
)
ANOTHER = re.compile(r"\b(?:but|however|though)\b", re.IGNORECASE)
RIGHT = re.compile(
    r"(?:the )?"
    + CALLED
    + r"\s+[(\[]?([A-Z])[)\]]?\s+(?:is|must be|seems|would be)\s+(?:the\s+)?(?:most\s+)?"
    r"(?:correct|right|best|true|answer)(?![^\W_])",
    re.IGNORECASE,
)
SO = re.compile(
    r"(?:^|[\s,])(?:so|hence|thus|therefore),?\s+(?:it is |it's |the answer is )?[(\[]?([A-Z])[)\]]?[.!]?$",
    re.IGNORECASE,
)
END_TOKEN = re.compile(r"(?:</s>|<\|[\w]{1,30}\|>)\s*$")
SENTENCES = re.compile(r"(?<=[.!?])\s+(?=\S{2})")
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
        given = self._given(found, options)
        if given is None:
            return Score(
                trace_id=item.trace_id, score=0.0, extracted=None, reason="no_choice", rung=found.rung
            )
        right = given == wanted
        reason = "correct" if right else "wrong"
        return Score(
            trace_id=item.trace_id, score=float(right), extracted=given, reason=reason, rung=found.rung
        )

    def _given(self, found: Found, options: Mapping[str, str]) -> str | None:
        if found.rung not in ("bare", "whole_text"):
            return chosen(found.text, options)
        text = END_TOKEN.sub("", found.text).strip()
        first, _, rest = text.partition("\n")
        if rest.strip() and ALONE.fullmatch(first.strip(" *_`")):
            return chosen(first, options)
        if lists_options(text):
            return None
        return chosen(text, options) or concluded(text, options)

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
    clause = re.split(r"\b(?:because|since)\b|[,;]\s|(?<=\w{2})[.!?]\s", line, maxsplit=1)[0]
    if SEVERAL.match(line) or DENIED.search(clause):
        return None
    if ANOTHER.search(line):
        return None
    for pattern in (BEGINS.match, NAMED.fullmatch, RIGHT.match, ENDS.search, SO.search):
        if (found := pattern(line)) is not None:
            return _known(next(filter(None, found.groups())), options)
    return None


def concluded(text: str, options: Mapping[str, str]) -> str | None:
    """The choice of a text without a statement.

    That of its last line, else of its last sentence, else the one option whose text that sentence names,
    else the last letter that is called one in a sentence that denies nothing.
    """
    line = text.strip().splitlines()[-1]
    sentences = SENTENCES.split(line[-2_000:])
    for part in (line, sentences[-1]):
        if (last := chosen(part, options)) is not None:
            return last
    if not DENIED.search(sentences[-1]) and (named := mentioned(sentences[-1], options)) is not None:
        return named
    for sentence in reversed(re.split(r"[.!?;\n]\s", text[-20_000:])):
        if NAMED.search(sentence):
            letters = set() if DENIED.search(sentence) else {each.upper() for each in NAMED.findall(sentence)}
            return _known(letters.pop(), options) if len(letters) == 1 else None
    return None


def mentioned(sentence: str, options: Mapping[str, str]) -> str | None:
    """The option that a sentence says it is, where it names the text of exactly one."""
    line = folded(sentence)
    named = {
        letter: rf"(?<![^\W_]){re.escape(text)}(?![^\W_])(?: \({letter.lower()}\))?"
        for letter, option in options.items()
        if (text := folded(option)) and re.search(rf"(?<![^\W_]){re.escape(text)}(?![^\W_])", line)
    }
    if len(named) != 1:
        return None
    [(letter, text)] = named.items()
    is_it = rf"(?<![^\W_])(?:is|are|was|were|be|choose|pick|select) (?:the )?{text}$"
    is_right = rf"{text} (?:is|are|was|were) (?:the )?(?:correct|right|best|answer)(?![^\W_])"
    return letter if re.search(rf"{is_it}|{is_right}", line) else None


def _known(letter: str, options: Mapping[str, str]) -> str | None:
    letter = letter.upper()
    return letter if letter in options or not options else None
