"""Settings that suit a model, its data and a machine: what `hallmark init` writes."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from core.gpus import ask_driver
from core.tensors import read_tensors, weight_files
from core.text import counted
from evaluation.numbers import percent
from trainer.contract import Settling

ANSWER_LINE = 'Think step by step. End with a line "Answer: " followed by the final answer and nothing else.'
INSTRUCTIONS = {
    "answer_correctness": ANSWER_LINE,
    "math_equivalence": ANSWER_LINE,
    "exact_match": 'Write a line "Answer: " followed by the final answer and nothing else.',
    "choice": 'Write a line "Answer: " followed by the letter of the right option and nothing else.',
}
"""How a model is told to end its answer, for judges that look for one in a text."""

LONG_TRACE = 2.0
"""Where the longest trace has more than this many times the tokens of the 99th percentile, the few that are
as long are left out rather than made room for."""
BYTES_LOADED = 4
"""Bytes per parameter in float32."""
EFFICIENCY = 0.4
"""Share of a matrix product's speed that training reaches on a CPU."""
FEWEST_STEPS = 20
"""Steps below which a step is made smaller rather than the training shorter."""
LINE_LENGTH = 100


class Setting(NamedTuple):
    """One setting that is proposed.

    Attributes:
        name: dotted, as in train.steps.
        value: of the setting.
        why: in a few words, for a comment beside it.
    """

    name: str
    value: Any
    why: str


@dataclass(frozen=True)
class Machine:
    """What the work will run on.

    Attributes:
        gpu: its name; None where it is not known.
        memory_gb: of the GPU, in 10^9 bytes; None for a CPU.
        cores: of the CPU.
        flops: floating point operations per second of a large matrix product on the CPU.
    """

    gpu: str | None
    memory_gb: float | None
    cores: int
    flops: float = 1e11

    def __str__(self) -> str:
        if self.memory_gb is None:
            return f"{self.cores} CPU cores, no GPU"
        return f"{self.gpu or 'a GPU'}, {self.memory_gb:.1f} GB"


def this_machine(memory_gb: float | None = None, cpu: bool = False) -> Machine:
    """The first GPU that the driver lists, else the CPU.

    Args:
        memory_gb: of the GPU to plan for, where the work will run on another machine.
        cpu: plan for the CPU although there is a GPU.
    """
    cores = len(os.sched_getaffinity(0))
    if memory_gb is not None:
        return Machine(gpu=None, memory_gb=memory_gb, cores=cores)
    listed = [] if cpu else ask_driver("name,memory.total")
    if not listed:
        return Machine(gpu=None, memory_gb=None, cores=cores, flops=measured_flops())
    name, _, size = listed[0].rpartition(",")
    return Machine(gpu=name.strip(), memory_gb=float(size.split()[0]) * 2**20 / 1e9, cores=cores)


def measured_flops() -> float:
    """Floating point operations per second of a matrix product in float32, measured for half a second."""
    import numpy as np

    size = 1024
    left = np.ones((size, size), np.float32)
    _ = left @ left  # the first one starts the threads
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < 0.5:
        _ = left @ left
        count += 1
    return count * 2 * size**3 / (time.perf_counter() - started)


def parameter_count(directory: Path) -> int:
    """The number of weights in a model directory, from the headers of its safetensors files."""
    return sum(math.prod(tensor.shape) for path in weight_files(directory) for tensor in read_tensors(path))


def instruction_for(judge: str) -> str | None:
    """How to tell a model to end its answer so that the judge finds it; None where nothing needs telling.

    Args:
        judge: its reference.
    """
    return INSTRUCTIONS.get(judge.partition("@")[0])


def propose_generation(parameters: int, machine: Machine) -> list[Setting]:
    """What to compute predictions in.

    Args:
        parameters: of the model.
        machine: where.
    """
    needed = BYTES_LOADED * parameters / 1e9
    if machine.memory_gb is None or needed <= 0.4 * machine.memory_gb:
        return [Setting("generation.dtype", "float32", "predictions depend on model and prompt alone")]
    return [
        Setting("generation.dtype", "bfloat16", f"float32 needs {needed:.1f} GB for the weights alone"),
        Setting("generation.batch_size", 16, "leaves room for the answers of 16 prompts at a time"),
    ]


