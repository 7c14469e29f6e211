"""A report as JSON, for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from core.files import canonical_json
from core.text import quiet_json
from experiments.side_by_side import ItemAnswers
from reports.document import Report

SCHEMA_VERSION = 1
"""Of the document. A field may be added without a new number; none goes away or changes its meaning."""
BEGIN = b'{\n  "schema_version": '
"""How a document of ours begins."""


def json_document(report: Report, items: Iterable[ItemAnswers] | None = None) -> dict[str, Any]:
    """A report with its version, its headline and, where they are given, all items."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "title": report.title,
        "headline": report.headline,
        **report.model_dump(mode="json"),
    }
    return document if items is None else {**document, "items": [item.model_dump() for item in items]}


def json_pieces(report: Report, items: Iterable[ItemAnswers] | None = None) -> Iterator[str]:
    """The same as text, with the items one a line and one at a time, since there may be 100,000.

    Example:
        >>> json.loads("".join(json_pieces(report)))["schema_version"]
        1
    """
    encoder = json.JSONEncoder(indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    version, *rest = json_document(report).items()
    document = (
        BEGIN.decode() + f"{version[1]},\n" + quiet_json(encoder.encode(dict(rest))).removeprefix("{\n")
    )
    if items is None:
        yield f"{document}\n"
        return
    yield f'{document.removesuffix("}").rstrip()},\n  "items": ['
    divider = "\n"
    for item in items:
        yield divider + quiet_json(canonical_json(item.model_dump()))
        divider = ",\n"
    yield "\n]}\n"
