"""Freezing a dataset: the manifest that pins its sha256, so that no later change goes unnoticed."""

from __future__ import annotations

from collections import Counter

from core.errors import InputError
from golden.datasets import Dataset
from golden.manifest import Manifest, manifest_path, write_manifest


def category_counts(dataset: Dataset) -> dict[str, int]:
    """How many items each category has, by name. Every item is read and checked.

    Raises:
        InputError: names file, line and field of the first problem.
    """
    return dict(sorted(Counter(item.category for item in dataset.items()).items()))


def freeze(dataset: Dataset, licence: str, made_by: str, judge: str | None = None) -> Manifest:
    """Check every item and write the manifest beside the file.

    Args:
        dataset: one that has no manifest yet.
        licence: SPDX identifier of the data's licence.
        made_by: how the items were made, for whoever reads the results.
        judge: NAME@vN of the judge that the set is meant for; None for the default.

    Raises:
        InputError: it is frozen already, or an item is unusable.
    """
    refuse_frozen(dataset)
    categories = category_counts(dataset)
    manifest = Manifest(
        name=dataset.name,
        items=sum(categories.values()),
        sha256=dataset.sha256,
        categories=categories,
        licence=licence,
        made_by=made_by,
        judge=judge,
    )
    write_manifest(dataset.path, manifest)
    return manifest


def refuse_frozen(dataset: Dataset) -> None:
    """Refuse a dataset that has a manifest.

    Raises:
        InputError: it has one.
    """
    if dataset.manifest is not None:
        raise InputError(
            f"{manifest_path(dataset.path)}: {dataset.name} is frozen already. A change is a new version."
        )
