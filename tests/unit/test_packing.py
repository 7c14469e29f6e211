"""Packing loses no trace, mixes no traces, and puts loss on completions only."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.errors import InputError
from trainer.packing import Example, batches, check_lengths

pytestmark = pytest.mark.unit


@st.composite
def examples(draw: st.DrawFn) -> list[Example]:
    lengths = draw(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=20))
    return [
        Example(f"t{number}", [100 * number + place for place in range(prompt + completion)], prompt)
        for number, (prompt, completion) in enumerate(lengths, start=1)
    ]


def segments(batch) -> list[tuple[list[int], list[int], list[int]]]:
    """Tokens, positions and targets of every segment of a batch."""
    found = []
    for row in range(len(batch.tokens)):
        for segment in range(1, batch.segments[row].max(initial=0) + 1):
            where = batch.segments[row] == segment
            found.append((batch.tokens[row][where].tolist(), batch.positions[row][where].tolist(), batch.targets[row][where].tolist()))
    return found


@given(examples(), st.integers(12, 40), st.integers(1, 4), st.integers(0, 5))
def test_every_segment_is_one_whole_trace(made: list[Example], length: int, rows: int, seed: int) -> None:
    known = {tuple(example.tokens): example for example in made}
    for batch in islice(batches(made, batch=rows, length=length, seed=seed), 3):
        for tokens, positions, targets in segments(batch):
            example = known[tuple(tokens)]
            assert positions == list(range(len(tokens)))
            prompt = example.prompt_length
            assert targets == [-1] * (prompt - 1) + tokens[prompt:] + [-1]
        assert (batch.targets[batch.segments == 0] == -1).all()


@given(examples(), st.integers(0, 5))
def test_an_epoch_holds_every_trace_once(made: list[Example], seed: int) -> None:
    stream = batches(made, batch=1, length=16, seed=seed)
    seen: list[int] = []
    while len(seen) < len(made):
        seen.extend(tokens[0] // 100 for tokens, _, _ in segments(next(stream)))
    assert sorted(seen[: len(made)]) == list(range(1, len(made) + 1))


@given(examples(), st.integers(0, 5))
def test_the_seed_alone_decides_the_order(made: list[Example], seed: int) -> None:
    one, two = (islice(batches(made, batch=2, length=16, seed=seed), 4) for _ in range(2))
    for left, right in zip(one, two, strict=True):
        assert np.array_equal(left.tokens, right.tokens)


def test_a_trace_that_does_not_fit_is_named_with_the_length_it_needs() -> None:
    with pytest.raises(InputError, match=r"training item long: 9 tokens do not fit into train.sequence_length 8"):
        check_lengths([Example("short", [1, 2], 1), Example("long", list(range(9)), 3)], 8)
