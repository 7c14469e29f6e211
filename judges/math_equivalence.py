r"""`math_equivalence@v1`: is the final answer the right one as mathematics? 0.5, 50\% and \frac{1}{2} are.

Frozen: a change of what this code, or math_formulas.py, does is a new version, beside this one.

1. The answer is the first line with text after the last `Answer:`, without one the last `\boxed{...}`,
   without either the whole text. Inside that, a last `\boxed{...}` counts alone, and so does the one formula
   between dollar signs.
2. An answer that is the right one character for character (case and white space folded) is right.
3. Else both are read as one LaTeX formula each by math-verify and compared as mathematics. Nothing is fished
   out of a sentence: what holds a word is text, and text is only ever compared with text.
4. There is no clock. A formula that is too large to compute with has the reason `too_complex`: bounds on its
   text (`too_large`) and on the number of calls (`bounded`) are the same on every machine. A right answer
   beyond the bounds is an error.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from core.errors import InputError, ResourceError
from golden.schema import Item
from judges.base import Score
from judges.math_formulas import extract, folded, formula, too_large

DECIMALS, PRECISION, MOST_CALLS = 15, 30, 5_000_000


class MathEquivalenceV1:
    """Scores 1 where the answer is right as mathematics. Reasons: correct, wrong, empty, too_complex."""

    name = "math_equivalence"
    version = "v1"
    libraries = ("math-verify", "latex2sympy2-extended", "sympy", "mpmath", "antlr4-python3-runtime")

    def __init__(self) -> None:
        if importlib.util.find_spec("math_verify") is None:
            raise ResourceError("judge math_equivalence@v1 needs math-verify: pip install 'hallmark[math]'")

    def score(self, item: Item, prediction: str) -> Score:
        """Score one prediction; one that is empty or too large to compute with is wrong, and counted apart.

        Args:
            item: the question and its right answer.
            prediction: what the model wrote, unchanged.

        Raises:
            InputError: the right answer itself is too large to compute with.
        """
        answer, wanted = extract(prediction), extract(item.final_answer)  # type: ignore[arg-type]  # see judging.one_answer_each
        if not answer:
            return Score(trace_id=item.trace_id, score=0.0, extracted=None, reason="empty")
        reason = "correct" if folded(answer) == folded(wanted) else compared(answer, wanted)
        return Score(
            trace_id=item.trace_id, score=float(reason == "correct"), extracted=answer, reason=reason
        )


class TooComplex(BaseException):
    """A computation took more calls than allowed. No Exception, lest a library take it for one of its own."""


def compared(answer: str, wanted: str) -> str:
    """correct, wrong or too_complex, for two answers that are not the same text.

    Raises:
        InputError: the right answer is too large to compute with.
    """
    right, given = formula(wanted), formula(answer)
    if right is not None and too_large(right):
        raise InputError(
            "the right answer "
            + wanted[:80]
            + " is too large to compute with; judge this dataset by another judge"
        )
    if right is None or given is None:
        return "wrong"
    if too_large(given):
        return "too_complex"
    gold, found = parsed(right), parsed(given)
    try:
        return "correct" if gold and found and bounded(lambda: _same(gold, found)) else "wrong"
    except TooComplex:
        return "too_complex"


def parsed(latex: str) -> list[Any]:
    """The formula as mathematics; empty where it is none, or where it has no value, as 1/0."""
    from math_verify import LatexExtractionConfig, parse
    from sympy import Basic, nan, zoo

    # It warns that it has no clock, which is what we want.
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    found = parse(
        "$" + latex + "$", [LatexExtractionConfig()], "no_fallback", "first_match", parsing_timeout=None
    )
    return [value for value in found if not (isinstance(value, Basic) and value.has(nan, zoo))]


def _same(gold: list[Any], found: list[Any]) -> bool:
    from math_verify import verify

    return bool(
        verify(gold, found, float_rounding=DECIMALS, numeric_precision=PRECISION, timeout_seconds=None)
    )


def bounded(compute: Callable[[], bool]) -> bool:
    """Compute with at most `MOST_CALLS` Python calls, a bound that is the same on a slow machine.

    Raises:
        TooComplex: it would take more.
    """
    from sympy.core.cache import clear_cache

    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"
        if calls > MOST_CALLS:
            raise TooComplex

    clear_cache()  # else what an item takes would depend on the items before it
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        return compute()
    finally:
        sys.setprofile(before)
