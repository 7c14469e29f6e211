"""Questions with choices: the choices of a row, and how its answers name the right one."""

from __future__ import annotations

import ast
import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any, Literal, NamedTuple, get_args

from core.errors import InputError
from core.suggestions import did_you_mean
from golden.importing.rows import Values
from golden.importing.values import RowError, json_list, json_object, kind, text_of
from golden.lines import plain_name

AnswerIs = Literal["label", "text", "from-0", "from-1"]
ANSWER_IS: tuple[AnswerIs, ...] = get_args(AnswerIs)
CHOICES = ("choices", "options", "endings", "answer_choices")
ONE_CHOICE = "choice "
"""Begins the name of the part of a row that is one choice, in a column of its own."""
_IN_WORDS = {
    "label": "the label of a choice",
    "text": "its text",
    "from-0": "its number from 0",
    "from-1": "its number from 1",
}
_ONE_COLUMN = re.compile(
    r"(?P<before>|(?:answer_)?(?:option|choice|ending|answer|opt|op|sol|ans)_?)(?P<label>[a-z]|\d{1,2})"
)
_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_PYTHON_LIST = re.compile(rf"\[\s*(?:{_QUOTED})(?:[\s,]+(?:{_QUOTED}))*\s*\]")
_ARRAY = re.compile(r"\barray\((\[[^\[\]]*\])(?:,\s*dtype=[^()]*)?\)")
_WHOLE = re.compile(r"(\d{1,3})(?:\.0)?")


class Choices(NamedTuple):
    """The choices of a row.

    Attributes:
        texts: what they say.
        labels: what each may be called.
        said: whether the row itself says what they are called.
        written: whether all are texts in the file, so that a number is none of them.
    """

    texts: list[str]
    labels: list[tuple[str, ...]]
    said: bool = False
    written: bool = True


def known_answer_is(name: str | None) -> AnswerIs | None:
    """A way of naming the right choice, by its name.

    Raises:
        InputError: there is none of this name; lists them.
    """
    found = next((each for each in ANSWER_IS if each == name), None)
    if name is not None and found is None:
        raise InputError(
            f"--answer-is {name}: unknown; known are {', '.join(ANSWER_IS)}.{did_you_mean(name, ANSWER_IS)}"
        )
    return found


def choice_columns(names: Sequence[str]) -> dict[str, str]:
    """Part of a row -> column, where each choice has a column: `A` to `D`, `option_a`, `choice1`, `sol1` ...

    Example:
        >>> choice_columns(["question", "option_a", "option_b", "answer"])
        {'choice option_a': 'option_a', 'choice option_b': 'option_b'}
    """
    kinds: dict[tuple[str, bool], dict[str, str]] = {}
    for name in names:
        if match := _ONE_COLUMN.fullmatch(plain_name(name)):
            key = match["before"], match["label"].isdigit()
            kinds.setdefault(key, {}).setdefault(match["label"].lstrip("0") or "0", name)
    for (before, numbered), found in kinds.items():
        if numbered and not before:
            continue
        first = 0 if "0" in found else 1
        labels = map(str, range(first, 27)) if numbered else iter(string.ascii_lowercase)
        run = {}
        for label in labels:
            if label not in found:
                break
            run[ONE_CHOICE + plain_name(found[label])] = found[label]
        if len(run) >= 2:
            return run
    return {}


def choices_of(parts: Values) -> Choices:
    """The choices of a row: of its part `choices`, or of one part for each.

    Raises:
        RowError: there are none.
    """
    given = parts.get("choices")
    if given is None:
        named = {
            name.removeprefix(ONE_CHOICE): text_of(value, "choices")
            for name, value in parts.items()
            if name.startswith(ONE_CHOICE) and value is not None
        }
        labels: list[tuple[str, ...]] = [
            (letter if name[-1].isdigit() else name[-1], name)
            for letter, name in zip(string.ascii_uppercase, named, strict=False)
        ]
        written = all(isinstance(parts[ONE_CHOICE + name], str) for name in named)
        return _counted(Choices(list(named.values()), labels, written=written))
    if isinstance(given, str):
        given = _written(given)
    called_: Any = None
    if isinstance(given, dict) and "text" in given:
        given, called_ = given["text"], given.get("label")
    elif isinstance(given, dict):
        given = {label: text for label, text in given.items() if text is not None}
        given, called_ = list(given.values()), list(given)
    elif isinstance(given, list) and given and all(isinstance(each, dict) for each in given):
        called_ = [each.get("label") or each.get("key") for each in given]
        given = [each.get("text") or each.get("value") for each in given]
    if not isinstance(given, list):
        raise RowError(f"choices: expected a list of texts, got {kind(given)}")
    texts = [text_of(each, "choices") for each in given]
    said = isinstance(called_, list) and len(called_) == len(texts) and all(map(_is_label, called_))
    if not said:
        called_ = string.ascii_uppercase[: len(texts)]
    written = all(isinstance(each, str) for each in given)
    return _counted(Choices(texts, [(str(label),) for label in called_], said, written))


