"""Will a model fit, and how many prompts at a time? Asked before its weights are loaded. Without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core.errors import ResourceError
from core.gpus import ask_driver, visible_gpus
from core.model_files import read_object
from core.progress import announce
from core.tensors import read_tensors, weight_files
from inference.contract import GenerationConfig

GB = 1e9
BYTES = {"float32": 4, "bfloat16": 2}
USABLE = 0.9
"""The share of what the weights leave that prompts may take: the rest is lost between blocks of memory, or to
what this estimate does not know.
"""
ATTENTION = ("full_attention", "attention", "full", "chunked_attention")
SLIDING = ("sliding_attention", "sliding")
LARGEST = 10**7
"""The most that a dimension of a model can sensibly be; a larger one is a mistake."""
MEMORY_INFO, CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


class InferenceMemory(BaseModel):
    """What inference needs, in bytes.

    Attributes:
        weights: all of them, in the dtype that is computed in.
        cache: keys and values of one row at its longest; None for a family whose cache is not known.
        working: activations and logits of one row while its prompt is read.
        available: what the device has free; None where nobody knows.
        device: cpu or cuda.
        batch_size: rows that were asked for.
    """

    weights: int
    cache: int | None
    working: int
    available: int | None
    device: str
    batch_size: int

    @property
    def per_row(self) -> int:
        """What each prompt of a batch needs."""
        return (self.cache or 0) + self.working

    @property
    def total(self) -> int:
        """What a whole batch of the longest prompts needs."""
        return self.weights + self.batch_size * self.per_row

    @property
    def weights_fit(self) -> bool:
        """Whether there is room for the weights, as far as anybody knows."""
        return self.available is None or self.weights <= self.available

    @property
    def fitting(self) -> int:
        """How many rows fit, at least one and at most as many as were asked for."""
        if self.available is None or self.total <= self.available:
            return self.batch_size
        left = USABLE * (self.available - self.weights)
        return max(1, min(self.batch_size, int(left // max(1, self.per_row))))

    @property
    def spare(self) -> int | None:
        """Bytes that nothing of this needs; None where nobody knows."""
        return None if self.available is None else self.available - self.total

    @property
    def place(self) -> str:
        """What has too little memory, as the beginning of a sentence."""
        return "the GPU" if self.device == "cuda" else "this machine"


def inference_memory(
    model: Path, generation: GenerationConfig, prompt_tokens: int, *, device: str, available: int | None
) -> InferenceMemory:
    """What a model needs, from its config.json and the headers of its weights.

    Args:
        model: a checked local model directory.
        generation: the settings; `max_new_tokens` is a number.
        prompt_tokens: of the longest prompt.
        device: cpu or cuda.
        available: bytes that it has free; None where nobody knows.
    """
    config = read_object(model / "config.json")
    inner = config.get("text_config")
    text = inner if isinstance(inner, dict) else config
    size = BYTES[generation.dtype]
    return InferenceMemory(
        weights=weights_bytes(model, generation.dtype),
        cache=_cache(text, prompt_tokens + generation.longest, size),
        working=_working(text, prompt_tokens, size),
        available=available,
        device=device,
        batch_size=generation.batch_size,
    )


def gigabytes(size: int) -> str:
    """A number of bytes as a person reads it."""
    return f"{size / GB:.3g} GB"


def weights_bytes(model: Path, dtype: str) -> int:
    """The size of a model's weights when they are loaded."""
    tensors = (tensor for file in weight_files(model) for tensor in read_tensors(file))
    return sum(_count(tensor.shape) * BYTES[dtype] for tensor in tensors)


