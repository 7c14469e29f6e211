"""Will the training step fit on the card? Asked of the compiled step itself, before any weights are loaded."""

from __future__ import annotations

import math
from typing import Any

import jax
from jax.sharding import Mesh

from core.errors import ResourceError
from trainer.contract import GB, Memory, TrainConfig
from trainer.model.architecture import Architecture
from trainer.step import TrainStep


def memory_of(step: TrainStep) -> Memory:
    """The memory of a compiled step, from the compiler's own analysis."""
    analysis = step.compiled.memory_analysis()
    optimizer = sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(step.abstract.optimizer)
    )
    arguments = analysis.argument_size_in_bytes
    results = analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    return Memory(weights=arguments - optimizer, optimizer=optimizer, working=analysis.temp_size_in_bytes + max(0, results))


def budget(config: TrainConfig) -> int | None:
    """The memory of one device, in bytes: as configured, else as the device says; None on a CPU, which says nothing."""
    if config.memory_gb is not None:
        return int(config.memory_gb * GB)
    statistics = jax.local_devices()[0].memory_stats() or {}
    return statistics.get("bytes_limit")


def check_memory(step: TrainStep, arch: Architecture) -> Memory:
    """Compile the step and refuse it where it needs more memory than there is.

    Raises:
        ResourceError: with the numbers, and three settings that need less with what each would need.
    """
    needed, limit = memory_of(step), budget(step.config)
    if limit is None or needed.total <= limit:
        return needed
    raise ResourceError(
        f"training needs {needed} on a card of {limit / GB:.2f} GB. Nothing was started. Settings that need less:\n"
        + "\n".join(f"  {line}" for line in _remedies(arch, step.config, step.mesh, limit))
    )


def _remedies(arch: Architecture, config: TrainConfig, mesh: Mesh, limit: int) -> list[str]:
    parts = config.batch_size // (config.data_parallel * config.fsdp)
    changes: list[dict[str, Any]] = [{"remat": True}, {"accumulation_steps": parts}, {"method": "lora", "dtype": "bfloat16"}]
    changes = [change for change in changes if any(getattr(config, name) != value for name, value in change.items())]
    together = {name: value for change in changes for name, value in change.items()}
    if together not in changes:
        changes.append(together)
    if together:
        changes.append({**together, "sequence_length": max(8, config.sequence_length // 2)})
    return [_remedy(arch, config, mesh, limit, change) for change in changes]


def _remedy(arch: Architecture, config: TrainConfig, mesh: Mesh, limit: int, change: dict[str, Any]) -> str:
    needed = memory_of(TrainStep(arch, config.model_copy(update=change), mesh)).total
    settings = " ".join(f"train.{name}={str(value).lower()}" for name, value in change.items())
    return f"{settings}: {needed / GB:.2f} GB, {'fits' if needed <= limit else 'does not fit'}"
