"""The formats in which questions and training examples are passed around, and what their columns mean."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from core.errors import InputError
from core.suggestions import did_you_mean
from golden.importing.choices import CHOICES, choices_of, right_choice
from golden.importing.rows import Values
from golden.importing.values import Asked, Fields, RowError, json_list, text_of
from golden.lines import USUAL_NAMES
from golden.schema import Trace

FormatName = Literal[
    "hallmark",
    "gsm8k",
    "math",
    "multiple_choice",
    "sharegpt",
    "messages",
    "alpaca",
    "prompt_completion",
    "columns",
]
FORMAT_NAMES: tuple[FormatName, ...] = get_args(FormatName)
FIELDS = tuple(Trace.model_fields)
ANSWER_LIST = "final_answers"
"""The column of an exported table that holds lists of accepted answers."""
RIGHT_CHOICE = (
    "answer",
    "answer_key",
    "label",
    "answer_idx",
    "answer_index",
    "correct_answer",
    "correct",
    "correct_option",
    "correct_choice",
    "answer_letter",
    "answer_label",
    "final_answer",
    "target",
    "gold",
    "cop",
)
ASKED = ("question", "prompt", "query", "problem", "input", "ctx", "stem", "sentence", "goal")
GOLD = ("final_answer", "answer", "expected_answer", "correct_answer", "ground_truth", "gold")
"""What holds the answer to a conversation of a golden set, whatever its last turn says."""
COMPLETIONS = ("completion", "response", "output", "chosen")
BEFORE = {
    "instruction": ("instruction",),
    "context": ("context", "passage", "article", "document", "background", "input"),
}
"""What stands before the question in a prompt, in this order, where it has columns of its own."""
REASONING = ("steps", *USUAL_NAMES["steps"])
IN_EVERY_FORMAT = {
    "trace_id": ("trace_id", *USUAL_NAMES["trace_id"]),
    "category": ("category", "topic", "subject", "skill", "domain", "type", "task"),
    "group": ("group", "group_id"),
    "system": ("system", *USUAL_NAMES["system"]),
    "metadata": ("metadata",),
}
"""Columns that mean the same whatever the format."""
_ANNOTATION = re.compile(r"<<[^<>]*>>")
_THOUSANDS = re.compile(r"-?\d{1,3}(,\d{3})+(\.\d+)?")


def known_format(name: str | None) -> FormatName | None:
    """A format by its name.

    Raises:
        InputError: there is none of this name; lists them.
    """
    if name is None:
        return None
    for each in FORMAT_NAMES:
        if each == name:
            return each
    raise InputError(
        f"format {name}: unknown; known are {', '.join(FORMAT_NAMES)}.{did_you_mean(name, FORMAT_NAMES)}"
    )


class Format(NamedTuple):
    """A format.

    Attributes:
        roles: part of a row -> what its column may be called, in plain names, the likeliest first.
        optional: those of them that may be missing.
        fields: the line that a row's parts make.
        fits: whether these rows are of it, where the columns are there.
    """

    roles: Mapping[str, Sequence[str]]
    fields: Callable[[Values, Asked], Fields]
    optional: frozenset[str] = frozenset()
    fits: Callable[[list[Values]], bool] = lambda rows: True


def _as_it_is(parts: Values, asked: Asked) -> Fields:
    fields = {name: value for name, value in parts.items() if value is not None}
    for name in ("messages", "steps", "metadata", "choices", ANSWER_LIST):
        if isinstance(text := fields.get(name), str) and text.lstrip()[:1] in ("[", "{"):
            try:
                fields[name] = json.loads(text)
            except ValueError as error:
                raise RowError(f"{name}: not valid JSON: {error}") from None
    if ANSWER_LIST in fields:
        fields["final_answer"] = fields.pop(ANSWER_LIST)
    return fields


def _gsm8k(parts: Values, asked: Asked) -> Fields:
    worked, mark, answer = text_of(parts["answer"], "answer").rpartition("####")
    if not mark:
        raise RowError("answer: has no ####, behind which the final answer stands")
    answer = answer.strip()
    if _THOUSANDS.fullmatch(answer):
        answer = answer.replace(",", "")
    steps = [_ANNOTATION.sub("", step).strip() for step in worked.splitlines()]
    return {
        "prompt": parts["question"],
        "steps": [step for step in steps if step],
        "final_answer": answer,
    }


def _math(parts: Values, asked: Asked) -> Fields:
    solution = text_of(parts["solution"], "solution")
    if (answer := boxed(solution)) is None:
        raise RowError(r"solution: has no \boxed{...}, in which the final answer stands")
    steps = [step.strip() for step in solution.splitlines() if step.strip()]
    alone = len(steps) == 1 and re.fullmatch(r"\$*\\boxed\s*\{" + re.escape(answer) + r"\}\$*", steps[0])
    return {"prompt": parts["question"], "steps": [] if alone else steps, "final_answer": answer}


def boxed(text: str) -> str | None:
    r"""What stands in the last box of a solution.

    Example:
        >>> boxed(r"So \boxed{1}, or \boxed{\frac{1}{2}}.")
        '\\frac{1}{2}'
    """
    _, box, rest = text.rpartition(r"\boxed{")
    depth = 1
    for place, character in enumerate(rest if box else ""):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return rest[:place].strip() or None
    return None


def _multiple_choice(parts: Values, asked: Asked) -> Fields:
    choices = choices_of(parts)
    place = right_choice(parts["answer"], choices, asked.answer_is or "label")
    shown = "\n".join(
        f"{letter}. {choice}" for letter, choice in zip(string.ascii_uppercase, choices.texts, strict=False)
    )
    question = text_of(parts["question"], "question")
    return {
        "prompt": f"{question}\n\n{shown}",
        "final_answer": string.ascii_uppercase[place],
        "metadata": {"options": choices.texts},
    }


def _conversation(parts: Values, asked: Asked) -> Fields:
    return {name: value for name, value in parts.items() if name in ("messages", "final_answer")}


def _alpaca(parts: Values, asked: Asked) -> Fields:
    instruction, given = text_of(parts["instruction"], "instruction"), parts.get("input")
    prompt = instruction if given is None else f"{instruction}\n\n{text_of(given, 'input')}"
    return {"prompt": prompt, ("completion" if asked.train else "final_answer"): parts["output"]}


def _prompt_completion(parts: Values, asked: Asked) -> Fields:
    prompt, completion = parts["prompt"], parts["completion"]
    if isinstance(prompt, list) and isinstance(completion, list):
        return {"messages": [*prompt, *completion]}
    return {"prompt": prompt, ("completion" if asked.train else "final_answer"): completion}


def _plain(parts: Values, asked: Asked) -> Fields:
    return dict(parts)


FORMATS: dict[FormatName, Format] = {
    "hallmark": Format(
        {name: (name,) for name in (*FIELDS, ANSWER_LIST)},
        _as_it_is,
        frozenset({*FIELDS, ANSWER_LIST} - {"trace_id"}),
    ),
    "gsm8k": Format(
        {"question": ("question",), "answer": ("answer",)},
        _gsm8k,
        fits=lambda rows: _most(rows, lambda row: "####" in str(row["answer"])),
    ),
    "math": Format(
        {"question": ("problem", "question", "prompt"), "solution": ("solution", "answer", *COMPLETIONS)},
        _math,
        fits=lambda rows: _most(rows, lambda row: boxed(str(row["solution"])) is not None),
    ),
    "multiple_choice": Format(
        {
            "question": ASKED,
            "choices": CHOICES,
            "answer": RIGHT_CHOICE,
        },
        _multiple_choice,
        frozenset({"choices"}),
        lambda rows: _most(rows, _has_choices),
    ),
    "sharegpt": Format(
        {"messages": ("conversations", "conversation"), "final_answer": GOLD},
        _conversation,
        frozenset({"final_answer"}),
        fits=lambda rows: _most(rows, lambda row: _has_turns(row["messages"], "from")),
    ),
    "messages": Format(
        {"messages": ("messages", *USUAL_NAMES["messages"]), "final_answer": GOLD},
        _conversation,
        frozenset({"final_answer"}),
        fits=lambda rows: _most(rows, lambda row: _has_turns(row["messages"], "role")),
    ),
    "alpaca": Format(
        {"instruction": ("instruction",), "input": ("input", "question"), "output": ("output", "response")},
        _alpaca,
        frozenset({"input"}),
    ),
    "prompt_completion": Format(
        {"prompt": ("prompt",), "completion": ("completion", "response", "chosen")}, _prompt_completion
    ),
    "columns": Format(
        {
            "prompt": ("prompt", *USUAL_NAMES["prompt"]),
            "completion": COMPLETIONS,
            "final_answer": ("final_answer", *USUAL_NAMES["final_answer"], *COMPLETIONS),
            "steps": REASONING,
        },
        _plain,
        frozenset({"prompt", "completion", "final_answer", "steps"}),
    ),
}
"""From the most particular to the most general, which is the order in which they are tried."""


def _most(rows: list[Values], fits: Callable[[Values], bool]) -> bool:
    return 2 * sum(map(fits, rows)) > len(rows)


def _has_choices(row: Values) -> bool:
    if row.get("answer") is None:
        return False
    try:
        choices_of(row)
    except RowError:
        return False
    return True


def _has_turns(value: Any, name: str) -> bool:
    if isinstance(value, str):
        value = json_list(value)
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and name in value[0]
