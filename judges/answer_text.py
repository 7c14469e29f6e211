r"""Text as it is compared: Unicode, LaTeX and Markdown put aside. Frozen with the judges that import it.

`plain` makes equal what looks equal and keeps apart what does not: 10² is 10^2 and not 102. `folded` also
puts aside case, white space and what merely surrounds an answer: emphasis, quotes, dollar signs of LaTeX, a
full stop. Both take time in proportion to the text's length.
"""

from __future__ import annotations

import re
import unicodedata

UNSEEN = "\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff"
"""Marks of direction and joining, variation selectors, byte order marks, soft hyphens."""

INVISIBLE = re.compile("[" + UNSEEN + "]")

RAISED = re.compile("[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
RAISED_TO = str.maketrans("⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "+-0123456789")
LOWERED = re.compile("(?<=[0-9])(?=[₀-₉])|(?<=[₀-₉])(?=[0-9])")
PART = re.compile("([0-9])\\s*([½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞])")
SIGNS = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u02d7", "-")
    | dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4\u02bc", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"')
    | {
        "\u2044": "/",
        "\u2215": "/",
        "\u00f7": "/",
        "\u00d7": "*",
        "\u22c5": "*",
        "\u00b7": "*",
        "\u2217": "*",
    }
    | {
        "\u066b": ".",
        "\u066c": ",",
        "\u066a": "%",
        "\u060c": ",",
        "\u3001": ",",
        "\u3002": ".",
        "\u06d4": ".",
    }
    | {"\u00ba": "°", "\u2236": ":", "\u2248": "≈", "\u2264": "≤", "\u2265": "≥", "\u2260": "≠"}
)

FORMULA = re.compile(r"(?<![\w$\\])\$([^$\s0-9.-][^$\n]*)\$(?![0-9])")
LATEX = [
    (
        re.compile(
            r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mathsf|mbox|operatorname|emph)\s*\{([^{}]*)\}"
        ),
        r"\1",
    ),
    (re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}"), r" (\1)/(\2)"),
    (re.compile(r"\\[dt]?frac\s*([0-9])\s*([0-9])"), r" \1/\2"),
    (re.compile(r"\((-?[0-9]+|[A-Za-z])\)/\(([0-9]+|[A-Za-z])\)"), r"\1/\2"),
    (re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))|\\(?:degree|textdegree)(?![A-Za-z])"), "°"),
    (re.compile(r"\^\{\s*([-+]?[0-9]+)\s*\}"), r"^\1"),
    (re.compile(r"\\(?:left|right|displaystyle|big|Big)(?![A-Za-z])"), ""),
    (re.compile(r"\\(?:times|cdot|ast)(?![A-Za-z])"), "*"),
    (re.compile(r"\\(?:leq?|leqslant)(?![A-Za-z])"), "≤"),
    (re.compile(r"\\(?:geq?|geqslant)(?![A-Za-z])"), "≥"),
    (re.compile(r"\\neq?(?![A-Za-z])"), "≠"),
    (re.compile(r"\\approx(?![A-Za-z])"), "≈"),
    (re.compile(r"\\(?:lt)(?![A-Za-z])"), "<"),
    (re.compile(r"\\(?:gt)(?![A-Za-z])"), ">"),
    (re.compile(r"(?<=[0-9])\{,\}(?=[0-9])"), ","),
    (re.compile(r"(?<=[0-9])\\[,;: !](?=[0-9])"), " "),
    (re.compile(r"\\[,;:! ]|\\q?quad(?![A-Za-z])"), " "),
    (re.compile(r"\\([$%#&_{}])"), r"\1"),
    (re.compile(r"\\[()\[\]]"), " "),
]

EMPHASIS = [
    re.compile(r"(?<![\w*])\*\*\*?([^*\n]+)\*\*\*?(?![\w*])"),
    re.compile(r"(?<![\w*])\*(?=[^\s*])([^*\n]+)(?<=\S)\*(?![\w*])"),
    re.compile(r"(?<![\w`])`([^`\n]+)`(?![\w`])"),
]
PAIRS = {
    "(": ")",
    "[": "]",
    '"': '"',
    "'": "'",
    "`": "`",
    "_": "_",
    "$": "$",
    "«": "»",
    "「": "」",
    "『": "』",
}
ENDS = ".,;:!"


def plain(text: str) -> str:
    """Unicode folded to what it looks like, LaTeX and emphasis unwrapped, every script's digits as 0 to 9."""
    text = INVISIBLE.sub("", text)
    if not text.isascii():
        text = PART.sub(r"\1 \2", RAISED.sub(lambda found: "^" + found[0].translate(RAISED_TO), text))
        text = unicodedata.normalize("NFKC", LOWERED.sub("_", text)).translate(SIGNS)
        text = "".join(each if each.isascii() else str(unicodedata.decimal(each, each)) for each in text)
    text = FORMULA.sub(r"\1", text)
    if "\\" in text or "{" in text:
        for pattern, replacement in LATEX:
            text = pattern.sub(replacement, text)
    for pattern in EMPHASIS:
        text = pattern.sub(r"\1", text)
    return text


def folded(text: str) -> str:
    """`plain` text, case and white space folded, bare of what surrounds it."""
    return bare(" ".join(plain(text).casefold().split()))


def bare(text: str) -> str:
    """Without quotes, brackets around a single thing, dollar signs of LaTeX, and punctuation at the end."""
    before = None
    while text != before:
        before = text
        text = text.strip()
        if text.startswith("$$") and text.endswith("$$") and len(text) > 4:
            text = text[2:-2]
        elif len(text) > 2 and PAIRS.get(text[0]) == text[-1] and _is_one(text[1:-1], text[0], text[-1]):
            text = text[1:-1]
        elif len(text) > 1 and text[-1] in ENDS and text[-2:] not in ("..", "++"):
            text = text[:-1]
    return text


def _is_one(inside: str, opening: str, closing: str) -> bool:
    """Whether what is between two marks is one thing, so that they are not part of what is said."""
    if opening in inside or closing in inside:
        return False
    return (
        inside[:1].strip() != "" and inside[-1:].strip() != "" and (opening not in "([" or "," not in inside)
    )


def squeezed(text: str) -> str:
    """Text without the white space beside signs: `1, 2` is `1,2`; words stay apart."""
    return re.sub(r"(?<=[^\w\s])\s+|\s+(?=[^\w\s])", "", text)
