"""`hallmark compare`: two runs, item by item."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hallmark import api
from hallmark.cli.help import Command
from hallmark.cli.terminal import Json, RunId, emit

ALL = "all"


class WithFlips(Command):
    """`compare`, whose `--flips` needs no number."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Say `all` where no number follows."""
        given = list(args)
        for place in range(len(given), 0, -1):
            follows = given[place] if place < len(given) else ""
            if given[place - 1] == "--flips" and not (follows.isdecimal() or follows == ALL):
                given.insert(place, ALL)
        return super().parse_args(ctx, given)


def _count(text: str) -> str:
    if text != ALL and not text.isdecimal():
        raise typer.BadParameter(f"expected a number or nothing, got {text!r}")
    return text


def compare(
    baseline: RunId,
    candidate: RunId,
    flips: Annotated[
        str | None,
        typer.Option(
            metavar="[N]",
            parser=_count,
            help="Show the items that got worse and those that got better, with both whole texts and the "
            "words that differ; N: so many of each. Opens $HALLMARK_PAGER, $PAGER or less on a terminal.",
        ),
    ] = None,
    worse: Annotated[bool, typer.Option("--worse", help="Show only items that got worse.")] = False,
    better: Annotated[bool, typer.Option("--better", help="Show only items that got better.")] = False,
    category: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Show only items of this category. Repeatable.")
    ] = None,
    item: Annotated[
        list[str] | None,
        typer.Option(metavar="TRACE_ID", help="Show this item, changed or not. Repeatable."),
    ] = None,
    pager: Annotated[bool, typer.Option("--pager/--no-pager", help="Show items in a pager.")] = True,
    all_categories: Annotated[
        bool, typer.Option("--all-categories", help="Show every category, not only the 20 that changed most.")
    ] = False,
    json: Json = False,
) -> None:
    """Compare two runs item by item: delta, interval, p value, per category; and what each answered."""
    from hallmark.cli.pager import paged
    from hallmark.cli.show.comparison import show_comparison
    from hallmark.cli.show.flips import Chosen, chosen_items, show_items
    from hallmark.cli.workspace import open_registry

    comparison = api.compare(baseline, candidate)
    if not (flips or worse or better or category or item):
        if json:
            emit(comparison.model_dump(mode="json"))
        else:
            show_comparison(comparison, all_categories)
        return
    chosen = Chosen(
        worse=worse or not better,
        better=better or not worse,
        categories=category or (),
        items=item or (),
        most=None if flips in (None, ALL) else int(flips),
    )
    items = chosen_items(comparison, chosen, open_registry())
    if json:
        emit(
            {**comparison.model_dump(mode="json"), "items": [each.model_dump(mode="json") for each in items]}
        )
        return
    with paged(pager) as page:
        show_comparison(comparison, all_categories, page)
        if not show_items(items, page):
            page.print()
            page.print("no such items")
