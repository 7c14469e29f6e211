"""How judges with parameters compare two short answers. Frozen with the judges that import it."""

from __future__ import annotations

from typing import Literal

from judges.answer_correctness_v2 import same_number, stated_text, wanted_number
from judges.answer_ladder import Found

Compare = Literal["text", "answer"]
"""text: character for character, but for white space around. answer: as `answer_correctness@v2` does."""

COMPARE_HELP = (
    "text: character for character, but for white space around; answer: as answer_correctness@v2 does, so "
    "that 1,234 is 1234 and paris is Paris."
)


def equal(wanted: str, given: str, compare: Compare) -> bool:
    """Whether two answers are the same.

    Args:
        wanted: the right one.
        given: what was found.
        compare: how.
    """
    if compare == "text":
        return wanted.strip() == given.strip()
    number = wanted_number(wanted)
    if number is None:
        return stated_text(wanted, given) is not None
    return same_number(wanted, number, Found("marker", given))[0]
