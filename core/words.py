"""Which words of two texts differ."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

MOST_PAIRS = 4_000_000
"""Pairs of words that are held against one another, at most: those of two texts of 2,000 words."""

Span = tuple[int, int]
"""Where something begins in a text, and where it ends."""

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]+|[^\w\s]|_")
"""Letters and digits together, single Chinese and Japanese characters, and signs."""


def differing(one: str, other: str) -> tuple[list[Span], list[Span]]:
    """The places of the words in each text that the other one does not have there, in order. White space is
    no word.

    What both begin and end with is left out first, however long it is. Where the rest is too long to be held
    against one another, all of it differs.

    Example:
        >>> differing("It is 12 or so.", "It is 13 or so.")
        ([(6, 8)], [(6, 8)])
    """
    words = [[(found[0], found.span()) for found in _WORD.finditer(text)] for text in (one, other)]
    first, second = ([word for word, _ in side] for side in words)
    begin = _alike(first, second)
    end = _alike(first[begin:][::-1], second[begin:][::-1])
    left, right = first[begin : len(first) - end], second[begin : len(second) - end]
    if len(left) * len(right) > MOST_PAIRS:
        changes: Sequence[tuple[str, int, int, int, int]] = [("replace", 0, len(left), 0, len(right))]
    else:  # of long texts the most frequent words are no beginning of a match, or this could take minutes
        changes = SequenceMatcher(None, left, right, autojunk=True).get_opcodes()
    spans: tuple[list[Span], list[Span]] = ([], [])
    for kind, *bounds in changes:
        for side, found, start, stop in zip(words, spans, bounds[::2], bounds[1::2], strict=True):
            if kind != "equal" and start < stop:
                found.append((side[begin + start][1][0], side[begin + stop - 1][1][1]))
    return spans


def _alike(one: list[str], other: list[str]) -> int:
    """How many words at the beginning of both are equal."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (left, right) in pairs if left != right), min(len(one), len(other)))
