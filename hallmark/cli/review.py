"""`hallmark review`: what people say of golden items after looking at answers."""

from __future__ import annotations

from typing import Annotated

import typer

from hallmark import api
from hallmark.cli.completing import completes, judged_datasets, run_ids, words
from hallmark.cli.help import Commands
from hallmark.cli.terminal import Json, emit

app = Commands(no_args_is_help=True, help="Reviews of golden items: add, list, queue.")

Runs = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN...",
        help="Runs on one dataset whose answers were looked at: ids, or parts of them.",
        autocompletion=completes(run_ids),
    ),
]


@app.command()
def add(
    runs: Runs,
    item: Annotated[str, typer.Option("--item", metavar="ID", help="Its trace_id.")],
    verdict: Annotated[
        str,
        typer.Option(
            help="reference_wrong, both_right, unclear, or fine, which also takes back what you said before.",
            autocompletion=words("reference_wrong", "both_right", "unclear", "fine"),
        ),
    ],
    answer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="The right answer where the reference is wrong; what else is right where both are. "
            "Repeatable: all of them are accepted.",
        ),
    ] = None,
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why.")] = "",
    reviewer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Who says it. Without it: the user that runs this command."),
    ] = None,
    json: Json = False,
) -> None:
    """Record what you say of an item. The newest review of a person and an item counts.

    both_right without --answer accepts what the runs answered and did not get the full score for.
    """
    made = api.review(runs, item, verdict, answers=answer or (), note=note, reviewer=reviewer)
    if json:
        emit(made.model_dump(mode="json"))
        return
    from hallmark.cli.show.reviews import show_review

    show_review(made)


@app.command("list")
def list_reviews(
    dataset: Annotated[
        str | None,
        typer.Argument(
            help="Only of this dataset: a path, a built-in name, or one that is here or recorded.",
            autocompletion=completes(judged_datasets),
        ),
    ] = None,
    json: Json = False,
) -> None:
    """List what counts: the newest review of each item and person, and where people disagree."""
    found = api.reviews(dataset)
    if json:
        emit([each.model_dump(mode="json") for each in found])
        return
    from hallmark.cli.show.reviews import show_reviews

    show_reviews(found)


@app.command()
def queue(
    runs: Runs,
    limit: Annotated[int, typer.Option(min=1, help="How many items to show.")] = 10,
    json: Json = False,
) -> None:
    """Show the items that runs and the reference disagree on, the likeliest to be wrong first.

    First those that every run answers alike, and not as the reference.
    """
    from experiments.reviewing import review_queue
    from experiments.workspace import open_workspace

    found = review_queue(runs, open_workspace().registry, limit)
    if json:
        emit(found.model_dump(mode="json"))
        return
    from hallmark.cli.show.reviews import show_queue

    show_queue(found)