def _count(shape: list[int]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count


def _number(config: Mapping[str, Any], *names: str) -> int | None:
    """The first of some fields that is a sensible number; families name them differently."""
    found = (config.get(name) for name in names)
    return next((each for each in found if type(each) is int and 0 < each <= LARGEST), None)


def _heads(config: Mapping[str, Any]) -> tuple[int, int] | None:
    """How many heads keep keys and values, and how long these are; None where the config does not say."""
    heads = _number(config, "num_attention_heads", "n_head", "n_heads")
    hidden = _number(config, "hidden_size", "n_embd", "d_model")
    if not heads or not hidden:
        return None
    kept = _number(config, "num_key_value_heads", "num_kv_heads") or (
        1 if config.get("multi_query") else heads
    )
    return kept, _number(config, "head_dim") or hidden // heads


def _cache(config: Mapping[str, Any], tokens: int, size: int) -> int | None:
    """Keys and values of one row: two for each layer that attends, head and token."""
    layers = _number(config, "num_hidden_layers", "n_layer", "num_layers", "n_layers")
    heads = _heads(config)
    if not layers or heads is None or _number(config, "kv_lora_rank"):  # of which only a summary is kept
        return None
    kinds = config.get("layer_types") or []
    if not isinstance(kinds, list) or not all(kind in (*ATTENTION, *SLIDING) for kind in kinds):
        return None
    window = min(tokens, _number(config, "sliding_window") or tokens)
    kept = sum(window if kind in SLIDING else tokens for kind in kinds) if kinds else layers * tokens
    return 2 * kept * heads[0] * heads[1] * size


def _working(config: Mapping[str, Any], prompt_tokens: int, size: int) -> int:
    """About what one layer holds while it reads a prompt, and the logits of the last token in float32: as
    they are, as they are looked at, and sorted.
    """
    hidden = _number(config, "hidden_size", "n_embd", "d_model") or 0
    inner = _number(config, "intermediate_size", "n_inner", "ffn_dim") or 4 * hidden
    return prompt_tokens * (3 * inner + 8 * hidden) * size + 3 * 4 * (_number(config, "vocab_size") or 0)


def refuse_weights(model: Path, generation: GenerationConfig, *, device: str, available: int | None) -> None:
    """Refuse a model whose weights alone do not fit.

    Args:
        model: a checked local model directory.
        generation: the settings.
        device: cpu or cuda.
        available: bytes that it has free; None where nobody knows.

    Raises:
        ResourceError: with both numbers, and what needs less.
    """
    if available is None or generation.device_map == "auto":
        return
    needed = weights_bytes(model, generation.dtype)
    if needed <= available:
        return
    half = weights_bytes(model, "bfloat16")
    smaller = f"generation.dtype=bfloat16: {gigabytes(half)}, {'fits' if half <= available else 'too much'}"
    place = "the GPU" if device == "cuda" else "this machine"
    remedies = [
        *([smaller] if generation.dtype != "bfloat16" else []),
        "generation.device_map=auto: over all GPUs, then memory, then the disk, which is slow",
        "a smaller model",
    ]
    raise ResourceError(
        f"{model}: the weights need {gigabytes(needed)} as {generation.dtype}, and {place} has "
        f"{gigabytes(available)}. Nothing was started. What needs less:\n"
        + "\n".join(f"  {line}" for line in remedies)
    )


def fitting_batch_size(model: Path, generation: GenerationConfig, prompt_tokens: int, device: str) -> int:
    """How many prompts to begin with: as many as were asked for, or as many of the longest as fit beside the
    weights, which is said.

    Args:
        model: the directory of a model that is loaded.
        generation: the settings; `max_new_tokens` is a number.
        prompt_tokens: of the longest prompt.
        device: cpu or cuda.
    """
    if generation.device_map == "auto":
        return generation.batch_size
    needed = memory_when_loaded(model, generation, prompt_tokens, device)
    if needed.fitting < needed.batch_size and needed.available is not None:
        announce(
            "memory:",
            f"a batch of {needed.batch_size} of the longest prompts needs {gigabytes(needed.total)}, and "
            f"{needed.place} has {gigabytes(needed.available)}, so batches begin with {needed.fitting}",
        )
    return needed.fitting


def memory_when_loaded(
    model: Path, generation: GenerationConfig, prompt_tokens: int, device: str
) -> InferenceMemory:
    """What a model needs whose weights are there already: they count as available.

    Args:
        model: its directory.
        generation: the settings; `max_new_tokens` is a number.
        prompt_tokens: of the longest prompt.
        device: cpu or cuda.
    """
    needed = inference_memory(model, generation, prompt_tokens, device=device, available=None)
    available = available_bytes(generation, device)
    if available is not None and generation.memory_gb is None:
        available += needed.weights
    return needed.model_copy(update={"available": available})


def refuse_at_planning(model: Path, generation: GenerationConfig) -> None:
    """Refuse a model whose weights would not fit even if nothing else ran here: before anything is trained or
    waited for. What is free is looked at when it is loaded.

    Raises:
        ResourceError: see `refuse_weights`.
    """
    if generation.engine == "transformers":
        device = planned_device(generation)
        available = available_bytes(generation, device, whole=True)
        refuse_weights(model, generation, device=device, available=available)


def planned_device(generation: GenerationConfig) -> str:
    """The device that will be taken, cpu or cuda, as the driver says, without torch."""
    return "cuda" if generation.device != "cpu" and visible_gpus() else "cpu"


def available_bytes(generation: GenerationConfig, device: str, *, whole: bool = False) -> int | None:
    """What a device has free, as configured or as the system says.

    Args:
        generation: the settings.
        device: cpu or cuda.
        whole: all that it has, whoever uses it now.
    """
    if generation.memory_gb is not None:
        return int(generation.memory_gb * GB)
    found = [gpu_memory(whole)] if device == "cuda" else [_of_machine(whole), _of_container(whole)]
    return min((each for each in found if each is not None), default=None)


def gpu_memory(whole: bool = False) -> int | None:
    """What the visible GPU with the least has free, or in all, in bytes, as the driver says."""
    rows = [line.split(",") for line in ask_driver(f"uuid,memory.{'total' if whole else 'free'}")]
    sizes = {uuid.strip(): size.strip().split()[0] for uuid, size in rows}
    mebibytes = [sizes[uuid] for uuid in visible_gpus() if uuid in sizes]
    return min((int(each) * 2**20 for each in mebibytes if each.isdigit()), default=None)


def _of_machine(whole: bool) -> int | None:
    try:
        lines = MEMORY_INFO.read_text().splitlines()
    except OSError:
        return None
    name = "MemTotal:" if whole else "MemAvailable:"
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), None)


def _of_container(whole: bool) -> int | None:
    """What a limit of control groups (version 2) leaves; caches of files can go."""
    try:
        limit, used = ((CGROUP / name).read_text().strip() for name in ("memory.max", "memory.current"))
        caches = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        left = int(limit) - int(used) + int(caches.get("inactive_file", 0))
        return int(limit) if whole else left
    except (OSError, ValueError):  # no limit, or no such groups
        return None
