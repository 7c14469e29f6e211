"""Rows of Parquet and Arrow files, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.errors import InputError, ResourceError
from core.files import open_for_reading
from core.progress import quiet_meter
from golden.importing.rows import Row, Table, refuse_repeated

BATCH = 1000
MAGIC = b"ARROW1"
"""How the file format begins, and the stream format does not."""


def parquet_table(path: Path) -> Table:
    """A Parquet file as a table.

    Raises:
        InputError: it is no Parquet file, or is damaged.
        ResourceError: pyarrow is not installed.
    """
    arrow = _arrow(path)
    import pyarrow.parquet as parquet

    try:
        with parquet.ParquetFile(path) as file:
            columns, total = list(file.schema_arrow.names), file.metadata.num_rows
    except (arrow.ArrowException, OSError) as error:
        raise _unreadable(path, "Parquet", error) from None

    def batches() -> Iterator[Any]:
        with parquet.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=BATCH)

    refuse_repeated(columns, path)
    return Table(path, "Parquet", "row", columns, lambda: _rows(path, "Parquet", batches(), total))


def arrow_table(path: Path) -> Table:
    """An Arrow file, of the stream format (as `save_to_disk` writes) or the file format, as a table.

    Raises:
        InputError: it is no Arrow file, or is damaged.
        ResourceError: pyarrow is not installed.
    """
    arrow = _arrow(path)
    with open_for_reading(path) as beginning:
        is_file = beginning.read(len(MAGIC)) == MAGIC

    def opened(source: Any) -> Any:
        if not is_file:
            return arrow.ipc.open_stream(source)
        file = arrow.ipc.open_file(source)
        parts = (file.get_batch(number) for number in range(file.num_record_batches))
        return arrow.RecordBatchReader.from_batches(file.schema, parts)

    def batches() -> Iterator[Any]:
        with arrow.memory_map(str(path)) as source:
            for batch in opened(source):
                for start in range(0, batch.num_rows, BATCH):
                    yield batch.slice(start, BATCH)

    try:
        with arrow.memory_map(str(path)) as source:
            columns = list(opened(source).schema.names)
    except (arrow.ArrowException, OSError) as error:
        raise _unreadable(path, "Arrow", error) from None
    refuse_repeated(columns, path)
    return Table(path, "Arrow", "row", columns, lambda: _rows(path, "Arrow", batches(), 0))


def _rows(path: Path, kind: str, batches: Iterator[Any], total: int) -> Iterator[Row]:
    arrow = _arrow(path)
    meter, number = quiet_meter("read", total, "rows"), 0
    try:
        for batch in batches:
            for values in batch.to_pylist():
                number += 1
                yield Row(number, values)
            if total:
                meter.update(number)
    except (arrow.ArrowException, OSError) as error:
        raise _unreadable(path, kind, error) from None


def _arrow(path: Path) -> Any:
    try:
        import pyarrow
    except ImportError:
        raise ResourceError(f"{path}: reading it needs pyarrow: pip install 'hallmark[data]'") from None
    return pyarrow


def _unreadable(path: Path, kind: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:200]
    return InputError(f"{path}: is no {kind} file, or is damaged: {reason}")
