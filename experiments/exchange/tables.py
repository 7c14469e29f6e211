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
    Said,
    Stated,
    answered,
    as_text,
    cuts_of,
    json_lines,
    of_ours,
    ours,
    parse_lenient,
    turns_of,
)
from golden.importing.sources import open_source
from golden.importing.values import listed
from golden.lines import USUAL_NAMES, plain_name

NAMES = {
    "trace_id": ("trace_id", *USUAL_NAMES["trace_id"], "custom_id", "key"),
    "sample": ("sample", "sample_index", "sample_number", "epoch", "repeat"),
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
        "predictions",
        "outputs",
        "responses",
        "completions",
        "generated_texts",
        "generations",
        "samples",
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
        if part == "sample":  # else a column of texts has that name
            free = [name for name in free if all(_is_number(row.get(name)) for row in rows)]
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
    asked = row.get(columns.get("prompt", ""))
    fields: dict[str, Any] = {
        "id": as_text(row.get(columns.get("trace_id", ""))),
        "asked": asked if isinstance(asked, str) else turns_of(asked),
        "texts": [asked] if isinstance(asked, str) else _texts(row.values()),
    }
    try:
        fields["sample"] = _number(columns.get("sample", ""), row.get(columns.get("sample", "")))
        return answered(where, _said(row, columns), **fields)
    except InputError as error:
        return Answered(where, problem=str(error), **fields)


def _said(row: Mapping[str, Any], columns: Mapping[str, str]) -> list[Said]:
    """The texts of a row: one, or a list of several.

    Raises:
        InputError: the list is empty, or what says whether they were cut off does not fit it.
    """
    name, ended = columns["prediction"], columns.get("finish_reason", "")
    if isinstance(samples := row.get("samples"), list) and len(samples) > 1:
        name = "samples"  # as an export of ours has several completions
    if row.get(columns.get("cut_off", "")) is not None:
        ended = columns["cut_off"]
    value, cut = row.get(name), row.get(ended)
    if not isinstance(value, list):
        return [Said(name, value, *cuts_of(ended, cut, 1))]
    if not value:
        raise InputError(f"{name}: is empty")
    part = ""
    if all(isinstance(each, dict) for each in value):
        part, cut = ".prediction", [each.get("cut_off") for each in value]
        value = [each.get("prediction") for each in value]
    cuts = cuts_of(ended, cut, len(value))
    return [Said(f"{name}.{n}{part}", *each) for n, each in enumerate(zip(value, cuts, strict=True))]


def _number(column: str, value: Any) -> int | None:
    """Which of its item's samples a row is.

    Raises:
        InputError: it is no number.
    """
    if value is None or _is_number(value):
        return value if value is None else int(float(value))
    raise InputError(f"{column}: expected the number of a sample, as in 1, got {str(value)[:40]!r}")


def _is_number(value: Any) -> bool:
    """Whether a value is a whole number, 0 or above, be it a float or a text."""
    text = str(value).removesuffix(".0")
    return text.isascii() and text.isdecimal() and len(text) < 10


def _texts(values: Iterable[Any]) -> list[str]:
    return [value for value in values if isinstance(value, str)]
