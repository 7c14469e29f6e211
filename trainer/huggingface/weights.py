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

import jax.numpy as jnp
import numpy as np
from flax import nnx

from core.errors import InputError
from core.files import read_json, write_json
from core.model_files import model_files
from core.tensors import INDEX, WEIGHTS, weight_files
from trainer.huggingface.safetensors_files import Stored, open_tensors, stored_tensors, write_tensors
from trainer.huggingface.tensor_names import (
    EMBEDDING,
    HARMLESS,
    HEAD,
    LINEAR,
    NORM,
    SANDWICH_NORM,
    check_tensors,
)
from trainer.model.architecture import Architecture
from trainer.model.decoder import Decoder

OWN = ("config.json", "README.md", INDEX)
"""Files of a model that are written anew for the trained one, as its weights are."""


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
        InputError: a tensor is missing, surplus, not finite, or of another shape or dtype than can be
            trained; names the tensor.
        IntegrityError: a safetensors file is damaged; names the file.
    """
    check_tensors(directory, arch)
    tensors = open_tensors(directory)
    model = nnx.eval_shape(lambda: Decoder(arch, nnx.Rngs(0), **decoder_options))
    for name, parameter, transposed in parameter_names(model):  # one tensor in memory at a time
        value = jnp.asarray(tensors.pop(name)(), dtype=jnp.float32)
        if not jnp.isfinite(value).all():
            raise InputError(
                f"{directory}: tensor {name} holds NaN or infinities, so nothing can be trained from it. "
                "Take an earlier checkpoint, or convert the model again."
            )
        parameter.set_value(value.T if transposed else value)
    if arch.tied_embeddings and HEAD in tensors:
        head = tensors.pop(HEAD)()
        if not np.array_equal(head, model.embed.embedding[...]):
            raise InputError(
                f"{directory}: tensor {HEAD} differs from {EMBEDDING}, though config.json says "
                "tie_word_embeddings: true. Set it to false to train both."
            )
    return model


def save_decoder(
    model: Decoder,
    base: Path,
    directory: Path,
    describe: Callable[[Path], None] | None = None,
    *,
    dtype: str | None = None,
) -> None:
    """Write a Hugging Face directory: the weights as safetensors, and every other file of the base: config,
    tokenizer, templates, licence.

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
    for name, file in model_files(base).items():
        if name not in OWN and not name.endswith(".safetensors"):
            (temporary / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(file, temporary / name)
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
