"""`hallmark compare`: two runs, item by item."""

from __future__ import annotations

from typing import Annotated

import typer

from hallmark import api
from hallmark.cli.terminal import Json, RunId, emit


def compare(
    baseline: RunId,
    candidate: RunId,
    flips: Annotated[
        int,
        typer.Option(min=0, help="Show this many items that got better and that got worse, with both texts."),
    ] = 0,
    all_categories: Annotated[
        bool, typer.Option("--all-categories", help="Show every category, not only the 20 that changed most.")
    ] = False,
    json: Json = False,
) -> None:
    """Compare two runs item by item: delta, interval, p value, per category."""
    from hallmark.cli.show.comparison import show_comparison, show_flips

    comparison = api.compare(baseline, candidate)
    if json:
        emit(comparison.model_dump(mode="json"))
        return
    show_comparison(comparison, all_categories)
    if flips:
        show_flips(comparison, flips)
