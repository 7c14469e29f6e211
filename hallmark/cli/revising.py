"""`hallmark golden revise` and `hallmark golden diff`: the next version of a dataset, and what changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.errors import InputError
from hallmark import api
from hallmark.cli.completing import completes, datasets, judged_datasets
from hallmark.cli.terminal import Json, emit, relative

Named = Annotated[
    str,
    typer.Argument(
        help="A path, a built-in name, or the name of a dataset that is here or recorded.",
        autocompletion=completes(judged_datasets, datasets),
    ),
]


def revise(
    dataset: Named,
    from_review: Annotated[
        bool, typer.Option("--from-review", help="Change what its reviews say: hallmark review list.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Where it is written. Default: beside the file."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--as", metavar="KEY-vN", help="Its name. Default: the next version.")
    ] = None,
    json: Json = False,
) -> None:
    """Write the next version of a golden dataset, as its reviews say, and freeze it.

    A wrong reference is replaced by the reviewers' answer; without one, and where it is unclear,
    the item is removed; where both are right, the other answers are accepted too.
    """
    if not from_review:
        raise InputError(f"golden revise {dataset}: from what? Its reviews: --from-review")
    found = api.revise(dataset, folder, name=name)
    if json:
        emit({**found.model_dump(mode="json"), "counts": found.counts})
        return
    from hallmark.cli.show.revising import show_revised

    show_revised(found, relative(found.path))


def diff(first: Named, second: Named, json: Json = False) -> None:
    """Show which items were added, removed or changed from one dataset to another, field by field.

    Where the second was revised from the first, with who said so and why.
    """
    from experiments.datasets import named_dataset
    from experiments.workspace import open_workspace
    from golden.differences import DatasetDiff

    registry = open_workspace().registry
    one, two = (named_dataset(reference, registry) for reference in (first, second))
    found = DatasetDiff(one, two)
    if json:
        emit(found.document())
        return
    from hallmark.cli.show.revising import show_diff

    show_diff(found)
