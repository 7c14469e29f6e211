"""Attention of one new token a row is that of transformers but for rounding, and only while it is wanted."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.model

ROWS, HEADS, COLUMNS, WIDTH = 3, 4, 9, 8


def states(kv_heads: int, value_width: int = WIDTH) -> tuple[Any, Any, Any]:
    """A query, and keys and values that are a part of larger buffers."""
    import torch

    draw = torch.Generator().manual_seed(0)
    query = torch.randn(ROWS, 1, HEADS, WIDTH, generator=draw).transpose(1, 2)
    keys = torch.randn(ROWS + 2, kv_heads, COLUMNS + 7, WIDTH, generator=draw)
    values = torch.randn(ROWS + 2, kv_heads, COLUMNS + 7, value_width, generator=draw)
    return query, keys[:ROWS, :, 4 : 4 + COLUMNS], values[:ROWS, :, 4 : 4 + COLUMNS]


def masks() -> dict[str, Any]:
    import torch

    seen = torch.ones(ROWS, 1, 1, COLUMNS, dtype=torch.bool)
    seen[0, ..., :5] = seen[2, ..., :1] = False
    added = torch.zeros(seen.shape).masked_fill_(~seen, -torch.inf)
    heads = torch.linspace(0, 1, HEADS)[None, :, None, None] + added
    return {"none": None, "seen": seen, "added": added, "heads": heads}


@pytest.mark.parametrize("mask", ["none", "seen", "added", "heads"])
@pytest.mark.parametrize(("kv_heads", "value_width"), [(1, WIDTH), (2, WIDTH), (4, 5)])
@pytest.mark.parametrize("scaling", [None, 0.5])
def test_it_agrees_with_the_attention_of_transformers(
    mask: str, kv_heads: int, value_width: int, scaling: float | None
) -> None:
    from torch.testing import assert_close
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    from inference.decode_attention import attend

    layer = SimpleNamespace(num_key_value_groups=HEADS // kv_heads, is_causal=True)
    given = (layer, *states(kv_heads, value_width), masks()[mask])
    found, _ = attend(*given, scaling=scaling)
    expected, _ = sdpa_attention_forward(*given, scaling=scaling)
    assert found.shape == (ROWS, 1, HEADS, value_width)
    assert_close(found, expected)


def test_what_it_does_not_know_goes_to_transformers() -> None:
    import torch

    from inference.decode_attention import attend

    layer = SimpleNamespace(num_key_value_groups=2, is_causal=True)
    with pytest.raises(ValueError, match="softcap"):
        attend(layer, *states(2), None, softcap=30.0)
    bias = torch.arange(float(COLUMNS)).expand(1, HEADS, 1, COLUMNS)
    moved, _ = attend(layer, *states(2), None, position_bias=bias)
    assert not torch.allclose(moved, attend(layer, *states(2), None)[0])


def test_transformers_asks_for_nothing_that_it_does_not_know() -> None:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    known = "module query key value attention_mask dropout scaling is_causal position_bias cache kwargs"
    assert list(inspect.signature(sdpa_attention_forward).parameters) == known.split()


def test_the_mask_of_one_token_is_that_of_transformers() -> None:
    import torch
    from transformers.masking_utils import (
        causal_mask_function,
        sdpa_mask,
        sliding_window_causal_mask_function,
    )

    from inference.decode_attention import mask_of_one

    padding = torch.ones(ROWS, COLUMNS, dtype=torch.bool)
    padding[0, :5] = False
    for function in (causal_mask_function, sliding_window_causal_mask_function(3)):
        asked = {
            "batch_size": ROWS,
            "q_length": 1,
            "kv_length": COLUMNS,
            "q_offset": COLUMNS - 1,
            "kv_offset": 0,
            "mask_function": function,
            "attention_mask": padding,
        }
        found, expected = mask_of_one(**asked), sdpa_mask(**asked)
        assert found.dtype == expected.dtype
        assert found.expand_as(expected).equal(expected)


def test_the_attention_of_transformers_is_back_behind_the_block() -> None:
    import torch
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask

    from inference.decode_attention import attend, decode_attention

    def registered() -> tuple[Any, Any]:
        return AttentionInterface()["sdpa"], AttentionMaskInterface()["sdpa"]

    on_cpu = {"device": torch.device("cpu"), "dtype": torch.float32}
    own = (sdpa_attention_forward, sdpa_mask)
    with pytest.raises(KeyboardInterrupt), decode_attention(SimpleNamespace(**on_cpu)):
        assert registered()[0] is attend
        raise KeyboardInterrupt
    assert registered() == own
    for other in ({"device": torch.device("cuda")}, {"dtype": torch.bfloat16}):
        with decode_attention(SimpleNamespace(**on_cpu | other)):
            assert registered() == own
