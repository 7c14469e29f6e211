"""golden-v1 and train-v1 are frozen, made by the committed generator, right, and disjoint."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from golden import generate
from golden.datasets import load_dataset
from golden.guard import find_overlaps
from golden.schema import trace_id_for

pytestmark = pytest.mark.unit

FROZEN = {
    "golden-v1": "e2fa21c8851ec6df45d4dfde3ed9596b4f2f0736c196442d9c4e051d97048773",
    "train-v1": "12bd290649ebef6848287d3ac735115cb4225210e5124575e4419bd93e9b214a",
}


@pytest.mark.parametrize("name", FROZEN)
def test_the_dataset_is_frozen(name: str) -> None:
    assert load_dataset(name).sha256 == FROZEN[name], (
        f"{name} changed. Frozen files are never changed: publish a new version."
    )


def test_the_generator_makes_the_committed_bytes(tmp_path: Path) -> None:
    generate.main(tmp_path)
    for name in FROZEN:
        committed = load_dataset(name).path
        assert (tmp_path / committed.name).read_bytes() == committed.read_bytes()


def test_golden_v1_has_every_skill_in_every_band() -> None:
    dataset = load_dataset("golden-v1")
    counts = Counter((item.category, dataset.bands[item.trace_id]) for item in dataset.items())
    assert len(counts) == 8 * 3
    assert set(counts.values()) == {15}


@pytest.mark.parametrize("name", FROZEN)
def test_trace_ids_are_made_from_the_content(name: str) -> None:
    for item in load_dataset(name).items():
        assert item.trace_id == trace_id_for(item.prompt, item.final_answer, item.category)


def test_the_training_set_holds_no_golden_item() -> None:
    assert list(find_overlaps(load_dataset("train-v1").items(), load_dataset("golden-v1").items())) == []


def solve(prompt: str) -> str:
    """Answer a golden question from its words alone, in another way than the generator does."""
    words = prompt.rstrip("?").replace(",", "").split()
    match words:
        case ["What", "is", left, "+", right]:
            return str(int(left) + int(right))
        case ["What", "is", left, "-", right]:
            return str(int(left) - int(right))
        case ["Largest", "of", *numbers]:
            return max(numbers, key=int)
        case ["Sort", *letters]:
            return "".join(sorted(letters))
        case ["Reverse", word]:
            return "".join(reversed(word))
        case ["Count", letter, "in", text]:
            return str(text.count(letter))
        case ["Next", "in", *terms]:
            return str(2 * int(terms[-1]) - int(terms[-2]))
        case [*given, total]:
            values = dict(pair.rstrip(".").split("=") for pair in given)
            return str(sum(int(values[name]) for name in total.split("+")))
    raise AssertionError(prompt)


@pytest.mark.parametrize("name", FROZEN)
def test_every_answer_is_right(name: str) -> None:
    for item in load_dataset(name).items():
        assert solve(item.prompt) == item.final_answer, item.trace_id
