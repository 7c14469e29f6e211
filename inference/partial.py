"""Predictions as they are made, so that an interrupted run resumes instead of starting over."""

from __future__ import annotations

from collections.abc import Collection, Iterator
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
        ties: how many of its tokens were so nearly tied that they were decided alone.
    """

    trace_id: str
    prediction: Annotated[str, BeforeValidator(whole_characters)]
    tokens: int
    cut_off: bool
    sample: int = 0
    prompt_tokens: int | None = None
    ended: str | None = None
    ties: int = 0

    @property
    def key(self) -> Key:
        """Which completion it is."""
        return self.trace_id, self.sample


class PartialPredictions:
    """An append-only file whose first line says which job it belongs to, and whose lines are hashed. Its rows
    are those of one window of the dataset after those of another; within a window they have any order.

    Args:
        path: the file.
        identity: hash of everything that decides the predictions; a file of another job is started over.
        window: how many items a window has; a file with other windows is started over too.
    """

    def __init__(self, path: Path, identity: str, window: int) -> None:
        self.path = path
        self.lines = SealedLines(path, {"job": identity, "window": window})

    def resume(self) -> int:
        """How many rows an interrupted attempt left. A line that a kill cut short is removed; so are a
        damaged one and all behind it, which is said to whoever listens.
        """
        kept, problem = self.lines.resume()
        if problem is not None:
            announce("damaged:", f"{problem}. {kept} predictions are kept, the others are made again")
        return kept

    def rows(self) -> Iterator[Row]:
        """All rows, one by one."""
        return map(Row.model_validate, self.lines.values())

    def append(self, rows: list[Row]) -> None:
        """Add rows and make them durable."""
        self.lines.append(row.model_dump() for row in rows)

    def remove(self) -> None:
        """Remove the file, once predictions.jsonl holds everything."""
        self.path.unlink(missing_ok=True)


class Windows:
    """Takes the rows of one window after those of another.

    Args:
        rows: as `PartialPredictions` has them.
    """

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def take(self, keys: Collection[Key]) -> dict[Key, Row]:
        """The rows of the next window, as far as they are there.

        Args:
            keys: of all its completions.
        """
        found: dict[Key, Row] = {}
        while self._next is not None and self._next.key in keys:
            found[self._next.key] = self._next
            self._next = next(self._rows, None)
        return found
