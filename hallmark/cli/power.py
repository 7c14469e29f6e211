"""`hallmark golden power`: what a golden set can show."""

from __future__ import annotations

from typing import Annotated

import typer

from hallmark.cli.completing import completes, datasets
from hallmark.cli.terminal import Json, emit, out


def share(text: str | float) -> float:
    """A share of the whole: "15%" or "0.15".

    Raises:
        typer.BadParameter: it is neither, or not between 0 and 1.
    """
    number = str(text).strip()  # a default comes as the number that it is
    try:
        value = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise typer.BadParameter(f"expected a share such as 15% or 0.15, got {text!r}")
    return value


def power(
    file: Annotated[
        str,
        typer.Argument(
            help="A built-in name (golden-v1) or the path of a .jsonl file.",
            autocompletion=completes(datasets),
        ),
    ],
    gain: Annotated[
        float | None, typer.Option(min=0.01, max=100, help="True gain that should be found, in points.")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(min=0.1, max=99, help="Loss that not_worse should exclude, in points."),
    ] = None,
    changed: Annotated[
        float, typer.Option(parser=share, metavar="SHARE", help="Expected share of changed answers.")
    ] = 0.15,
    nights: Annotated[int, typer.Option(min=1, max=1_000_000, help="Comparisons planned on this set.")] = 50,
    power: Annotated[
        float, typer.Option(parser=share, metavar="SHARE", help="How probable it is that the gain is found.")
    ] = 0.8,
    alpha: Annotated[
        float, typer.Option(parser=share, metavar="SHARE", help="The gate's alpha, over all comparisons.")
    ] = 0.05,
    json: Json = False,
) -> None:
    """Say which gains a golden set can show, and how many items it takes to find one.

    Items with equal prompts, and items of one group, count once.
    """
    from evaluation.groups import group_of, independent
    from evaluation.power import power_plan
    from golden.datasets import load_dataset

    dataset = load_dataset(file)
    items = list(dataset.items())
    plan = power_plan(
        dataset.name,
        len(items),
        independent([item.trace_id for item in items], group_of(items)),
        gain=None if gain is None else gain / 100,
        margin=None if margin is None else margin / 100,
        changed=changed,
        nights=nights,
        power=power,
        alpha=alpha,
    )
    if json:
        emit({**plan.model_dump(mode="json"), "sentences": plan.sentences()})
        return
    for sentence in plan.sentences():
        out.print(sentence, markup=False)
