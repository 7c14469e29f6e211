"""What a tokenizer's chat template renders: the same on every day, and what goes wrong as a sentence."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import InputError
from core.files import read_json, sha256_bytes

PLAIN_TEMPLATE = "plain@v1"
"""Without a chat template: what the user says ends with a line feed, and every other turn with two."""

DATE_FUNCTION = "strftime_now"
"""The function by which templates ask for today's date. What they take as an argument is not asked for."""
DIRECTIVES = "aAwdbBmyYHIpMSfjUWcxX"
"""Of strftime, without the time zone."""

Turns = Sequence[Mapping[str, str]]


class Rendered(NamedTuple):
    """What a template made of a conversation.

    Attributes:
        text: the whole.
        generated: begin and end in it of each part that the template itself marks as the assistant's.
    """

    text: str
    generated: list[tuple[int, int]]


class ChatTemplate:
    """A tokenizer's chat template, or the plain way of writing a conversation where it has none.

    Args:
        tokenizer: a Hugging Face tokenizer.
        arguments: of the template, as in enable_thinking = false.
        date: what `strftime_now` gives.

    Attributes:
        source: the template; None without one.
        name: where the tokenizer has several by name, the one that is used: `default`; else None.
        file: where it is written.

    Raises:
        InputError: see `chosen_template`.
    """

    def __init__(
        self,
        tokenizer: Any,
        arguments: Mapping[str, Any] | None = None,
        date: datetime.date = datetime.date(2026, 1, 1),
    ) -> None:
        self.tokenizer = tokenizer
        self.arguments = dict(arguments or {})
        self.date = date
        self.source, self.name = chosen_template(tokenizer)
        self.file = template_file(tokenizer)

    @property
    def id(self) -> str:
        """What identifies it: `plain@v1`, or the sha256 of the template."""
        return PLAIN_TEMPLATE if self.source is None else "chat sha256:" + sha256_bytes(self.source.encode())

    @property
    def prints_date(self) -> bool:
        """Whether it asks for today's date."""
        return self.source is not None and DATE_FUNCTION in self.source

    @property
    def marks_generation(self) -> bool:
        """Whether it says itself which parts are the assistant's."""
        return self.source is not None and re.search(r"\{%-?\s*generation\s*-?%\}", self.source) is not None

    def unused(self) -> list[str]:
        """The arguments that the template does not mention, so that they change nothing."""
        return [
            name for name in self.arguments if not re.search(rf"\b{re.escape(name)}\b", self.source or "")
        ]

    def render(self, turns: Turns, *, opens: bool) -> str:
        """A conversation as text.

        Args:
            turns: objects with role and content.
            opens: whether the assistant's next turn is opened, for the model to write it.

        Raises:
            Exception: whatever the template raises.
        """
        return self._rendered(turns, opens, marks=False).text

    def generated(self, turns: Turns) -> Rendered:
        """The same, with the parts that the template marks as the assistant's.

        Raises:
            Exception: whatever the template raises.
        """
        return self._rendered(turns, opens=False, marks=True)

    def _rendered(self, turns: Turns, opens: bool, marks: bool) -> Rendered:
        if self.source is None:
            return Rendered(plain_text(turns), [])
        from transformers.utils.chat_template_utils import render_jinja_template

        source = _date_function(self.date) + self.source if self.prints_date else self.source
        texts, generated = render_jinja_template(
            conversations=[list(turns)],
            chat_template=source,
            add_generation_prompt=opens,
            return_assistant_tokens_mask=marks,
            **{**self.tokenizer.special_tokens_map, **self.arguments},
        )
        return Rendered(str(texts[0]), list(generated[0]) if marks else [])


def chosen_template(tokenizer: Any) -> tuple[str | None, str | None]:
    """A tokenizer's template, and its name where there are several.

    Raises:
        InputError: there are several, and none of them is `default`; or it is where tokenizers do not look.
    """
    found = tokenizer.chat_template
    if not found and template_file(tokenizer).endswith("chat_template.json"):
        raise InputError(
            f"{template_file(tokenizer)}: the chat template is in a file that tokenizers do not read, so "
            "prompts would go without it. Save it as chat_template.jinja."
        )
    if not isinstance(found, dict):
        return found or None, None
    if "default" not in found:
        raise InputError(
            f"{template_file(tokenizer)}: the tokenizer has the chat templates {', '.join(sorted(found))}, "
            "and none of them is named default. Save the one to use as chat_template.jinja."
        )
    return str(found["default"]), "default"


def template_file(tokenizer: Any) -> str:
    """Where a tokenizer's chat template is written."""
    folder = Path(str(tokenizer.name_or_path or "."))
    names = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json")
    return next((str(folder / name) for name in names if (folder / name).is_file()), str(folder))


def named_ends(folder: Path) -> list[int]:
    """Ids of the tokens that a model directory's generation_config.json and config.json name as ends.

    Args:
        folder: the model directory; files that are not there name none.

    Raises:
        InputError: what they name are no token ids.
    """
    ends: list[int] = []
    for name in ("generation_config.json", "config.json"):
        if not (folder / name).is_file():
            continue
        config = read_json(folder / name)
        for found in (config.get("eos_token_id"), (config.get("text_config") or {}).get("eos_token_id")):
            ids = found if isinstance(found, list) else [found]
            if not all(id_ is None or type(id_) is int for id_ in ids):
                raise InputError(f"{folder / name}: eos_token_id: expected token ids, got {found!r}")
            ends += [id_ for id_ in ids if id_ is not None]
    return list(dict.fromkeys(ends))


def plain_text(turns: Turns) -> str:
    r"""A conversation as a model without a chat template gets it.

    Example:
        >>> plain_text([{"role": "user", "content": "2 + 2?"}])
        '2 + 2?\n'
    """
    return "".join(map(_plain, turns))


def _plain(turn: Mapping[str, str]) -> str:
    return turn["content"] + ("\n" if turn["role"] in ("user", "tool") else "\n\n")


def _date_function(date: datetime.date) -> str:
    """A definition, in the language of templates, that wins over the function that asks the clock. It leaves
    no trace in what is rendered: the line feed at its end goes with it, as behind every block, and what
    follows begins a line, as before.
    """
    moment = datetime.datetime.combine(date, datetime.time())
    spelled = {f"%-{each}": str(int(moment.strftime(f"%{each}"))) for each in "dmHIMSjy"}
    spelled |= {f"%{each}": moment.strftime(f"%{each}") for each in DIRECTIVES}
    replaced = "".join(
        f".replace({name!r}, {text!r})" for name, text in {**spelled, "%Z": "", "%z": ""}.items()
    )
    return f"{{%- macro {DATE_FUNCTION}(format) -%}}{{{{ format{replaced} }}}}{{%- endmacro %}}\n"