def _is_label(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _counted(choices: Choices) -> Choices:
    if not 2 <= len(choices.texts) <= len(string.ascii_uppercase):
        raise RowError(f"choices: has {len(choices.texts)}, and a choice is among 2 to 26")
    return choices


def _written(text: str) -> Any:
    """Choices that a table holds as a text: JSON, or as Python, pandas and numpy print lists and objects."""
    found = json_list(text) or json_object(text)
    if found is not None:
        return found
    plain = _ARRAY.sub(_as_list, text.strip())
    if _PYTHON_LIST.fullmatch(plain):
        return [ast.literal_eval(each) for each in re.findall(_QUOTED, plain)]
    if plain[:1] in ("[", "{"):
        try:
            return ast.literal_eval(plain)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise RowError(f"choices: {text[:60]!r} is no list") from None
    return text


def _as_list(array: re.Match[str]) -> str:
    return array[1]


def places(answer: Any, choices: Choices) -> dict[AnswerIs, int]:
    """Which choice an answer is, by each way in which it can be read."""
    text = text_of(answer, "answer").strip()
    bare = text.strip("().").casefold()
    found: dict[AnswerIs, int] = {}
    labelled = [
        place
        for place, labels in enumerate(choices.labels)
        if any(bare == label.strip("().").casefold() for label in labels)
    ]
    if len(labelled) == 1:
        found["label"] = labelled[0]
    if choices.texts.count(text) == 1 and (isinstance(answer, str) or not choices.written):
        found["text"] = choices.texts.index(text)
    number = _WHOLE.fullmatch(text)
    if number is not None and not isinstance(answer, bool):
        for way, first in (("from-0", 0), ("from-1", 1)):
            if 0 <= int(number[1]) - first < len(choices.texts):
                found["from-0" if way == "from-0" else "from-1"] = int(number[1]) - first
    return found


def right_choice(answer: Any, choices: Choices, answer_is: AnswerIs) -> int:
    """The place of the right choice.

    Raises:
        RowError: the answer names none.
    """
    found = places(answer, choices)
    if answer_is not in found:
        shown = text_of(answer, "answer").strip()[:60]
        raise RowError(
            f"answer: {shown!r} is not {_IN_WORDS[answer_is].replace('its', 'the')}"
            f"{' of a choice' if answer_is != 'label' else ''}; there are {len(choices.texts)} choices"
        )
    return found[answer_is]


def settled_answers(rows: Iterable[tuple[Any, Choices]]) -> AnswerIs:
    """How the answers of a file name the right choice: in one way, which fits all rows.

    Args:
        rows: answer and choices of each. Those whose answer can be read in no way do not count.

    Raises:
        InputError: no way fits all, or several do and they mean different choices.
    """
    total, said = 0, True
    counts: Counter[AnswerIs] = Counter()
    apart: set[tuple[AnswerIs, AnswerIs]] = set()
    for answer, choices in rows:
        if not (found := places(answer, choices)):
            continue
        total += 1
        said = said and choices.said
        counts.update(found.keys())
        apart |= {(a, b) for a, b in combinations(ANSWER_IS, 2) if a in found and found[a] != found.get(b)}
    fitting = [way for way in ANSWER_IS if counts[way] == total]
    if not total or (said and "label" in fitting):
        return "label"
    if not fitting:
        seen = [way for way in ANSWER_IS if counts[way]]
        shown = ", ".join(f"{_IN_WORDS[way]} in {counts[way]:,}" for way in seen)
        raise InputError(
            f"the answers do not name their choices in one way: of {total:,} rows, the answer can be "
            f"{shown}. Say what it is: --answer-is {' or '.join(seen)}; rows in which it is not are refused."
        )
    if any((fitting[0], other) in apart for other in fitting[1:]):
        raise InputError(
            f"the answers can be read in several ways, which mean different choices: as "
            f"{', or as '.join(_IN_WORDS[way] for way in fitting)}. Say which: --answer-is "
            f"{' or '.join(fitting)}"
        )
    return fitting[0]
