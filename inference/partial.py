"""Predictions as they are made, so that an interrupted run resumes instead of starting over."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ValidationError

from core.files import canonical_json, raise_for_os_error


class Row(BaseModel):
    """One prediction, with what predictions_meta.json counts.

    Attributes:
        trace_id: the item.
        prediction: what the model wrote.
        tokens: how many it wrote, without the one that ends it.
        cut_off: it reached `max_new_tokens` before it ended.
    """

    trace_id: str
    prediction: str
    tokens: int
    cut_off: bool


class PartialPredictions:
    """An append-only file whose first line says which job it belongs to.

    Args:
        path: the file.
        identity: hash of everything that decides the predictions; a file of another job is started over.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path = path
        self.header = canonical_json({"job": identity})

    def read(self) -> dict[str, Row]:
        """The rows of an interrupted attempt, by trace_id. A line that a kill cut short is removed."""
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            lines = []
        rows: dict[str, Row] = {}
        if lines and lines[0] == self.header.encode():
            for line in lines[1:-1]:  # what follows the last line feed is torn or empty
                try:
                    row = Row.model_validate_json(line)
                except ValidationError:
                    break
                rows[row.trace_id] = row
        self._write("wb", [self.header, *(row.model_dump_json() for row in rows.values())])
        return rows

    def append(self, rows: list[Row]) -> None:
        """Add rows and make them durable."""
        self._write("ab", [row.model_dump_json() for row in rows])

    def remove(self) -> None:
        """Remove the file, once predictions.jsonl holds everything."""
        self.path.unlink(missing_ok=True)

    def _write(self, mode: str, lines: list[str]) -> None:
        data = b"".join(line.encode() + b"\n" for line in lines)
        try:
            with self.path.open(mode) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise_for_os_error(error, self.path, len(data))
