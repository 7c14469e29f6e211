"""How `math_equivalence@v1` reads answers: as text, and as one LaTeX formula. Frozen with the judge."""

from __future__ import annotations

import re
import unicodedata

MARKER = re.compile(r"\banswer\s*:", re.IGNORECASE)
LONGEST, LARGEST_EXPONENT, DEEPEST = 400, 1000, 10
FUNCTIONS = {
    "sin",
    "cos",
    "tan",
    "cot",
    "sec",
    "csc",
    "arcsin",
    "arccos",
    "arctan",
    "sinh",
    "cosh",
    "tanh",
    "log",
    "exp",
}
COMMAND = re.compile(r"\\(?:text|mathrm|textbf|mbox|begin|end)\s*\{[^{}]*\}|\\[a-zA-Z]+(?:_\w)?")
SUPERSCRIPT = re.compile("[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
RAISED = str.maketrans("⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "+-0123456789")
SIGNS = {"\u2212": "-", "\u2010": "-", "\u2011": "-", "\u2013": "-", "\u2044": "/", "÷": "/", "×": r"\times "}
SIGNS |= {
    "·": r"\cdot ",
    "⋅": r"\cdot ",
    "π": r"\pi ",
    "∞": r"\infty ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "≠": r"\ne ",
    "∪": r"\cup ",
    "∩": r"\cap ",
    "∅": r"\emptyset ",
}
SIGNS |= {"°": r"^\circ ", "±": r"\pm ", "**": "^"}
REWRITES = [
    (re.compile(r"√\s*(\d+|[a-zA-Z])"), r"\\sqrt{\1}"),
    (re.compile(r"(?:√|\\?\bsqrt)\s*\(([^()]*)\)"), r"\\sqrt{\1}"),
    (re.compile(r"(?<![a-zA-Z\\])pi\b"), r"\\pi "),
    (re.compile(r"(?<![a-zA-Z\\])(?:inf|infty|infinity)\b", re.IGNORECASE), r"\\infty "),
    (re.compile(r"(?<=[\d.])[eE]([+-]?\d+)(?![\w.])"), r"\\times 10^{\1}"),
    (re.compile(r"(?<![\d.,/])(\d+)\s+(\d+)\s*/\s*(\d+)(?![\d.,/])"), r"\1\\frac{\2}{\3}"),
    (re.compile(r"(?<!\\)%"), r"\\%"),
    (re.compile(r"(?<=\d)\.(?=\s|$)"), ""),
]


def extract(text: str) -> str:
    r"""The text that is compared (see math_equivalence.py), without markdown or a full stop around it."""
    if found := list(MARKER.finditer(text)):
        text = text[found[-1].end() :].lstrip().split("\n", 1)[0]
    text = _last_boxed(text)
    formulas = re.findall(r"(?<!\\)\$\$?([^$]+?)(?<!\\)\$\$?", text)
    text = formulas[0] if len(formulas) == 1 else text
    text = re.sub(r"^\\[(\[]\s*|\s*\\[)\]]$", "", text.strip())
    return text.strip("*_`\"' \t\r\n").removesuffix(".").strip("*_`\"' \t\r\n")


def _last_boxed(text: str) -> str:
    start = text.rfind(r"\boxed{")
    if start < 0:
        return text
    depth, inside = 1, start + len(r"\boxed{")
    for place in range(inside, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[inside:place]
    return text[inside:]


def folded(text: str) -> str:
    r"""Text as it is compared with text: NFKC, case and white space folded; `\text{}` unwrapped."""
    plain = re.sub(r"\\(?:text|mathrm|textbf|mbox)\s*\{([^{}]*)\}", r"\1", text)
    return " ".join(unicodedata.normalize("NFKC", plain).casefold().split())


def formula(text: str) -> str | None:
    """The text as LaTeX, or None where it is no formula: it holds a word, or numbers side by side."""
    text = SUPERSCRIPT.sub(lambda match: "^{" + match[0].translate(RAISED) + "}", text)
    text = re.sub(r"(\d)([½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞])", r"\1 \2", text)
    text = unicodedata.normalize("NFKC", text)
    for sign, latex in SIGNS.items():
        text = text.replace(sign, latex)
    text = "".join(str(unicodedata.decimal(character, character)) for character in text)
    for pattern, replacement in REWRITES:
        text = pattern.sub(replacement, text)
    bare = COMMAND.sub("@", text)
    words = set(re.findall(r"[^\W\d_]{3,}", bare)) - FUNCTIONS
    side_by_side = re.search(r"\d\s+\d", bare)
    return None if words or side_by_side or not text.isascii() else text


def too_large(latex: str) -> bool:
    """Whether a formula is beyond the bounds of length, digits, exponents, powers, factorials, depth."""
    latex = re.sub(r"_\s*\{[^{}]*\}", "_", latex)  # the bounds of sums are no powers
    exponents = re.findall(r"\^\s*(\{[^{}]*\}|-?\w+)", latex)
    numbers = [int(number) for exponent in exponents for number in re.findall(r"\d{1,20}", exponent)]
    return (
        len(latex) > LONGEST
        or re.search(r"\d{61}", latex) is not None
        or any(number > LARGEST_EXPONENT for number in numbers)
        or re.search(r"\^\s*\{[^{}]*[\^{]|\^\s*\S\s*\^|[)\]}]\s*\^\s*\{?\s*[-\d\s]*\d{2}", latex) is not None
        or _depth(latex) > DEEPEST
        or re.search(r"(?:[-+]\s*){4}|\d{4,}\s*!|[)!}\]]\s*!|\\d?t?binom\s*\{[^{}]*\d{4}", latex) is not None
    )


def _depth(latex: str) -> int:
    depth = deepest = 0
    for character in latex:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest
