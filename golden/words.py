"""The words of a text, in any script, and the form in which texts are compared."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from html import unescape
from itertools import chain

LAST_MARK = 0x1FFFF
"""Combining marks above are variation selectors, which only choose a glyph."""
MEANINGFUL = "-*/%#&@\\()[]{}"
"""Punctuation, as Unicode has it, that is a sign in a formula, a path or a name. `9 - 2` is not `9 2`."""
LINE_END = "\n"
"""The token that `pieces` gives for the end of a line."""

PUNCTUATION = frozenset(
    each for each in map(chr, range(LAST_MARK)) if unicodedata.category(each)[0] == "P"
).difference(MEANINGFUL) | {"`", LINE_END}
"""The tokens that stand for no word, number or sign."""
BEFORE = frozenset({">", "#"})
AFTER = frozenset({"="})
"""Signs that mean nothing where a prompt begins (a quotation, a heading) and where it ends (`9 + 2 =`)."""

_TYPESET = {
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"),
    **dict.fromkeys("\u2018\u2019\u02bc", "'"),
    **dict.fromkeys("\u201c\u201d", '"'),
}
"""Dashes and quotation marks that typesetting puts for others."""
_SAME = str.maketrans(_TYPESET)
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_POWERS = str.maketrans({power: f"^{digit}" for digit, power in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")})
"""NFKC would make 22 of 2²."""
_SEPARATOR = "\u200b"
"""The zero width space, which shows where a word ends. Other invisible characters join, or do nothing."""

_WITHOUT_SPACES = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f"  # Myanmar
    "\u1780-\u17ff"  # Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"  # kana and the marks of repetition
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"  # Han
)
_LETTER = r"[^\W_]"
_POINT = rf"(?:(?<!{_LETTER})(?<!\.)\.(?=\d))?"  # .5
_PARTS = r"(?:(?<=\d)[.:](?=\d){word})*"  # 2.5, 9:30
_FACTORIAL = r"(?:(?<=\d)!(?= *[-+*/^)]))?"
_SIGN = r"!=|'+\(|[^\s_\x1c-\x1f]|\n"  # f'(2) is not f(2); \x1c to \x1f are white space in Unicode

_EMPHASIS = re.compile(r"(?<![\w*])(\*{1,3})(?=[^\s*])(.{0,400}?[^\s*])\1(?![\w*])")
_QUOTED = re.compile(r"^[ \t]*(?:>[ \t]?)+(?=\S)", re.MULTILINE)


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str], dict[int, str]]:
    marks = _ranges({code for code in range(0x300, LAST_MARK) if unicodedata.category(chr(code))[0] == "M"})
    ignored = _ranges({code for code in range(0x80, LAST_MARK) if unicodedata.category(chr(code)) == "Cf"})
    alone = f"[{_WITHOUT_SPACES}][{marks}]*"
    plain = f"[a-z]+(?![\\w{marks}])"
    word = f"(?:(?![{_WITHOUT_SPACES}_])[\\w{marks}])+"
    digits = {
        code: str(unicodedata.decimal(chr(code)))
        for code in range(0x80, LAST_MARK)
        if unicodedata.category(chr(code)) == "Nd"
    }
    return (
        re.compile(f"{plain}|{alone}|{_POINT}{word}{_PARTS.format(word=word)}{_FACTORIAL}|{_SIGN}"),
        re.compile(f"[{ignored}\u034f\u115f\u1160\ufe00-\ufe0f\U000e0100-\U000e01ef]"),
        digits,
    )


def _ranges(codes: set[int]) -> str:
    """A set of characters as the inside of a character class."""
    first = sorted(code for code in codes if code - 1 not in codes)
    last = sorted(code for code in codes if code + 1 not in codes)
    return "".join(f"{chr(low)}-{chr(high)}" for low, high in zip(first, last, strict=True))


_PLAIN = "[a-z]+(?![a-z0-9])"
"""The words that most texts are made of: found first, they are found three times as fast."""
_ASCII = re.compile(
    f"{_PLAIN}|{_POINT}{_LETTER}+{_PARTS.format(word=_LETTER + '+')}{_FACTORIAL}|{_SIGN}", re.ASCII
)


def folded(text: str) -> str:
    """NFKC, casefolded, one kind of digit, dash and quotation mark; no HTML entities, no marks of bold text
    and quoted lines, nothing invisible; white space as it was.
    """
    if "&" in text:
        text = unescape(text)
    if ">" in text:
        text = _QUOTED.sub("", text)
    if "*" in text:
        text = _EMPHASIS.sub(r"\2", text)
    if text.isascii():
        return text.lower()
    odd = set("".join(_NOT_ASCII.findall(text)))
    if odd <= _TYPESET.keys():  # as most English that is not ASCII: faster this way
        for each in odd:
            text = text.replace(each, _TYPESET[each])
        return text.lower()
    _, ignored, digits = _patterns()
    plain = unicodedata.normalize("NFKC", text.translate(_POWERS)).translate(_SAME)
    # folding can undo a composition, as of the dotted capital I
    plain = ignored.sub("", plain.replace(_SEPARATOR, " ").casefold())
    return unicodedata.normalize("NFKC", plain).translate(digits)


def read_otherwise(text: str) -> list[str]:
    """A text that has invisible characters as it may be read, too: with the zero width space, the others, or
    both taken the other way than `folded` does. Nobody sees which of them part words. Empty for every other
    text.
    """
    if text.isascii():
        return []
    _, ignored, _ = _patterns()
    if ignored.search(text) is None:
        return []
    joining = text.replace(_SEPARATOR, "")
    return [joining, ignored.sub(" ", joining), ignored.sub(" ", text)]


def pieces(text: str) -> list[str]:
    """The tokens of a text, and `LINE_END` where a line ends."""
    plain = folded(text)
    if not plain.isascii():
        return _patterns()[0].findall(plain)
    if "!" in plain:  # the one sign that may mean something else by what follows behind a space
        return _ASCII.findall(plain)
    return list(chain.from_iterable(map(_seen.__getitem__, plain.replace("\n", " \n ").split(" "))))


class _Seen(dict[str, list[str]]):
    """What stands between two spaces, by its tokens: most of a text was seen before, and looking it up takes
    less time than looking for tokens again. A word that occurs again is one string, which is hashed once.
    """

    MOST = 1 << 16

    def __missing__(self, part: str) -> list[str]:
        if len(self) >= self.MOST:
            self.clear()
        found = self[part] = _ASCII.findall(part)
        return found


_seen = _Seen()


def tokens(text: str) -> list[str]:
    """The words of a text and, one by one, its other characters that are no white space or underscore, all
    folded.

    A word is a run of letters and digits with their combining marks (Unicode categories L, N and M), so a
    Hindi word is one, and so is a number with its point. In scripts that are written without spaces (Han,
    kana, Thai, Lao, Khmer, Myanmar) each character is a word.

    Example:
        >>> tokens("What is  9-2.5?"), tokens("हिन्दी में"), tokens("東京は")
        (['what', 'is', '9', '-', '2.5', '?'], ['हिन्दी', 'में'], ['東', '京', 'は'])
    """
    return [token for token in pieces(text) if token != LINE_END]


def words(text: str) -> list[str]:
    """The tokens of a text that do not only punctuate: its words, numbers and signs.

    Example:
        >>> words("Ann's train leaves at 9.")
        ['ann', 's', 'train', 'leaves', 'at', '9']
    """
    return without_punctuation(pieces(text))


def without_punctuation(found: list[str]) -> list[str]:
    """The tokens that do not only punctuate."""
    return [token for token in found if token not in PUNCTUATION]


def normalise(text: str) -> str:
    """The form in which two prompts are compared: their words, numbers and signs, with a space between each
    two. Case, spacing, punctuation and compatibility forms (Unicode NFKC) do not matter, nor does how the
    prompt is set off (`> `, `**`, a last `=`). Of a text without any word the punctuation counts.

    Example:
        >>> normalise("What is  9+2?") == normalise("what is 9 + 2 =") != normalise("What is 9 - 2?")
        True
    """
    found = tokens(text)
    content = without_punctuation(found)
    first, last = 0, len(content)
    while first < last and content[first] in BEFORE:
        first += 1
    while first < last and content[last - 1] in AFTER:
        last -= 1
    return " ".join(content[first:last] or found)


def borders(found: list[str]) -> tuple[list[bool], list[bool]]:
    """Where an expression may begin, and where it may end: for each of `without_punctuation(found)`.

    `What is 9 + 2` does not end before `+ 5`, nor `Largest of 72, 59` before `, 12`, and `9 + 2` does not
    begin behind `7 *`; a line always ends.

    Args:
        found: as `pieces` gives them.
    """
    places = [place for place, token in enumerate(found) if token not in PUNCTUATION]
    begins, ends = [True] * len(places), [True] * len(places)
    for number in range(1, len(places)):
        left, right = places[number - 1], places[number]
        between = found[left + 1 : right]
        if not between and found[right] in _OPERATORS and number + 1 < len(places):
            if _operand(found[left]) and right + 1 == places[number + 1] and _operand(found[right + 1]):
                ends[number - 1] = begins[number + 1] = False
        elif number > 1 and set(between) <= {",", ";"}:
            ends[number - 1] = not all(_listed(found[place]) for place in places[number - 2 : number + 1])
    return begins, ends


_OPERATORS = frozenset("+-*/^%")


def _operand(token: str) -> bool:
    return token[-1].isdigit() or len(token) == 1


def _listed(token: str) -> bool:
    """Whether three of them make a list: numbers and letters, as in `Sort l i f y`."""
    return token[-1].isdigit() or (len(token) == 1 and token.isascii() and token.isalpha())


def joined(found: list[str]) -> str:
    """Tokens as a person reads them: no spaces in scripts that have none.

    Example:
        >>> joined(tokens("What is 東京?"))
        'what is 東京 ?'
    """
    return re.sub(f"(?<=[{_WITHOUT_SPACES}]) (?=[{_WITHOUT_SPACES}])", "", " ".join(found))
