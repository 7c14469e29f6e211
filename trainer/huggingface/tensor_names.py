"""Which tensors a decoder has, by the names and in the shapes of Hugging Face. Imports no jax."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from core.errors import InputError
from core.tensors import Tensor, read_tensors, weight_files
from trainer.model.architecture import Architecture

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
HARMLESS = ".rotary_emb.inv_freq"
"""Ending of tensors that old checkpoints carry and nothing reads: they follow from the config."""

DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
"""What can be trained, as safetensors files call it, and as numpy and jax do."""

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


def expected_shapes(arch: Architecture) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every tensor that a decoder needs, and its shape as Hugging Face stores it."""
    width, queries, keys = arch.hidden_size, arch.heads * arch.head_dim, arch.kv_heads * arch.head_dim
    linear = {
        "self_attn.q_proj": (queries, width),
        "self_attn.k_proj": (keys, width),
        "self_attn.v_proj": (keys, width),
        "self_attn.o_proj": (width, queries),
        "mlp.gate_proj": (arch.mlp_size, width),
        "mlp.up_proj": (arch.mlp_size, width),
        "mlp.down_proj": (width, arch.mlp_size),
    }
    yield EMBEDDING, (arch.vocab_size, width)
    for number in range(arch.layers):
        layer = f"model.layers.{number}"
        for name, shape in linear.items():
            yield f"{layer}.{name}.weight", shape
            if arch.attention_bias and name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"):
                yield f"{layer}.{name}.bias", shape[:1]
        for name in SANDWICH_NORM if arch.sandwich_norms else NORM:
            of_heads = name in ("self_attn.q_norm", "self_attn.k_norm")
            if arch.qk_norm or not of_heads:
                yield f"{layer}.{name}.weight", (arch.head_dim if of_heads else width,)
    yield "model.norm.weight", (width,)
    if not arch.tied_embeddings:
        yield HEAD, (arch.vocab_size, width)


def check_tensors(directory: Path, arch: Architecture) -> None:
    """Compare the tensors of a model directory with what its config.json calls for. Reads headers alone.

    Raises:
        InputError: a tensor is missing, surplus, or of another shape or dtype than can be trained; names the
            file or the tensor.
        IntegrityError: a safetensors file is damaged; names the file.
    """
    found = {tensor.name: tensor for path in weight_files(directory) for tensor in read_tensors(path)}
    for tensor in found.values():
        if tensor.dtype not in DTYPES:
            raise InputError(
                f"{tensor.path}: tensor {tensor.name}: dtype {tensor.dtype} cannot be trained; supported: "
                f"{', '.join(DTYPES)}."
            )
    shapes = dict(expected_shapes(arch))
    for name, shape in shapes.items():
        _check_shape(directory, found.get(name), name, shape)
    if arch.tied_embeddings and HEAD in found:
        _check_shape(directory, found[HEAD], HEAD, shapes[EMBEDDING])
    known = {*shapes, HEAD}
    if surplus := [name for name in found if name not in known and not name.endswith(HARMLESS)]:
        raise InputError(
            f"{directory}: tensor {min(surplus)} does not belong to {arch.name}. Take config.json and "
            "weights from one place: download the model again, or save it with save_pretrained."
        )


def _check_shape(directory: Path, found: Tensor | None, name: str, shape: tuple[int, ...]) -> None:
    if found is None:
        raise InputError(
            f"{directory}: tensor {name} is missing, though config.json calls for it. Download the model "
            "again."
        )
    if tuple(found.shape) != shape:
        raise InputError(
            f"{directory}: tensor {name} has shape {found.shape}, but config.json says {list(shape)}"
        )
