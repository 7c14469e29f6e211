"""Low-rank adapters: added to linear layers, trained alone, merged on export, saved as PEFT reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from core.files import atomic_writer, write_json
from trainer.contract import LoraConfig
from trainer.model.decoder import Array, Decoder

PLACES = {
    "q": "attention",
    "k": "attention",
    "v": "attention",
    "o": "attention",
    "gate": "mlp",
    "up": "mlp",
    "down": "mlp",
}
PEFT_NAMES = {
    name: f"self_attn.{name}_proj" if place == "attention" else f"mlp.{name}_proj"
    for name, place in PLACES.items()
}


class DropoutKey(nnx.Variable[Array]):
    """A random key, uint32 [2], that the training step renews; nothing else changes it."""


@dataclass(frozen=True)
class AdapterBase:
    """The model that adapters belong to.

    Attributes:
        directory: where it is on this machine.
        hub_id: its id on the hub; None where it is not from there.
        revision: its commit there.
    """

    directory: Path
    hub_id: str | None = None
    revision: str | None = None


class LoraLinear(nnx.Module):
    """A frozen linear layer plus a trained product of two thin matrices (Hu et al. 2021, arXiv:2106.09685).

    y = x W + alpha / rank * (x A) B, with W [in, out], A [in, rank] and B [rank, out].
    """

    def __init__(self, base: nnx.Linear, config: LoraConfig, rngs: nnx.Rngs) -> None:
        self.base = base
        self.adapter = nnx.LoRA(base.in_features, config.rank, base.out_features, dtype=base.dtype, rngs=rngs)
        self.scale = config.alpha / config.rank
        self.dropout = config.dropout
        self.key = DropoutKey(jax.random.key_data(rngs.params()))
        self.deterministic = False

    def __call__(self, x: Array) -> Array:
        """[..., in] to [..., out]."""
        result: Array = self.base(x) + self.scale * self.adapter(self._dropped(x))
        return result

    def _dropped(self, x: Array) -> Array:
        if self.deterministic or self.dropout == 0:
            return x
        kept = jax.random.bernoulli(jax.random.wrap_key_data(self.key[...]), 1 - self.dropout, x.shape)
        return jnp.where(kept, x / (1 - self.dropout), 0).astype(x.dtype)

    def delta(self) -> np.ndarray:
        """What merging adds to the base's kernel: float32 [in, out]."""
        a, b = (np.asarray(matrix[...], np.float32) for matrix in (self.adapter.lora_a, self.adapter.lora_b))
        return np.float32(self.scale) * (a @ b)


def add_lora(model: Decoder, config: LoraConfig, rngs: nnx.Rngs) -> None:
    """Give the target layers of every block an adapter. B starts at zero, so the model starts unchanged."""
    for layer in model.layers:
        for target in config.targets:
            home = getattr(layer, PLACES[target])
            setattr(home, target, LoraLinear(getattr(home, target), config, rngs))


def adapters(model: Decoder) -> Iterator[tuple[int, str, LoraLinear]]:
    """Every adapter: the number of its layer, the name of its target, and itself."""
    for number, layer in enumerate(model.layers):
        for target, place in PLACES.items():
            linear = getattr(getattr(layer, place), target)
            if isinstance(linear, LoraLinear):
                yield number, target, linear


def merge_into(trained: Decoder, base: Decoder) -> None:
    """Add the adapters of one decoder to the weights of another, in float32."""
    for number, target, adapter in adapters(trained):
        kernel = getattr(getattr(base.layers[number], PLACES[target]), target).kernel
        kernel.set_value(jnp.asarray(np.asarray(kernel.get_value()) + adapter.delta()))


def save_adapter(model: Decoder, config: LoraConfig, base: AdapterBase, directory: Path) -> None:
    """Write the adapters as PEFT reads them: adapter_config.json and adapter_model.safetensors, and how to
    load them.

    Args:
        model: a decoder with adapters.
        config: what they were made with.
        base: the model that they belong to.
        directory: where to write.
    """
    from safetensors.numpy import save

    tensors: dict[str, np.ndarray] = {}
    for number, target, linear in adapters(model):
        stem = f"base_model.model.model.layers.{number}.{PEFT_NAMES[target]}"
        tensors[f"{stem}.lora_A.weight"] = np.ascontiguousarray(
            np.asarray(linear.adapter.lora_a[...], np.float32).T
        )
        tensors[f"{stem}.lora_B.weight"] = np.ascontiguousarray(
            np.asarray(linear.adapter.lora_b[...], np.float32).T
        )
    with atomic_writer(directory / "adapter_model.safetensors") as file:
        file.write(save(tensors, metadata={"format": "pt"}))
    write_json(directory / "adapter_config.json", _peft_config(config, base))
    with atomic_writer(directory / "README.md") as file:
        file.write(_readme(base).encode())


def _peft_config(config: LoraConfig, base: AdapterBase) -> dict[str, Any]:
    # PEFT looks a name that is no path up on the hub: a bare label could load a stranger's model.
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.hub_id or str(base.directory),
        "revision": base.revision,
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": config.dropout,
        "target_modules": sorted(f"{target}_proj" for target in config.targets),
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }


def _readme(base: AdapterBase) -> str:
    name = base.hub_id or base.directory
    revision = f", revision={base.revision!r}" if base.revision else ""
    commit = f" at commit `{base.revision}`" if base.revision else ""
    return f"""---
library_name: peft
tags: [hallmark, lora]
---

# LoRA adapters

They belong to `{name}`{commit}
and to no other model. `../model` is that model with them merged in. To put them on the base yourself:

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained({str(name)!r}{revision})
model = PeftModel.from_pretrained(base, "adapter")
```

Where the base lies elsewhere, give its folder there.
"""
