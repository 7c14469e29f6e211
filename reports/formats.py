"""The forms that a report can have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from core.errors import InputError
from core.files import atomic_writer, open_for_reading
from core.suggestions import did_you_mean
from experiments.side_by_side import ItemAnswers, side_by_side
from registry import Registry
from reports.document import Report
from reports.examples import examples
from reports.github import MARK, SUMMARY_BYTES, github_markdown
from reports.html import GENERATOR, write_html
from reports.json_document import BEGIN, json_pieces
from reports.junit import PROPERTY, junit

BEGINNING = 4096
"""Bytes of a file in which it says what it is."""


@dataclass(frozen=True)
class Wanted:
    """What a form has beside the report itself. Each form takes what concerns it.

    Attributes:
        items: JUnit and JSON: every item. A page has them anyway.
        links: GitHub: name -> URL, at the end.
        limit: GitHub: bytes that the text stays below.
    """

    items: bool = False
    links: Mapping[str, str] = field(default_factory=dict)
    limit: int = SUMMARY_BYTES


class Writer(Protocol):
    """Writes a report to a file; the registry holds its items."""

    def __call__(self, report: Report, registry: Registry, wanted: Wanted, file: IO[bytes]) -> None:
        """Write it."""


class Format(NamedTuple):
    """A form of a report.

    Attributes:
        ending: of its files.
        mark: what its files have near their beginning, and no other file has.
        write: writes it.
    """

    ending: str
    mark: bytes
    write: Writer


def _items(report: Report, registry: Registry) -> Iterator[ItemAnswers]:
    """All of them, one at a time."""
    return side_by_side([registry.runs.finished(run.run_id) for run in report.runs], registry)


def _html(report: Report, registry: Registry, wanted: Wanted, file: IO[bytes]) -> None:
    del wanted
    write_html(report, _items(report, registry), file)


def _github(report: Report, registry: Registry, wanted: Wanted, file: IO[bytes]) -> None:
    text = github_markdown(report, examples(report, registry), wanted.limit, wanted.links)
    file.write(text.encode())


def _junit(report: Report, registry: Registry, wanted: Wanted, file: IO[bytes]) -> None:
    file.write(junit(report, _items(report, registry) if wanted.items else None))


def _json(report: Report, registry: Registry, wanted: Wanted, file: IO[bytes]) -> None:
    for piece in json_pieces(report, _items(report, registry) if wanted.items else None):
        file.write(piece.encode())


FORMATS = {
    "html": Format(".html", GENERATOR, _html),
    "github": Format(".md", MARK, _github),
    "junit": Format(".xml", PROPERTY, _junit),
    "json": Format(".json", BEGIN, _json),
}


def form(name: str) -> Format:
    """A form by its name.

    Raises:
        InputError: there is none; names those that there are.
    """
    if (found := FORMATS.get(name)) is None:
        raise InputError(
            f"--format {name}: unknown; formats are {', '.join(FORMATS)}.{did_you_mean(name, FORMATS)}"
        )
    return found


def write_report(
    report: Report,
    registry: Registry,
    path: Path | None = None,
    format: str = "html",  # noqa: A002 - what the option is called
    force: bool = False,
    wanted: Wanted | None = None,
) -> Path:
    """Write a report to a file, which appears whole or not at all.

    Args:
        report: of one run or two.
        registry: holds the items.
        path: the file; None for one in the working directory, named after the runs. An older report there is
            replaced.
        format: a key of `FORMATS`.
        force: replace a file that is no report.
        wanted: what it has beside the report itself.

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
    chosen = form(format)
    path = path or Path(
        f"report-{'-against-'.join(run.run_id for run in reversed(report.runs))}{chosen.ending}"
    )
    _check_target(path, chosen, force)
    with atomic_writer(path) as file:
        chosen.write(report, registry, wanted or Wanted(), file)
    return path


def _check_target(path: Path, chosen: Format, force: bool) -> None:
    if path.is_dir():
        raise InputError(f"{path}: is a directory. Name a file.")
    if path.exists() and not path.is_file():  # reading a pipe waits for ever; a device would be replaced
        raise InputError(f"{path}: is no regular file. Standard output is -o -")
    if force or not path.exists():
        return
    with open_for_reading(path) as file:
        if chosen.mark not in file.read(BEGINNING):
            raise InputError(
                f"{path}: is there already, and is no report. Name another, or --force replaces it."
            )
