"""A dataset as a file for other programs: JSONL, JSON, CSV, TSV, Parquet. Imported again, rows are equal."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

from core.errors import InputError, ResourceError
from core.files import atomic_writer, canonical_json
from core.progress import quiet_meter
from golden.datasets import load_dataset, read_traces
from golden.importing.formats import ANSWER_LIST, FIELDS

BATCH = 1000
AS_JSON = ("messages", "steps", "metadata", "choices", ANSWER_LIST)
"""Columns of a table that hold JSON, since a cell holds one text."""


def export_dataset(reference: str | Path, path: Path, force: bool = False) -> int:
    """Write a dataset to a file, atomically; what kind of file, its ending says.

    In tables lists of accepted answers have a column of their own, `final_answers`; lists and objects are
    JSON in CSV and TSV.

    Args:
        reference: a built-in name or the path of a `KEY-vN.jsonl` file.
        path: ends in .jsonl, .json, .csv, .tsv or .parquet.
        force: replace a file that is there.

    Returns:
        How many rows it has.

    Raises:
        InputError: there is no such dataset, the ending is another one, or the file is there.
        ResourceError: it cannot be written, or pyarrow is missing.
    """
    dataset = load_dataset(reference)
    write = WRITERS.get(path.suffix.lower())
    if write is None:
        raise InputError(f"{path}: a dataset is exported to a file that ends in {', '.join(WRITERS)}")
    if path.exists() and not force:
        raise InputError(f"{path}: is there already. Give another name, or --force replaces it.")
    total = dataset.manifest.items if dataset.manifest else sum(1 for _ in read_traces(dataset.path))
    count, meter = 0, quiet_meter("export", total, "items")

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal count
        for trace in dataset.traces():
            yield trace.model_dump()
            count += 1
            meter.update(count)

    with atomic_writer(path) as file:
        write(file, rows())
    return count


def _jsonl(file: IO[bytes], rows: Iterator[dict[str, Any]]) -> None:
    for row in rows:
        file.write(canonical_json(row).encode() + b"\n")


def _json(file: IO[bytes], rows: Iterator[dict[str, Any]]) -> None:
    before = b"[\n"
    for row in rows:
        file.write(before + canonical_json(row).encode())
        before = b",\n"
    file.write(b"\n]\n")


def _separated(delimiter: str) -> Callable[[IO[bytes], Iterator[dict[str, Any]]], None]:
    def write(file: IO[bytes], rows: Iterator[dict[str, Any]]) -> None:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        columns = _columns()
        writer = csv.DictWriter(text, columns, restval="", delimiter=delimiter)
        writer.writeheader()
        for row in map(_cells, rows):
            writer.writerow(
                {name: canonical_json(value) if name in AS_JSON else value for name, value in row.items()}
            )
        text.detach()

    return write


def _parquet(file: IO[bytes], rows: Iterator[dict[str, Any]]) -> None:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise ResourceError("exporting Parquet needs pyarrow: pip install 'hallmark[data]'") from None
    texts = arrow.list_(arrow.string())
    turns = arrow.list_(arrow.struct([("role", arrow.string()), ("content", arrow.string())]))
    kinds = {"messages": turns, "steps": texts, "choices": texts, ANSWER_LIST: texts}
    schema = arrow.schema([(name, kinds.get(name, arrow.string())) for name in _columns()])
    with parquet.ParquetWriter(file, schema) as writer:
        while batch := list(islice(rows, BATCH)):
            cells = [_cells(row) for row in batch]
            for row in cells:
                if "metadata" in row:  # any object: no type of a column fits
                    row["metadata"] = canonical_json(row["metadata"])
            writer.write_table(arrow.Table.from_pylist(cells, schema=schema))


def _columns() -> list[str]:
    place = FIELDS.index("final_answer") + 1
    return [*FIELDS[:place], ANSWER_LIST, *FIELDS[place:]]


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    if isinstance(row.get("final_answer"), list):
        row[ANSWER_LIST] = row.pop("final_answer")
    return row


WRITERS: dict[str, Callable[[IO[bytes], Iterator[dict[str, Any]]], None]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
    ".parquet": _parquet,
}
