"""What a model answered, as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from core.text import cut
from experiments.answers import Answer, Answers
from hallmark.cli.terminal import out

SHOWN_TEXT = 2_000
"""Characters of a model's answer, and of what is asked last, that are printed; --json has whole texts."""
SHOWN_TURN = 400
"""Characters of each earlier turn that are printed."""
SHOWN_TURNS = 4
LABEL = 10


def show_answers(answers: Answers) -> None:
    """Print each item: what was asked, what is right, what the judge found and said, what the model wrote."""
    for answer in answers:
        out.print()
        out.print(Text.assemble((answer.trace_id, "bold"), f"  {answer.category}"))
        for role, text in _asked(answer):
            _labelled(role, text, "cyan")
        _labelled("right", cut(" or ".join(answer.accepted), SHOWN_TURN), "green")
        _labelled("judged", answer.verdict, "green" if answer.score >= 1 else "red")
        _labelled("answer", cut(answer.prediction, SHOWN_TEXT) or "(empty)", "")


def _asked(answer: Answer) -> Iterator[tuple[str, str]]:
    *earlier, last = answer.asked
    if (hidden := len(earlier) - SHOWN_TURNS) > 0:
        yield "...", f"{hidden} earlier turns (--json has all)"
    for turn in earlier[-SHOWN_TURNS:]:
        yield turn["role"], cut(turn["content"], SHOWN_TURN)
    yield last["role"], cut(last["content"], SHOWN_TEXT)


def _labelled(label: str, text: str, style: str) -> None:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=LABEL)
    table.add_column(overflow="fold")
    table.add_row(Text(f"  {label}"), Text(text, style))
    out.print(table)
