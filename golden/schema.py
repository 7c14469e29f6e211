"""What one line of a dataset is."""

from __future__ import annotations

import re
import uuid
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
)

TRACE_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:\-]{0,127}$"
CATEGORY_PATTERN = r"^[a-z0-9][a-z0-9_\-]{0,63}$"
GROUP_PATTERN = r"^\w[\w ._:/#@+\-]*$"
"""Names of documents and templates as they are, in any script; at most `MAX_GROUP` characters."""
MAX_GROUP = 256
DATASET_NAME = re.compile(r"(?P<key>[a-z0-9]+(?:[_-][a-z0-9]+)*)-(?P<version>v[1-9][0-9]{0,5})", re.ASCII)
MAX_DATASET_NAME = 64

NAMESPACE = uuid.UUID("6f1f2c1e-6d0b-5a55-9a0c-2f6b6e1d4a11")
"""The UUIDv5 namespace of the trace ids that Hallmark makes."""

Text = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]


class Item(BaseModel):
    """One question with its worked steps and its answer.

    Attributes:
        trace_id: unique in its dataset; for datasets made by Hallmark a UUIDv5 of the content.
        prompt: what the model is asked.
        steps: the worked steps that lead to the answer; may be empty for an evaluation set.
        final_answer: the one right answer.
        category: the skill that is tested.
        group: what items that hang together have in common: one document, one template.
        metadata: anything else worth keeping, as a JSON object; nothing here reads it.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    trace_id: Annotated[str, StringConstraints(pattern=TRACE_ID_PATTERN)]
    prompt: Text
    steps: list[Text] = Field(description="worked steps, in order")
    final_answer: Text
    category: Annotated[str, StringConstraints(pattern=CATEGORY_PATTERN)]
    group: Annotated[str, StringConstraints(pattern=GROUP_PATTERN, max_length=MAX_GROUP)] | None = None
    metadata: dict[str, Any] | None = None

    @model_serializer(mode="wrap")
    def _without_absent_fields(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """An item is written as it was read, so that files from before these fields keep their bytes."""
        return {name: value for name, value in write(self).items() if value is not None}


def trace_id_for(prompt: str, final_answer: str, category: str) -> str:
    """The UUIDv5 of an item's content: the same question always has the same id."""
    return str(uuid.uuid5(NAMESPACE, "\x1f".join((category, prompt, final_answer))))
