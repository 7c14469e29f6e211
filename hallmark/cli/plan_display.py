"""`hallmark doctor --plan`: what training needs, against what the card has."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from rich.text import Text

from core.progress import current_listener
from hallmark.cli.terminal import emit, out


def show_plan(model: str, batch: str, length: str, settings: list[str] | None, json: bool) -> None:
    """Compile the training steps in a process of their own and print their memory as a table.

    Raises:
        InputError: the model or a number cannot be used.
    """
    from core.child_process import run_child
    from core.config import validated
    from experiments.config import TrainRunConfig, nested
    from experiments.references import resolve_model
    from experiments.workspace import open_workspace
    from hallmark.cli.run_commands import parse_settings
    from trainer.contract import PlanResult, PlanSpec

    workspace = open_workspace()
    found = resolve_model(model, workspace.home, workspace.registry.models.directory)
    config = validated(
        TrainRunConfig, nested({"base_model": model, **parse_settings(settings)}), "doctor"
    ).train
    spec = PlanSpec(
        model=found.path,
        config=config,
        batches=_numbers("--batch", batch),
        lengths=_numbers("--length", length),
    )
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.txt"
        result = run_child(
            "trainer.planning", spec, PlanResult, threads=config.threads, log=log, listener=current_listener()
        )
    if json:
        emit(result.model_dump(mode="json"))
    else:
        _print(model, result, config.dtype)


def _numbers(option: str, text: str) -> list[int]:
    from core.errors import InputError

    parts = text.split(",")
    if not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise InputError(f"{option} {text}: expected positive numbers separated by commas, as in 1,4,16")
    return [int(part) for part in parts]


def _print(model: str, result: Any, dtype: str) -> None:
    from hallmark.cli.tables import plain_table
    from trainer.contract import GB

    limit = result.limit_bytes
    card = (
        "no card here; say how large yours is: --set train.memory_gb=16"
        if limit is None
        else f"{limit / GB:.2f} GB"
    )
    out.print(
        Text(f"Training {model}: {result.parameters / 1e6:,.1f} M parameters, computed in {dtype}", "bold")
    )
    out.print(f"compiled for {result.platform}; memory: {card}", markup=False)
    out.print()
    table = plain_table(
        ["method", "batch", "length", "weights", "optimizer", "working", "total", ""],
        right=(1, 2, 3, 4, 5, 6),
    )
    for row in result.rows:
        memory = row.memory
        fits = (
            Text("")
            if limit is None
            else Text("fits", "green")
            if memory.total <= limit
            else Text("too much", "red")
        )
        sizes = (
            f"{size / GB:.2f} GB" for size in (memory.weights, memory.optimizer, memory.working, memory.total)
        )
        table.add_row(row.method, str(row.batch_size), str(row.sequence_length), *sizes, fits)
    out.print(table)
