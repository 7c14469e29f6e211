"""What somebody may have meant who mistyped a name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SUGGESTED = 3
ALIKE = 0.7
"""How alike two names have to be, from 0 to 1, as `difflib` counts: twice the characters that match, divided
by the characters of both.
"""


def nearest(name: str, known: Iterable[str], alike: float = ALIKE) -> list[str]:
    """The known names that are most like one that is not known, the likest first; whatever their case.

    Args:
        name: as it was typed.
        known: those there are.
        alike: see `ALIKE`; more where all names are much alike, as ids are.

    Example:
        >>> nearest("Tiny-Resoner", ["tiny-reasoner", "support"])
        ['tiny-reasoner']
    """
    by_plain_name = {each.casefold(): each for each in sorted(known, reverse=True)}
    plain = name[:200].casefold()
    return [by_plain_name[each] for each in difflib.get_close_matches(plain, by_plain_name, SUGGESTED, alike)]


def did_you_mean(name: str, known: Iterable[str], alike: float = ALIKE) -> str:
    """The same as a question, after a space; empty where no name is like it.

    Example:
        >>> did_you_mean("chamipon", ["champion", "staging"]), did_you_mean("x", ["champion"])
        (' Did you mean champion?', '')
    """
    return f" Did you mean {' or '.join(found)}?" if (found := nearest(name, known, alike)) else ""
