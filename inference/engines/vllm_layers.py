"""Layers of vLLM that are quicker on a CPU. Needs vllm.

vLLM leaves them to torch's compiler, which needs a C++ compiler on the machine and puts their parts together.
We do not compile, and each part of a layer is then a call of its own.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch.nn import functional
from vllm.model_executor.layers.activation import SiluAndMul
from vllm.model_executor.layers.layernorm import RMSNorm


@cache  # vLLM takes a layer once
def use_quick_layers() -> None:
    """Let models that are loaded from now on have them."""
    RMSNorm.register_oot(QuickRMSNorm, name="RMSNorm")
    SiluAndMul.register_oot(QuickSiluAndMul, name="SiluAndMul")


class QuickRMSNorm(RMSNorm):  # type: ignore[misc] # vllm is not there when types are checked
    """By vLLM's own kernel for CPUs, where it can."""

    def forward_cpu(self, x: Any, residual: Any = None) -> Any:
        """Normalise [..., size]; with a residual, their sum, and give that too."""
        inputs = [x] if residual is None else [x, residual]
        if (
            self.variance_size_override is not None
            or not self.has_weight
            or any(each.dtype != self.weight.dtype for each in inputs)
            or (residual is not None and not all(each.is_contiguous() for each in inputs))
        ):
            return self.forward_native(x, residual)
        if residual is None:
            x = x.contiguous()
            normal = torch.empty_like(x)
            torch.ops._C.rms_norm(normal, x, self.weight, self.variance_epsilon)
            return normal
        torch.ops._C.fused_add_rms_norm(x, residual, self.weight, self.variance_epsilon)
        return x, residual


class QuickSiluAndMul(SiluAndMul):  # type: ignore[misc] # likewise
    """Without memory of its own for the product; the numbers are the same."""

    def forward_cpu(self, x: Any) -> Any:
        """Give the first half of [..., 2 size] through silu, times the second."""
        half = x.shape[-1] // 2
        return functional.silu(x[..., :half]).mul_(x[..., half:])
