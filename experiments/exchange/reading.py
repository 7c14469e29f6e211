"""Which of the known formats a file with predictions has, and what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import no_such_file, open_for_reading, sha256_file
from core.suggestions import did_you_mean
from experiments.exchange.inspect_logs import is_inspect, read_inspect
from experiments.exchange.lm_eval_samples import is_lm_eval, read_lm_eval
from experiments.exchange.openai_batch import is_openai_batch, read_openai_batch
from experiments.exchange.rows import FORMATS, Content, Format, json_lines, parse_lenient
from experiments.exchange.tables import read_table

READERS = {"lm-eval": read_lm_eval, "inspect": read_inspect, "openai-batch": read_openai_batch}


@dataclass(frozen=True)
class PredictionsFile:
    """A file that was read.

    Attributes:
        path: where it is.
        sha256: of its bytes.
        format: which.
        detected: whether the format was found, not given.
        content: its rows, and what it says of them.
    """

    path: Path
    sha256: str
    format: Format
    detected: bool
    content: Content


def read_predictions_file(
    path: Path,
    format: str | None = None,  # noqa: A002 - what the option is called
    columns: Mapping[str, str] | None = None,
) -> PredictionsFile:
    """Read predictions of any of the known formats.

    Args:
        path: the file.
        format: None to find it from the content.
        columns: of a table: part of a row -> column.

    Raises:
        InputError: there is no such file, its format is not known, or it has no rows.
        ResourceError: reading it needs a package.
    """
    if path.is_dir():
        inside = sorted(each.name for each in path.iterdir() if each.suffix in (".jsonl", ".eval", ".json"))
        raise InputError(
            f"{path}: is a directory. Name a file in it: {', '.join(inside[:10]) or 'it has none'}"
        )
    if not path.exists():
        raise InputError(f"{path}: no such file. {no_such_file(path)}")
    named = next((each for each in FORMATS if each == format), None)
    if format is not None and named is None:
        raise InputError(
            f"--format {format}: unknown; known are {', '.join(FORMATS)}.{did_you_mean(format, FORMATS)}"
        )
    chosen = named or _found(path)
    if columns and chosen != "jsonl":
        raise InputError(f"--map: is for plain files, and {path} is read as {chosen}")
    content = read_table(path, columns) if chosen == "jsonl" else READERS[chosen](path)
    if not content.rows:
        raise InputError(f"{path}: has no predictions.")
    return PredictionsFile(path, sha256_file(path), chosen, named is None, content)


def _found(path: Path) -> Format:
    """The format of a file, by how it begins."""
    with open_for_reading(path) as file:
        head = file.read(4)
    if not head:
        raise InputError(f"{path}: is empty.")
    if head[:2] == b"PK":
        return "inspect"
    if head == b"PAR1" or path.suffix.lower() in (".csv", ".tsv", ".parquet", ".pq", ".txt"):
        return "jsonl"
    first: Any = next((value for _, value in json_lines(path)), None)
    if isinstance(first, dict):
        if is_lm_eval(first):
            return "lm-eval"
        if is_openai_batch(first):
            return "openai-batch"
        if not is_inspect(first):
            _refuse_results(path, first)
            return "jsonl"
    if head.lstrip()[:1] != b"{" or path.suffix.lower() in (".jsonl", ".ndjson"):
        return "jsonl"
    try:
        whole = first if isinstance(first, dict) else parse_lenient(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: neither lines of JSON nor one JSON document: {error}") from None
    _refuse_results(path, whole)
    return "inspect" if is_inspect(whole) else "jsonl"


def _refuse_results(path: Path, value: Any) -> None:
    if isinstance(value, dict) and {"results", "configs"} <= value.keys():
        raise InputError(
            f"{path}: holds lm-evaluation-harness's results. Its predictions are in samples_TASK_DATE.jsonl "
            "beside it, where it was run with --log_samples."
        )
