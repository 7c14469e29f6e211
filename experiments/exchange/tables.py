"""Predictions in plain files: a row per item, with an id and a text, under the names that people use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from core.errors import InputError
from experiments.exchange.rows import (
    Answered,
    Content,
    Stated,
    answered,
    as_text,
    json_lines,
    of_ours,
    ours,
    parse_lenient,
    turns_of,
    was_cut,
)
from golden.importing.sources import open_source
from golden.importing.values import listed
from golden.lines import USUAL_NAMES, plain_name

NAMES = {
    "trace_id": ("trace_id", *USUAL_NAMES["trace_id"], "custom_id", "key"),
    "prediction": (
        "prediction",
        "output",
        "response",
        "completion",
        "generated_text",
        "generation",
        "model_output",
        "model_answer",
        "generated",
        "pred",
    ),
    "prompt": ("prompt", "messages", *USUAL_NAMES["prompt"]),
    "cut_off": ("cut_off", "truncated"),
    "finish_reason": ("finish_reason", "stop_reason"),
}
"""Parts of a row, and what their columns are called, the likeliest name first."""
FIRST_ROWS = 200
"""From so many the columns are found."""


def read_table(path: Path, columns: Mapping[str, str] | None = None) -> Content:
    """The rows of JSONL, JSON, CSV, TSV or Parquet.

    Args:
        path: the file.
        columns: part of a row -> column, which wins.

    Raises:
        InputError: it cannot be read, or no column holds predictions; lists them.
        ResourceError: pyarrow is missing.
    """
    values = iter(json_lines(path) if path.suffix.lower() in (".jsonl", ".ndjson") else _values(path))
    first = list(islice(values, FIRST_ROWS))
    found = _columns([row for _, row in first if isinstance(row, dict)], path, columns or {})
    rows = [_row(where, row, found) for where, row in chain(first, values)]
    return Content(rows, _stated(path, found))


def _stated(path: Path, columns: Mapping[str, str]) -> Stated:
    """What a Parquet file that we wrote says beside its rows; other tables say nothing."""
    if path.suffix.lower() in (".parquet", ".pq"):
        import pyarrow.parquet as parquet

        noted = (parquet.read_schema(path).metadata or {}).get(b"hallmark")
        try:
            about = ours({"hallmark": parse_lenient(noted)} if noted else None)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: its metadata `hallmark` is not valid JSON: {error}") from None
        if about:
            return of_ours(about)
    return Stated("a table", said={"columns": dict(columns)})


def _values(path: Path) -> Iterator[tuple[str, Any]]:
    for table in open_source(str(path)).tables:
        for row in table.read():
            yield f"{table.unit} {row.number}", row.values


def _columns(rows: Sequence[Mapping[str, Any]], path: Path, given: Mapping[str, str]) -> dict[str, str]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    for part, column in given.items():
        if part not in NAMES:
            raise InputError(f"--map {part}={column}: {part} is none of {', '.join(NAMES)}")
        if column not in names:
            raise InputError(f"--map {part}={column}: {path} has no column {column}, but {listed(names)}")
    plain = {plain_name(name): name for name in reversed(names)}
    found = dict(given)
    for part, usual in NAMES.items():
        taken = set(found.values())
        free = [plain[name] for name in usual if name in plain and plain[name] not in taken]
        if part not in found and free:
            found[part] = free[0]
    if "prediction" not in found:
        has = f"columns are {listed(names)}" if names else "it has no row that is an object"
        raise InputError(f"{path}: no column looks like predictions; {has}. Name it: --map prediction=COLUMN")
    return found


def _row(where: str, row: Any, columns: Mapping[str, str]) -> Answered:
    if not isinstance(row, dict):
        problem = str(row) if isinstance(row, InputError) else "expected an object"
        return Answered(where, problem=problem)
    samples = row.get("samples")  # as an export of ours has several completions
    if isinstance(samples, list) and len(samples) > 1:
        problem = f"samples: has {len(samples)}; one completion per item is expected"
        return Answered(where, id=as_text(row.get(columns.get("trace_id", ""))), problem=problem)
    parts = {part: row.get(column) for part, column in columns.items()}
    cut = parts.get("cut_off")
    if cut is None:
        cut = was_cut(parts.get("finish_reason"))
    asked = parts.get("prompt")
    return answered(
        where,
        parts["prediction"],
        columns["prediction"],
        id=as_text(parts.get("trace_id")),
        asked=asked if isinstance(asked, str) else turns_of(asked),
        texts=[asked] if isinstance(asked, str) else _texts(row.values()),
        cut_off=cut if isinstance(cut, bool) else None,
    )


def _texts(values: Iterable[Any]) -> list[str]:
    return [value for value in values if isinstance(value, str)]
