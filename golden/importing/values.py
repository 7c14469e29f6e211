"""From the values of any file to the fields of a line: texts, answers, turns, slugs, metadata."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from core.files import sha256_bytes
from golden.importing.rows import Values, WrittenFloat
from golden.lines import kind_of
from golden.schema import CATEGORY_PATTERN, GROUP_PATTERN, MAX_GROUP

SPEAKERS = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatgpt", "bing", "bard"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "function", "observation", "function_response"), "tool"),
}
MAX_SHORT = 64
"""Characters of a name, as of a category."""


class RowError(Exception):
    """What keeps a row from being a line of a dataset: `field: problem`."""


Fields = dict[str, Any]
"""A line of a dataset, not checked yet."""


@dataclass
class Notes:
    """What was changed or left out, counted by sentence."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, sentence: str) -> None:
        """One more row of which this is true."""
        self.counts[sentence] = self.counts.get(sentence, 0) + 1


class Asked(NamedTuple):
    """How a row is to be read.

    Attributes:
        train: as a training example, not as a golden item.
        category: of rows that have none; None for none.
        notes: where to say what was changed.
        answer_is: how an answer names the right one of several choices; None where there are none.
    """

    train: bool
    category: str | None
    notes: Notes
    answer_is: Literal["label", "text", "from-0", "from-1"] | None = None


def named_in(expression: str) -> list[str]:
    """The columns that may be meant by `column`, `column.inside` and `column+column`."""
    parts = [part.strip() for part in expression.split("+")]
    return [expression, *parts, *(part.partition(".")[0] for part in parts)]


def value_of(row: Values, column: str) -> Any:
    """What a row has in a column, inside the objects of one (`answers.text`), or in several, one text under
    the other (`context+question`); None where that is nothing.
    """
    if column in row:
        value = row[column]
    elif "+" in column:
        texts = [value_of(row, part.strip()) for part in column.split("+")]
        value = "\n\n".join(text_of(text, column) for text in texts if text is not None)
    else:
        value = row
        for part in column.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, float) and math.isnan(value):
        return None
    return None if isinstance(value, str) and not value.strip() else value


def listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:30])
    return f"{shown} and {len(names) - 30} more" if len(names) > 30 else shown


def settled(fields: Fields, rest: Values, asked: Asked, beside: Any = None) -> Fields:
    """The fields of a line as the schema has them: texts for numbers, slugs for categories, no empty ones.

    Args:
        fields: as a format or a mapping gave them.
        rest: what becomes metadata.
        asked: how the row is to be read.
        beside: a metadata column, beside the metadata that the format itself makes.

    Raises:
        RowError: a value cannot be made into what its field needs.
    """
    found: Fields = {}
    for name, value in fields.items():
        if (made := _field(name, value, asked)) is not None:
            found[name] = made
    if "category" not in found and asked.category is not None:
        found["category"] = asked.category
    if isinstance(found.get("prompt"), list):
        found["messages"] = found.pop("prompt")
    if "messages" in found:
        _end_conversation(found, asked.train)
    if beside is not None:
        _keep(found, _field("metadata", beside, asked), asked.notes)
    if rest:
        _keep(found, _kept(rest, asked.notes), asked.notes)
    return found


def _keep(found: Fields, more: Fields, notes: Notes) -> None:
    """Add to the metadata of a line, where nothing is written over."""
    metadata = found.setdefault("metadata", {})
    for name, value in more.items():
        free = name
        while metadata.get(free, value) != value:
            free += "_"
        if free != name:
            notes.add(f"`{name}` is kept as metadata.{free}, since metadata.{name} is another")
        metadata[free] = value


def _end_conversation(found: Fields, train: bool) -> None:
    """Of a golden item the last turn of the assistant's is the answer; a training example ends with one."""
    turns = found["messages"]
    if train:
        if turns[-1]["role"] != "assistant" and not {"completion", "final_answer"} & found.keys():
            raise RowError("messages: ends without a turn of the assistant's, so nothing would be taught")
        return
    if turns[-1]["role"] == "assistant":
        found["messages"] = turns[:-1]
        found.setdefault("final_answer", turns[-1]["content"])
    if not found["messages"] or found["messages"][-1]["role"] != "user":
        raise RowError("messages: has no turn of the user's before the answer")


def _field(name: str, value: Any, asked: Asked) -> Any:
    if value is None:
        return None
    if name == "steps":
        steps = json_list(value) or value.splitlines() if isinstance(value, str) else value
        if not isinstance(steps, list):
            raise RowError(f"steps: expected a list of texts, got {kind(value)}")
        return [text_of(step, "steps") for step in steps if step not in (None, "") and str(step).strip()]
    if name == "final_answer" and isinstance(value, list):
        answers = list(dict.fromkeys(text_of(each, name) for each in value if each is not None))
        if not answers:
            raise RowError("final_answer: missing")
        return answers
    if name in ("messages", "prompt") and isinstance(value, list | dict):
        return turns(value, asked.notes)
    if name == "metadata":
        known = json_object(value) if isinstance(value, str) else value
        return _kept(known if isinstance(known, dict) else {"metadata": value}, asked.notes)
    text = text_of(value, name)
    if name == "category":
        return _category(text, asked.notes)
    if name == "group":
        return _group(text, asked.notes)
    return text


