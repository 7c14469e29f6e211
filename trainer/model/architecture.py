"""What a Hugging Face `config.json` says about a decoder, reduced to what our decoder needs. Imports no jax.

Reads the spelling of transformers 5 (`rope_parameters`, `layer_types`) and the older one (`rope_theta`,
`rope_scaling`, `rope_local_base_freq`, `sliding_window_pattern`). What a config leaves out has the value that
transformers gives it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import read_json
from trainer.model.rope_config import Rope, read_ropes

FULL, SLIDING = "full_attention", "sliding_attention"


@dataclass(frozen=True)
class Family:
    """What sets a family apart, whatever a config says.

    Attributes:
        attention_bias: q, k and v have a bias.
        qk_norm: heads of q and k are normalised.
        gemma: norms scale by one plus their weight and surround both halves of a block; embeddings are
            scaled.
        defaults: config fields that may be left out, where they differ from one family to another.
    """

    attention_bias: bool = False
    qk_norm: bool = False
    gemma: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)


GEMMA: dict[str, Any] = {
    "head_dim": 256,
    "query_pre_attn_scalar": 256,
    "hidden_act": "gelu_pytorch_tanh",
    "sliding_window": 4096,
    "tie_word_embeddings": True,
}
FAMILIES = {
    "LlamaForCausalLM": Family(),
    "Qwen2ForCausalLM": Family(attention_bias=True),
    "Qwen3ForCausalLM": Family(qk_norm=True, defaults={"head_dim": 128}),
    "Gemma2ForCausalLM": Family(
        gemma=True,
        defaults={
            **GEMMA,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
            "sliding_window_pattern": 2,
        },
    ),
    "Gemma3ForCausalLM": Family(
        qk_norm=True,
        gemma=True,
        defaults={**GEMMA, "sliding_window_pattern": 6, "rope_theta": 1e6, "rope_local_base_freq": 1e4},
    ),
}


@dataclass(frozen=True)
class Architecture:
    """Sizes and switches of a decoder.

    Attributes:
        name: the architecture, as in config.json: "Qwen3ForCausalLM".
        vocab_size: token ids that it knows.
        hidden_size: size of the vectors between layers.
        layers: how many blocks there are.
        heads: query heads of a layer.
        kv_heads: key and value heads of a layer; a divisor of `heads`.
        head_dim: size of a head, even.
        mlp_size: size inside the gated MLP.
        activation: of the gated MLP, "silu" or "gelu_pytorch_tanh".
        attention_bias: q, k and v have a bias.
        qk_norm: heads of q and k are normalised.
        norm_eps: what norms add to the mean square.
        sandwich_norms: each half of a block is normalised after as well as before, as in Gemma.
        norm_offset: added to a norm's weight; 1 in Gemma, whose weights are kept around zero.
        embedding_scale: what embeddings are multiplied by.
        attention_scale: what attention scores are multiplied by.
        attention_softcap: bound of the tanh on the attention scores, if any.
        logit_softcap: bound of the tanh on the logits, if any.
        windows: for every layer, how many tokens a token sees, itself included; None where it sees all before
            it.
        rope: rotary positions of the layers that see all.
        local_rope: rotary positions of the layers with a window.
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
    activation: str
    norm_eps: float
    norm_offset: float
    sandwich_norms: bool
    attention_bias: bool
    qk_norm: bool
    embedding_scale: float
    attention_scale: float
    attention_softcap: float | None
    logit_softcap: float | None
    windows: tuple[int | None, ...]
    rope: Rope
    local_rope: Rope
    tied_embeddings: bool
    context: int


def read_architecture(directory: Path) -> Architecture:
    """Read a model directory's config.json.

    Raises:
        InputError: the file is missing or broken, a field is missing or of the wrong kind, or the
            architecture or one of its options is not supported; names the field, what was found and what is
            supported.

    Example:
        >>> arch = read_architecture(Path("golden/base/tiny-base"))
        >>> arch.name, arch.layers, arch.hidden_size
        ('Qwen3ForCausalLM', 4, 128)
    """
    path = directory / "config.json"
    config = read_json(path)
    if not isinstance(config, dict):
        raise InputError(f"{path}: expected a JSON object")
    name = (config.get("architectures") or ["none given"])[0]
    if name not in FAMILIES:
        raise InputError(
            f"{path}: architectures: {name} cannot be trained. Supported: {', '.join(FAMILIES)}."
        )
    config = {**FAMILIES[name].defaults, **config}
    _refuse_unsupported(path, name, config)
    try:
        return _architecture(path, name, config)
    except KeyError as error:
        raise InputError(f"{path}: {error.args[0]}: missing field") from None


