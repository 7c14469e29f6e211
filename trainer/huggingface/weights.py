"""Hugging Face safetensors to our decoder and back, tensor by tensor, losing nothing.

A tensor is saved under the name, in the file and in the dtype that the base has it in.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from core.errors import InputError
from core.files import read_json, write_json
from trainer.huggingface.safetensors_files import (
    INDEX,
    WEIGHTS,
    Stored,
    open_tensors,
    stored_tensors,
    weight_files,
    write_tensors,
)
from trainer.model.architecture import Architecture
from trainer.model.decoder import Decoder

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
HARMLESS = ".rotary_emb.inv_freq"
"""Ending of tensors that old checkpoints carry and nothing reads: they follow from the config."""

CARRIED_OVER = (
    "tokenizer.json",
    "tokenizer.model",
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
SANDWICH_NORM = {
    **NORM,
    "post_attention_layernorm": "attention_post_norm",
    "pre_feedforward_layernorm": "mlp_norm",
    "post_feedforward_layernorm": "mlp_post_norm",
}


def parameter_names(model: Decoder) -> Iterator[tuple[str, nnx.Param[Any], bool]]:
    """Every parameter with its Hugging Face tensor name, and whether Hugging Face stores it transposed.

    A linear layer's kernel is [in, out] here and [out, in] there.
    """
    norms = SANDWICH_NORM if model.arch.sandwich_norms else NORM
    yield EMBEDDING, model.embed.embedding, False
    for number, layer in enumerate(model.layers):
        for theirs, ours in LINEAR.items():
            linear = _at(layer, ours)
            yield f"model.layers.{number}.{theirs}.weight", linear.kernel, True
            if linear.bias is not None:
                yield f"model.layers.{number}.{theirs}.bias", linear.bias, False
        for theirs, ours in norms.items():
            if (norm := _at(layer, ours)) is not None:
                yield f"model.layers.{number}.{theirs}.weight", norm.scale, False
    yield "model.norm.weight", model.norm.scale, False
    if model.head is not None:
        yield HEAD, model.head.kernel, True


def _at(module: Any, path: str) -> Any:
    for name in path.split("."):
        module = getattr(module, name)
    return module


def load_decoder(directory: Path, arch: Architecture, **decoder_options: Any) -> Decoder:
    """Build the decoder and fill it with the directory's safetensors, as float32.

    Args:
        directory: a Hugging Face model directory.
        arch: what its config.json says.
        decoder_options: handed to `Decoder`: dtype, remat.

    Raises:
        InputError: a tensor is missing, surplus, or of another shape or dtype than can be trained; names the
            tensor.
        IntegrityError: a safetensors file is damaged; names the file.
    """
    tensors = open_tensors(directory)
    model = nnx.eval_shape(lambda: Decoder(arch, nnx.Rngs(0), **decoder_options))
    for name, parameter, transposed in parameter_names(model):  # one tensor in memory at a time
        if name not in tensors:
            raise InputError(f"{directory}: tensor {name} is missing, though config.json calls for it")
        value = tensors.pop(name)()
        _fill(parameter, value.T if transposed else value, f"{directory}: tensor {name}", transposed)
    if arch.tied_embeddings and HEAD in tensors:
        head = tensors.pop(HEAD)()
        if not np.array_equal(head, model.embed.embedding[...]):
            raise InputError(
                f"{directory}: tensor {HEAD} differs from {EMBEDDING}, though config.json says "
                "tie_word_embeddings: true. Set it to false to train both."
            )
    if surplus := [name for name in tensors if not name.endswith(HARMLESS)]:
        raise InputError(f"{directory}: tensor {min(surplus)} does not belong to {arch.name}")
    return model


def _fill(parameter: nnx.Param[Any], value: jax.Array, where: str, transposed: bool) -> None:
    """Give a parameter its value as float32; shapes in the message are as Hugging Face has them."""
    if value.shape != parameter.shape:
        expected, found = (shape[::-1] if transposed else shape for shape in (parameter.shape, value.shape))
        raise InputError(f"{where} has shape {list(found)}, but config.json says {list(expected)}")
    parameter.set_value(jnp.asarray(value, dtype=jnp.float32))


def save_decoder(
    model: Decoder,
    base: Path,
    directory: Path,
    describe: Callable[[Path], None] | None = None,
    *,
    dtype: str | None = None,
) -> None:
    """Write a Hugging Face directory: the weights as safetensors, and the base's config and tokenizer.

    The directory appears atomically.

    Args:
        model: the trained decoder.
        base: the model directory that config, tokenizer and the layout of the weights are taken from.
        directory: where to write; replaced when it exists.
        describe: called with the directory before it appears, to add files such as a model card.
        dtype: what to store weights as, such as "float32"; None: each tensor as the base has it.
    """
    temporary = directory.with_name(f".{directory.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    stored = _save_weights(model, base, temporary, dtype)
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    config.pop("torch_dtype", None)
    write_json(temporary / "config.json", {**config, "dtype": stored})
    for name in CARRIED_OVER:
        if (base / name).is_file():
            shutil.copyfile(base / name, temporary / name)
    if describe is not None:
        describe(temporary)
    shutil.rmtree(directory, ignore_errors=True)
    temporary.replace(directory)


def _save_weights(model: Decoder, base: Path, directory: Path, dtype: str | None) -> str:
    """Write the weights in the base's files and their index; returns the dtype of the embedding."""
    parameters = {name: (parameter, transposed) for name, parameter, transposed in parameter_names(model)}
    parameters.setdefault(HEAD, parameters[EMBEDDING])  # a tied head is stored where the base has stored it
    places: dict[str, str] = {}
    size, main = 0, "float32"
    for path in weight_files(base):
        tensors: list[Stored] = []
        for name, found in stored_tensors(path).items():
            if name.endswith(HARMLESS):
                continue
            parameter, transposed = parameters[name]
            shape = parameter.shape[::-1] if transposed else parameter.shape
            tensors.append(Stored(name, dtype or found, shape, partial(_value, parameter, transposed)))
            places[name] = path.name
            main = tensors[-1].dtype if name == EMBEDDING else main
        size += write_tensors(directory / path.name, tensors)
    if set(places.values()) != {WEIGHTS}:
        metadata = {**read_json(base / INDEX).get("metadata", {}), "total_size": size}
        write_json(directory / INDEX, {"metadata": metadata, "weight_map": places})
    return main


def _value(parameter: nnx.Param[Any], transposed: bool) -> np.ndarray:
    value = np.asarray(parameter.get_value())
    return value.T if transposed else value
