"""How the rows of a file are read: found out from the first ones, and settled once for all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

from core.errors import InputError
from golden.importing.choices import CHOICES, AnswerIs, Choices, choice_columns, choices_of, settled_answers
from golden.importing.formats import (
    ANSWER_LIST,
    ASKED,
    BEFORE,
    COMPLETIONS,
    FIELDS,
    FORMAT_NAMES,
    FORMATS,
    GOLD,
    IN_EVERY_FORMAT,
    REASONING,
    FormatName,
)
from golden.importing.rows import Values
from golden.importing.values import (
    MAX_SHORT,
    Asked,
    Fields,
    RowError,
    listed,
    named_in,
    settled,
    text_of,
    value_of,
)
from golden.lines import line_or_problems, plain_name
from golden.schema import Item, Trace

INSTEAD = {
    "messages": ("prompt", "completion"),
    "completion": ("final_answer", "steps"),
    "final_answer": ("completion",),
}
"""What is not looked for where a field is mapped."""


PLACES = ("article", "document")
"""Columns that may hold ids as well as texts."""
LOOKS_NEEDED = frozenset({*BEFORE["context"], *ASKED, "premise", "hypothesis", "table", "facts", "evidence"})
"""Columns that may be needed for an answer."""


@dataclass
class Reading:
    """How the rows of a file are read: settled once, for all of them.

    Attributes:
        format: which.
        detected: whether it was found, not given.
        columns: part of a row -> column, of the format.
        mapped: our field -> column, as given; these win.
        rest: columns that become metadata, as far as they are known.
        answer_is: how an answer names the right one of several choices; None where there are none.
    """

    format: FormatName
    detected: bool
    columns: dict[str, str]
    mapped: dict[str, str]
    rest: list[str] = field(default_factory=list)
    answer_is: AnswerIs | None = None

    def settle_answers(self, rows: Iterable[Values], given: AnswerIs | None) -> None:
        """Find out, from all rows, how answers name the right choice, where there are choices.

        Args:
            rows: of the whole file.
            given: how they do, as given.

        Raises:
            InputError: nothing says it.
        """
        if self.format != "multiple_choice" or _is_complete(self.mapped, train=False):
            if given is not None:
                raise InputError(f"--answer-is is for multiple choice, and these are read as {self.format}")
            return
        self.answer_is = given or settled_answers(self._answers(rows))

    def _answers(self, rows: Iterable[Values]) -> Iterator[tuple[Any, Choices]]:
        for row in rows:
            parts = {role: value_of(row, column) for role, column in self.columns.items()}
            with suppress(RowError):  # refused later, with its reason
                text_of(parts["answer"], "answer")
                yield parts["answer"], choices_of(parts)

    def line(self, row: Values, asked: Asked) -> Fields:
        """The fields of the line that a row makes.

        Raises:
            RowError: it makes none.
        """
        parts = {role: value_of(row, column) for role, column in self.columns.items()}
        own = FORMATS[self.format].roles
        before = [parts.pop(role, None) for role in BEFORE if role not in own]
        fields = FORMATS[self.format].fields(parts, asked)
        if any(each is not None for each in before) and not isinstance(fields.get("prompt"), list):
            fields["prompt"] = _joined(before, fields.get("prompt"))
        if self.format == "hallmark" and not self.mapped and _is_line(fields, asked):
            return fields  # as it is, to the last character
        beside = parts.pop("metadata", None) if "metadata" in fields and "metadata" not in own else None
        for name in IN_EVERY_FORMAT:
            if name in parts:
                fields.setdefault(name, parts[name])
        for name, column in self.mapped.items():
            fields[name] = value_of(row, column)
        used = self.used
        rest = {name: row[name] for name in row if name not in used and value_of(row, name) is not None}
        return settled(fields, rest, asked, beside)

    @property
    def overlooked(self) -> list[str]:
        """The columns of the rest that may be needed for an answer."""
        chat = self.format in ("sharegpt", "messages")
        looked_for = set(BEFORE["context"]) if chat else LOOKS_NEEDED
        return [name for name in self.rest if plain_name(name) in looked_for]

    @cached_property
    def used(self) -> set[str]:
        """The columns that do not become metadata."""
        return {*self.columns.values(), *chain.from_iterable(map(named_in, self.mapped.values()))}


def reading(
    rows: list[Values],
    columns: Sequence[str],
    train: bool,
    format: FormatName | None = None,  # noqa: A002 - what the option is called
    mapped: Mapping[str, str] | None = None,
) -> Reading:
    """Find out how the rows of a file are to be read.

    Args:
        rows: the first ones.
        columns: the names of its columns, where it says them; else those of the rows count.
        train: whether training examples are wanted.
        format: None to find it.
        mapped: our field -> column, as given.

    Raises:
        InputError: no format fits, or a column is not there; lists the columns.
    """
    names = list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))
    mapped = dict(mapped or {})
    for ours, theirs in mapped.items():
        if ours not in FIELDS:
            raise InputError(f"--map {ours}={theirs}: {ours} is no field; fields are {', '.join(FIELDS)}")
        if not set(named_in(theirs)) & set(names):
            raise InputError(f"--map {ours}={theirs}: no column {theirs}; columns are {listed(names)}")
    taken = set(chain.from_iterable(map(named_in, mapped.values())))
    free = [name for name in names if name not in taken]
    if format is None:
        complete = _is_complete(mapped, train)
        candidates = [] if complete else [name for name in FORMAT_NAMES if name != "columns"]
        fitting = (name for name in candidates if _fits(name, rows, free, mapped, train))
        chosen: FormatName = next(fitting, "columns")
    else:
        chosen = format
    found = _columns(chosen, rows, free, mapped, train)
    kind = FORMATS[chosen]
    missing = [role for role in kind.roles if role not in found and role not in kind.optional]
    if chosen == "columns":
        missing = [] if _is_complete({**found, **mapped}, train) else ["prompt and final_answer"]
        missing = ["prompt, and completion or final_answer"] if missing and train else missing
    elif _is_complete(mapped, train):
        missing = []
    if missing:
        raise InputError(
            f"{'no column looks like' if chosen == 'columns' else f'format {chosen}: no column for'} "
            f"{', '.join(missing)}; columns are {listed(names)}. Name them: --map "
            f"prompt=COLUMN,{'completion' if train else 'final_answer'}=COLUMN"
        )
    if chosen == "columns" and format is None and "final_answer" in found:
        _refuse_bare_letters(rows, names, found["final_answer"])
    settled_reading = Reading(chosen, format is None, found, mapped)
    settled_reading.rest += [name for name in names if name not in settled_reading.used]
    return settled_reading


def _refuse_bare_letters(rows: list[Values], names: list[str], answers: str) -> None:
    """Refuse answers that are letters of choices which nobody would show to the model."""
    given = [value for row in rows if (value := value_of(row, answers)) is not None]
    if not all(re.fullmatch(r"\(?[A-Za-z]\)?\.?|\d", str(value).strip()) for value in given):
        return
    unread = [name for name in names if plain_name(name) in CHOICES] or list(choice_columns(names).values())
    unread = [name for name in unread if name != answers]
    if unread:
        raise InputError(
            f"answers are letters or numbers of choices, but {listed(unread)} cannot be read as choices: "
            "expected a list of texts, or a column for each. Without them no model can answer. "
            "--format columns takes them as they are."
        )


def _joined(before: list[Any], question: Any) -> str:
    """A prompt of instruction, context and question, each once."""
    asked = "" if question is None else text_of(question, "prompt")
    texts = []
    for value in before:
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            value = "\n\n".join(value)
        if (
            value is None
            or (text := text_of(value, "context")) == asked
            or (len(text) > 20 and text in asked)
        ):
            continue
        texts.append(text)
    return "\n\n".join([*texts, asked] if asked else texts)


def _is_line(fields: Fields, asked: Asked) -> bool:
    kind = Trace if asked.train else Item
    return not isinstance(line_or_problems({"trace_id": "t", **fields}, kind), list)


def _is_complete(fields: Mapping[str, Any], train: bool) -> bool:
    if not {"prompt", "messages"} & fields.keys():
        return False
    if train:
        return bool({"completion", "final_answer", "messages"} & fields.keys())
    return bool({"final_answer", "messages"} & fields.keys())


def _fits(
    name: FormatName, rows: list[Values], columns: list[str], mapped: Mapping[str, str], train: bool
) -> bool:
    kind = FORMATS[name]
    found = _columns(name, rows, columns, mapped, train)
    if any(role not in found for role in kind.roles if role not in kind.optional):
        return False
    others = {plain_name(each) for each in columns} - {plain_name(each) for each in found.values()}
    if name == "math" and others & set(GOLD):
        return False  # the short one is the answer
    if name in ("alpaca", "prompt_completion") and others & set(REASONING):
        return False
    if name == "hallmark":
        ours = set(columns) <= {*FIELDS, ANSWER_LIST} and bool({"prompt", "messages"} & set(columns))
        return ours and (
            "choices" not in columns or "trace_id" in columns
        )  # else a multiple choice of others
    parts = [{role: value_of(row, column) for role, column in found.items()} for row in rows]
    return kind.fits(parts)


def _columns(
    name: FormatName, rows: list[Values], columns: list[str], mapped: Mapping[str, str], train: bool
) -> dict[str, str]:
    """Part of a row -> column, for the parts that there are and that are not mapped."""
    by_plain_name: dict[str, str] = {}
    for each in columns:
        by_plain_name.setdefault(plain_name(each), each)
    found: dict[str, str] = {}
    roles = dict(FORMATS[name].roles)
    if name == "columns":
        if train:
            roles["final_answer"] = [each for each in roles["final_answer"] if each not in COMPLETIONS]
        else:
            roles.pop("completion")
    if train and name in ("sharegpt", "messages"):
        roles.pop("final_answer")
    if train and name == "math":  # a completion is taught as it is
        roles["solution"] = [each for each in roles["solution"] if each not in COMPLETIONS]
    if name != "hallmark":
        roles |= IN_EVERY_FORMAT
    if name not in ("hallmark", "sharegpt", "messages") and not {"prompt", "messages"} & mapped.keys():
        roles |= {role: usual for role, usual in BEFORE.items() if role not in roles}
    given = {*mapped, *chain.from_iterable(INSTEAD.get(ours, ()) for ours in mapped)}
    free = IN_EVERY_FORMAT if name not in ("columns", "hallmark") else roles
    roles = {role: usual for role, usual in roles.items() if role not in given or role not in free}
    for role, usual in roles.items():
        for each in usual:
            if each not in by_plain_name or (column := by_plain_name[each]) in found.values():
                continue
            if role in ("category", "group", "trace_id") and name != "hallmark" and not _short(rows, column):
                continue
            if role == "context" and each in PLACES and _are_ids(rows, column):
                continue
            found[role] = column
            break
    if name == "multiple_choice" and "choices" not in found:
        found |= choice_columns([each for each in columns if each not in found.values()])
    if name == "columns":
        _settle_columns(found, rows, by_plain_name, roles, train)
    return found


def _settle_columns(
    found: dict[str, str],
    rows: list[Values],
    by_plain_name: Mapping[str, str],
    roles: Mapping[str, Sequence[str]],
    train: bool,
) -> None:
    """Settle what columns are beside others: a text and its instruction, an answer and its reasoning."""
    names = {role: plain_name(column) for role, column in found.items()}
    if (names.get("prompt"), names.get("context")) == ("instruction", "input"):
        found["instruction"], found["prompt"] = found["prompt"], found.pop("context")
    answer = found.get("final_answer")
    if answer is not None and "final_answer" in roles:
        others = [by_plain_name[each] for each in roles["final_answer"] if each in by_plain_name]
        others = [each for each in others if each not in found.values()]
        if (short := next((each for each in others if _concludes(rows, answer, each)), None)) is not None:
            found["final_answer"] = short
            found.setdefault("steps", answer)
    solution = by_plain_name.get("solution")
    if {"final_answer", "completion"} & found.keys() and solution not in (None, *found.values()):
        found.setdefault("steps", str(solution))
    if not train or "completion" not in found:
        return
    completion = found["completion"]
    if "steps" in found and _holds(rows, completion, found["steps"]):
        found.pop("steps")
    if "steps" in found:  # a completion would be taught without them
        found.setdefault("final_answer", found.pop("completion"))
        found.pop("completion", None)
    else:
        found.pop("final_answer", None)


def _pairs(rows: list[Values], one: str, other: str) -> list[tuple[str, str]]:
    values = [(value_of(row, one), value_of(row, other)) for row in rows]
    return [(str(a).strip(), str(b).strip()) for a, b in values if a is not None and b is not None]


def _concludes(rows: list[Values], answer: str, short: str) -> bool:
    """Whether the texts of one column end with the short answers of another."""
    pairs = _pairs(rows, answer, short)
    ends = [
        len(b.split()) <= 5
        and len(a.split()) >= len(b.split()) + 3
        and re.search(rf"(?<!\w){re.escape(b)}\W*$", a) is not None
        for a, b in pairs
    ]
    return 2 * sum(ends) > len(pairs)


def _holds(rows: list[Values], whole: str, part: str) -> bool:
    pairs = _pairs(rows, whole, part)
    return 2 * sum(b in a for a, b in pairs) > len(pairs)


def _are_ids(rows: list[Values], column: str) -> bool:
    values = [str(value) for row in rows if (value := value_of(row, column)) is not None]
    return all(len(value) <= MAX_SHORT and not re.search(r"\s", value) for value in values)


def _short(rows: list[Values], column: str) -> bool:
    """Whether a column holds names, not texts."""
    values = [value_of(row, column) for row in rows]
    return all(
        value is None
        or (isinstance(value, str) and len(value) <= MAX_SHORT and "\n" not in value)
        or (isinstance(value, int) and not isinstance(value, bool))
        for value in values
    )
