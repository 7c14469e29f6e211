"""Loads a model into vLLM, of whose environment nothing else decides a prediction. Needs vllm."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from core.errors import ResourceError
from core.imports import collection_paused
from core.tensors import INDEX, weight_files
from inference.contract import GenerationConfig, PredictSpec
from inference.engines.vllm_builds import BUILDS, INSTALL, Build, find_build, not_loaded
from inference.memory import available_bytes, inference_memory

CAPABILITY = (8, 0)
"""The compute capability from which on vLLM's batch-invariant kernels work."""
KEPT = ("VLLM_CACHE_ROOT", "VLLM_CONFIG_ROOT", "VLLM_LOGGING_LEVEL")
"""Variables of vLLM that are left as they are: they change no prediction. All others are ours to set."""
STEP_TOKENS = 4096
"""Tokens of prompts that go through the model together on a CPU; more where one prompt is longer."""
SCORED_TOKENS = 512
"""The same where log-probabilities are asked for: vLLM computes the logits of every token that it reads."""
BLOCK = 32
"""Tokens for which keys and values are kept together on a CPU, the fewest that vLLM can: so much of a prompt
is read again at most where another one began with the same tokens.
"""
SHARE_OF_GPU = 0.9
"""Of the memory that is free on the GPU."""
CPU_MEMORY = 4 << 30
"""Bytes for keys and values on a CPU, where the model does not say how many they need."""


def load_vllm(
    spec: PredictSpec, build: Build, length: int, *, shares: bool = False, processors: Sequence[type] = ()
) -> Any:
    """An engine of vLLM with the model of a job.

    Args:
        spec: the job.
        build: which vLLM.
        length: tokens of the longest prompt with its answer.
        shares: whether what prompts begin with is read once, on a CPU.
        processors: of logits, likewise.

    Raises:
        HallmarkError: vLLM cannot run the model, or there is too little memory; says what to do.
    """
    try:
        import_vllm()
        import torch
        from vllm.engine.arg_utils import EngineArgs
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.llm_engine import LLMEngine
    except ImportError as error:
        raise ResourceError(f"vllm cannot be imported: {error}. {INSTALL}") from error
    arguments = _arguments(spec, build, length)
    if build.on_cpu:
        from inference.engines.vllm_layers import use_quick_layers

        arguments |= {"enable_prefix_caching": shares, "logits_processors": list(processors)}
        use_quick_layers()
        torch.compiler.set_stance("force_eager")  # it would need a C++ compiler, and 10 s
    if spec.generation.output == "log_probs":  # whose last token is not read
        os.environ["VLLM_ALLOW_LONG_MAX_MODEL_LEN"] = "1"
    with tempfile.TemporaryDirectory(prefix="hallmark-vllm-") as folder:
        _link_model(spec.directory, Path(folder))
        try:
            return LLMEngine.from_engine_args(
                EngineArgs(model=folder, **arguments), usage_context=UsageContext.LLM_CLASS
            )
        except Exception as error:  # whatever vLLM and the libraries below it say
            said = str(error).replace(folder, str(spec.directory))
            raise not_loaded(spec.directory, build, said) from error


def _arguments(spec: PredictSpec, build: Build, length: int) -> dict[str, Any]:
    settings, scores = spec.generation, spec.generation.output == "log_probs"
    at_once = 1 if scores else settings.batch_size
    arguments: dict[str, Any] = {
        "skip_tokenizer_init": True,
        "generation_config": "vllm",  # not the model's: penalties are not ours
        "config_format": "hf",
        "load_format": "safetensors",
        "dtype": settings.dtype,
        "max_model_len": length,
        "max_num_seqs": at_once,
        "enable_prefix_caching": False,  # on a GPU nobody promises the same bytes with it
        "disable_log_stats": True,
        "seed": 0,
    }
    if build.on_cpu:
        arguments |= {
            "enforce_eager": True,
            "async_scheduling": False,
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": max(STEP_TOKENS, length),
            "block_size": BLOCK,
            "kv_cache_memory_bytes": _cache_bytes(spec, length, at_once),
        }
    else:
        arguments["gpu_memory_utilization"] = _share_of_gpu(settings)
    if scores:
        arguments |= {"enable_chunked_prefill": True, "max_num_batched_tokens": SCORED_TOKENS}
    return arguments


def _cache_bytes(spec: PredictSpec, length: int, at_once: int) -> int:
    """How much memory keys and values get on a CPU: enough for full batches of the longest answers, and at
    most half of what is free, but always enough for one.
    """
    settings = spec.generation
    prompt = length - settings.longest
    needed = inference_memory(spec.directory, settings, prompt, device="cpu", available=None)
    free = available_bytes(settings, "cpu") or CPU_MEMORY
    if needed.cache is None:
        return min(CPU_MEMORY, free // 2)
    row = needed.cache * BLOCK * (-(-length // BLOCK) + 1) // length
    return max(2 * row, min(row * (at_once + 1), free // 2))


def import_vllm() -> None:
    """Import what every model needs. Nothing is loaded, and no GPU is touched."""
    build = installed_build()
    set_variables(build)
    with collection_paused():
        if build.on_cpu:
            import vllm.v1.worker.cpu_worker
        import vllm.v1.engine.llm_engine  # noqa: F401


def installed_build() -> Build:
    """The vLLM of this environment.

    Raises:
        ResourceError: there is none.
    """
    found = {}
    for name in BUILDS:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    build = find_build(found)
    if build is None:
        raise ResourceError(f"generation.engine is vllm, which is not installed. {INSTALL}")
    return build


def check_gpu(build: Build) -> None:
    """Refuse to begin without a GPU on which predictions do not depend on their company.

    Raises:
        ResourceError: there is none.
    """
    import torch

    if not torch.cuda.is_available():
        raise ResourceError(
            f"generation.engine is vllm, and {build.name} {build.version} needs a GPU, but torch finds none "
            "here. Check the driver with nvidia-smi, or make the environment again for CPUs: "
            "make vllm VLLM=cpu"
        )
    if (found := torch.cuda.get_device_capability()) < CAPABILITY:
        raise ResourceError(
            f"generation.engine is vllm, whose predictions would depend on the batch on this GPU: "
            f"{torch.cuda.get_device_name()} has compute capability {found[0]}.{found[1]}, and the kernels "
            f"that see to it need {CAPABILITY[0]}.{CAPABILITY[1]} or more. Set generation.engine to "
            "transformers."
        )


def set_variables(build: Build) -> None:
    """Tell vLLM what it reads from the environment, before it is imported, and nothing else than that."""
    for name in [each for each in os.environ if each.startswith("VLLM_") and each not in KEPT]:
        del os.environ[name]
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ |= {
        "DO_NOT_TRACK": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_PLUGINS": "",
        **build.variables,
    }
    if build.on_cpu:
        os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"  # two jobs would share the first cores
    else:
        os.environ["VLLM_RAISE_ON_LOGIT_NANS"] = "1"


def _share_of_gpu(settings: GenerationConfig) -> float:
    """What vLLM may use of the GPU's memory: nearly all that is free, or that it was given."""
    import torch

    free, total = torch.cuda.mem_get_info()
    return SHARE_OF_GPU * min(available_bytes(settings, "cuda") or free, free) / total


def _link_model(model: Path, folder: Path) -> None:
    """Show vLLM what makes the model, and nothing that may stand beside it."""
    names = ["config.json", *(path.name for path in weight_files(model))]
    for name in [*names, *([INDEX] if (model / INDEX).is_file() else [])]:
        (folder / name).symlink_to((model / name).resolve())
