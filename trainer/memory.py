"""Will the training step fit on the GPU? Asked of the compiled step itself, before any weights are loaded.

`python -m trainer.memory` asks it of many configurations, for `hallmark doctor --plan`.
"""

from __future__ import annotations

import math
from typing import Any

import jax
from jax.sharding import Mesh

from core.child_process import answering
from core.errors import ResourceError
from core.progress import Listener, Meter
from trainer.contract import GB, Memory, PlanResult, PlanRow, PlanSpec, SettledTrainConfig
from trainer.mesh import make_mesh
from trainer.model.architecture import Architecture, read_architecture
from trainer.step import TrainStep

METHODS = ("full", "lora")
"""What `hallmark doctor --plan` compares."""


def memory_of(step: TrainStep) -> Memory:
    """The memory of a compiled step, from the compiler's own analysis."""
    analysis = step.compiled.memory_analysis()
    optimizer = sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(step.abstract.optimizer)
    )
    arguments = analysis.argument_size_in_bytes
    results = analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    return Memory(
        weights=arguments - optimizer,
        optimizer=optimizer,
        working=analysis.temp_size_in_bytes + max(0, results),
    )


def budget(config: SettledTrainConfig) -> int | None:
    """The memory of one device, in bytes: as configured, else as it reports; None for a CPU."""
    if config.memory_gb is not None:
        return int(config.memory_gb * GB)
    statistics = jax.local_devices()[0].memory_stats() or {}
    return statistics.get("bytes_limit")


def check_memory(step: TrainStep, arch: Architecture) -> Memory:
    """The memory of the compiled step, which must not be more than there is.

    Raises:
        ResourceError: it is; with both numbers, and what settings that need less would need.
    """
    needed = memory_of(step)
    limit = budget(step.config)
    if limit is None or needed.total <= limit:
        return needed
    raise ResourceError(
        f"training needs {needed} on a GPU of {limit / GB:.2f} GB. Nothing was started. "
        "Settings that need less:\n"
        + "\n".join(f"  {line}" for line in _remedies(arch, step.config, step.mesh, limit))
    )


def _remedies(arch: Architecture, config: SettledTrainConfig, mesh: Mesh, limit: int) -> list[str]:
    """One line for each change of the settings that needs less, for all of them, and with half the length."""
    rows_per_device = config.batch_size // (config.data_parallel * config.fsdp)
    possible: list[dict[str, Any]] = [
        {"remat": True},
        {"accumulation_steps": rows_per_device},  # one row at a time
        {"method": "lora", "dtype": "bfloat16"},
    ]
    changes = [change for change in possible if config.model_copy(update=change) != config]
    together = {name: value for change in changes for name, value in change.items()}
    if together not in changes:
        changes.append(together)
    if together:
        changes.append({**together, "sequence_length": max(8, config.sequence_length // 2)})
    return [_remedy(arch, config, mesh, limit, change) for change in changes]


def _remedy(
    arch: Architecture, config: SettledTrainConfig, mesh: Mesh, limit: int, change: dict[str, Any]
) -> str:
    needed = memory_of(TrainStep(arch, config.model_copy(update=change), mesh)).total
    settings = " ".join(f"train.{name}={str(value).lower()}" for name, value in change.items())
    return f"{settings}: {needed / GB:.2f} GB, {'fits' if needed <= limit else 'does not fit'}"


def run_planning(spec: PlanSpec, listener: Listener) -> PlanResult:
    """Compile the step of every combination of method, batch and length, and ask it for its memory.

    Raises:
        InputError: the model cannot be trained.
        ResourceError: fewer devices than the configuration asks for.
    """
    arch = read_architecture(spec.model)
    mesh = make_mesh(spec.config)
    wanted = [
        (method, batch, length) for method in METHODS for batch in spec.batches for length in spec.lengths
    ]
    meter = Meter("compile", len(wanted), "combinations", listener)
    rows: list[PlanRow] = []
    parameters = 0
    for method, batch, length in wanted:
        meter.update(len(rows), note=f"{method}, {batch} x {length}")
        changes = {"method": method, "batch_size": batch, "sequence_length": length}
        step = TrainStep(arch, spec.config.model_copy(update=changes), mesh)
        if method == "full":
            parameters = sum(leaf.size for leaf in jax.tree.leaves(step.abstract.trainable))
        rows.append(PlanRow(**changes, memory=memory_of(step)))
    meter.update(len(rows))
    return PlanResult(
        parameters=parameters, limit_bytes=budget(spec.config), platform=jax.default_backend(), rows=rows
    )


if __name__ == "__main__":
    with answering(PlanSpec) as job:
        job.answer(run_planning(job.spec, job.listener))
