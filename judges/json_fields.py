"""`json_fields@v1`: are the fields of the JSON object in the text the right ones?

Frozen, with the modules of this package that it imports: a change of what they do is another version.

The right answer is a JSON object. The object of the text is the last one in a fence of code, else the last
one that stands in the text by itself, where an object inside another is a part of it. The score is the share
of right fields, or with `score = "all"` 1 only where all are right.

Fields are equal where their JSON is: 1 is 1.0 and not "1"; lists in their order, objects with the same names.
With `compare = "answer"` text and numbers are compared as answer_correctness@v2 does, so that 1 is "1".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal, NoReturn

from pydantic import Field

from core.errors import InputError
from golden.schema import Item
from judges.base import JudgeParameters, Score
from judges.comparing import COMPARE_HELP, Compare, equal

FENCED = re.compile(r"^[ \t]*```[\w+-]*[ \t]*\n(.*?)^[ \t]*```", re.MULTILINE | re.DOTALL)
TOKEN = re.compile(r'[{}"\\]')
MOST_TRIED = 50


class JsonFieldsV1:
    """Scores the share of right fields of a JSON object. Reasons: correct, partial, wrong, no_json."""

    name = "json_fields"
    version = "v1"

    class Parameters(JudgeParameters):
        """Which fields, and how they are compared."""

        fields: list[str] = Field(
            default=[],
            description="Fields that count, as in total or address.city; by default all of the right answer.",
        )
        score: Literal["share", "all"] = Field(
            default="share",
            description="share: the share of right fields; all: 1 where all are right, else 0.",
        )
        compare: Compare = Field(default="text", description=COMPARE_HELP)

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters

    def score(self, item: Item, prediction: str) -> Score:
        """Score one prediction; one without a JSON object is wrong, with a reason of its own.

        Args:
            item: the question and its right answer, a JSON object.
            prediction: what the model wrote, unchanged.

        Raises:
            InputError: the right answer is no JSON object, or lacks a field that counts.
        """
        wanted = _object(item.reference)
        if wanted is None:
            raise InputError("the right answer is not a JSON object; judge this dataset by another judge")
        fields = self.parameters.fields or sorted(wanted)
        right_values = {field: _at(wanted, field) for field in fields}
        if missing := [field for field, value in right_values.items() if value is _ABSENT]:
            raise InputError(f"the right answer has no field {missing[0]}")
        given = next(objects(prediction), None)
        if given is None:
            return Score(trace_id=item.trace_id, score=0.0, extracted=None, reason="no_json")
        right = [field for field, value in right_values.items() if self._same(value, _at(given, field))]
        share = len(right) / len(fields) if fields else float(not given)
        score = share if self.parameters.score == "share" else float(share == 1)
        reason = "correct" if share == 1 else "partial" if share else "wrong"
        extracted = json.dumps(given, ensure_ascii=False, sort_keys=True)[:400]
        shown = extracted.encode("utf-8", "replace").decode()
        return Score(trace_id=item.trace_id, score=score, extracted=shown, reason=reason)

    def _same(self, wanted: Any, given: Any) -> bool:
        if isinstance(wanted, dict) and isinstance(given, dict):
            return wanted.keys() == given.keys() and all(
                self._same(wanted[name], given[name]) for name in wanted
            )
        if isinstance(wanted, list) and isinstance(given, list):
            return len(wanted) == len(given) and all(map(self._same, wanted, given))
        if self.parameters.compare == "answer" and _is_plain(wanted) and _is_plain(given):
            return equal(str(wanted), str(given), "answer")
        if isinstance(wanted, bool) or isinstance(given, bool):
            return wanted is given
        return bool(wanted == given)


_ABSENT = object()


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool) and str(value).strip() != ""


def _at(value: Any, path: str) -> Any:
    """The value at a dotted path; a name with a point in it wins over the path."""
    if isinstance(value, dict) and path in value:
        return value[path]
    first, point, rest = path.partition(".")
    if point and isinstance(value, dict) and first in value:
        return _at(value[first], rest)
    return _ABSENT


def objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects of a text that are part of no other, the likeliest answer first."""
    fences = [match[1] for match in FENCED.finditer(text)] if "```" in text else []
    for part in (*reversed(fences[-MOST_TRIED:]), text):
        for place in reversed(list(_spans(part))[-MOST_TRIED:]):
            if (found := _object(part[slice(*place)])) is not None:
                yield found


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where matching braces open and close that are inside no others; braces in strings are text."""
    depth = start = 0
    in_string, skipped = False, -1
    for match in TOKEN.finditer(text):
        sign, place = match[0], match.start()
        if place == skipped:
            continue
        if in_string:
            if sign == "\\":
                skipped = place + 1
            elif sign == '"':
                in_string = False
        elif sign == '"' and depth:
            in_string = True
        elif sign == "{":
            start = start if depth else place
            depth += 1
        elif sign == "}" and depth:
            depth -= 1
            if not depth:
                yield start, place + 1


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
