"""Lines that are conversations: what makes one, what it asks, and what the guard sees of it."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import InputError
from experiments.guarding import check_prompt
from golden.datasets import Dataset, read_items, read_traces
from golden.guard import find_overlaps
from golden.lines import line_or_problems
from golden.prompting import PromptConfig, ResolvedPrompt
from golden.schema import Item, Trace
from tests.support.small_datasets import write_items

pytestmark = pytest.mark.unit

STORY = "If a train leaves Rome at nine in the evening, when is it home again for its driver?"
GOLDEN = Item(trace_id="g", prompt=STORY, final_answer="ten", category="c")
OTHER = "Name three colours that a flag of a country in the north often has."


def turns(*said: str, first: str = "user") -> list[dict[str, str]]:
    roles = ["user", "assistant"] if first == "user" else ["system", "user", "assistant"]
    return [
        {"role": roles[n] if n < len(roles) else roles[-2:][(n - len(roles)) % 2], "content": text}
        for n, text in enumerate(said)
    ]


def problems(value: Any, kind: type = Item) -> list[str]:
    found = line_or_problems(value, kind)
    return found if isinstance(found, list) else []


@pytest.mark.parametrize(
    "trace",
    [
        {"messages": turns(OTHER, STORY, OTHER, "a")},
        {"messages": turns(STORY, "a", OTHER, "b")},
        {"messages": turns(OTHER, "a", STORY, "b")},
        {"messages": turns(OTHER, "a", OTHER, f"You asked: {STORY}")},
        {"messages": turns(f"Answer what follows. {STORY}", OTHER, "a", first="system")},
        {"messages": turns(OTHER), "completion": f"a\n{STORY}"},
        {"messages": turns(OTHER), "system": STORY, "final_answer": "a"},
        {"prompt": OTHER, "final_answer": ["a", STORY]},
        {"prompt": OTHER, "steps": ["one", STORY], "final_answer": "a"},
        {"prompt": STORY.lower(), "completion": "a"},
    ],
)
def test_the_guard_sees_every_turn_and_text_of_a_training_conversation(trace: dict[str, Any]) -> None:
    clean = Trace.model_validate(
        {"trace_id": "clean", "messages": turns(OTHER, "a"), "metadata": {"x": STORY}}
    )
    leak = Trace.model_validate({"trace_id": "leak", **trace})
    assert [(each.train_id, each.refuses) for each in find_overlaps([clean, leak], [GOLDEN])] == [
        ("leak", True)
    ]


def test_a_golden_conversation_is_found_in_a_training_conversation() -> None:
    asked = Item.model_validate(
        {
            "trace_id": "g",
            "messages": turns("Pick a number.", "7", "And its double?"),
            "final_answer": "14",
            "category": "c",
        }
    )
    taught = Trace.model_validate(
        {
            "trace_id": "t",
            "messages": turns("Pick a number.", "7", "And its double?", "14", "Thanks!", "Bye."),
        }
    )
    [overlap] = find_overlaps([taught], [asked])
    assert overlap.kind == "contained"
    same = Trace.model_validate(
        {"trace_id": "t", "messages": turns("Pick a number.", "7", "And its double?", "14")}
    )
    [overlap] = find_overlaps([same], [asked])
    assert overlap.kind == "exact"


def test_every_item_is_a_trace(tmp_path) -> None:
    items = [GOLDEN, Item(trace_id="h", prompt="x", final_answer=["1", "one"], category="c", system="s")]
    path = write_items(tmp_path / "mine-v1.jsonl", items)
    assert list(read_items(path)) == items
    assert [trace.model_dump() for trace in read_traces(path)] == [item.model_dump() for item in items]


@pytest.mark.parametrize(
    ("line", "kind", "expected"),
    [
        (
            {"final_answer": "1"},
            Item,
            ["prompt: missing field", "trace_id: missing field", "category: missing field"],
        ),
        (
            {"conversations": [], "Topic": "c", "UUID": "a"},
            Item,
            [
                "prompt: missing field; your `conversations` looks like `messages`",
                "trace_id: missing field; your `UUID` looks like it",
                "final_answer: missing field",
                "category: missing field; your `Topic` looks like it",
                "conversations: unknown field; it looks like `messages`",
                "Topic: unknown field; it looks like `category`",
                "UUID: unknown field; it looks like `trace_id`",
            ],
        ),
        (
            {"trace_id": "a", "instruction": "x", "output": "y"},
            Trace,
            [
                "prompt: missing field; your `instruction` looks like it",
                "completion: missing field; your `output` looks like it",
                "instruction: unknown field; it looks like `prompt`",
                "output: unknown field; it looks like `completion`",
            ],
        ),
        (
            {
                "trace_id": "a",
                "messages": [{"from": "human", "role": "human", "content": "x"}],
                "final_answer": {},
                "category": "c",
            },
            Item,
            [
                "messages.0.role: 'human' is not allowed; expected 'system', 'user', 'assistant' or 'tool'",
                "messages.0.from: unknown field",
                "final_answer: expected a string or a list of strings, got an object",
            ],
        ),
        ({"trace_id": "a", "final_answer": "1", "category": "c"}, Item, ["prompt: missing field"]),
        ({"trace_id": "a", "prompt": "x"}, Trace, ["completion: missing field"]),
        (
            {"trace_id": "a", "prompt": "x", "messages": turns("x"), "final_answer": "1", "category": "c"},
            Item,
            ["prompt and messages: a line has one of them"],
        ),
        (
            {"trace_id": "a", "messages": turns("x", "y"), "final_answer": "1", "category": "c"},
            Item,
            ["messages: the last one is of the role assistant; a question ends with the user's"],
        ),
        (
            {"trace_id": "a", "messages": turns("x", "y"), "completion": "1"},
            Trace,
            ["completion, final_answer, a last message of the assistant's: a trace has exactly one of them"],
        ),
        (
            {"trace_id": "a", "prompt": "x", "messages": "hello", "final_answer": "1"},
            Trace,
            ["messages: expected an array of objects, got a string"],
        ),
    ],
)
def test_everything_that_is_wrong_with_a_line_is_said_at_once(
    line: Any, kind: type, expected: list[str]
) -> None:
    assert problems(line, kind) == expected


def test_a_prompt_that_shows_golden_items_is_refused(tmp_path) -> None:
    path = write_items(tmp_path / "mine-v1.jsonl", [GOLDEN])
    golden = Dataset("mine", "v1", path, "0" * 64, None)
    example = Item(trace_id="e", prompt=f"Look: {STORY}", final_answer="1", category="c")
    check_prompt(ResolvedPrompt(config=PromptConfig(system="You are kind."), examples=[]), golden)
    with pytest.raises(InputError, match=r"^prompt\.few_shot: item e holds item g of mine-v1 \(contained\)"):
        check_prompt(ResolvedPrompt(examples=[example]), golden)
    with pytest.raises(InputError, match=r"^prompt\.system holds item g of mine-v1"):
        check_prompt(ResolvedPrompt(config=PromptConfig(system=f"Known: {STORY} ten.")), golden)
