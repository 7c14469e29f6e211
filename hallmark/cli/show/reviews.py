"""Reviews of golden items as a person reads them."""

from __future__ import annotations

from itertools import groupby

from rich.text import Text

from core.text import counted, cut, visible, visible_lines
from experiments.reviewing import Queue, Reviewed, Reviews
from hallmark.cli.terminal import out
from registry.reviews import DISAGREEMENTS, VERDICTS

SHOWN_TEXT = 400
"""Characters of a text that are printed."""


def show_review(made: Reviewed) -> None:
    """Print what was recorded."""
    out.print(Text(f"{made.dataset} {made.trace_id}"), soft_wrap=True)
    _opinion(made)
    if made.conflict:
        out.print(Text("Another reviewer says otherwise: hallmark review list", "yellow"))


def show_reviews(found: Reviews) -> None:
    """Print each item and what its reviewers say."""
    if not found:
        out.print("nothing was reviewed")
    for (dataset, trace_id), said in groupby(found, lambda each: (each.dataset, each.trace_id)):
        opinions = list(said)
        title = Text(f"{dataset} {trace_id}", "bold")
        if opinions[0].conflict:
            title.append("  reviewers disagree", "bold yellow")
        out.print(title, soft_wrap=True)
        for each in opinions:
            _opinion(each)


def show_queue(found: Queue) -> None:
    """Print each item: why it is here, what was asked, what is right, what each run answered."""
    for each in found.items:
        item = each.item
        out.print()
        out.print(
            Text.assemble((item.trace_id, "bold"), f"  {DISAGREEMENTS[each.disagreement]}"), soft_wrap=True
        )
        _text("asked", item.asked[-1]["content"], "cyan")
        _text("reference", " or ".join(item.accepted), "green")
        for run_id, answer in zip(found.runs, item.answers, strict=True):
            shown = answer.extracted if answer.extracted is not None else answer.prediction
            _text(run_id, shown or "(empty)", "green" if answer.score >= 1 else "red")
        for opinion in each.opinions:
            _opinion(opinion)
    out.print()
    runs = " ".join(found.runs)
    out.print(
        f"{counted(found.total, 'item')} of {found.dataset} to look at; {len(found.items)} shown. "
        f"Whole answers: hallmark runs show {found.runs[0]} --item ID",
        markup=False,
    )
    out.print(f"hallmark review add {runs} --item ID --verdict VERDICT", markup=False, soft_wrap=True)


def _text(label: str, text: str, style: str) -> None:
    shown = visible_lines(cut(text, SHOWN_TEXT)).replace("\n", "\n    ")
    out.print(Text.assemble(f"  {label}: ", (shown, style)), soft_wrap=True)


def _opinion(review: Reviewed) -> None:
    answers = f": {visible(' or '.join(review.answers))}" if review.answers else ""
    out.print(
        Text(f"  {visible(review.reviewer)}, {review.at[:10]}: {VERDICTS[review.verdict]}{answers}"),
        soft_wrap=True,
    )
    if review.note:
        shown = visible_lines(cut(review.note, SHOWN_TEXT)).replace("\n", "\n    ")
        out.print(Text(f"    {shown}", "dim"), soft_wrap=True)
