"""Text that is not ours, in Markdown: shown as it is, and without any power over the page.

Prefect's pages turn addresses (`http://...`, `www....`, `a@b.c`) into links whatever is escaped, and show
some escapes as they stand. Only in a code span do they leave a text alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

from core.text import visible

WORD = re.compile(r"\(?[-+]?[^\W_]+(?:(?:[-/'’]|(?<=\d)[.,](?=\d))[^\W_]+)*[).,:;?!]*|[=%/][.,;)]*")
"""A word that Markdown shows as it is: no dot but in a number and at the end, so that it is no address."""


def code(text: str) -> str:
    """A text as a code span in one line. An empty text is empty.

    A pipe behind a backslash stands between two spans, because no code span in a table can hold the two
    together.

    Example:
        >>> code("see http://example.com/x.png)")
        '`see http://example.com/x.png)`'
    """
    return "|".join(map(_span, re.split(r"(?<=\\)\|", visible(text))))


def prose(sentence: str) -> str:
    """A sentence of ours that names what is not: plain words stay, and every other one becomes a code span.

    Example:
        >>> prose("www.example.com v2 is champion now")
        '`www.example.com` v2 is champion now'
    """
    parts = groupby(visible(sentence).split(" "), lambda word: WORD.fullmatch(word) is not None)
    return " ".join(" ".join(words) if plain else code(" ".join(words)) for plain, words in parts)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown. A pipe divides cells even inside a code span, so it is escaped."""
    lines = [columns, ["---"] * len(columns), *rows]
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def _span(text: str) -> str:
    if not text:
        return ""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    room = " " if "`" in (text[0], text[-1]) else ""
    return f"{fence}{room}{text}{room}{fence}"
