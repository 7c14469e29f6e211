"""One parsed line of a dataset as an item or a training trace, or everything that keeps it from being one."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from pydantic import ValidationError

from core.errors import InputError
from golden.schema import A_LIST, A_STRING, DatasetLine, Trace

Line = TypeVar("Line", bound=DatasetLine)

USUAL_NAMES = {
    "prompt": ("question", "instruction", "input", "query", "problem", "user", "text", "q"),
    "messages": ("conversations", "conversation", "chat", "dialogue", "dialog", "turns"),
    "final_answer": (
        "answer",
        "answers",
        "expected_answer",
        "correct_answer",
        "expected_output",
        "expected",
        "output",
        "response",
        "target",
        "label",
        "ground_truth",
        "gold",
        "solution",
        "reference",
        "a",
    ),
    "completion": ("response", "output", "answer", "target", "chosen"),
    "steps": ("rationale", "reasoning", "explanation", "chain_of_thought", "cot", "thought"),
    "system": ("system_prompt", "system_message"),
    "category": ("topic", "subject", "type", "task", "domain", "skill"),
    "group": ("group_id", "document", "document_id", "doc_id", "template", "passage_id"),
    "trace_id": ("id", "uuid", "item_id", "question_id", "example_id", "qid"),
}
"""What others call our fields, the likeliest name first."""


def plain_name(name: str) -> str:
    """A column's name in small letters with underscores, as it is looked up in `USUAL_NAMES`."""
    return re.sub(r"\W+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip()).lower()).strip("_")


def parse_line(value: Any, where: str, kind: type[Line]) -> Line:
    """Turn one parsed line into an item or a trace.

    Raises:
        InputError: names the place, and every field that is wrong with its problem.
    """
    line = line_or_problems(value, kind)
    if isinstance(line, list):
        raise InputError(f"{where}: {'; '.join(line)}")
    return line


def line_or_problems(value: Any, kind: type[Line]) -> Line | list[str]:
    """One parsed line as an item or a trace, or everything that is wrong with it, as `field: problem`.

    Example:
        >>> from golden.schema import Item
        >>> line_or_problems({"question": "2 + 2?", "final_answer": None}, Item)[:2]
        ['prompt: missing field; your `question` looks like it', 'trace_id: missing field']
    """
    if not isinstance(value, dict):
        return [f"expected a JSON object, got {kind_of(value)}"]
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        problems = error.errors()
    named = _names(value, kind)
    return [*named, *(_explain(problem) for problem in problems if not _is_said(problem, named))]


def _is_said(problem: Any, named: list[str]) -> bool:
    """Whether `_names` says it, of all fields at once: names, and what follows from a missing field."""
    if problem["type"] == "value_error" and not problem["loc"]:
        return bool(named)
    return len(problem["loc"]) == 1 and problem["type"] in ("missing", "extra_forbidden")


def _names(value: dict[str, Any], kind: type[DatasetLine]) -> list[str]:
    """What is wrong with the names of the fields: those that are missing, and those that are not known."""
    needed = [] if "messages" in value else ["prompt"]
    needed += [name for name, field in kind.model_fields.items() if field.is_required()]
    if kind is Trace and not _teaches(value):
        needed.append("completion")
    missing = [name for name in needed if name not in value]
    unknown = [name for name in value if name not in kind.model_fields]
    looks_like: dict[str, str] = {}  # ours by theirs
    for name in [*missing, *(other for other in kind.model_fields if other not in value)]:
        other = "messages" if name == "prompt" and _looks(unknown, "messages") else name
        if (theirs := _looks(unknown, other)) and theirs not in looks_like:
            looks_like[theirs] = other
    ours = {name: theirs for theirs, name in looks_like.items()}
    problems = []
    for name in missing:
        theirs = ours.get(name) or (ours.get("messages") if name == "prompt" else None)
        hint = f"; your `{theirs}` looks like {'it' if name in ours else '`messages`'}" if theirs else ""
        problems.append(f"{name}: missing field{hint}")
    for name in unknown:
        hint = f"; it looks like `{looks_like[name]}`" if name in looks_like else ""
        problems.append(f"{name}: unknown field{hint}")
    return problems


def _teaches(value: dict[str, Any]) -> bool:
    return not {"completion", "final_answer", "messages"}.isdisjoint(value)


def _looks(unknown: list[str], name: str) -> str | None:
    by_plain_name = {plain_name(each): each for each in unknown}
    usual = (name, *USUAL_NAMES.get(name, ()))
    return next((by_plain_name[other] for other in usual if other in by_plain_name), None)


def _explain(problem: Any) -> str:
    parts = [str(part) for part in problem["loc"] if part not in (A_STRING, A_LIST)]
    if problem["type"] == "value_error":  # of our own checks, whose sentences name the fields
        return str(problem["ctx"]["error"])
    return f"{'.'.join(parts)}: {_problem(problem)}"


def _problem(problem: Any) -> str:
    kind, given = problem["type"], problem["input"]
    expected = {
        "union_tag_not_found": "a string or a list of strings",
        "union_tag_invalid": "a string or a list of strings",
        "string_type": "a string",
        "dict_type": "an object",
        "model_type": "an object",
        "model_attributes_type": "an object",
        "list_type": "an array of objects" if problem["loc"] == ("messages",) else "an array of strings",
    }
    if kind in expected:
        return f"expected {expected[kind]}, got {kind_of(given)}"
    if kind == "string_unicode":
        return "holds half of a character (an unpaired surrogate)"
    if kind == "missing":
        return "missing field"
    if kind == "extra_forbidden":
        return "unknown field"
    if kind in ("string_too_short", "too_short") or (
        kind == "string_pattern_mismatch" and problem["ctx"]["pattern"] == r"\S"
    ):
        return "is only white space" if given else "is empty"
    if kind == "string_pattern_mismatch":
        return f"{given[:80]!r} is not allowed; it must match {problem['ctx']['pattern']}"
    if kind == "literal_error":
        return f"{str(given)[:80]!r} is not allowed; expected {problem['ctx']['expected']}"
    return str(problem["msg"])


def kind_of(value: Any) -> str:
    """What kind of JSON value this is, in words."""
    names = {
        type(None): "null",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return names[type(value)]
