"""`hallmark golden import` and `export`: datasets from files as people have them, and back."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from core.errors import InputError
from core.text import counted
from experiments.config import JUDGE_HELP
from hallmark import api
from hallmark.cli.completing import completes, datasets, judges
from hallmark.cli.options import JudgeArguments, Settings, judge_with, parse_settings
from hallmark.cli.terminal import Json, emit, out, relative
from hallmark.progress import progress_shown

Dataset = Annotated[
    str,
    typer.Argument(
        help="A built-in name (golden-v1) or the path of a .jsonl file named KEY-vN.jsonl.",
        autocompletion=completes(datasets),
    ),
]


def import_file(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|hf:ORG/NAME@REV:SPLIT",
            help="JSONL, JSON, CSV, TSV, Parquet, Arrow, a Hugging Face dataset directory, or a hub dataset.",
        ),
    ],
    name: Annotated[
        str,
        typer.Option(
            help="Key of the dataset, as in support; its version is 1, or the next one that is free."
        ),
    ],
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=COLUMN,...",
            help="Which column is which field, as in prompt=question,final_answer=answer,category=topic. "
            "a.b is what is inside an object; a+b is two columns, one under the other.",
        ),
    ] = None,
    format: Annotated[  # noqa: A002 - the option's name
        str | None,
        typer.Option(
            help="What the columns mean: hallmark, gsm8k, math, multiple_choice, sharegpt, messages, "
            "alpaca, prompt_completion, or columns (by their names). Default: found."
        ),
    ] = None,
    out_folder: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder of the dataset. Default: this one.")
    ] = Path(),
    train: Annotated[bool, typer.Option("--train", help="Make a training set, not a golden one.")] = False,
    training_set: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Training set that must not hold the golden items. Repeatable."),
    ] = None,
    golden: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="With --train: golden set of which it must hold nothing. Repeatable."
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Part of a directory, of a hub dataset or of a JSON object.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Of a text file, as in shift-jis. Default: found.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Take only so many items, drawn by --seed.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides the sample.")] = 0,
    licence: Annotated[str | None, typer.Option(help="SPDX identifier of the data's licence.")] = None,
    made_by: Annotated[
        str | None, typer.Option(help="How the items were made, for readers of the results.")
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            help="NAME@vN that a golden set is meant for; its answers are proved by it. Default: "
            "answer_correctness@v2, and choice@v1 for multiple choice.",
            autocompletion=completes(judges),
        ),
    ] = None,
    judge_arg: JudgeArguments = None,
    answer_is: Annotated[
        str | None,
        typer.Option(
            help="Of multiple choice: what an answer is: label (of a choice), text (of it), from-0 or from-1 "
            "(its number). Default: found from all rows."
        ),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave refused rows out; else they stop the import.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")] = False,
    json: Json = False,
) -> None:
    """Make a frozen dataset of a file. Shows what is taken and what is refused before anything is written.

    Asks on a terminal, unless --yes is given. Exits with 2 when rows are refused, unless --skip-bad leaves
    them out.
    """
    if golden and not train:
        raise InputError("--golden is for --train. A golden set is held against --training-set.")
    if training_set and train:
        raise InputError("--training-set is for golden sets. A training set is held against --golden.")
    from experiments.importing import import_prepared
    from hallmark.cli.show.imported import show_import, show_written

    with (
        progress_shown(),
        import_prepared(
            source,
            name,
            format=format,
            columns=column_map(columns or ()),
            train=train,
            out=out_folder,
            split=split,
            encoding=encoding,
            sample=sample,
            seed=seed,
            against=[*(golden or ()), *(training_set or ())],
            licence=licence,
            made_by=made_by,
            judge=judge_with(judge, judge_arg),
            answer_is=answer_is,
            skip_bad=skip_bad,
        ) as prepared,
    ):
        report = prepared.report
        if not json:
            show_import(report)
        if not report.blocked and (report.was_there or yes or json or _agreed(report.path)):
            report = prepared.write()
    if json:
        emit(report.model_dump(mode="json"))
    elif report.blocked:
        out.print(report.remedy(), markup=False)
    elif report.written or report.was_there:
        show_written(report)
    else:
        out.print("Nothing was written.")
    if report.blocked:
        raise typer.Exit(2)


def export_file(
    dataset: Dataset,
    file: Annotated[
        Path | None,
        typer.Argument(
            help="What to write: FILE.jsonl, .json, .csv, .tsv or .parquet; or the task's folder."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PATH", help="The same, as an option.")
    ] = None,
    format: Annotated[  # noqa: A002 - the option's name
        str | None,
        typer.Option(
            help="lm-eval or inspect: write a task of lm-evaluation-harness or inspect_ai, which Hallmark's "
            "judge scores, to a folder."
        ),
    ] = None,
    judge: Annotated[
        str | None, typer.Option(help=f"Of a task. {JUDGE_HELP}", autocompletion=completes(judges))
    ] = None,
    judge_arg: JudgeArguments = None,
    max_new_tokens: Annotated[
        int, typer.Option(min=1, help="Of a task: longest completion, in tokens.")
    ] = 256,
    others: Settings = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    json: Json = False,
) -> None:
    """Write a dataset to a file for other programs, or as a task of theirs.

    Imported again, a file has equal rows. A task asks as Hallmark asks (--set prompt.instruction=...).
    """
    if (target := file or output) is None or (file and output):
        raise InputError("golden export: name one file or folder to write, as in -o golden.csv")
    if format is not None:
        _export_task(
            dataset,
            target,
            format,
            judge=judge_with(judge, judge_arg),
            prompt=_prompt_of(others),
            max_new_tokens=max_new_tokens,
            force=force,
            json=json,
        )
        return
    if judge or others:
        raise InputError("golden export: --judge and --set are for a task: --format lm-eval or inspect")
    from golden.exporting import export_dataset

    with progress_shown():
        items = export_dataset(dataset, target, force)
    if json:
        emit({"path": str(target.absolute()), "items": items})
    else:
        out.print(f"{relative(target)}: {counted(items, 'item')} of {dataset}", markup=False)


def _prompt_of(others: list[str] | None) -> dict[str, Any]:
    """The settings of the prompt that were given.

    Raises:
        InputError: a setting is none of the prompt.
    """
    given = parse_settings(others, example="prompt.instruction='Be brief.'")
    if wrong := [name for name in given if not name.startswith("prompt.")]:
        raise InputError(
            f"--set {wrong[0]}: a task has settings of the prompt only, as in prompt.instruction"
        )
    return {name.removeprefix("prompt."): value for name, value in given.items()}


def _export_task(dataset: str, folder: Path, format: str, *, json: bool, **options: Any) -> None:  # noqa: A002
    written = api.export_task(dataset, folder, format, **options)
    if json:
        emit({"files": [str(path.absolute()) for path in written]})
        return
    for path in written:
        out.print(relative(path), markup=False, soft_wrap=True)
    task, shown = written[0], relative(folder)
    run = (
        f"lm_eval --model hf --model_args pretrained=MODEL --tasks {task.stem} --include_path {shown} "
        "--log_samples --output_path out"
        if format == "lm-eval"
        else f"inspect eval {relative(task)} --model hf/MODEL -M do_sample=false"
    )
    out.print_line(f"run it:  {run}")


def column_map(given: Iterable[str]) -> dict[str, str]:
    """Field -> column, of `field=column,field=column`.

    Raises:
        InputError: it is of another form, or names a field twice.

    Example:
        >>> column_map(["prompt=question,final_answer=answer", "category=topic"])
        {'prompt': 'question', 'final_answer': 'answer', 'category': 'topic'}
    """
    found: dict[str, str] = {}
    for pair in ",".join(given).split(",") if given else ():
        field, equals, column = (part.strip() for part in pair.partition("="))
        if not (field and equals and column):
            raise InputError(f"--map {shlex.quote(pair)}: expected FIELD=COLUMN, as in prompt=question")
        if field in found:
            raise InputError(f"--map: {field} is given twice, {found[field]} and {column}")
        found[field] = column
    return found


def _agreed(path: Path) -> bool:
    """Whether a person agrees, or nobody can be asked."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    return typer.confirm(f"Write {relative(path)}?", default=True)
