"""The forms that a report can have as a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from core.errors import InputError
from core.files import atomic_writer, open_for_reading
from experiments.side_by_side import ItemAnswers, side_by_side
from registry import Registry
from reports.document import Report
from reports.html import GENERATOR, write_html

BEGINNING = 4096
"""Bytes of a file in which it says what it is."""

Writer = Callable[[Report, Iterator[ItemAnswers], IO[bytes]], None]


class Format(NamedTuple):
    """A form of a report.

    Attributes:
        ending: of its files.
        mark: what its files have near their beginning, and no other file has.
        write: writes a report and its items, which come one at a time, to a file.
    """

    ending: str
    mark: bytes
    write: Writer


FORMATS = {"html": Format(".html", GENERATOR, write_html)}


def write_report(
    report: Report,
    registry: Registry,
    path: Path | None = None,
    format: str = "html",  # noqa: A002 - what the option is called
    force: bool = False,
) -> Path:
    """Write a report to a file, which appears whole or not at all.

    Args:
        report: of one run or two.
        registry: holds the items.
        path: the file; None for one in the working directory, named after the runs. An older report there is
            replaced.
        format: a key of `FORMATS`.
        force: replace a file that is no report.

    Returns:
        Where it is.

    Raises:
        InputError: the format is not known, or there is something at the path that is no report.
        IntegrityError: the items were changed.
        ResourceError: it cannot be written.

    Example:
        >>> write_report(report_on("141014", registry, "140903"), registry, Path("report.html"))
        PosixPath('report.html')
    """
    chosen = FORMATS.get(format)
    if chosen is None:
        raise InputError(f"--format {format}: unknown; formats are {', '.join(FORMATS)}")
    path = path or Path(
        f"report-{'-against-'.join(run.run_id for run in reversed(report.runs))}{chosen.ending}"
    )
    _check_target(path, chosen, force)
    runs = [registry.runs.finished(run.run_id) for run in report.runs]
    with atomic_writer(path) as file:
        chosen.write(report, side_by_side(runs, registry), file)
    return path


def _check_target(path: Path, chosen: Format, force: bool) -> None:
    if path.is_dir():
        raise InputError(f"{path}: is a directory. Name a file.")
    if force or not path.exists():
        return
    with open_for_reading(path) as file:
        if chosen.mark not in file.read(BEGINNING):
            raise InputError(
                f"{path}: is there already, and is no report. Name another, or --force replaces it."
            )