def _architecture(path: Path, name: str, config: dict[str, Any]) -> Architecture:
    def size(key: str, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InputError(f"{path}: {key}: {value!r}; expected a whole number from 1")
        return value

    family = FAMILIES[name]
    hidden_size = size("hidden_size", config["hidden_size"])
    heads = size("num_attention_heads", config["num_attention_heads"])
    kv_heads = size("num_key_value_heads", config.get("num_key_value_heads") or heads)
    head_dim = size("head_dim", config.get("head_dim") or hidden_size // heads)
    if heads % kv_heads or head_dim % 2:
        raise InputError(
            f"{path}: num_attention_heads {heads}, num_key_value_heads {kv_heads}, head_dim {head_dim}: "
            "heads must be a multiple of key-value heads, and head_dim even"
        )
    rope, local_rope = read_ropes(path, config, per_layer_type=name == "Gemma3ForCausalLM")
    return Architecture(
        name=name,
        vocab_size=size("vocab_size", config["vocab_size"]),
        hidden_size=hidden_size,
        layers=size("num_hidden_layers", config["num_hidden_layers"]),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        mlp_size=size("intermediate_size", config["intermediate_size"]),
        activation=_activation(config),
        norm_eps=float(config["rms_norm_eps"]),
        norm_offset=1.0 if family.gemma else 0.0,
        sandwich_norms=family.gemma,
        attention_bias=family.attention_bias,
        qk_norm=family.qk_norm,
        embedding_scale=float(hidden_size**0.5) if family.gemma else 1.0,
        attention_scale=float(config["query_pre_attn_scalar"] if family.gemma else head_dim) ** -0.5,
        attention_softcap=config.get("attn_logit_softcapping") if family.gemma else None,
        logit_softcap=config.get("final_logit_softcapping") if family.gemma else None,
        windows=_windows(path, name, config),
        rope=rope,
        local_rope=local_rope,
        tied_embeddings=bool(config.get("tie_word_embeddings", False)),
        context=size("max_position_embeddings", config["max_position_embeddings"]),
    )


def _activation(config: dict[str, Any]) -> str:
    return str(config.get("hidden_activation") or config.get("hidden_act") or "silu")


def _windows(path: Path, name: str, config: dict[str, Any]) -> tuple[int | None, ...]:
    """The window of every layer: as `layer_types` says, else by the family's rule."""
    layers, window = config["num_hidden_layers"], config.get("sliding_window")
    if FAMILIES[name].gemma:
        period = config["sliding_window_pattern"]
        usual = [SLIDING if (layer + 1) % period else FULL for layer in range(layers)]
    else:
        window = window if config.get("use_sliding_window") else None
        first = layers if window is None else config.get("max_window_layers", 28)
        usual = [SLIDING if layer >= first else FULL for layer in range(layers)]
    kinds = config.get("layer_types") or usual
    allowed = {FULL} if window is None else {FULL, SLIDING}
    if len(kinds) != layers or not allowed.issuperset(kinds):
        supported = " or ".join(sorted(allowed))
        raise InputError(
            f"{path}: layer_types: {kinds!r} cannot be trained; supported: {layers} of {supported}."
        )
    return tuple(window if kind == SLIDING else None for kind in kinds)


def _refuse_unsupported(path: Path, name: str, config: dict[str, Any]) -> None:
    wanted = {
        "hidden_activation" if config.get("hidden_activation") else "hidden_act": (
            _activation(config),
            FAMILIES[name].defaults.get("hidden_act", "silu"),
        ),
        "attention_bias": (bool(config.get("attention_bias", False)), FAMILIES[name].attention_bias),
        "mlp_bias": (bool(config.get("mlp_bias", False)), False),
        "use_bidirectional_attention": (bool(config.get("use_bidirectional_attention", False)), False),
    }
    if FAMILIES[name].attention_bias:
        del wanted["attention_bias"]  # Qwen2 has it, whatever its config says
    if name == "Gemma3ForCausalLM":  # transformers reads the field but does not apply it
        wanted["attn_logit_softcapping"] = (config.get("attn_logit_softcapping"), None)
    for key, (found, supported) in wanted.items():
        if found != supported:
            raise InputError(
                f"{path}: {key}: {found!r} cannot be trained for {name}; supported: {supported!r}."
            )
