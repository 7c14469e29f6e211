"""The eight skills that golden-v1 tests: small reasoning tasks whose answers can be checked by hand.

Each skill is a function of a random generator and a difficulty band that gives a prompt, the worked steps
that lead to the answer, and the answer. No skill ever asks a question that has two right answers.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Literal, NamedTuple

Band = Literal["easy", "medium", "hard"]
BANDS: tuple[Band, ...] = ("easy", "medium", "hard")

VOWELS, CONSONANTS = "aeiou", "bcdfghklmnprstvw"


class Question(NamedTuple):
    """What a skill makes: the question, the way to the answer, and the answer."""

    prompt: str
    steps: list[str]
    final_answer: str


def _size(band: Band, easy: int, medium: int, hard: int) -> int:
    return {"easy": easy, "medium": medium, "hard": hard}[band]


def _number(rng: Random, digits: int) -> int:
    return rng.randrange(10 ** (digits - 1), 10**digits)


def _word(rng: Random, length: int) -> str:
    """A pronounceable made-up word: consonants and vowels in turn."""
    first = rng.randrange(2)
    return "".join(rng.choice(VOWELS if (first + index) % 2 else CONSONANTS) for index in range(length))


def _add_by_columns(left: int, right: int) -> list[str]:
    """One step per column, from the right: digit + digit + carry = sum."""
    steps, carry = [], 0
    for place in range(len(str(max(left, right)))):
        a, b = left // 10**place % 10, right // 10**place % 10
        steps.append(f"{a}+{b}+{carry}={a + b + carry}")
        carry = (a + b + carry) // 10
    return steps


def _subtract_by_columns(large: int, small: int) -> list[str]:
    """One step per column, from the right: digit (with ten when borrowed) - digit - borrow = difference."""
    steps, borrow = [], 0
    for place in range(len(str(large))):
        a, b = large // 10**place % 10, small // 10**place % 10
        ten = 10 if a - b - borrow < 0 else 0
        steps.append(f"{a + ten}-{b}-{borrow}={a + ten - b - borrow}")
        borrow = ten // 10
    return steps


def addition(rng: Random, band: Band) -> Question:
    """Add two numbers of 2, 3 or 4 digits."""
    digits = _size(band, 2, 3, 4)
    left, right = _number(rng, digits), _number(rng, digits)
    return Question(f"What is {left} + {right}?", _add_by_columns(left, right), str(left + right))


def subtraction(rng: Random, band: Band) -> Question:
    """Subtract a number of 2, 3 or 4 digits from one that is at least as large."""
    digits = _size(band, 2, 3, 4)
    small, large = sorted((_number(rng, digits), _number(rng, digits)))
    return Question(f"What is {large} - {small}?", _subtract_by_columns(large, small), str(large - small))


def maximum(rng: Random, band: Band) -> Question:
    """Find the largest of 3, 4 or 5 different two-digit numbers, keeping the largest seen so far."""
    numbers = rng.sample(range(10, 100), _size(band, 3, 4, 5))
    steps, best = [], numbers[0]
    for number in numbers[1:]:
        best = max(best, number)
        steps.append(f"{number}: {best}")
    return Question(f"Largest of {', '.join(map(str, numbers))}?", steps, str(best))


def sorting(rng: Random, band: Band) -> Question:
    """Put 4, 5 or 6 different letters into alphabetical order."""
    letters = rng.sample("abcdefghijklmnopqrstuvwxyz", _size(band, 4, 5, 6))
    ordered = sorted(letters)
    return Question(f"Sort {' '.join(letters)}", [" ".join(ordered)], "".join(ordered))


def reversal(rng: Random, band: Band) -> Question:
    """Write a made-up word of 4, 6 or 8 letters backwards."""
    word = _word(rng, _size(band, 4, 6, 8))
    return Question(f"Reverse {word}", [" ".join(word), " ".join(reversed(word))], word[::-1])


def counting(rng: Random, band: Band) -> Question:
    """Count how often a letter occurs in a string of 5, 8 or 11 letters, numbering each find."""
    length = _size(band, 5, 8, 11)
    letter = rng.choice(CONSONANTS)
    others = rng.sample([c for c in CONSONANTS if c != letter], 3)
    text = "".join(letter if rng.random() < 0.4 else rng.choice(others) for _ in range(length))
    found, marks = 0, []
    for character in text:
        found += character == letter
        marks.append(f"{character}{found}")
    return Question(f"Count {letter} in {text}", [" ".join(marks)], str(found))


def sequence(rng: Random, band: Band) -> Question:
    """Continue an arithmetic sequence with a difference of 2 to 9, 10 to 30, or 31 to 99."""
    low, high = {"easy": (2, 9), "medium": (10, 30), "hard": (31, 99)}[band]
    difference, start = rng.randint(low, high), rng.randint(1, 400)
    terms = [start + difference * index for index in range(3)]
    steps = _subtract_by_columns(terms[2], terms[1]) + _add_by_columns(terms[2], difference)
    return Question(f"Next in {', '.join(map(str, terms))}?", steps, str(terms[2] + difference))


def substitution(rng: Random, band: Band) -> Question:
    """Look up two of 2, 3 or 4 named digits and add them."""
    names = rng.sample("abcdefghkmnpqrstuvwxyz", _size(band, 2, 3, 4))
    values = {name: rng.randrange(1, 10) for name in names}
    left, right = rng.sample(names, 2)
    given = ", ".join(f"{name}={value}" for name, value in values.items())
    total = values[left] + values[right]
    return Question(
        f"{given}. {left}+{right}?",
        [f"{left}={values[left]}", f"{right}={values[right]}", f"{values[left]}+{values[right]}={total}"],
        str(total),
    )


SKILLS: dict[str, Callable[[Random, Band], Question]] = {
    skill.__name__: skill
    for skill in (addition, subtraction, maximum, sorting, reversal, counting, sequence, substitution)
}
