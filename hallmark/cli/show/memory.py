"""What training needs, against what the GPU has, as text."""

from __future__ import annotations

from rich.text import Text

from hallmark.cli.show.tables import plain_table
from hallmark.cli.terminal import out
from trainer.contract import GB, PlanResult


def show_memory(model: str, result: PlanResult, dtype: str) -> None:
    """Print the memory of each combination of method, batch and length.

    Args:
        model: as it was asked for.
        result: of the compilation.
        dtype: what is computed in.
    """
    limit = result.limit_bytes
    available = (
        "no GPU here; say how large yours is: --set train.memory_gb=16"
        if limit is None
        else f"{limit / GB:.2f} GB"
    )
    out.print(
        Text(f"Training {model}: {result.parameters / 1e6:,.1f} M parameters, computed in {dtype}", "bold")
    )
    out.print(f"compiled for {result.platform}; memory: {available}", markup=False)
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
