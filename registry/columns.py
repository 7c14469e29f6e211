"""Values as both databases keep them: exact text, UTC times, JSON without surprises."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Dialect, Text
from sqlalchemy.types import TypeDecorator

from core.config import MODEL_NAME_PATTERN
from core.errors import InputError, IntegrityError
from core.files import canonical_json

FIRST_HASH = "0" * 64
"""What the first row of a log has as the hash of the row before it."""


class ExactText(TypeDecorator[str]):
    """Any text that a model may write, as a JSON string: PostgreSQL's text cannot hold the character NUL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else canonical_json(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> str | None:
        return None if value is None else str(recorded_json(value))


def now() -> str:
    """The present time in UTC, ISO 8601 with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def recorded_json(text: Any) -> Any:
    """The value of a document as it was recorded.

    Raises:
        IntegrityError: it is no JSON any more, so its row was damaged.
    """
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise IntegrityError(
            f"the registry: a document in it is not JSON ({error}), so a row was damaged. "
            "hallmark verify names it; restore the registry from a backup."
        ) from None


def frozen_json(value: Any, what: str) -> Any:
    """A value as it will be read back from a JSON column, so that its hash is the same before and after.

    Raises:
        InputError: it has no JSON form; `what` names it.
    """
    try:
        return json.loads(canonical_json(value).encode())
    except (TypeError, ValueError) as error:
        raise InputError(f"{what}: cannot be recorded as JSON: {error}") from None


def check_name(name: str, what: str) -> str:
    """Return a model or alias name that is safe in paths, URLs and references.

    Raises:
        InputError: it does not match the allowed pattern.
    """
    if not re.fullmatch(MODEL_NAME_PATTERN, name):
        shown = name if len(name) <= 80 else name[:80] + "..."
        raise InputError(f"{what} {shown!r}: not allowed. It must match {MODEL_NAME_PATTERN}")
    return name
