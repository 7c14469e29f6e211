"""Hugging Face safetensors to our decoder and back, tensor by tensor, losing nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from hallmark.errors import InputError, IntegrityError
from hallmark.files import atomic_writer, read_json, write_json
from trainer.architecture import Architecture
from trainer.decoder import Decoder

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
CARRIED_OVER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
)

LINEAR = {
    "self_attn.q_proj": "attention.q",
    "self_attn.k_proj": "attention.k",
    "self_attn.v_proj": "attention.v",
    "self_attn.o_proj": "attention.o",
    "mlp.gate_proj": "mlp.gate",
    "mlp.up_proj": "mlp.up",
    "mlp.down_proj": "mlp.down",
}
NORM = {
    "self_attn.q_norm": "attention.q_norm",
    "self_attn.k_norm": "attention.k_norm",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "mlp_norm",
}


def parameter_names(model: Decoder) -> Iterator[tuple[str, nnx.Param[Any], bool]]:
    """Every parameter with its Hugging Face tensor name, and whether Hugging Face stores it transposed."""
    yield "model.embed_tokens.weight", model.embed.embedding, False
    for number, layer in enumerate(model.layers):
        for theirs, ours in LINEAR.items():
            linear = _at(layer, ours)
            yield f"model.layers.{number}.{theirs}.weight", linear.kernel, True
            if linear.bias is not None:
                yield f"model.layers.{number}.{theirs}.bias", linear.bias, False
        for theirs, ours in NORM.items():
            if (norm := _at(layer, ours)) is not None:
                yield f"model.layers.{number}.{theirs}.weight", norm.scale, False
    yield "model.norm.weight", model.norm.scale, False
    if model.head is not None:
        yield "lm_head.weight", model.head.kernel, True


def _at(module: Any, path: str) -> Any:
    for name in path.split("."):
        module = getattr(module, name)
    return module


def load_decoder(directory: Path, arch: Architecture) -> Decoder:
    """Build the decoder and fill it with the directory's safetensors, as float32.

    Args:
        directory: a Hugging Face model directory.
        arch: what its config.json says.

    Raises:
        InputError: a tensor is missing, surplus, or of another shape than the config says; names the tensor.
        IntegrityError: a safetensors file is damaged; names the file.
    """
    tensors = read_safetensors(directory)
    if arch.tied_embeddings:
        tensors.pop("lm_head.weight", None)
    model = nnx.eval_shape(lambda: Decoder(arch, nnx.Rngs(0)))
    for name, parameter, transposed in parameter_names(model):
        if name not in tensors:
            raise InputError(f"{directory}: tensor {name} is missing, though config.json calls for it")
        value = tensors.pop(name)
        value = value.T if transposed else value
        if value.shape != parameter.shape:
            expected = parameter.shape[::-1] if transposed else parameter.shape
            found = value.shape[::-1] if transposed else value.shape
            raise InputError(f"{directory}: tensor {name} has shape {list(found)}, but config.json says {list(expected)}")
        parameter.set_value(jnp.asarray(value, dtype=jnp.float32))
    if tensors:
        raise InputError(f"{directory}: tensor {min(tensors)} does not belong to {arch.name}")
    return model


def read_safetensors(directory: Path) -> dict[str, np.ndarray]:
    """All tensors of a model directory, one file or sharded, by name."""
    from safetensors import SafetensorError
    from safetensors.flax import load_file

    tensors: dict[str, Any] = {}
    for path in weight_files(directory):
        try:
            tensors.update(load_file(path))
        except (SafetensorError, ValueError) as error:
            raise IntegrityError(f"{path}: damaged safetensors file: {error}. Fetch or export the model again.") from error
    return tensors


def weight_files(directory: Path) -> list[Path]:
    """The safetensors files of a model directory, in the order of the index where it is sharded."""
    if (directory / WEIGHTS).is_file():
        return [directory / WEIGHTS]
    index = read_json(directory / INDEX)
    return [directory / Path(name).name for name in sorted(set(index["weight_map"].values()))]


def save_decoder(model: Decoder, base: Path, directory: Path, describe: Callable[[Path], None] | None = None) -> None:
    """Write a Hugging Face directory: the weights as float32 safetensors, and the base's config and tokenizer.

    The directory appears whole or not at all.

    Args:
        model: the trained decoder.
        base: the model directory that config and tokenizer are taken from.
        directory: where to write; replaced when it exists.
        describe: called with the unfinished directory, to add files such as a model card.
    """
    from safetensors.numpy import save

    temporary = directory.with_name(f".{directory.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    tensors = {name: _stored(parameter, transposed) for name, parameter, transposed in parameter_names(model)}
    with atomic_writer(temporary / WEIGHTS) as file:
        file.write(save(tensors, metadata={"format": "pt"}))
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    config.pop("torch_dtype", None)
    write_json(temporary / "config.json", {**config, "dtype": "float32"})
    for name in CARRIED_OVER:
        if (base / name).is_file():
            shutil.copyfile(base / name, temporary / name)
    if describe is not None:
        describe(temporary)
    shutil.rmtree(directory, ignore_errors=True)
    temporary.replace(directory)


def _stored(parameter: nnx.Param[Any], transposed: bool) -> np.ndarray:
    value = np.asarray(parameter.get_value(), dtype=np.float32)
    return np.ascontiguousarray(value.T if transposed else value)
