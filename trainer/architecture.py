"""What a Hugging Face `config.json` says about a decoder, reduced to what our decoder needs. Imports no jax."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hallmark.errors import InputError
from hallmark.files import read_json

FAMILIES = {
    "LlamaForCausalLM": {"attention_bias": False, "qk_norm": False},
    "Qwen2ForCausalLM": {"attention_bias": True, "qk_norm": False},
    "Qwen3ForCausalLM": {"attention_bias": False, "qk_norm": True},
}


@dataclass(frozen=True)
class Architecture:
    """Sizes and switches of a decoder.

    Attributes:
        attention_bias: q, k and v have a bias.
        qk_norm: heads of q and k are normalised.
        rope_theta: base of the rotary frequencies.
        tied_embeddings: the output head is the embedding.
        context: longest sequence, in tokens.
    """

    name: str
    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp_size: int
    norm_eps: float
    rope_theta: float
    attention_bias: bool
    qk_norm: bool
    tied_embeddings: bool
    context: int


def read_architecture(directory: Path) -> Architecture:
    """Read a model directory's config.json.

    Raises:
        InputError: the file is missing or broken, a field is missing, or the architecture or one of its options is not
            supported; names what is.
    """
    path = directory / "config.json"
    config = read_json(path)
    if not isinstance(config, dict):
        raise InputError(f"{path}: expected a JSON object")
    name = (config.get("architectures") or ["none given"])[0]
    if name not in FAMILIES:
        raise InputError(f"{path}: architectures: {name} cannot be trained. Supported: {', '.join(FAMILIES)}.")
    _refuse_unsupported(path, config)
    try:
        return _architecture(name, config)
    except KeyError as error:
        raise InputError(f"{path}: {error.args[0]}: missing field") from None


def _architecture(name: str, config: dict[str, Any]) -> Architecture:
    heads = config["num_attention_heads"]
    family = FAMILIES[name]
    return Architecture(
        name=name,
        vocab_size=config["vocab_size"],
        hidden_size=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or config["hidden_size"] // heads,
        mlp_size=config["intermediate_size"],
        norm_eps=config["rms_norm_eps"],
        rope_theta=float(_rope(config).get("rope_theta") or config.get("rope_theta") or 10_000.0),
        attention_bias=bool(config.get("attention_bias", family["attention_bias"])) or family["attention_bias"],
        qk_norm=family["qk_norm"],
        tied_embeddings=bool(config.get("tie_word_embeddings", False)),
        context=config["max_position_embeddings"],
    )


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    return config.get("rope_parameters") or config.get("rope_scaling") or {}


def _refuse_unsupported(path: Path, config: dict[str, Any]) -> None:
    rope_type = _rope(config).get("rope_type") or _rope(config).get("type") or "default"
    wanted = {
        "hidden_act": (config.get("hidden_act", "silu"), "silu"),
        "rope_parameters.rope_type": (rope_type, "default"),
        "use_sliding_window": (bool(config.get("use_sliding_window", False)), False),
        "mlp_bias": (bool(config.get("mlp_bias", False)), False),
    }
    for field, (found, supported) in wanted.items():
        if found != supported:
            raise InputError(f"{path}: {field}: {found!r} cannot be trained yet; supported: {supported!r}.")
    if config.get("attention_bias") and config["architectures"][0] != "Qwen2ForCausalLM":
        raise InputError(f"{path}: attention_bias: true cannot be trained yet for {config['architectures'][0]}.")
