"""The words of a text, in any script, and the form in which texts are compared."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

LAST_MARK = 0x1FFFF
"""Combining marks above are variation selectors, which only choose a glyph."""
MEANINGFUL = "-*/%#&@\\_"
"""Punctuation, as Unicode has it, that is a sign in a formula, a path or a name. `9 - 2` is not `9 2`."""

PUNCTUATION = frozenset(
    each for each in map(chr, range(LAST_MARK)) if unicodedata.category(each)[0] == "P"
) - frozenset(MEANINGFUL)
"""The tokens that stand for no word, number or sign."""

_SAME = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"),
        **dict.fromkeys("\u2018\u2019\u02bc", "'"),
        **dict.fromkeys("\u201c\u201d", '"'),
    }
)
"""Dashes and quotation marks that typesetting puts for others."""
_POWERS = str.maketrans({power: f"^{digit}" for digit, power in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")})
"""NFKC would make 22 of 2²."""

_WITHOUT_SPACES = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f"  # Myanmar
    "\u1780-\u17ff"  # Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"  # kana and the marks of repetition
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"  # Han
)


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    marks = _ranges({code for code in range(0x300, LAST_MARK) if unicodedata.category(chr(code))[0] == "M"})
    ignored = _ranges({code for code in range(0x80, LAST_MARK) if unicodedata.category(chr(code)) == "Cf"})
    alone = f"[{_WITHOUT_SPACES}][{marks}]*"
    word = f"(?:(?![{_WITHOUT_SPACES}])[\\w{marks}])+"
    return re.compile(f"{alone}|{word}|\\S"), re.compile(f"[{ignored}\ufe00-\ufe0f\U000e0100-\U000e01ef]")


def _ranges(codes: set[int]) -> str:
    """A set of characters as the inside of a character class."""
    first = sorted(code for code in codes if code - 1 not in codes)
    last = sorted(code for code in codes if code + 1 not in codes)
    return "".join(f"{chr(low)}-{chr(high)}" for low, high in zip(first, last, strict=True))


_ASCII = re.compile(r"\w+|[^\w\s\x1c-\x1f]", re.ASCII)  # \x1c to \x1f are white space in Unicode


def folded(text: str) -> str:
    """NFKC, casefolded, one kind of dash and quotation mark, nothing invisible; white space as it was."""
    if text.isascii():
        return text.lower()
    _, ignored = _patterns()
    plain = unicodedata.normalize("NFKC", text.translate(_POWERS)).translate(_SAME)
    # folding can undo a composition, as of the dotted capital I
    return unicodedata.normalize("NFKC", ignored.sub("", plain).casefold())


def tokens(text: str) -> list[str]:
    """The words of a text and, one by one, its other characters that are no white space, all folded.

    A word is a run of letters, digits and underscores with their combining marks (Unicode categories L, N and
    M), so a Hindi word is one. In scripts that are written without spaces (Han, kana, Thai, Lao, Khmer,
    Myanmar) each character is a word.

    Example:
        >>> tokens("What is  9-2?"), tokens("हिन्दी में"), tokens("東京は")
        (['what', 'is', '9', '-', '2', '?'], ['हिन्दी', 'में'], ['東', '京', 'は'])
    """
    plain = folded(text)
    return (_ASCII if plain.isascii() else _patterns()[0]).findall(plain)


def words(text: str) -> list[str]:
    """The tokens of a text that do not only punctuate: its words, numbers and signs.

    Example:
        >>> words("Ann's train leaves at 9.")
        ['ann', 's', 'train', 'leaves', 'at', '9']
    """
    return without_punctuation(tokens(text))


def without_punctuation(found: list[str]) -> list[str]:
    """The tokens that do not only punctuate."""
    return [token for token in found if token not in PUNCTUATION]


def normalise(text: str) -> str:
    """The form in which two prompts are compared: their tokens, with a space between each two.

    Case, spacing and compatibility forms (Unicode NFKC) do not matter, signs do.

    Example:
        >>> normalise("What is  9+2?") == normalise("what is 9 + 2 ?") != normalise("What is 9 - 2?")
        True
    """
    return " ".join(tokens(text))


def joined(found: list[str]) -> str:
    """Tokens as a person reads them: no spaces in scripts that have none.

    Example:
        >>> joined(tokens("What is 東京?"))
        'what is 東京 ?'
    """
    return re.sub(f"(?<=[{_WITHOUT_SPACES}]) (?=[{_WITHOUT_SPACES}])", "", " ".join(found))
