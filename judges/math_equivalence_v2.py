r"""`math_equivalence@v2`: is the final answer the right one as mathematics? 0.5, 50\% and \frac{1}{2} are.

Frozen, with the modules of this package that it imports: a change of what they do is another version.

1. The answer is looked for on the ladder of answer_ladder.py. In a text without a statement it is the last
   formula between dollar signs, where no plain number is asked for.
2. What `answer_correctness@v2` takes for right is right, and two plain numbers are compared as it does,
   except that a percentage is the number that it is worth, and that a degree sign may be left out.
3. Else both are read as one LaTeX formula each by math-verify and compared as mathematics; numbers must agree
   to 15 decimals. Dates, times, ratios and sentences are text. A unit is compared as a unit; a relation such
   as < only equals a relation, where x = 5 is 5.
4. There is no clock. A formula that is too large to compute with has the reason `too_complex`: bounds on its
   text and on the number of calls are the same on every machine. A right answer beyond the bounds is an
   error.
"""

from __future__ import annotations

import importlib.util
import re
import unicodedata
from dataclasses import replace
from fractions import Fraction

from core.errors import InputError, ResourceError
from golden.schema import Item
from judges.answer_correctness_v2 import (
    LONGEST_SHOWN,
    other_case,
    stated_text,
    verbatim,
    wanted_lines,
    wanted_number,
)
from judges.answer_ladder import Found, Said, find, flat, said_number, statement
from judges.answer_numbers import Number, agree, is_unit, unit_of, whole_number
from judges.answer_text import EMPHASIS, bare, folded
from judges.base import Score
from judges.math_equivalence import TooComplex, _same, bounded, parsed
from judges.math_formulas import formula, too_large

FORMULA = re.compile(r"(?<!\\)\$\$?([^$]+?)(?<!\\)\$\$?|\\\(([^$]+?)\\\)|\\\[([^$]+?)\\\]")
NO_FORMULA = re.compile(
    r"(?<![0-9])(?:1[0-9]|20)[0-9]0s(?![a-z])|[0-9]\s*:\s*[0-9]|[0-9]+[-/.][0-9]+[-/.][0-9]+"
)
"""Decades, times, ratios, dates, versions."""

RELATION = re.compile(r"[<>≤≥≠]|\\(?:leq?|geq?|neq?|lt|gt|leqslant|geqslant)(?![a-zA-Z])")
NAMED = re.compile(r"\s*[a-zA-Z](?:_\{?\w\}?)?(?:\([a-z]\))?\s*=\s*(?=[^=])")
UNIT = re.compile(r"\\?[,;: ]?\s*\\(?:text|mathrm|mbox|textrm)\s*\{([^{}]*)\}(?:\s*\^\s*\{?([23])\}?)?\s*$")
LOWERED = re.compile("[₀-₉]+")
PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*\\?%")
REPEATING = re.compile(r"(?<![0-9.])([0-9]{0,20})\.([0-9]{0,20})\\(?:overline|bar)\s?\{([0-9]{1,20})\}")
LONGEST_FORMULA = 1_000
"""Characters beyond which an answer is text: patterns that read formulas take the square of a length."""

GROUPED = re.compile(r"(?<![0-9.])([1-9][0-9]{0,2})((?:(?:\\[,;: !]|\{,\}| )[0-9]{3}(?![0-9]))+)")


class MathEquivalenceV2:
    """Scores 1 where the answer is right as mathematics. Reasons: correct, wrong, empty, too_complex."""

    name = "math_equivalence"
    version = "v2"
    libraries = ("math-verify", "latex2sympy2-extended", "sympy", "mpmath", "antlr4-python3-runtime")

    def __init__(self) -> None:
        if importlib.util.find_spec("math_verify") is None:
            raise ResourceError("judge math_equivalence@v2 needs math-verify: pip install 'hallmark[math]'")

    def score(self, item: Item, prediction: str) -> Score:
        """Score one prediction; one that is empty or too large to compute with is wrong, and counted apart.

        Args:
            item: the question and its right answer.
            prediction: what the model wrote, unchanged.

        Raises:
            InputError: the right answer itself is too large to compute with.
        """
        wanted: str = item.final_answer  # type: ignore[assignment]  # see judging.one_answer_each
        number = wanted_number(wanted)
        found = find(prediction, number is not None, wanted_lines(wanted))
        if found is not None and found.rung in ("last_number", "bare") and number is not None:
            found = only_formula(prediction, found)
        rung = verbatim(wanted, prediction, number is not None)
        if not prediction.strip() or (found is None and rung is None):
            return Score(trace_id=item.trace_id, score=0.0, extracted=None, reason="empty")
        said, reason = (
            judged(wanted, number, found) if rung is None and found else (wanted.strip(), "correct")
        )
        return Score(
            trace_id=item.trace_id,
            score=float(reason == "correct"),
            extracted=said[:LONGEST_SHOWN].encode("utf-8", "replace").decode(),
            reason=reason,
            rung=rung or (found and found.rung),
        )


