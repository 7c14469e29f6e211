"""`python -m trainer.planning`: the memory of a training step for many configurations, without any weights."""

from __future__ import annotations

import jax

from core.child_process import answering
from core.progress import Listener, Meter
from trainer.contract import PlanResult, PlanRow, PlanSpec
from trainer.mesh import make_mesh
from trainer.model.architecture import read_architecture
from trainer.preflight import budget, memory_of
from trainer.step import TrainStep

METHODS = ("full", "lora")


def run_planning(spec: PlanSpec, listener: Listener) -> PlanResult:
    """Compile the step of every combination of method, batch and length, and ask it for its memory.

    Raises:
        InputError: the model cannot be trained.
        ResourceError: fewer devices than the configuration asks for.
    """
    arch, mesh = read_architecture(spec.model), make_mesh(spec.config)
    wanted = [(method, batch, length) for method in METHODS for batch in spec.batches for length in spec.lengths]
    meter = Meter("compile", len(wanted), "steps", listener)
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
    return PlanResult(parameters=parameters, limit_bytes=budget(spec.config), platform=jax.default_backend(), rows=rows)


if __name__ == "__main__":
    with answering(PlanSpec) as job:
        job.answer(run_planning(job.spec, job.listener))
