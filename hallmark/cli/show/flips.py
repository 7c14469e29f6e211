"""Items with what two runs answered, whole and side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from core.errors import InputError
from core.suggestions import did_you_mean
from core.text import visible_lines
from core.words import Span, differing
from evaluation.comparison import Comparison
from experiments.answers import Written
from experiments.side_by_side import ItemAnswers, side_by_side
from hallmark.console import PlainConsole
from registry import Registry, Run

SIDES = ("baseline", "candidate")
STYLES = ("bold underline red", "bold underline green")
"""Of the words that differ."""
LABEL = 10
SHOWN = 5
"""Names that an error lists."""
WIDE = 120
"""Columns from which both answers stand beside each other."""


@dataclass(frozen=True)
class Chosen:
    """Which items are wanted.

    Attributes:
        worse: those that got worse.
        better: those that got better.
        categories: only of these; of any where there are none.
        items: only these, changed or not.
        most: how many that got worse, and how many that got better.
    """

    worse: bool = True
    better: bool = True
    categories: Sequence[str] = ()
    items: Sequence[str] = ()
    most: int | None = None


def chosen_items(comparison: Comparison, chosen: Chosen, registry: Registry) -> Iterator[ItemAnswers]:
    """The items that are wanted: those that got worse first. They are read one at a time.

    Args:
        comparison: of two recorded runs.
        chosen: which.
        registry: holds the runs.

    Raises:
        InputError: there is no such category or item; or the items are not to be had.
    """
    runs = [registry.runs.finished(each) for each in (comparison.baseline_run, comparison.candidate_run)]
    _require("category", chosen.categories, [group.name for group in comparison.categories])
    if chosen.items:
        _require("item", chosen.items, list(registry.runs.scores(runs[0].run_id)))
    changed = (comparison.lost if chosen.worse else ()), (comparison.gained if chosen.better else ())
    return _read(runs, [chosen.items] if chosen.items else changed, chosen, registry)


def _read(
    runs: Sequence[Run], groups: Sequence[Sequence[str]], chosen: Chosen, registry: Registry
) -> Iterator[ItemAnswers]:
    for ids in groups:
        wanted = list(dict.fromkeys(ids))[: None if chosen.categories else chosen.most]
        found = side_by_side(runs, registry, wanted) if wanted else ()
        of_category = (each for each in found if not chosen.categories or each.category in chosen.categories)
        yield from islice(of_category, chosen.most)


def show_items(items: Iterator[ItemAnswers], console: PlainConsole) -> int:
    """Print items; gives how many."""
    shown = 0
    for item in items:
        console.print()
        _show_item(item, console)
        shown += 1
    return shown


def change_of(item: ItemAnswers) -> str:
    """How the score changed, in words."""
    return "got better" if item.change > 0 else "got worse" if item.change < 0 else "unchanged"


def _require(what: str, wanted: Sequence[str], known: Sequence[str]) -> None:
    for name in wanted:
        if name not in known:
            some = ", ".join(known[:SHOWN]) + (", ..." if len(known) > SHOWN else "")
            raise InputError(
                f"{what} {name[:80]}: there is none.{did_you_mean(name, known)} There are {some}."
            )


def _show_item(item: ItemAnswers, console: PlainConsole) -> None:
    style = "bold green" if item.change > 0 else "bold red" if item.change < 0 else "bold"
    band = f", {item.band}" if item.band else ""
    title = Text.assemble(
        (change_of(item), style), f"  {visible_lines(item.category)}{band}  ", (item.trace_id, "dim")
    )
    title.no_wrap, title.overflow = False, "fold"
    console.print(Rule(style="dim"))
    console.print(title)
    for turn in item.asked:
        console.print(_labelled(turn["role"], Text(visible_lines(turn["content"]), "cyan")))
    console.print(_labelled("right", Text(visible_lines(" or ".join(item.accepted)), "green")))
    texts = [visible_lines(answer.prediction) for answer in item.answers]
    marked = [
        _marked(text, spans, style)
        for text, spans, style in zip(texts, differing(*texts), STYLES, strict=True)
    ]
    judged = [_verdict(answer) for answer in item.answers]
    if console.width >= WIDE:
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        for _ in SIDES:
            table.add_column(ratio=1, overflow="fold")
        table.add_row(*(Text(f"  {side}", "bold") for side in SIDES))
        table.add_row(*judged)
        table.add_row(*marked)
        console.print(table)
        return
    for side, verdict, text in zip(SIDES, judged, marked, strict=True):
        console.print(_labelled(side, verdict))
        console.print(_labelled("", text))


def _marked(text: str, spans: Sequence[Span], style: str) -> Text:
    shown = Text(text or "(empty)", overflow="fold")
    for start, stop in spans:
        shown.stylize(style, start, stop)
    return shown


def _verdict(answer: Written) -> Text:
    said = answer.judged("the most common one") + (", cut off" if answer.cut_off else "")
    return Text(visible_lines(said), "green" if answer.score >= 1 else "red")


def _labelled(label: str, text: Text) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=LABEL)
    table.add_column(overflow="fold")
    table.add_row(Text(label, "bold"), text)
    return table
