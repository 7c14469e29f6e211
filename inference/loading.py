"""Loading a model for inference: these weights, this dtype, this device, and nothing instead of them."""

from __future__ import annotations

import atexit
import gc
import sys
from pathlib import Path
from typing import Any

from core.errors import InputError, ResourceError
from core.files import sha256_bytes, sha256_file
from core.imports import collection_paused, unseen
from core.load_errors import explained
from core.model_files import TEMPLATES
from core.tensors import NonFinite, refuse_nonfinite
from golden.tokenizer import OURS, load_tokenizer
from inference.contract import GenerationConfig, PredictSpec
from inference.memory import available_bytes, refuse_weights
from inference.model_directory import check_model_directory
from inference.tokenizer_files import TOKENIZER_FILES

SEED = 0
"""Greedy decoding draws nothing, but a model's own code might."""


OTHERS_NEED = ("scipy", "sklearn", "boto3")
"""What transformers and accelerate import where it is installed: for losses of object detection, for assisted
generation, and for SageMaker. It took an eighth of the time.
"""


def import_libraries() -> None:
    """Import what every model of transformers needs; most of the time until a small one answers is spent
    here. Nothing is loaded, and no GPU is touched.
    """
    atexit.register(gc.unfreeze)  # else triton, a part of torch, reports what it finds at the end
    known = "transformers" in sys.modules  # then it may have seen what there is, and would import it
    with collection_paused(), unseen(*(() if known else OTHERS_NEED)):
        import torch  # noqa: F401
        from transformers import (  # noqa: F401 - names of transformers are imported when they are asked for
            AutoConfig,
            AutoModelForCausalLM,
            AutoTokenizer,
            GenerationMixin,
            PreTrainedModel,
        )


def load(spec: PredictSpec) -> tuple[Any, Any, str]:
    """Load tokenizer and model exactly as asked: these weights, this dtype, this device, no other code.

    Returns:
        A Hugging Face tokenizer, the model in evaluation mode, and "cpu" or "cuda".

    Raises:
        InputError: transformers cannot load it, or config and weights disagree; names the tensor.
        IntegrityError: a safetensors file is damaged.
        ResourceError: no GPU though one was asked for, or too little memory for the weights alone.
    """
    import_libraries()
    import torch
    from transformers import AutoModelForCausalLM

    path = spec.directory
    check_model_directory(path)  # also for what would be put on top of it
    device = _device(spec.generation.device)
    torch.manual_seed(SEED)
    torch.set_num_threads(spec.generation.threads)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    load_config(path)
    generation = spec.generation
    refuse_weights(path, generation, device=device, available=available_bytes(generation, device))
    tokenizer = load_tokenizer(path)
    with explained(path):
        model, report = AutoModelForCausalLM.from_pretrained(
            path,
            use_safetensors=True,
            dtype=getattr(torch, spec.generation.dtype),
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # only so that the report below names the tensor
            **_spread(generation),
            **OURS,
        )
        _check_loading(path, report)
        refuse_nonfinite(path, nonfinite_weights(model))
        if generation.device_map == "none":
            model = model.to(device)
        model = model.eval()
    return tokenizer, model, device


def _spread(generation: GenerationConfig) -> dict[str, Any]:
    """What transformers and accelerate are told of where a model goes. What is left on the disk is read from
    its safetensors files.
    """
    if generation.device_map == "none":
        return {}
    import torch

    gpus = range(0 if generation.device == "cpu" else torch.cuda.device_count())
    limit = available_bytes(generation, "cpu")
    if limit is None or (gpus and generation.memory_gb is None):
        return {"device_map": "auto"}
    return {"device_map": "auto", "max_memory": {**dict.fromkeys(gpus, limit), "cpu": limit}}


def load_config(path: Path) -> Any:
    """The configuration of a model directory, as transformers understands it.

    Raises:
        InputError: transformers cannot load it.
    """
    from transformers import AutoConfig

    with explained(path, "config.json"):
        return AutoConfig.from_pretrained(path, **OURS)


def load_layout(path: Path) -> Any:
    """A model without its weights, of which only names and shapes are read: for engines that load weights
    themselves. Needs accelerate.

    Raises:
        InputError: transformers does not know the model, or config and weights disagree; names the tensor.
    """
    import torch
    from transformers import AutoModelForCausalLM

    load_config(path)
    with explained(path):
        model, report = AutoModelForCausalLM.from_pretrained(
            path,
            use_safetensors=True,
            dtype=torch.float32,
            device_map="meta",
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # only so that the report below names the tensor
            **OURS,
        )
        _check_loading(path, report)
    return model


def context_length(config: Any) -> int | None:
    """How many tokens a model can see; None where its positions have no end.

    Args:
        config: of transformers, for the model.
    """
    text = config.get_text_config()
    names = ("max_position_embeddings", "max_seq_len", "max_sequence_length", "n_positions", "n_ctx")
    return next((int(found) for name in names if isinstance(found := getattr(text, name, None), int)), None)


def embedding_rows(model: Any) -> int:
    """How many token ids a model has an embedding for."""
    return int(model.get_input_embeddings().weight.shape[0])


DERIVED = (".rotary_emb.inv_freq", ".attention.bias", ".attn.bias", ".masked_bias")
"""How buffers end that old checkpoints carry, and that follow from the config: positions and causal masks."""

_DISAGREE = {
    "mismatched_keys": "has another shape",
    "missing_keys": "is missing, though config.json calls for it",
    "unexpected_keys": "has no place in the model that config.json describes",
}


def _check_loading(path: Path, report: dict[str, Any]) -> None:
    """Refuse tensors that are missing or misshapen, which transformers fills with random numbers, and those
    that it leaves out.
    """
    for problem, sentence in _DISAGREE.items():
        names = [entry for entry in report.get(problem) or [] if not str(entry).endswith(DERIVED)]
        if found := sorted(map(_tensor, names)):
            more = f" (and {len(found) - 1} more such tensors)" if len(found) > 1 else ""
            raise InputError(
                f"{path}: config and weights disagree: tensor {found[0]}"
                f"{'' if problem == 'mismatched_keys' else ' ' + sentence}{more}. Take both from one place: "
                "download the model again, or save it with save_pretrained."
            )


def nonfinite_weights(model: Any) -> list[NonFinite]:
    """Weights that are NaN or infinite as they were loaded: as stored, or beyond the dtype's range.

    The least and the greatest are finite where all are, and NaN where one is. They are found in one pass,
    without the copies that took twenty times as long.
    """
    import torch

    found = []
    for name, weight in model.named_parameters():
        if weight.is_meta:
            continue  # on the disk, whose numbers were looked at when the run was planned
        if weight.numel() and not bool(torch.isfinite(torch.stack(torch.aminmax(weight))).all()):
            bad = int((~torch.isfinite(weight)).sum())
            found.append(
                NonFinite(f"as {str(weight.dtype).removeprefix('torch.')}", name, bad, weight.numel())
            )
    return found


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
    """The sha256 over the tokenizer's files, chat templates included."""
    names = (
        *TOKENIZER_FILES,
        "tokenizer_config.json",
        "special_tokens_map.json",
        "chat_template.jinja",
        "chat_template.json",
        "merges.txt",
        "added_tokens.json",
        *(f"{TEMPLATES}/{path.name}" for path in (directory / TEMPLATES).glob("*.jinja")),
    )
    found = [(name, sha256_file(directory / name)) for name in sorted(names) if (directory / name).is_file()]
    return sha256_bytes(repr(found).encode())
