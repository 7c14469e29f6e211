"""What a result may depend on besides its inputs: code, packages, hardware, switches. Recorded, never
guessed.
"""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import core
from core.files import sha256_file, sha256_json
from core.gpus import ask_driver
from experiments.engines import engine_environment
from golden.prompting import ResolvedPrompt
from inference.contract import NO_INPUT, GenerationConfig

PROJECT = Path(__file__).parent.parent
NOT_INSTALLED = "not installed"
OPTIONAL_PACKAGES = ("sentencepiece", "tiktoken")
"""What reads some models' tokenizers; recorded as not installed where it is absent."""
PROMPT_PACKAGES = ("transformers", "tokenizers", "jinja2", *OPTIONAL_PACKAGES)
"""What turns items into token ids."""
INFERENCE_PACKAGES = ("torch", "safetensors", "numpy", *PROMPT_PACKAGES)
TRAINING_PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "safetensors",
    *PROMPT_PACKAGES,
)
PROMPT_CODE = (
    "golden/schema.py",
    "golden/prompting.py",
    "golden/rendering.py",
    "golden/chat_template.py",
    "golden/control_tokens.py",
    "golden/tokenizer.py",
    "golden/datasets.py",
    "golden/lines.py",
)
INFERENCE_CODE = ("inference", *PROMPT_CODE, "core/child_process.py")
# a judge itself has a fingerprint of its own
JUDGING_CODE = ("judges/base.py", "judges/judging.py", "judges/thinking.py")
TRAINING_CODE = ("trainer", *PROMPT_CODE, "core/child_process.py")
SWITCHES = (
    "CUDA_VISIBLE_DEVICES",
    "JAX_PLATFORMS",
    "JAX_ENABLE_X64",
    "MKL_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "XLA_FLAGS",
    "ATEN_CPU_CAPABILITY",
)
"""Environment variables that can change results. Only these are ever recorded, so that no secret is."""


@cache
def package_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Installed versions; `NOT_INSTALLED` where a package is absent."""
    return {name: _version(name) for name in names}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return NOT_INSTALLED


@cache
def code_sha256(parts: tuple[str, ...]) -> str:
    """The sha256 of the Python sources that make a result, so that changed code never passes as the same."""
    files: list[Path] = []
    for part in parts:
        path = PROJECT / part
        files.extend(sorted(path.rglob("*.py")) if path.is_dir() else [path])
    return sha256_json([[path.relative_to(PROJECT).as_posix(), sha256_file(path)] for path in files])


@cache
def hardware() -> dict[str, Any]:
    """Processor, architecture, cores, and the GPUs that the NVIDIA driver lists."""
    return {
        "processor": _processor(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "gpus": ask_driver("name,memory.total,driver_version"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )


@cache
def code_version() -> dict[str, Any]:
    """Version of Hallmark, and the git commit where it runs from a checkout."""
    commit = _git("rev-parse", "HEAD") or os.environ.get("HALLMARK_COMMIT")  # container images have no .git
    dirty = bool(_git("status", "--porcelain", "--untracked-files=no")) if commit else None
    return {"hallmark": core.__version__, "git_commit": commit or None, "git_dirty": dirty}


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(PROJECT), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def lock_sha256() -> str | None:
    """The sha256 of uv.lock, where there is one."""
    lock = PROJECT / "uv.lock"
    return sha256_file(lock) if lock.is_file() else None


def environment(packages: tuple[str, ...]) -> dict[str, Any]:
    """Everything of the above, for a manifest."""
    return {
        "code": code_version(),
        "uv_lock_sha256": lock_sha256(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": package_versions(packages),
        "hardware": hardware(),
        "switches": {name: os.environ[name] for name in SWITCHES if name in os.environ},
    }


def deciding_environment(code: tuple[str, ...], packages: tuple[str, ...]) -> dict[str, Any]:
    """What decides a result beside its inputs, as it is now: code, packages, Python, hardware.

    Args:
        code: files and folders of ours, relative to the project.
        packages: distributions whose versions count.
    """
    return {
        "code": code_sha256(code),
        "packages": package_versions(packages),
        "python": platform.python_version(),
        "hardware": {name: value for name, value in hardware().items() if name != "cores"},
    }


def inference_environment(generation: GenerationConfig) -> dict[str, Any]:
    """What decides predictions besides model, dataset and generation settings; recorded, so that they can be
    judged again later. Packages, Python and switches are those of the engine's own environment where it has
    one.
    """
    ours = deciding_environment(INFERENCE_CODE, INFERENCE_PACKAGES)
    return {**ours, **engine_environment(generation, INFERENCE_PACKAGES)}


def evaluation_sha256(
    *,
    model: str,
    dataset: str,
    prompt: ResolvedPrompt,
    generation: GenerationConfig,
    inference: dict[str, Any],
    judge: str,
    fingerprint: str,
) -> str:
    """Hash of every input that decides the scores of a model. Equal hash: the scores are the same.

    Args:
        model: sha256 of the weights that were judged.
        dataset: sha256 of the golden dataset.
        prompt: how the model is asked.
        generation: settings; the batch size changes no prediction and does not count.
        inference: the environment in which the predictions were made.
        judge: NAME@vN. What runs it, and on which Python, counts as it is now.
        fingerprint: of the judge.
    """
    return sha256_json(
        {
            "model": model,
            "dataset": dataset,
            "prompt": prompt.recorded(),
            "generation": generation.model_dump(exclude=set(NO_INPUT)),
            "inference": inference,
            "judge": [judge, fingerprint],
            "judging": {"code": code_sha256(JUDGING_CODE), "python": platform.python_version()},
        }
    )
