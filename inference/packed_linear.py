"""Linear layers by oneDNN on a CPU, with weights that are laid out for it once. Needs torch.

In float32 torch multiplies by MKL, which takes 2.3 times as long on an AMD EPYC, and lays the weights out
again each time. What comes of it differs by rounding, so tokens that this could change are decided by torch's
own (`inference.choosing`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import Linear
from torch.nn.functional import linear

LEAST = 10_000_000
"""Weights of a model that is worth it: for each number of rows oneDNN makes a program first."""
GAIN = 1.2
"""How much faster it has to be, tried on this machine."""
TRIES = 5
"""How often each way is tried."""


class PackedLinears:
    """A model's linear layers, laid out anew beside the weights that they keep.

    Args:
        model: of transformers, on a CPU, in float32.
        rows: how many rows a pass usually has.
        spare: bytes that it may take; None for any number.

    Attributes:
        layers: those that are there twice; none where that takes too much memory or gains nothing here.
    """

    def __init__(self, model: Any, rows: int, spare: int | None) -> None:
        self.layers: list[Linear] = []
        self._inside = False
        found = [each for each in model.modules() if type(each) is Linear and "forward" not in vars(each)]
        size = sum(each.weight.numel() * each.weight.element_size() for each in found)
        if (spare is not None and size > spare) or not worth_packing(found, rows):
            return
        for layer in found:
            vars(layer)["forward"] = self._forward(layer)
        self.layers = found

    def _forward(self, layer: Linear) -> Callable[[Any], Any]:
        packed = pack(layer.weight)
        bias = None if layer.bias is None else layer.bias.detach().contiguous()

        def forward(given: Any) -> Any:
            return multiply(given, packed, bias) if self._inside else linear(given, layer.weight, layer.bias)

        return forward

    @contextmanager
    def used(self) -> Iterator[None]:
        """Inside the block the layers are computed by oneDNN, outside of it as torch computes them."""
        self._inside = True
        try:
            yield
        finally:
            self._inside = False

    def remove(self) -> None:
        """Have the layers computed as before, and free the memory."""
        for layer in self.layers:
            del vars(layer)["forward"]
        self.layers = []


def pack(weight: Any) -> Any:
    """Lay a matrix out for `multiply`.

    Args:
        weight: float32 [out, in].
    """
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach())


def multiply(given: Any, packed: Any, bias: Any) -> Any:
    """What `torch.nn.functional.linear` gives, but for rounding.

    Args:
        given: float32 [..., in].
        packed: by `pack`.
        bias: float32 [out], contiguous, or None.
    """
    return torch.ops.mkldnn._linear_pointwise(given, packed, bias, "none", [], "")


def worth_packing(layers: Sequence[Linear], rows: int) -> bool:
    """Whether oneDNN is clearly faster here, tried with the shape that has most of the weights.

    Args:
        layers: of a model.
        rows: how many a pass usually has.
    """
    weights = Counter[Any]()
    for each in layers:
        weights[each.weight.shape] += each.weight.numel()
    if weights.total() < LEAST or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    [(shape, _)] = weights.most_common(1)
    weight = next(each.weight for each in layers if each.weight.shape == shape)
    with torch.inference_mode():
        given, packed = torch.ones(rows, shape[1]), pack(weight)
        quick, plain = (
            _seconds(lambda: multiply(given, packed, None)),
            _seconds(lambda: linear(given, weight)),
        )
    return quick * GAIN < plain


def _seconds(work: Callable[[], object]) -> float:
    """The least of a few tries."""

    def once() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return min(once() for _ in range(TRIES))
