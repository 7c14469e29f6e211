"""Predictions as they are made, so that an interrupted run resumes instead of starting over."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator

from core.progress import announce
from core.sealed import SealedLines
from core.text import whole_characters

Key = tuple[str, int]
"""A completion: the item's trace_id and the number of the sample."""


class Row(BaseModel):
    """One prediction, with what predictions_meta.json counts.

    Attributes:
        trace_id: the item.
        prediction: what the model wrote, half characters replaced.
        tokens: how many it wrote, without the one that ends it.
        cut_off: it reached `max_new_tokens` before it ended.
        sample: which of an item's completions this is.
        prompt_tokens: how many the prompt had, where only the engine knows.
        ended: why an endpoint ended it, where it is neither done nor cut off, as in content_filter.
    """

    trace_id: str
    prediction: Annotated[str, BeforeValidator(whole_characters)]
    tokens: int
    cut_off: bool
    sample: int = 0
    prompt_tokens: int | None = None
    ended: str | None = None

    @property
    def key(self) -> Key:
        """Which completion it is."""
        return self.trace_id, self.sample


class PartialPredictions:
    """An append-only file whose first line says which job it belongs to, and whose lines are hashed.

    Args:
        path: the file.
        identity: hash of everything that decides the predictions; a file of another job is started over.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path = path
        self.lines = SealedLines(path, {"job": identity})

    def read(self) -> dict[Key, Row]:
        """The rows of an interrupted attempt, by trace_id and sample. A line that a kill cut short is
        removed; so are a damaged one and all behind it, which is said to whoever listens.
        """
        values, problem = self.lines.read()
        if problem is not None:
            announce("damaged:", f"{problem}. {len(values)} predictions are kept, the others are made again")
        return {row.key: row for row in map(Row.model_validate, values)}

    def append(self, rows: list[Row]) -> None:
        """Add rows and make them durable."""
        self.lines.append(row.model_dump() for row in rows)

    def remove(self) -> None:
        """Remove the file, once predictions.jsonl holds everything."""
        self.path.unlink(missing_ok=True)
