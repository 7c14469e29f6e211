r"""Numbers in text: which there are, and what each one says. Frozen with the judges that import it.

A number is an exact value, with what belongs to it: a currency, a percent sign, a unit. `25\,000`, `25 000`,
`25,000`, `25.000,00`, `2.5e4`, `2.5*10^4` and `25 thousand` are one number; `3:00`, `2023-01-05`, `5-7`,
`COVID-19`, `10^2x` are none. There is no tolerance. Every text takes time in proportion to its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

DIGITS = 400
"""Numbers of more digits are text."""

CURRENCIES = {"$": "$", "us$": "$", "usd": "$", "dollar": "$", "dollars": "$", "buck": "$", "bucks": "$"}
CURRENCIES |= {"€": "€", "eur": "€", "euro": "€", "euros": "€", "£": "£", "gbp": "£", "₹": "₹", "inr": "₹"}
CURRENCIES |= {
    "rupee": "₹",
    "rupees": "₹",
    "rs": "₹",
    "¥": "¥",
    "yen": "¥",
    "jpy": "¥",
    "yuan": "¥",
    "cny": "¥",
}
CURRENCIES |= {
    "rmb": "¥",
    "元": "¥",
    "円": "¥",
    "원": "₩",
    "won": "₩",
    "₩": "₩",
    "₽": "₽",
    "руб": "₽",
    "рублей": "₽",
}
COINS = {"cent", "cents", "¢", "pence", "penny", "pennies", "paise"}
PERCENT = {"%", "percent", "pct", "per cent", "prozent", "procent", "por ciento", "pour cent"}
SCALES = {
    "hundred": 2,
    "thousand": 3,
    "million": 6,
    "millions": 6,
    "billion": 9,
    "billions": 9,
    "trillion": 12,
}
SCALES |= {
    "k": 3,
    "mn": 6,
    "bn": 9,
    "百": 2,
    "千": 3,
    "万": 4,
    "億": 8,
    "亿": 8,
    "tausend": 3,
    "mil": 3,
    "mille": 3,
    "lakh": 5,
    "lakhs": 5,
    "crore": 7,
    "crores": 7,
}
SCALES |= {"millionen": 6, "millones": 6, "milhões": 6, "тыс": 3, "тысяч": 3, "млн": 6, "миллионов": 6}
DOZEN = {"dozen": 12}
UNITS = {
    "mm": "millimeter millimeters millimetre millimetres",
    "cm": "centimeter centimeters centimetre centimetres cms",
    "m": "meter meters metre metres",
    "km": "kilometer kilometers kilometre kilometres kms",
    "in": "inch inches",
    "ft": "foot feet",
    "yd": "yard yards yds",
    "mi": "mile miles",
    "mg": "milligram milligrams",
    "g": "gram grams gms",
    "kg": "kilogram kilograms kgs kilo kilos",
    "lb": "lbs pound pounds",
    "oz": "ounce ounces",
    "ml": "milliliter milliliters millilitre millilitres",
    "l": "liter liters litre litres",
    "s": "sec secs second seconds",
    "min": "mins minute minutes",
    "h": "hr hrs hour hours",
    "d": "day days",
    "km/h": "kph kmh",
    "mph": "mi/h",
    "°": "degree degrees deg",
    "°c": "celsius",
    "°f": "fahrenheit",
}
SAME_UNIT = {word: unit for unit, words in UNITS.items() for word in words.split()} | {
    word + power: unit + power
    for unit in ("mm", "cm", "m", "km", "in", "ft", "yd", "mi")
    for word in (unit, *UNITS[unit].split())
    for power in ("2", "3", "^2", "^3")
}
SPOKEN_UNITS = [
    (re.compile(r"\bus dollars?\b"), "$"),
    (re.compile(r"\b(?:degrees?|deg|°)\s*(celsius|fahrenheit|c|f)\b"), r"°\1"),
    (re.compile(r"°(celsius|c)\b"), "°c"),
    (re.compile(r"°(fahrenheit|f)\b"), "°f"),
    (re.compile(r"\b(?:square|sq\.?)\s+(\w+)"), r"\1^2"),
    (re.compile(r"\b(?:cubic|cu\.?)\s+(\w+)"), r"\1^3"),
    (re.compile(r"\b(kilomet(?:er|re)s?|km)\s*(?:per|an|/)\s*(?:hour|h|hr)\b"), "km/h"),
    (re.compile(r"\bmiles?\s+(?:per|an)\s+hour\b"), "mph"),
    (re.compile(r"\s+per\s+"), "/"),
]
UNIT_TEXT = re.compile(r"[^\W\d_]|[°/^*%$€£¥₹₩₽¢.\s-]|(?<=\^)-?[0-9]|(?<=[a-z])[23](?![0-9])", re.IGNORECASE)
NO_UNIT = {
    "and",
    "or",
    "to",
    "of",
    "by",
    "x",
    "plus",
    "minus",
    "times",
    "over",
    "into",
    "is",
    "are",
    "was",
    "if",
}

JOINED = re.compile(
    r"(?<![0-9.,:/])[1-9][0-9]{0,2}(?: [0-9]{3}(?![0-9]))+(?:[.,][0-9]+)?"
    r"|(?:(?<![0-9.])\.)?[0-9]+(?:[.,:/'_^*+-]{1,3}[0-9]+)*"
)
"""Digits and what joins them to one thing: a number, a date, a time, a range, a product."""

ENGLISH = re.compile(r"[1-9][0-9]{0,2}(?:,[0-9]{3})+(\.[0-9]+)?")
INDIAN = re.compile(r"[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}(\.[0-9]+)?")
SPACED = re.compile(r"[1-9][0-9]{0,2}(?:[ '_][0-9]{3})+([.,][0-9]+)?")
CONTINENTAL = re.compile(r"[1-9][0-9]{0,2}(?:\.[0-9]{3})+,[0-9]+|[1-9][0-9]{0,2}(?:\.[0-9]{3}){2,}")
DECIMAL = re.compile(r"[0-9]*\.?[0-9]+|[0-9]+,[0-9]{1,2}|[0-9]+,[0-9]{4,}|0[0-9]*,[0-9]+")
FRACTION = re.compile(r"([0-9]{1,60})/([0-9]{1,60})")
POWER = re.compile(r"(?:([0-9]{1,60}(?:\.[0-9]{1,60})?)\*)?10\^(-?[0-9]{1,3})")
BEFORE = re.compile(
    r"(?P<sign>[-+]?)(?P<gap> ?)(?P<currency>(?:us)?[$€£¥₹₩₽]?)(?P<space> ?)(?P<inner>[-+]?)$"
)
EXPONENT = re.compile(
    r"(?:e([-+]?[0-9]{1,3})|\s?[*x]\s?10\^(?:\{([-+]?[0-9]{1,3})\}|([-+]?[0-9]{1,3})))(?!\w|\.[0-9])"
)
MIXED = re.compile(r"(?: | and )([0-9]{1,3})/([0-9]{1,3})(?![\w/:]|\.[0-9])")
HALF = re.compile(r" and (?:a|one) (half|quarter)\b")
AFTER_WORD = re.compile(r" ?(%|per cent|por ciento|pour cent|[百千万億亿]|[^\W\d_]+\.?)")
GLUED = re.compile(r"[^\W\d_]+")
ONE_LETTER = set("mglshdcf")
BOUND = re.compile(
    r"(?:\bnot|n't|\bnever|\b(?:less|fewer|more|greater|higher|lower|larger|smaller|other|rather) than"
    r"|\bat least|\bat most|\bup to|\bunder|\bbelow|\babove|\bexceeds?|\bminimum of|\bmaximum of"
    r"|(?<![-=])[<>≤≥≠]=?|!=)"
    r"\s*(?:exactly |about |the |a )?[-+]?\s?(?:us)?[$€£¥₹₩₽]?\s?$"
)
OPERAND = re.compile(
    r"(?:[\w)}\]]\s?[*/^]|[0-9)}\]]\s?(?:[-+x]|\*\*)|√|\{|\bsqrt\(?|\bsqrt\s|[a-z]\()\s?[($€£¥₹₩₽]?$"
)
OPERATES = re.compile(
    r"\s?[*^]\s?[\w($\\]|\s?/\s?(?:[0-9(\\]|[a-z](?![a-z]))|\s?[-+x]\s?[$€£¥₹₩₽(]?\.?[0-9]|-[b-z](?![a-z])"
    r"|\s?(?:√|\\(?:sqrt|pi|frac|cdot|times|log|sin|cos|tan))"
)
MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
DATED = re.compile(rf"\b{MONTH}\.?\s(?:[0-9]{{1,2}}(?:st|nd|rd|th)?,?\s)?$")
DAY = re.compile(rf"(?:st|nd|rd|th)?\s(?:of\s)?{MONTH}\b(?!\s(?:be|have|not)\b)")
DECADE = re.compile(r"(?:1[0-9]|20)[0-9]0")
NEGATED = re.compile(r"\b(?:minus|negative)\s$")
DERIVED = re.compile(
    r"(?:±|\\pm|\+/-|\b(?:half|third|quarter|double|triple|square|cube|factorial|multiple|reciprocal|inverse|none)"
    r" of|\broot of|\b(?:twice|thrice|double|triple|log|ln|sin|cos|tan|minus|plus|times|instead of"
    r"|(?:divided|multiplied) by)"
    r"|(?:^|[:=])\s*no)\s*(?:the |all )?[($€£¥₹₩₽]?\s?$"
)
"""What makes another number of the one behind it, or takes it back."""

REWORKED = re.compile(
    r"\s?(?:[‰±>≤≥≠→]|<(?![/|]|[a-z]{1,10}>))|\s?(?:=>|->)|\s-\s?[a-z](?![a-z])"
    r"|\s(?:plus|minus|mod|modulo|choose|cubed|squared|factorial|tens|hundreds|thousands|bce?|b\.c\.)(?![^\W_])"
    r"|\s(?:times|over|divided by|multiplied by|to the power|raised to|(?:\w+ )?out of|of)"
    r"\s[$€£¥]?(?:[0-9(\\x]|\w+\b$)"
    r"|\s(?:[^\W\d_]+\s)?(?:or|and) (?:more|less|fewer|over|under|above|below|higher|lower|up)(?![^\W_])"
    r"|\s(?:[^\W\d_]+\s)?(?:more|less|fewer|greater|larger|smaller) than\s[$€£¥]?[0-9]"
    r"|\s(?:percentage points?|per ?mille?|promille)(?![^\W_])"
)
"""What makes another number of the one before it."""

TIME = r"(?:years?|months?|weeks?|days?|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)"
LENGTH = r"(?:miles?|yards?|yds?|feet|foot|ft|inch(?:es)?|in|km|kilomet(?:er|re)s?|met(?:er|re)s?|m|cm)"
WEIGHT = r"(?:pounds?|lbs?|ounces?|oz|kg|kilograms?|kilos?|grams?|g)"
MONEY = r"(?:dollars?|cents?|euros?|pounds?|pence|rupees?|paise)"
SECOND = re.compile(
    "|".join(rf"\s?(?!in\b){kind}\b,?(?:\sand)?\s[0-9]+\s?{kind}\b" for kind in (TIME, LENGTH, WEIGHT, MONEY))
)
"""5 hours 30 minutes is no 5 hours."""

UNDER_TWENTY = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
WORDS = {word: value for value, word in enumerate(UNDER_TWENTY.split())}
WORDS |= {word: 10 * value for value, word in enumerate(TENS.split(), start=2)}


@dataclass(frozen=True)
class Number:
    """A number as it stands in a text.

    Attributes:
        value: exact; None for what looks like a number and is none, as 3:00.
        currency: one of $ € £ ¥ ₹ ₩ ₽; empty for none.
        percent: whether it is a percentage; `value` is what stands before the sign.
        unit: the words and signs behind it, up to the end of the text or the next number; not for a bare one.
        start: where it begins in the text.
        end: where it ends, with its exponent, fraction, scale or percent sign.
        bounded: whether a bound or a `not` stands before it, so that it is not what is said.
        operand: whether it is a part of a sum that is not worked out, as in 16 - 3.
    """

    value: Fraction | None
    currency: str = ""
    percent: bool = False
    unit: str = ""
    start: int = 0
    end: int = 0
    bounded: bool = False
    operand: bool = False


def numbers(text: str) -> Iterator[Number]:
    """The numbers of a `plain`, case-folded text in their order, those that are none among them."""
    found = list(JOINED.finditer(text))
    following = [len(text)]
    for match in reversed(found[1:]):  # the 2 of cm^2 is no number
        is_power = text[match.start() - 1] == "^" or _is_cased(text[match.start() - 1])
        following.append(following[-1] if is_power else match.start())
    place = 0
    for match, end in zip(found, reversed(following), strict=False):
        if match.start() >= place:
            number = _read(text, match, end)
            place = number.end
            yield number


def whole_number(text: str) -> Number | None:
    """A `plain`, case-folded text that is a number with at most a unit of a few words; None for another."""
    if len(text) > DIGITS + 100:
        return None
    first = next(numbers(text), None)
    if first is None:
        return spoken(text)
    unit = text[first.end :].strip()
    if (
        first.value is None
        or first.bounded
        or first.operand
        or text[: first.start].strip()
        or not is_unit(unit)
    ):
        return None
    return first


def is_unit(text: str) -> bool:
    """Whether a text can be a unit: up to three words without digits, and no word that goes on with a sum."""
    words = text.split()
    if len(words) > 3 or (words and words[0] in NO_UNIT):
        return False
    return len(text) <= 60 and not UNIT_TEXT.sub("", text) and text[:1] not in ("/", "^", "*", "-", ".")


def agree(wanted: Number, given: Number) -> bool:
    """Whether a person who is asked for `wanted` would take `given`.

    A unit that is wanted must be there. One that is not wanted may be, but for percent. A currency may be
    left out, and must not be another.
    """
    if (
        given.value is None
        or given.bounded
        or given.operand
        or wanted.value != given.value
        or wanted.percent != given.percent
    ):
        return False
    wanted_unit, given_unit = unit_of(wanted.unit), unit_of(given.unit)
    currency = wanted.currency or CURRENCIES.get(wanted_unit, "")
    given_currency = given.currency or CURRENCIES.get(given_unit.partition(" ")[0], "")
    if currency:
        return given_currency in ("", currency) and given_unit.partition(" ")[0] not in COINS
    if not wanted_unit:
        return True
    return not given_currency and _begins(given_unit, wanted_unit)


def unit_of(text: str) -> str:
    """A unit as it is compared: synonyms made one, no full stop, no space beside signs."""
    text = " ".join(text.split()).strip(" .,;:!?)")
    for pattern, replacement in SPOKEN_UNITS:
        text = pattern.sub(replacement, text)
    first, space, rest = text.partition(" ")
    first = first.rstrip(".,;:)")
    first = "/".join(SAME_UNIT.get(each, each) for each in first.split("/"))
    return (re.sub(r"\^(?=[23]\b)", "", first) + space + rest).strip()


def _begins(given: str, wanted: str) -> bool:
    """Whether a unit is the wanted one, with words behind it at most; the plural of a word is the word."""
    for ending in ("", "s", "es") if len(wanted) > 2 else ("",):
        for left, right in ((given, wanted + ending), (given + ending, wanted)):
            if left == right:
                return True
            if left.startswith(right) and left[len(right)] in " ,;.(":
                return True
    return False


def _read(text: str, match: re.Match[str], following: int) -> Number:
    """One number with what stands before and behind it."""
    start, end = match.span()
    before = text[max(0, start - 8) : start]
    context = BEFORE.search(before)
    sign, currency = "", ""
    if context is not None:
        left = before[: context.start()]
        currency = CURRENCIES.get(context["currency"], "")
        sign = context["sign"] if not left or not (left[-1].isalnum() or left[-1] in ")]}") else ""
        if context["gap"] and not currency and left.strip() and left.rstrip()[-1] not in "=:≈(":
            sign = ""  # a dash between words, or a minus between numbers
        if context["inner"] and sign == "-" and not currency:
            return Number(None, start=start, end=end)
        sign = context["inner"] or sign
        if sign or currency:
            start -= len(before) - context.start()
    value = value_of(match[0])
    ahead = text[max(0, start - 40) : start]
    negated = NEGATED.search(ahead) if not sign and not currency else None
    if negated is not None and not re.search(r"[0-9)}\]]\s*$", ahead[: negated.start()]):
        sign, start, ahead = "-", start - len(negated[0]), ahead[: negated.start()]
    if DECADE.fullmatch(match[0]) and re.match(r"s(?![^\W_])", text[end : end + 2]):
        value = None  # 1990s are ten years
    of_a_date = len(match[0]) <= 2 or re.search(r"[0-9]", ahead[-6:])
    if of_a_date and (DATED.search(ahead) or DAY.match(text[end : end + 20])):
        value = None  # 5 January is a day
    joined = match.start() and text[match.start() - 1]
    if joined and (
        _is_cased(joined) or joined in "_^#" or (joined == "-" and _is_cased(text[match.start() - 2]))
    ):
        value = None  # a part of a name, as in covid-19
    if value is None:
        return Number(None, start=start, end=end)
    percent = False
    if (exponent := EXPONENT.match(text, end)) is not None and not FRACTION.fullmatch(match[0]):
        value *= Fraction(10) ** int(next(filter(None, exponent.groups())))
        end = exponent.end()
    elif (
        (part := MIXED.match(text, end)) is not None
        and value.denominator == 1
        and 0 < int(part[1]) < int(part[2])
    ):
        value += Fraction(int(part[1]), int(part[2]))
        end = part.end()
    elif (half := HALF.match(text, end)) is not None:
        value += Fraction(1, 2 if half[1] == "half" else 4)
        end = half.end()
    glued = GLUED.match(text, end)
    if glued is not None and glued[0] in ("st", "nd", "rd", "th"):
        end = glued.end()
    while (word := AFTER_WORD.match(text, end)) is not None:
        if currency and word[1] == "m" and word.start(1) == end:
            value *= 10**6
        elif word[1] in SCALES and (word[1] != "k" or word.start(1) == end):
            value *= 10 ** SCALES[word[1]]
        elif word[1] in DOZEN:
            value *= DOZEN[word[1]]
        else:
            if word[1].rstrip(".") in PERCENT:
                percent, end = True, word.end()
            break
        end = word.end()
    if currency and text[end : end + 1] == "$" and currency == "$":
        currency, end = "", end + 1  # $85$ is LaTeX
    elif not currency and text[end : end + 1] == "$":
        currency, end = ("$", end + 1)
    glued = GLUED.match(text, end)
    if glued is not None and len(glued[0]) == 1 and _is_cased(glued[0]) and glued[0] not in ONE_LETTER:
        return Number(None, start=start, end=glued.end())  # 5x is algebra
    if text[end : end + 1] and text[end] in "+^_" and not text[end + 1 : end + 2].isdigit():
        return Number(None, start=start, end=end)  # 5+ is a bound
    unit = text[end : max(end, following)][:60]
    bounded = BOUND.search(text[max(0, start - 40) : start] + text[start : match.start()]) is not None
    behind = text[end : end + 80]
    factorial = behind.startswith("!") and not currency and not re.search(r"[^\W_]\s$", ahead)
    operand = bool(
        OPERAND.search(text[max(0, start - 8) : start])
        or OPERATES.match(text, end)
        or DERIVED.search(ahead)
        or REWORKED.match(behind)
        or SECOND.match(behind)
        or factorial
    )
    return Number(-value if sign == "-" else value, currency, percent, unit, start, end, bounded, operand)


def _is_cased(letter: str) -> bool:
    """Whether a character is a letter of a script with case; the words of such stand between spaces."""
    return letter.isalpha() and letter.upper() != letter.lower()


def value_of(written: str) -> Fraction | None:
    """The exact value of digits and what joins them; None where that is no number."""
    if len(written) > DIGITS:
        return None
    if (fraction := FRACTION.fullmatch(written)) is not None:
        return Fraction(int(fraction[1]), int(fraction[2])) if int(fraction[2]) else None
    if (power := POWER.fullmatch(written)) is not None:
        return Fraction(power[1] or 1) * Fraction(10) ** int(power[2])
    for grouped in (ENGLISH, INDIAN):
        if grouped.fullmatch(written):
            return Fraction(written.replace(",", ""))
    if SPACED.fullmatch(written) and len(set(re.sub(r"[0-9.,]", "", written))) == 1:
        return Fraction(re.sub(r"[^0-9.,]", "", written).replace(",", "."))
    if CONTINENTAL.fullmatch(written):
        return Fraction(written.replace(".", "").replace(",", "."))
    if DECIMAL.fullmatch(written):
        return Fraction(written.replace(",", "."))
    return None


def spoken(text: str) -> Number | None:
    """An English number in words below a billion, with at most a unit of two words; None for another text."""
    if len(text) > 120:
        return None
    words = text.replace("-", " ").split()
    total = group = used = 0
    for word in words:
        word = word.rstrip(",")
        if word in WORDS:
            group += WORDS[word]
        elif word == "hundred" and 0 < group < 10:
            group *= 100
        elif word in ("thousand", "million") and 0 < group < 1000:
            total, group = total + group * 10 ** SCALES[word], 0
        elif not (word == "and" and used):
            break
        used += 1
    unit = " ".join(words[used:])
    if not used or len(words) - used > 2 or not is_unit(unit):
        return None
    read = " ".join(words[:used]).replace(",", "").split()
    if [word for word in read if word != "and"] != in_words(total + group):
        return None  # `one two` is no number
    percent = unit.partition(" ")[0] in PERCENT
    return Number(Fraction(total + group), percent=percent, unit="" if percent else unit, end=len(text))


def in_words(value: int) -> list[str]:
    """A whole number of at most nine digits in English words, without `and` and hyphens."""
    for size, name in ((10**6, "million"), (10**3, "thousand"), (100, "hundred")):
        if value >= size:
            rest = value % size
            return [*in_words(value // size), name, *(in_words(rest) if rest else [])]
    named = {number: word for word, number in WORDS.items()}
    if value in named:
        return [named[value]]
    return [named[value - value % 10], named[value % 10]]