def propose_training(
    settle: Callable[..., Settling], parameters: int, machine: Machine, minutes: float
) -> list[Setting]:
    """How long rows and steps are, and how many steps there are.

    Args:
        settle: settles training settings by keyword for the training set; see
            `experiments.defaults.measure_training`.
        parameters: of the model.
        machine: where.
        minutes: how long training may take on a CPU; a GPU trains one epoch.

    Raises:
        InputError: whatever keeps the training set from being trained on.
    """
    found = settle(on_too_long="drop")
    if found.longest > LONG_TRACE * found.typical:
        found = settle(on_too_long="drop", sequence_length=found.typical)
    config, all_traces = found.config, found.traces + found.dropped
    why = f"the longest of {counted(all_traces, 'trace')} has {counted(found.longest, 'token')}"
    settings = [Setting("train.sequence_length", config.sequence_length, why)]
    if found.dropped:
        share = percent(found.dropped / all_traces)
        left_out = f"leaves out {found.dropped:,} longer traces, {share}; counted and recorded"
        settings.append(Setting("train.on_too_long", "drop", left_out))
    settings.append(
        Setting("train.learning_rate", config.learning_rate, f"usual for {config.method} training")
    )
    if machine.memory_gb is None:
        return [*settings, *_for_cpu(found, parameters, machine, minutes)]
    tokens = f"about {config.batch_size * config.sequence_length:,} tokens per step"
    return [
        *settings,
        Setting("train.batch_size", config.batch_size, tokens),
        Setting("train.accumulation_steps", config.batch_size, "one row at a time: least memory"),
        Setting("train.steps", config.steps, _epochs(found)),
    ]


def _for_cpu(found: Settling, parameters: int, machine: Machine, minutes: float) -> list[Setting]:
    length, rows, steps = found.config.sequence_length, found.config.batch_size, found.config.steps
    epoch = rows * steps
    while rows > 1 and 60 * minutes < FEWEST_STEPS * step_seconds(parameters, rows * length, machine):
        rows //= 2
    seconds, steps = step_seconds(parameters, rows * length, machine), math.ceil(epoch / rows)
    affordable = max(1, int(60 * minutes / seconds))
    batch = Setting("train.batch_size", rows, f"{rows * length:,} tokens per step, about {seconds:.2g} s")
    if affordable >= steps:
        return [batch, Setting("train.steps", steps, _epochs(found))]
    about = f"about {minutes:g} minutes on this CPU; {_epochs(found)}: {counted(steps, 'step')}"
    return [batch, Setting("train.steps", affordable, about)]


def _epochs(found: Settling) -> str:
    """How often the traces are seen, in words."""
    return "each trace once" if found.epochs < 1.5 else f"each trace about {found.epochs:.3g} times"


def step_seconds(parameters: int, tokens: int, machine: Machine) -> float:
    """About how long an optimizer step takes on a CPU, in seconds: 6 operations per parameter and token
    (Kaplan et al. 2020, arXiv:2001.08361).

    Args:
        parameters: of the model.
        tokens: of the step.
        machine: whose speed was measured.

    Example:
        >>> round(step_seconds(135_000_000, 1024, Machine(None, None, 2, flops=1e11)))
        21
    """
    return 6 * parameters * tokens / (EFFICIENCY * machine.flops)


def predict_seconds(parameters: int, tokens: int, machine: Machine) -> float:
    """About how long a CPU writes answers, in seconds: 2 operations per parameter and token, for answers that
    are on average half as long as they may be.

    Args:
        parameters: of the model.
        tokens: that all answers may have together.
        machine: whose speed was measured.
    """
    return 2 * parameters * tokens / 2 / (EFFICIENCY / 2 * machine.flops)


def as_toml(settings: Sequence[Setting], heading: str) -> str:
    """Settings as a TOML file that says of each why it has its value.

    Args:
        settings: what to write.
        heading: comment at the top.

    Example:
        >>> print(as_toml([Setting("train.steps", 50, "an epoch")], "of support"), end="")
        # of support
        <BLANKLINE>
        [train]
        steps = 50  # an epoch
    """
    tables: dict[str, list[Setting]] = {}
    for setting in settings:
        table, _, name = setting.name.rpartition(".")
        tables.setdefault(table, []).append(setting._replace(name=name))
    lines = [f"# {line}".rstrip() for line in heading.splitlines()]
    for table, inside in sorted(tables.items()):
        lines += ["", f"[{table}]"] if table else [""]
        for name, value, why in inside:
            written = f"{name} = {_toml_value(value)}"
            comment = f"# {why}" if why else ""
            together = len(written) + len(comment) < LINE_LENGTH
            lines += [f"{written}  {comment}".rstrip()] if together else [comment, written]
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    """JSON writes strings, numbers, booleans and lists of them as TOML does, but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
