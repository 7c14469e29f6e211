"""`hallmark golden`: datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hallmark.cli import power
from hallmark.cli.terminal import Json, emit, out

app = typer.Typer(
    no_args_is_help=True, help="Frozen datasets: list, check, freeze, power, guard against contamination."
)
app.command("power")(power.power)

File = Annotated[
    str, typer.Argument(help="A built-in name (golden-v1) or the path of a .jsonl file named KEY-vN.jsonl.")
]


@app.command("list")
def list_datasets(json: Json = False) -> None:
    """List the built-in datasets."""
    from golden.datasets import built_in_names, load_dataset

    rows = []
    for name in built_in_names():
        dataset = load_dataset(name)
        items = dataset.manifest.items if dataset.manifest else sum(1 for _ in dataset.items())
        rows.append({"name": name, "items": items, "sha256": dataset.sha256, "path": str(dataset.path)})
    if json:
        emit(rows)
        return
    table = Table(box=None, pad_edge=False)
    for column in ("dataset", "items", "sha256"):
        table.add_column(column, justify="right" if column == "items" else "left")
    for row in rows:
        table.add_row(str(row["name"]), str(row["items"]), str(row["sha256"]))
    out.print(table)


@app.command()
def check(file: File, json: Json = False) -> None:
    """Check a dataset line by line, and against its manifest where it has one.

    Stops at the first problem and names file, line and field.
    """
    from golden.datasets import load_dataset
    from golden.freezing import category_counts

    dataset = load_dataset(file)
    categories = category_counts(dataset)
    items = sum(categories.values())
    facts = {
        "name": dataset.name,
        "path": str(dataset.path),
        "sha256": dataset.sha256,
        "items": items,
        "categories": categories,
        "frozen": dataset.manifest is not None,
    }
    if json:
        emit(facts)
        return
    out.print(f"{dataset.name}: {items} items, all good", markup=False)
    out.print(f"sha256 {dataset.sha256}")
    for category, count in categories.items():
        out.print(f"  {category:<24} {count:>6}", markup=False)
    out.print(
        "frozen: the sha256 is the manifest's"
        if dataset.manifest
        else f"not frozen yet: hallmark golden freeze {file} --licence SPDX --made-by TEXT",
        markup=False,
    )


@app.command()
def freeze(
    file: File,
    licence: Annotated[str, typer.Option(help="SPDX identifier of the data's licence.")],
    made_by: Annotated[str, typer.Option(help="How the items were made, for readers of the results.")],
    json: Json = False,
) -> None:
    """Write the manifest that pins a dataset's sha256, so that no later change goes unnoticed."""
    from golden.datasets import load_dataset
    from golden.freezing import freeze as write
    from golden.manifest import manifest_path

    dataset = load_dataset(file)
    manifest = write(dataset, licence, made_by)
    if json:
        emit(manifest.model_dump())
        return
    pinned = f"{manifest.items} items, sha256 {dataset.sha256}"
    out.print(f"{manifest_path(dataset.path)}: {dataset.name} is frozen, {pinned}", markup=False)


@app.command()
def guard(
    train: Annotated[str, typer.Argument(help="Training dataset: a built-in name or a .jsonl file.")],
    golden: Annotated[str, typer.Argument(help="Golden dataset.")] = "golden-v1",
    json: Json = False,
) -> None:
    """Find training items that repeat golden items. Exits with 2 when there are any."""
    from golden.datasets import load_dataset
    from golden.guard import find_overlaps

    overlaps = list(find_overlaps(load_dataset(train).items(), load_dataset(golden).items()))
    if json:
        emit([overlap.model_dump() for overlap in overlaps])
    else:
        for overlap in overlaps:
            out.print(
                f"{overlap.train_id} ~ {overlap.golden_id} ({overlap.kind}): {overlap.shared[:100]}",
                markup=False,
            )
        out.print(
            f"{len(overlaps)} of the items in {Path(train).name} "
            f"{'overlaps' if len(overlaps) == 1 else 'overlap'} with {Path(golden).name}",
            markup=False,
        )
    if any(overlap.refuses for overlap in overlaps):
        raise typer.Exit(2)
