"""The eight skills that golden-v1 tests: small reasoning tasks whose answers can be checked by hand.

Each skill is a function of a random generator and a difficulty band that gives a prompt, the worked steps that lead
to the answer, and the answer. No skill ever asks a question that has two right answers.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Literal, NamedTuple

Band = Literal["easy", "medium", "hard"]
BANDS: tuple[Band, ...] = ("easy", "medium", "hard")

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
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


def addition(rng: Random, band: Band) -> Question:
    """Add two numbers of 2, 3 or 4 digits, column by column from the right."""
    digits = _size(band, 2, 3, 4)
    left, right = _number(rng, digits), _number(rng, digits)
    steps, carry = [], 0
    for place in range(digits):
        a, b = left // 10**place % 10, right // 10**place % 10
        total = a + b + carry
        steps.append(f"{a}+{b}+{carry}={total}")
        carry = total // 10
    return Question(f"What is {left} + {right}?", steps, str(left + right))


def subtraction(rng: Random, band: Band) -> Question:
    """Subtract a smaller number of 2, 3 or 4 digits from a larger one, column by column from the right."""
    digits = _size(band, 2, 3, 4)
    small, large = sorted((_number(rng, digits), _number(rng, digits)))
    if small == large:
        large += 1
    steps, borrow = [], 0
    for place in range(len(str(large))):
        a, b = large // 10**place % 10, small // 10**place % 10
        need = 10 if a - b - borrow < 0 else 0
        steps.append(f"{a + need}-{b}-{borrow}={a + need - b - borrow}")
        borrow = need // 10
    return Question(f"What is {large} - {small}?", steps, str(large - small))


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
    """Continue an arithmetic sequence with a difference of 2 to 5, 6 to 11, or 12 to 30."""
    low, high = {"easy": (2, 5), "medium": (6, 11), "hard": (12, 30)}[band]
    difference, start = rng.randint(low, high), rng.randint(1, 60)
    terms = [start + difference * index for index in range(4)]
    step = f"{terms[1]}-{terms[0]}={difference}"
    return Question(f"Next in {', '.join(map(str, terms))}?", [step, f"{terms[3]}+{difference}"], str(terms[3] + difference))


def weekday(rng: Random, band: Band) -> Question:
    """Find the day that comes 1 to 6, 7 to 20, or 21 to 69 days after a given day."""
    low, high = {"easy": (1, 6), "medium": (7, 20), "hard": (21, 69)}[band]
    day, count = rng.randrange(7), rng.randint(low, high)
    rest = count % 7
    walk = " ".join(DAYS[(day + index) % 7][:2] for index in range(rest + 1))
    return Question(f"{count} days after {DAYS[day]}?", [f"{count}-{count - rest}={rest}", walk], DAYS[(day + rest) % 7])


SKILLS: dict[str, Callable[[Random, Band], Question]] = {
    skill.__name__: skill for skill in (addition, subtraction, maximum, sorting, reversal, counting, sequence, weekday)
}