def judged(wanted: str, number: Number | None, found: Found) -> tuple[str, str]:
    """What was said, and the reason, for what was found on a rung.

    Raises:
        InputError: the right answer is too large to compute with.
    """
    text = stated_formula(found)
    if number is not None and other_case(wanted, found.text):
        return text, "wrong"
    if (said := stated_text(wanted, found.text)) is not None:
        return said, "correct"
    if number is not None:
        stated = said_number(found.text, last=found.rung == "last_number")
        if same_value(number, stated):
            return stated.text, "correct"
        if found.rung == "last_number" or is_plain(stated, text):
            return stated.text, "wrong"
    return text, compared(text, wanted)


def only_formula(prediction: str, found: Found) -> Found:
    r"""The formula that a text without a statement is or ends in, as \sqrt{81}, before its last number."""
    text = prediction.strip()
    formulas = [*FORMULA.finditer(found.text)] if len(found.text) <= LONGEST_FORMULA else []
    if formulas and not re.search(r"\w", found.text[formulas[-1].end() :]):
        text = next(filter(None, formulas[-1].groups()))
        text = text.rpartition("=")[2]
    if "\n" in text or len(text) > LONGEST_FORMULA or re.search(r"\\(?:text|mathrm|mbox)", text):
        return found
    line = bare(flat(text))
    if (
        (whole_number(line) is not None and not text.endswith("!"))
        or "=" in text
        or "%" in text
        or as_formula(text)[0] is None
    ):
        return found
    return Found("whole_text", text, found.end)


def same_value(number: Number, said: Said) -> bool:
    """Whether a stated number is worth what the wanted one is."""
    if said.number is None:
        return False
    return agree(number, said.number) or agree(worth(number), worth(said.number))


def worth(number: Number) -> Number:
    """A percentage as the number that it is worth, an angle as its degrees."""
    value = None if number.value is None else number.value / (100 if number.percent else Fraction(1))
    unit = "" if unit_of(number.unit) == "°" else number.unit
    return replace(number, value=value, percent=False, unit=unit)


def is_plain(said: Said, text: str) -> bool:
    """Whether what was said is a plain number or several, so that there is no formula to compute."""
    if said.how == "alternatives":
        return True
    rest = bare(flat(text)).replace(said.text, "", 1).strip()
    plain = said.number is not None and said.number.value is not None and not said.number.operand
    return plain and (not rest or is_unit(rest))


def stated_formula(found: Found) -> str:
    """The text that is read as a formula: a box inside what was found, its last formula, or all of it."""
    inner = statement(found.text) if found.rung != "boxed" else None
    text = inner.text if inner is not None else found.text
    formulas = [next(filter(None, each)) for each in FORMULA.findall(text[-20_000:])]
    text = formulas[-1] if formulas else text
    for emphasis in EMPHASIS:
        text = emphasis.sub(r"\1", text)
    return text.strip("\"' \t\r\n").removesuffix(".").strip("\"' \t\r\n")


def compared(answer: str, wanted: str) -> str:
    """correct, wrong or too_complex, for two answers that are not the same text.

    Raises:
        InputError: the right answer is too large to compute with.
    """
    right, right_unit = as_formula(wanted)
    given, given_unit = as_formula(answer)
    if right is not None and too_large(right):
        raise InputError(
            f"the right answer {wanted[:80]} is too large to compute with; judge this dataset by another "
            "judge"
        )
    if right is None or given is None or (right_unit and unit_of(right_unit) != unit_of(given_unit)):
        return "wrong"
    if bool(RELATION.search(right)) != bool(RELATION.search(given)):
        return "wrong"
    if ("=" in right) != ("=" in given):
        right, given = NAMED.sub("", right, count=1), NAMED.sub("", given, count=1)
        if "=" in right + given:
            return "wrong"
    if too_large(given):
        return "too_complex"
    gold, found = parsed(right), parsed(given)
    try:
        return "correct" if gold and found and bounded(lambda: _same(gold, found)) else "wrong"
    except TooComplex:
        return "too_complex"


def _repeating(found: re.Match[str]) -> str:
    r"""0.1\overline{6} as a fraction."""
    whole, fixed, repeated = found.groups()
    nines = 10 ** len(repeated) - 1
    value = Fraction(int((whole + fixed) or 0) * nines + int(repeated), nines * 10 ** len(fixed))
    return rf"\frac{{{value.numerator}}}{{{value.denominator}}}"


def as_formula(text: str) -> tuple[str | None, str]:
    """A text as LaTeX, None where it is none, and the unit behind it."""
    if len(text) > LONGEST_FORMULA:
        return None, ""
    text = text.strip().rstrip(".,;:")
    text = LOWERED.sub(lambda each: "_{" + unicodedata.normalize("NFKC", each[0]) + "}", text)
    if NO_FORMULA.search(text) or text.endswith(("*", "+", "/", "^", "=", "-")):
        return None, ""
    unit = ""
    if (found := UNIT.search(text)) is not None:
        text, unit = text[: found.start()], folded(found[1]) + (found[2] or "")
    text = GROUPED.sub(lambda each: each[1] + re.sub(r"[^0-9]", "", each[2]), text)
    text = REPEATING.sub(_repeating, text)
    text = PERCENT.sub(r"\\frac{\1}{100}", text)
    return formula(text), unit
