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


class SeenRun(BaseModel):
    """A run whose answers somebody looked at before items were changed.

    Attributes:
        model_sha256: of the weights that it judged, by which other runs of them are known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    run_id: str
    model_sha256: str


class RevisedFrom(BaseModel):
    """That a dataset is another one, changed after looking at answers to it.

    Attributes:
        parent: key and version of the other one.
        parent_sha256: of its file.
        changed: how many of its items were changed or removed.
        looked_at: the runs whose answers the reviewers had before them, those of the parent's own revision
            included, in the order of their ids.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    parent: str
    parent_sha256: str
    changed: int
    looked_at: list[SeenRun]

    def is_about(self, model_sha256: str | None) -> bool:
        """Whether answers of these weights were looked at."""
        return any(run.model_sha256 == model_sha256 for run in self.looked_at)


class Opinion(BaseModel):
    """What one reviewer said of an item.

    Attributes:
        reviewer: who.
        note: why.
        at: when, ISO 8601 in UTC.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    reviewer: str
    note: str = ""
    at: str


Change = Literal["reference_replaced", "answers_added", "removed"]


class ChangedItem(BaseModel):
    """An item that a revision changed or removed, and why.

    Attributes:
        change: what was done to it.
        reason: the reviewers' verdict: reference_wrong, both_right or unclear.
        by: who said so, in the order in which they did.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    trace_id: str
    change: Change
    reason: str
    by: list[Opinion]


class Revision(RevisedFrom):
    """The same with every item that was changed or removed, in the parent's order."""

    items: list[ChangedItem]

    def without_items(self) -> RevisedFrom:
        """What a run records of it."""
        return RevisedFrom.model_validate(self.model_dump(exclude={"items"}))


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
    revision: Revision | None = Field(
        default=None, description="the dataset that it was made from by review, and what was changed"
    )


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
