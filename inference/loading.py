"""Loading a model for inference: these weights, this dtype, this device, and nothing instead of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.errors import InputError, IntegrityError, ResourceError
from core.files import sha256_bytes, sha256_file
from inference.contract import PredictSpec
from inference.model_directory import TOKENIZER_FILES

SEED = 0
"""Greedy decoding draws nothing, but a model's own code might."""


def load(spec: PredictSpec) -> tuple[Any, Any, str]:
    """Load tokenizer and model exactly as asked: these weights, this dtype, this device, no other code.

    Returns:
        A Hugging Face tokenizer that pads on the left, the model in evaluation mode, and "cpu" or "cuda".

    Raises:
        InputError: transformers cannot load it, or config and weights disagree; names the tensor.
        IntegrityError: a safetensors file is damaged.
        ResourceError: no GPU though one was asked for.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = _device(spec.generation.device)
    torch.manual_seed(SEED)
    torch.set_num_threads(spec.generation.threads)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            spec.model, local_files_only=True, trust_remote_code=False, padding_side="left"
        )
        model, report = AutoModelForCausalLM.from_pretrained(
            spec.model,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=getattr(torch, spec.generation.dtype),
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # only so that the report below names the tensor
        )
    except SafetensorError as error:
        raise IntegrityError(
            f"{spec.model}: damaged safetensors file: {error}. Fetch or export the model again."
        ) from error
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{spec.model}: transformers cannot load this model: {first}") from error
    _check_loading(spec.model, report)
    return tokenizer, model.to(device).eval(), device


def _check_loading(path: Path, report: dict[str, Any]) -> None:
    """Refuse tensors that are missing or misshapen: transformers fills them with random numbers."""
    for problem in ("mismatched_keys", "missing_keys", "unexpected_keys"):
        if found := sorted(map(_tensor, report.get(problem) or [])):
            raise InputError(
                f"{path}: config and weights disagree: {problem.replace('_', ' ')}: {', '.join(found[:5])}"
            )


def _tensor(entry: Any) -> str:
    """A tensor's name, with both shapes where they disagree."""
    if isinstance(entry, str):
        return entry
    name, found, expected = entry
    return f"{name} has shape {list(found)}, but config.json says {list(expected)}"


def _device(asked: str) -> str:
    import torch

    if asked == "cuda" and not torch.cuda.is_available():
        raise ResourceError(
            "generation.device is cuda, but torch finds no GPU here. Set it to auto or cpu, "
            "or check the driver with nvidia-smi."
        )
    return "cuda" if asked != "cpu" and torch.cuda.is_available() else "cpu"


def tokenizer_sha256(directory: Path) -> str:
    """The sha256 over the tokenizer's files, chat template included."""
    names = (
        *TOKENIZER_FILES,
        "tokenizer_config.json",
        "special_tokens_map.json",
        "chat_template.jinja",
        "merges.txt",
        "added_tokens.json",
    )
    found = [(name, sha256_file(directory / name)) for name in sorted(names) if (directory / name).is_file()]
    return sha256_bytes(repr(found).encode())
