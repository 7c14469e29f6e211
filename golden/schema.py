"""What one line of a dataset is."""

from __future__ import annotations

import re
import string
import uuid
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    Tag,
    model_serializer,
    model_validator,
)

MAX_TRACE_ID = 128
TRACE_ID_PATTERN = rf"^[A-Za-z0-9][A-Za-z0-9._:\-]{{0,{MAX_TRACE_ID - 1}}}$"
CATEGORY_PATTERN = r"^[a-z0-9][a-z0-9_\-]{0,63}$"
GROUP_PATTERN = r"^\w[\w ._:/#@+\-]*$"
"""Names of documents and templates as they are, in any script; at most `MAX_GROUP` characters."""
MAX_GROUP = 256
DATASET_NAME = re.compile(r"(?P<key>[a-z0-9]+(?:[_-][a-z0-9]+)*)-(?P<version>v[1-9][0-9]{0,5})", re.ASCII)
MAX_DATASET_NAME = 64

NAMESPACE = uuid.UUID("6f1f2c1e-6d0b-5a55-9a0c-2f6b6e1d4a11")
"""The UUIDv5 namespace of the trace ids that Hallmark makes."""

Text = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]

A_STRING, A_LIST = "a string", "a list of strings"


def _kind_of_answer(value: Any) -> str | None:
    return A_STRING if isinstance(value, str) else A_LIST if isinstance(value, list) else None


Answer = Annotated[
    Annotated[Text, Tag(A_STRING)] | Annotated[list[Text], Field(min_length=1), Tag(A_LIST)],
    Discriminator(_kind_of_answer),  # so that what is wrong is said of the one that was meant
]
"""The right answer, or a list of accepted ones, of which the first is the reference."""

Role = Literal["system", "user", "assistant", "tool"]


class Message(BaseModel):
    """One turn of a conversation.

    Attributes:
        role: who speaks.
        content: what is said.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    role: Role
    content: Text


class DatasetLine(BaseModel):
    """What golden items and training traces have in common: an id and something that is asked."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    trace_id: Annotated[str, StringConstraints(pattern=TRACE_ID_PATTERN)]
    prompt: Text | None = None
    messages: list[Message] | None = Field(default=None, min_length=1)
    system: Text | None = None
    steps: list[Text] = Field(default_factory=list, description="worked steps, in order")
    final_answer: Answer | None = None
    category: Annotated[str, StringConstraints(pattern=CATEGORY_PATTERN)] | None = None
    group: Annotated[str, StringConstraints(pattern=GROUP_PATTERN, max_length=MAX_GROUP)] | None = None
    metadata: dict[str, Any] | None = None
    choices: list[Text] | None = Field(default=None, min_length=2)

    @property
    def turns(self) -> list[Message]:
        """The conversation: the messages, or the prompt as the user's only turn. Without `system`."""
        return self.messages or [Message(role="user", content=self.prompt or "")]

    @property
    def question(self) -> str:
        """What is asked, as one text: the prompt, or what is said in the turns before the last answer, one
        turn after another, without system text.
        """
        if self.messages is None:
            return self.prompt or ""
        asked = self.messages[:-1] if self.messages[-1].role == "assistant" else self.messages
        return "\n".join(turn.content for turn in asked if turn.role != "system")

    @property
    def system_text(self) -> str | None:
        """The system text of this line, given as `system` or as messages; None without any."""
        said = [turn.content for turn in self.messages or () if turn.role == "system"]
        return self.system or "\n".join(said) or None

    @property
    def accepted(self) -> list[str]:
        """The accepted answers, the reference first; empty where a trace has none."""
        if self.final_answer is None:
            return []
        return [self.final_answer] if isinstance(self.final_answer, str) else list(self.final_answer)

    @model_serializer(mode="wrap")
    def _as_it_was_read(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A line is written with the fields that it was read with, so that older files keep their bytes."""
        return {
            name: value
            for name, value in write(self).items()
            if value is not None and (value or name in self.model_fields_set)
        }

    def _check_question(self) -> None:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("prompt and messages: a line has one of them")
        if self.system is not None and any(turn.role == "system" for turn in self.messages or ()):
            raise ValueError("system: system text is given twice, as system and as a message")


class Item(DatasetLine):
    """One question with its worked steps and its answer.

    Attributes:
        trace_id: unique in its dataset; for datasets made by Hallmark a UUIDv5 of the content.
        prompt: what the model is asked.
        messages: instead of `prompt`, a conversation whose last turn is the user's.
        system: system text of this item; it wins over that of the prompt's settings.
        steps: the worked steps that lead to the answer; may be empty for an evaluation set.
        final_answer: the right answer, or a list of accepted ones, of which the first is the reference.
        category: the skill that is tested.
        group: what items that hang together have in common: one document, one template.
        metadata: anything else worth keeping, as a JSON object. Of these, `options` are the options of a
            multiple choice, as import writes them: a list, or an object of letters.
        choices: continuations of the prompt among which a model chooses by their likelihood, as they would
            be written; `final_answer` is one of them. The prompt does not change with them.
    """

    final_answer: Answer
    category: Annotated[str, StringConstraints(pattern=CATEGORY_PATTERN)]

    @model_validator(mode="after")
    def _is_a_question(self) -> Self:
        self._check_question()
        if self.turns[-1].role != "user":
            raise ValueError(
                f"messages: the last one is of the role {self.turns[-1].role}; a question ends with the "
                "user's"
            )
        return self

    @property
    def reference(self) -> str:
        """The right answer; the first of several accepted ones."""
        return self.accepted[0]

    @property
    def offered(self) -> list[str]:
        """The continuations among which a model chooses: `choices`, else the letters of `metadata.options`,
        which stand in the prompt; empty where the item is no multiple choice.
        """
        if self.choices is not None:
            return self.choices
        return list(self.options)

    @property
    def options(self) -> dict[str, str]:
        """The options of `metadata.options` by their letters; empty where there are none."""
        held = (self.metadata or {}).get("options")
        if isinstance(held, list):
            held = dict(zip(string.ascii_uppercase, held, strict=False))
        if not isinstance(held, dict) or len(held) < 2:
            return {}
        return {letter: str(text) for letter, text in held.items()}


class Trace(DatasetLine):
    """One training example. An `Item` is one too: then its steps and its answer are the completion.

    Attributes:
        trace_id: unique in its dataset.
        prompt: what the model is asked.
        messages: instead of `prompt`, a conversation. One that ends with an assistant's turn is taught as it
            is, every assistant turn of it; else a completion or an answer follows it.
        system: system text of this trace; it wins over that of the prompt's settings.
        completion: what the model should write, verbatim.
        steps: instead of `completion`, the worked steps that lead to `final_answer`.
        final_answer: the right answer, or a list of accepted ones, of which the first is taught.
        category: of the same skills as the golden items, where that is known.
        group: as in `Item`.
        metadata: anything else worth keeping.
        choices: as in `Item`; training does not read them.
    """

    completion: Text | None = None

    @model_validator(mode="after")
    def _teaches_something(self) -> Self:
        self._check_question()
        taught = (
            self.turns[-1].role == "assistant",
            self.completion is not None,
            self.final_answer is not None,
        )
        if sum(taught) != 1:
            raise ValueError(
                "completion, final_answer, a last message of the assistant's: a trace has exactly one of them"
            )
        return self


def trace_id_for(prompt: str, final_answer: str, category: str) -> str:
    """The UUIDv5 of an item's content: the same question always has the same id."""
    return str(uuid.uuid5(NAMESPACE, "\x1f".join((category, prompt, final_answer))))
