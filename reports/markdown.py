"""Text that is not ours, in Markdown: shown as it is, and without any power over the page.

Prefect's pages and GitHub turn addresses (`http://...`, `www....`, `a@b.c`) into links whatever is escaped,
and Prefect shows some escapes as they stand; GitHub also links people (`@name`), issues (`#12`, `GH-12`) and
commits (`1a2b3c4`). Only in a code span do they leave a text alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

from core.text import visible

WORD = re.compile(r"\(?[-+]?[^\W_]+(?:(?:[-/'’]|(?<=\d)[.,](?=\d))[^\W_]+)*[).,:;?!]*|[=%/][.,;)]*")
"""A word that Markdown shows as it is: no dot but in a number and at the end, so that it is no address."""

REFERENCE = re.compile(r"[0-9a-fA-F]{7}|(?<![^\W_])[^\W\d_]+-\d")
"""What GitHub may link within such a word: a commit, as 1a2b3c4, or an issue, as GH-12."""

CODED = r"(?<!\S)(\(?)`([^`\s](?:[^`]*[^`\s])?)`([).,:;?!]*)(?!\S)"
"""What a sentence of ours marks as code between two backticks, such as a command."""

PARTS = re.compile(rf"{CODED}|\S+")
"""Such code, or a word."""

PUNCTUATED = re.compile(r"(\(?)((?!\s)(?:.*?\S)??)([).,:;?!]*)", re.DOTALL)


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
    """A sentence of ours that names what is not: plain words stay, every other one becomes a code span, and
    what the sentence itself marks as code becomes one span, whatever words it has.

    Example:
        >>> prose("www.example.com v2 is champion now (run 20261126-140903).")
        '`www.example.com` v2 is champion now (run `20261126-140903`).'
        >>> prose("Some are empty: `hallmark doctor --model MODEL` shows how it is asked.")
        'Some are empty: `hallmark doctor --model MODEL` shows how it is asked.'
    """
    parts = enumerate(PARTS.finditer(visible(sentence)))
    return " ".join(
        shown
        for kind, some in groupby(parts, lambda each: _kind(*each))
        for shown in _shown(kind, [found for _, found in some])
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown. A pipe divides cells even inside a code span, so it is escaped."""
    lines = [columns, ["---"] * len(columns), *rows]
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Names and what they stand for, which is Markdown, as a list: unlike a table it is never wider than its
    page.
    """
    return "\n".join(f"- {name}: {value}" if value else f"- {name}" for name, value in rows)


def stacked(items: Iterable[tuple[str, Iterable[tuple[str, str]]]]) -> str:
    """Items, each with its facts below it.

    Args:
        items: title and facts of each, which are Markdown.
    """
    return "\n\n".join(f"**{title}**\n\n{facts(rows)}" for title, rows in items)


def _kind(place: int, part: re.Match[str]) -> str:
    if part[2] is not None:
        return "code"
    word = part[0]
    if place == 0 and re.fullmatch(r"\d+[.)]", word):  # it would begin a list
        return "other"
    return "plain" if WORD.fullmatch(word) and not REFERENCE.search(word) else "other"


def _shown(kind: str, parts: Sequence[re.Match[str]]) -> Iterable[str]:
    if kind == "code":
        return (f"{before}{code(text)}{after}" for before, text, after in (part.groups() for part in parts))
    words = " ".join(part[0] for part in parts)
    return [words if kind == "plain" else _named(words)]


def _named(text: str) -> str:
    """A code span, with the punctuation of the sentence outside."""
    found = PUNCTUATED.fullmatch(text)
    before, name, after = found.groups() if found else ("", text, "")
    return f"{before}{code(name)}{after}" if name else code(text)


def _span(text: str) -> str:
    if not text:
        return ""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    room = " " if "`" in (text[0], text[-1]) else ""
    return f"{fence}{room}{text}{room}{fence}"
