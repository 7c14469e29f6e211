"""The two largest logits of a row, found block by block, are those that sorting finds."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.choosing import BLOCKS, extremes

pytestmark = pytest.mark.model

LOGITS = st.sampled_from([-math.inf, -2.5, -1.0, 0.0, 1.0, 1.0 + 2**-20, 7.0, math.inf, math.nan])
WIDTHS = st.one_of(st.integers(2, 300), st.sampled_from([BLOCKS - 1, BLOCKS, 2 * BLOCKS, 2 * BLOCKS + 1]))


@settings(deadline=None)
@given(st.data(), WIDTHS, st.integers(1, 3))
def test_smallest_largest_and_second_largest_of_each_row(data: st.DataObject, width: int, rows: int) -> None:
    import torch

    logits = torch.full((rows, width), -3.0)
    for row in range(rows):
        places = st.dictionaries(st.integers(0, width - 1), LOGITS, max_size=8)
        for place, value in data.draw(places).items():
            logits[row, place] = value
    low, high, second = extremes(logits)
    for row in range(rows):
        if logits[row].isnan().any():
            assert high[row].isnan()
            continue
        expected = logits[row].sort().values
        assert (low[row], second[row], high[row]) == (expected[0], expected[-2], expected[-1])


def test_rows_as_long_as_a_vocabulary() -> None:
    import torch

    logits = torch.randn(4, 50_257, generator=torch.Generator().manual_seed(0))
    logits[0, -1] = logits[1, 0] = 9.0
    low, high, second = extremes(logits)
    expected = logits.topk(2).values
    assert torch.equal(low, logits.amin(-1))
    assert torch.equal(torch.stack([high, second], 1), expected)
