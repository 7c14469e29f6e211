"""The output of OpenAI's batch API, and of servers that speak it: one response per line, named by
`custom_id`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.text import cut, visible
from experiments.exchange.rows import (
    Answered,
    Content,
    Said,
    Stated,
    an_array,
    an_object,
    answered,
    as_text,
    json_lines,
    text_of,
    was_cut,
)

LONGEST = 200
"""Characters of an error that are quoted."""


def is_openai_batch(value: Mapping[str, Any]) -> bool:
    """Whether a line is one of these."""
    return "custom_id" in value and ("response" in value or "error" in value)


def read_openai_batch(path: Path) -> Content:
    """The rows of such a file: chat completions, completions, or responses."""
    rows: list[Answered] = []
    models: list[str] = []
    for where, value in json_lines(path):
        if isinstance(value, InputError) or not isinstance(value, dict):
            problem = str(value) if isinstance(value, InputError) else "expected an object"
            rows.append(Answered(where, problem=problem))
            continue
        named = as_text(value.get("custom_id"))
        try:
            body = _body(value)
            rows.append(_row(where, named, value, body))
        except InputError as error:
            rows.append(Answered(where, id=named, problem=str(error)))
            continue
        model = as_text(body.get("model"))
        if model is not None and model not in models:
            models.append(model)
    return Content(rows, Stated("OpenAI batch", settings={}, said={"models": models}))


def _body(value: Mapping[str, Any]) -> Mapping[str, Any]:
    return an_object(an_object(value.get("response"), "response").get("body"), "response.body")


def _row(where: str, named: str | None, value: Mapping[str, Any], body: Mapping[str, Any]) -> Answered:
    """Raises an InputError where a part of it is of another kind."""
    status = an_object(value.get("response"), "response").get("status_code", 200)
    if (error := value.get("error") or body.get("error")) or status != 200:
        detail = error.get("message") or error.get("code") if isinstance(error, dict) else error
        shown = cut(visible(str(detail or "no reason given")), LONGEST)
        return Answered(where, id=named, problem=f"the request failed (status {status}): {shown}")
    choices = body.get("choices")
    if isinstance(choices, list):
        if not choices:
            return Answered(where, id=named, problem="choices: is empty")
        said = [_choice(f"choices.{number}", choice) for number, choice in enumerate(choices)]
        return answered(where, said, id=named)
    output = [an_object(each, "output") for each in an_array(body.get("output"), "output")]
    texts = [
        text
        for each in output
        if each.get("type") == "message" and (text := text_of(each.get("content"))) is not None
    ]
    reason = an_object(body.get("incomplete_details"), "incomplete_details").get("reason")
    cut_off = False if body.get("status") == "completed" and reason is None else was_cut(reason)
    text = "\n".join(texts) if texts else None
    return answered(where, [Said("response.body.choices", text, cut_off)], id=named)


def _choice(name: str, value: Any) -> Said:
    """One of the answers to a request that asked for `n`. Raises an InputError where it is none."""
    choice = an_object(value, name)
    message = an_object(choice.get("message"), f"{name}.message")
    text = choice.get("text") if "message" not in choice else text_of(message.get("content"))
    if text is None:
        text = message.get("refusal")  # what it wrote instead
    if text is None and message.get("tool_calls"):
        raise InputError(f"{name}.message: calls a tool and says nothing")
    return Said(f"{name}.message.content", text, was_cut(choice.get("finish_reason")))
