"""Two recorded runs whose texts try to get power over whatever shows them."""

from __future__ import annotations

from pathlib import Path

from experiments.workspace import Workspace
from golden.schema import Item, Message
from registry import Run
from tests.support.recorded_runs import record_baseline, record_trained
from tests.support.small_datasets import write_items

HOSTILE = {
    "script": "<script>window.caught = 1; alert(1)</script><img src=x onerror=alert(2)>",
    "end": "</script><script>alert(3)</script> <!-- <script> --> ]]> </textarea></title>",
    "markdown": "# big\n\n[x](javascript:alert(4)) ![p](http://evil.example/p.png)\n| a | b |\n@everyone `",
    "ansi": "\x1b[31mred\x1b[2J\x07\x1b]8;;http://evil.example\x07link \x00 end",
    "bidi": "safe\u202egpj.exe\u2066 \u200f\u05e9\u05dc\u05d5\u05dd \u200bhidden\ufeff",
    "lines": "half \ufffd of a character, \u2028 and \u2029, \x85 and\ttab\r\n",
    "quotes": "\" ' &lt;b&gt; &amp; \\u003c \\ {{ 7 * 7 }} ${7 * 7} %s",
    "long": "many words " * 9_091,
    "unbroken": "x" * 100_000,
    "empty": "",
}
"""What a model may write, by what it tries. The last but two are of 100,000 characters."""


def hostile_dataset(folder: Path) -> Path:
    """An item for each of these, in which the question and the system text try the same."""

    def item(number: int, name: str, text: str) -> Item:
        turns = [
            Message(role="system", content=f"Be brief. {text[:200]}"),
            Message(role="user", content="Is it so?"),
            Message(role="assistant", content=f"Perhaps. {text[:200]}"),
            Message(role="user", content=f"Question {number}: {text[:2_000]}"),
        ]
        turns = [turn.model_copy(update={"content": turn.content.replace("\0", "")}) for turn in turns]
        return Item(
            trace_id=f"item-{name}",
            messages=turns,
            final_answer=str(number),
            category="odd" if number % 2 else "even",
        )

    items = [item(number, name, text) for number, (name, text) in enumerate(HOSTILE.items())]
    return write_items(folder / "hostile-v1.jsonl", items)


def hostile_runs(workspace: Workspace, folder: Path) -> tuple[Run, Run]:
    """A baseline that is right about every item, and a candidate that wrote these texts and is right about
    the first three of them.
    """
    dataset, texts = str(hostile_dataset(folder)), list(HOSTILE.values())
    chosen = {"dataset": dataset, "judge": "answer_correctness@v2"}

    def right(place: int, item: Item) -> str:
        return f"{texts[place][:300]} It is so.\nAnswer: {item.final_answer}"

    def wrote(place: int, item: Item) -> str:
        return texts[place] + (f"\nAnswer: {item.final_answer}" if place < 3 else "")

    baseline = record_baseline(workspace, right, **chosen)
    candidate = record_trained(workspace, wrote, **chosen)
    return baseline, candidate
