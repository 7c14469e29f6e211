"""The manifest beside a dataset: what the file must hold, and where it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import InputError, IntegrityError
from core.files import read_json, write_json
from core.judge_reference import JudgeReference

DEFAULT_JUDGE = "answer_correctness@v1"
"""Judges the datasets whose manifest names no other."""

IMPORTED_JUDGE = "answer_correctness@v2"
"""Named by the manifest of an imported golden set, where nobody names another."""


MANIFEST_SUFFIX = ".manifest.json"
"""What stands for `.jsonl` in the name of a manifest."""


class Origin(BaseModel):
    """What a dataset was imported from.

    Attributes:
        source: the file's name, or the hub dataset with its commit and split.
        sha256: of the file; of several, over their names, sizes and contents.
        format: how its columns were read.
        map: field -> column, as given.
        answer_is: of multiple choice: what an answer is: label, text, from-0 or from-1 (a number).
        rows: how many it has.
        refused: rows that were left out because they make no item.
        duplicates: rows that were left out because they repeat another one.
        sample: how many items were drawn; None where all were taken.
        seed: of the sample.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    sha256: str
    format: str
    map: dict[str, str] = Field(default_factory=dict)
    answer_is: str | None = None
    rows: int
    refused: int = 0
    duplicates: int = 0
    sample: int | None = None
    seed: int | None = None


class Manifest(BaseModel):
    """The facts about a frozen dataset that a reader checks the file against."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="key and version, as in golden-v1")
    items: int = Field(gt=0, description="number of lines")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="sha256 of the .jsonl file")
    categories: dict[str, int] = Field(description="category -> number of items")
    bands: dict[str, list[str]] = Field(default_factory=dict, description="difficulty band -> trace ids")
    licence: str = Field(description="SPDX identifier; unknown where nobody said")
    made_by: str = Field(description="how the items were made")
    judge: JudgeReference | None = Field(
        default=None, description="the judge that the set is meant for: NAME@vN, with its parameters"
    )
    purpose: Literal["golden", "training"] | None = Field(
        default=None, description="golden or training; None in manifests from before it was written"
    )
    origin: Origin | None = Field(default=None, description="what it was imported from")


def manifest_path(dataset: Path) -> Path:
    """Where the manifest of a .jsonl file is."""
    return dataset.with_suffix(MANIFEST_SUFFIX)


def write_manifest(dataset: Path, manifest: Manifest) -> None:
    """Write the manifest beside its dataset."""
    write_json(manifest_path(dataset), manifest.model_dump(exclude_none=True))


def read_manifest(dataset: Path) -> Manifest | None:
    """The manifest beside a dataset, or None where there is none.

    Raises:
        InputError: the manifest itself is not valid; names the field.
    """
    path = manifest_path(dataset)
    if not path.exists():
        return None
    try:
        return Manifest.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise InputError(f"{path}: {field}: {first['msg']}") from None


def check_against_manifest(dataset: Path, sha256: str, manifest: Manifest) -> None:
    """Compare a file's hash with the one its manifest pins.

    Raises:
        IntegrityError: they differ; names both.
    """
    if sha256 != manifest.sha256:
        raise IntegrityError(
            f"{dataset}: changed since it was frozen: expected sha256 {manifest.sha256}, found {sha256}. "
            "Restore the file, or publish the change as a new version with a manifest of its own."
        )
