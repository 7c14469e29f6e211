"""The output of OpenAI's batch API, and of servers that speak it: one response per line, named by
`custom_id`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.text import cut, visible
from experiments.exchange.rows import Answered, Content, Stated, answered, as_text, json_lines, text_of

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
        rows.append(_row(where, value))
        model = ((value.get("response") or {}).get("body") or {}).get("model")
        if model is not None and model not in models:
            models.append(model)
    return Content(rows, Stated("OpenAI batch", settings={}, said={"models": models}))


def _row(where: str, value: Mapping[str, Any]) -> Answered:
    named = as_text(value.get("custom_id"))
    response = value.get("response") or {}
    body, status = response.get("body") or {}, response.get("status_code", 200)
    if (error := value.get("error") or body.get("error")) or status != 200:
        detail = error.get("message") or error.get("code") if isinstance(error, dict) else error
        shown = cut(visible(str(detail or "no reason given")), LONGEST)
        return Answered(where, id=named, problem=f"the request failed (status {status}): {shown}")
    choices = body.get("choices")
    if isinstance(choices, list):
        if len(choices) != 1:
            return Answered(where, id=named, problem=f"choices: has {len(choices)}; one is expected")
        choice = choices[0]
        message = choice.get("message") or {}
        text = choice.get("text") if "message" not in choice else text_of(message.get("content"))
        if text is None:
            text = message.get("refusal")  # what it wrote instead
        if text is None and message.get("tool_calls"):
            return Answered(where, id=named, problem="message: calls a tool and says nothing")
        cut_off = choice.get("finish_reason") == "length"
        return answered(where, text, "choices.0.message.content", id=named, cut_off=cut_off)
    output = [each for each in body.get("output") or [] if each.get("type") == "message"]
    texts = [text for each in output if (text := text_of(each.get("content"))) is not None]
    reason = (body.get("incomplete_details") or {}).get("reason")
    return answered(
        where,
        "\n".join(texts) if texts else None,
        "response.body.choices",
        id=named,
        cut_off=reason == "max_output_tokens",
    )
