"""`hallmark golden`: datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.text import counted
from hallmark.cli import importing, power, revising
from hallmark.cli.completing import completes, datasets, judges
from hallmark.cli.help import Commands
from hallmark.cli.options import JudgeArguments, judge_with
from hallmark.cli.terminal import Json, emit, out
from hallmark.progress import progress_shown

app = Commands(
    no_args_is_help=True,
    help="Frozen datasets: import, check, freeze, power, guard against leaks, revise, diff, export.",
)
app.command("import")(importing.import_file)
app.command("export")(importing.export_file)
app.command("power")(power.power)
app.command("revise")(revising.revise)
app.command("diff")(revising.diff)

File = Annotated[
    str,
    typer.Argument(
        help="A built-in name (golden-v1) or the path of a .jsonl file named KEY-vN.jsonl.",
        autocompletion=completes(datasets),
    ),
]

Judge = Annotated[
    str | None,
    typer.Option(
        help="NAME@vN that the set is meant for. Default: the one that its manifest names, else "
        "answer_correctness@v1.",
        autocompletion=completes(judges),
    ),
]


@app.command("list")
def list_datasets(json: Json = False) -> None:
    """List the built-in datasets."""
    from golden.datasets import built_in_names, load_dataset
    from hallmark.cli.show.tables import plain_table

    rows = []
    for name in built_in_names():
        dataset = load_dataset(name)
        items = dataset.manifest.items if dataset.manifest else sum(1 for _ in dataset.items())
        rows.append({"name": name, "items": items, "sha256": dataset.sha256, "path": str(dataset.path)})
    if json:
        emit(rows)
        return
    table = plain_table(["dataset", "items", "sha256"], right=(1,))
    for row in rows:
        table.add_row(str(row["name"]), str(row["items"]), str(row["sha256"])[:32] + "...")
    out.print(table)


@app.command()
def check(
    file: File,
    judge: Judge = None,
    judge_arg: JudgeArguments = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Whose tokenizer counts the tokens of the answers.")
    ] = "tiny-base",
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest completion, in tokens. Default: as in an experiment.")
    ] = None,
    train: Annotated[
        bool, typer.Option("--train", help="Look at it as a training set; one that was imported as such is.")
    ] = False,
    json: Json = False,
) -> None:
    """Find everything that is wrong with a golden dataset, or worth a look. Exits with 2 on errors.

    Errors: lines that are not items, answers that cannot score 1, contradictions.
    Warnings: equal or nearly equal prompts, references that would be cut off,
    categories that are too small.
    """
    from experiments.linting import lint
    from hallmark.cli.show.lint import show_lint

    with progress_shown():
        found = lint(file, judge_with(judge, judge_arg), model, max_new_tokens, train)
    if json:
        emit(found.model_dump(mode="json"))
    else:
        show_lint(found, file)
    if found.errors:
        raise typer.Exit(2)


@app.command()
def freeze(
    file: File,
    licence: Annotated[str, typer.Option(help="SPDX identifier of the data's licence.")],
    made_by: Annotated[str, typer.Option(help="How the items were made, for readers of the results.")],
    judge: Judge = None,
    judge_arg: JudgeArguments = None,
    train: Annotated[
        bool, typer.Option("--train", help="It is a training set; nothing has to be proved of it.")
    ] = False,
    json: Json = False,
) -> None:
    """Prove that each answer can score 1, and write the manifest that pins the sha256 and names the judge."""
    from experiments.linting import freeze_dataset
    from golden.manifest import manifest_path
    from hallmark.cli.show.lint import show_copies

    with progress_shown():
        frozen = freeze_dataset(file, licence, made_by, judge_with(judge, judge_arg), train)
    manifest = frozen.manifest
    if json:
        emit({**manifest.model_dump(), "can_show": frozen.can_show})
        return
    show_copies(frozen.warnings)
    pinned = f"{counted(manifest.items, 'item')}, sha256 {manifest.sha256}"
    out.print(f"{manifest_path(Path(file))}: {manifest.name} is frozen, {pinned}", markup=False)
    if frozen.can_show:
        out.print(" ".join(frozen.can_show), markup=False)


@app.command()
def guard(
    train: Annotated[
        str,
        typer.Argument(
            help="Training dataset: a built-in name or a .jsonl file.", autocompletion=completes(datasets)
        ),
    ],
    golden: Annotated[
        str, typer.Argument(help="Golden dataset.", autocompletion=completes(datasets))
    ] = "golden-v1",
    write_clean: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the training set without the items that leak; KEY-vN.jsonl."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file of --write-clean.")] = False,
    json: Json = False,
) -> None:
    """Find training items that hold golden ones. Exits with 2 when there are any, unless it removes them.

    A twin resembles a golden item without holding it: it is shown, and refuses nothing.
    """
    from experiments import guarding
    from hallmark.cli.show.guard import show_guard

    if write_clean is not None:
        guarding.check_clean_copy(write_clean, force)
    with progress_shown():
        report = guarding.guard(train, golden)
    if write_clean is not None:
        guarding.write_clean(train, report.leaks, write_clean)
        report = report.model_copy(update={"written": write_clean})
    if json:
        emit(report.model_dump(mode="json"))
    else:
        show_guard(report)
    if report.leaks and write_clean is None:
        raise typer.Exit(2)