def text_of(value: Any, name: str) -> str:
    """A value as a text: a number as it is written, a whole one of a binary file without its `.0`."""
    if isinstance(value, str):
        if not value.strip():
            raise RowError(f"{name}: is {'only white space' if value else 'empty'}")
        return value
    if value is None:
        raise RowError(f"{name}: missing")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, WrittenFloat):
        if not math.isfinite(value):
            raise RowError(f"{name}: {value.text} is beyond every number")
        return value.text
    if isinstance(value, float):
        if not math.isfinite(value):
            raise RowError(f"{name}: {value} is no number")
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, list | dict):
        inside = ""
        if isinstance(value, dict) and value:
            inside = (
                f" with {listed(list(value))}; --map {name}=COLUMN.{next(iter(value))} takes what is inside"
            )
        raise RowError(f"{name}: expected a text, got {kind_of(value)}{inside}")
    if isinstance(value, bytes):
        raise RowError(f"{name}: expected a text, got bytes")
    return str(value)  # whole numbers, decimals, dates


def json_list(text: str) -> list[Any] | None:
    """The list that a text is as JSON; None where it is none."""
    value = _json(text, "[")
    return value if isinstance(value, list) else None


def json_object(text: str) -> dict[str, Any] | None:
    """The same for an object."""
    value = _json(text, "{")
    return value if isinstance(value, dict) else None


def _json(text: str, beginning: str) -> Any:
    if not text.lstrip().startswith(beginning):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def kind(value: Any) -> str:
    """What kind of value this is, in words."""
    try:
        return kind_of(value)
    except KeyError:
        return type(value).__name__


@lru_cache(maxsize=1 << 12)
def _slug(text: str) -> str:
    if re.fullmatch(CATEGORY_PATTERN, text):
        return text
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9_]+", "-", plain).strip("-_")[:MAX_SHORT]
    return slug or f"c-{sha256_bytes(text.encode())[:8]}"


def _category(text: str, notes: Notes) -> str:
    slug = _slug(text)
    if slug != text:
        notes.add(f"category {text[:MAX_SHORT]!r} is written {slug}")
    return slug


def _group(text: str, notes: Notes) -> str:
    if re.fullmatch(GROUP_PATTERN, text) and len(text) <= MAX_GROUP:
        return text
    plain = re.sub(r"[^\w ._:/#@+\-]+", "_", text).strip()
    name = (
        plain if plain[:1].isalnum() and len(plain) <= MAX_GROUP else f"g-{sha256_bytes(text.encode())[:16]}"
    )
    notes.add("groups are written with letters, digits, spaces and . _ : / # @ + -")
    return name


def _kept(value: Any, notes: Notes) -> Any:
    """A value as JSON can hold it. Bytes, as of images, are left out."""
    if isinstance(value, dict):
        return {
            str(name): _kept(each, notes)
            for name, each in value.items()
            if not _is_bytes(each, str(name), notes)
        }
    if isinstance(value, list | tuple):
        return [_kept(each, notes) for each in value if not _is_bytes(each, "a list", notes)]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    return str(value)


def _is_bytes(value: Any, name: str, notes: Notes) -> bool:
    if isinstance(value, bytes):
        notes.add(f"bytes of {name} are left out")
        return True
    return False


def turns(value: Any, notes: Notes) -> list[dict[str, str]]:
    if isinstance(value, str):
        value = json_list(value) or value
    if not isinstance(value, list) or not value:
        raise RowError(f"messages: expected a list of turns, got {'none' if value == [] else kind(value)}")
    return [_turn(turn, f"messages.{place}", notes) for place, turn in enumerate(value)]


def _turn(turn: Any, where: str, notes: Notes) -> dict[str, str]:
    if not isinstance(turn, dict):
        raise RowError(f"{where}: expected an object with role and content, got {kind(turn)}")
    role_name = next((name for name in ("role", "from", "speaker") if turn.get(name)), None)
    text_name = next((name for name in ("content", "value", "text") if turn.get(name)), None)
    if role_name is None or str(turn[role_name]).lower() not in SPEAKERS:
        said = (
            "has no role" if role_name is None else f"{role_name}: {str(turn[role_name])[:40]!r} is no role"
        )
        raise RowError(f"{where}: {said}; known are {', '.join(SPEAKERS)}")
    if turn.get("tool_calls") or turn.get("function_call"):
        raise RowError(f"{where}: calls a tool, which a dataset cannot hold")
    if text_name is None:
        raise RowError(f"{where}: has no content")
    for name in sorted(turn.keys() - {role_name, text_name}):
        if turn[name] not in (None, "", [], {}):
            notes.add(f"`{name}` of messages is left out")
    return {"role": SPEAKERS[str(turn[role_name]).lower()], "content": _content(turn[text_name], where)}


def _content(value: Any, where: str) -> str:
    if isinstance(value, list):  # parts, as OpenAI has them
        texts = []
        for part in value:
            if not isinstance(part, dict) or part.get("type", "text") != "text" or not part.get("text"):
                raise RowError(f"{where}: has a part that is no text")
            texts.append(str(part["text"]))
        return "\n".join(texts)
    return text_of(value, where)
