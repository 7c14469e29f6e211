"""Freezing a dataset: the manifest that pins its sha256, so that no later change goes unnoticed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from core.errors import InputError
from golden.datasets import Dataset
from golden.manifest import Manifest, Revision, manifest_path, write_manifest


def category_counts(dataset: Dataset, train: bool = False) -> Counter[str | None]:
    """How many items each category has. Every item is read and checked.

    Args:
        dataset: any.
        train: whether it is a training set, whose lines may lack a category: they are counted under None.

    Raises:
        InputError: names file, line and field of the first problem.
    """
    return Counter(line.category for line in (dataset.traces() if train else dataset.items()))


def freeze(
    dataset: Dataset,
    licence: str,
    made_by: str,
    judge: str | None = None,
    train: bool = False,
    revision: Revision | None = None,
    bands: Mapping[str, Sequence[str]] | None = None,
) -> Manifest:
    """Check every item and write the manifest beside the file.

    Args:
        dataset: one that has no manifest yet.
        licence: SPDX identifier of the data's licence.
        made_by: how the items were made, for whoever reads the results.
        judge: NAME@vN of the judge that the set is meant for; None for the default.
        train: whether it is a training set.
        revision: what it was revised from.
        bands: difficulty band -> trace ids.

    Raises:
        InputError: it is frozen already, or an item is unusable.
    """
    refuse_frozen(dataset)
    counts = category_counts(dataset, train)
    manifest = Manifest(
        name=dataset.name,
        items=counts.total(),
        sha256=dataset.sha256,
        categories=dict(sorted((name, count) for name, count in counts.items() if name is not None)),
        licence=licence,
        made_by=made_by,
        judge=judge,
        purpose="training" if train else "golden",
        revision=revision,
        bands={band: list(ids) for band, ids in (bands or {}).items()},
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
