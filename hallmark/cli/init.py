"""`hallmark init`: from a model and a file of questions to the settings of an experiment."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from core.errors import HallmarkError, InputError
from experiments.config import MODEL_HELP
from hallmark.cli.completing import completes, judges, models
from hallmark.cli.terminal import Json, emit
from hallmark.progress import err, progress_shown

SOURCE_HELP = "a file (JSONL, JSON, CSV, TSV, Parquet), a dataset directory, or hf:ORG/NAME@REVISION:SPLIT"


def init(
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help=f"The model to start from. {MODEL_HELP}", autocompletion=completes(models)
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", help=f"Questions with their right answers: {SOURCE_HELP}."),
    ] = None,
    train_data: Annotated[
        str | None,
        typer.Option(help="What to train on, likewise. Default: what the golden set leaves of --data."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", "-n", help="Of model and datasets. Default: from the name of the data."),
    ] = None,
    golden_items: Annotated[
        int | None,
        typer.Option(min=1, help="Questions in the golden set, drawn at random. Default: at most 300."),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            help="Judge of the golden set. Default: what suits its format.", autocompletion=completes(judges)
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FIELD=COLUMN", help="As in golden import. Separated by commas."),
    ] = None,
    format: Annotated[  # noqa: A002 - what the option is called
        str | None, typer.Option("--format", help="As in golden import. Default: what is found.")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="As in golden import. Default: what is found.")] = None,
    answer_is: Annotated[str | None, typer.Option(help="As in golden import, of multiple choice.")] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out rows that make no item; else they stop it.")
    ] = False,
    memory_gb: Annotated[
        float | None,
        typer.Option(min=0.1, help="Memory of the GPU to plan for, in 10^9 bytes. Default: this machine's."),
    ] = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Plan for the CPU although there is a GPU.")] = False,
    minutes: Annotated[
        float, typer.Option(min=0.1, help="How long training may take on a CPU. A GPU trains one epoch.")
    ] = 30,
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The file to write.")] = Path(
        "hallmark.toml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    json: Json = False,
) -> None:
    """Bring a model and your data together: import, check, and write settings that suit both.

    Asks for what is missing on a terminal. Writes data/NAME-vN.jsonl, data/NAME-train-vN.jsonl
    and hallmark.toml, and says the one command to run next.
    """
    from hallmark.cli.importing import column_map
    from hallmark.cli.show.init import show_prepared
    from hallmark.preparing import Wanted, check_model, check_source, prepare

    if config.exists() and not force:
        raise InputError(f"{config}: is there already. Remove it, or replace it with --force.")
    if not json and sys.stdin.isatty():
        model = model or _asked("Model (a directory or a hub id)", check_model)
        data = data or _asked("Questions with right answers (a file or hf:ORG/NAME@REV:SPLIT)", check_source)
        others = "What to train on (empty: the rest of the questions)"
        train_data = train_data or _asked(others, check_source, "")
    if model is None or data is None:
        missing = " and ".join(name for name, value in (("--model", model), ("--data", data)) if not value)
        raise InputError(f"{missing}: missing, and there is no terminal to ask on")
    wanted = Wanted(
        model=model,
        data=data,
        train_data=train_data,
        name=name,
        golden_items=golden_items,
        judge=judge,
        columns=column_map(columns or []),
        format=format,
        encoding=encoding,
        answer_is=answer_is,
        skip_bad=skip_bad,
        memory_gb=memory_gb,
        cpu=cpu,
        minutes=minutes,
        config=config,
    )
    with progress_shown():
        prepared = prepare(wanted)
    if json:
        emit(prepared.model_dump(mode="json"))
    else:
        show_prepared(prepared)


def _asked(question: str, check: Callable[[str], None], default: str | None = None) -> str | None:
    """An answer that passes a check; the question is asked again until one does. None for an empty one."""
    while True:
        typed = str(typer.prompt(question, default=default, show_default=False))
        answer = str(Path(typed).expanduser()) if typed.startswith("~") else typed
        if not answer:
            return None
        try:
            check(answer)
        except HallmarkError as error:
            err.print(str(error), style="red", markup=False)
        else:
            return answer
