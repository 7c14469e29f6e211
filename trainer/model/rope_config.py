"""What a Hugging Face `config.json` says about rotary positions, in both of its spellings. Imports no jax."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import InputError

ROPE_TYPES = ("default", "linear", "llama3")
LAYER_TYPES = ("full_attention", "sliding_attention")


@dataclass(frozen=True)
class Rope:
    """Rotary position embedding and how it is stretched beyond the context it was first trained with.

    Attributes:
        theta: base of the frequencies.
        kind: "default"; "linear" divides all frequencies by `factor`; "llama3" only the low ones.
        factor: how many times longer the context became.
        low_freq_factor: llama3: wavelengths above original_context / low_freq_factor are stretched.
        high_freq_factor: llama3: wavelengths below original_context / high_freq_factor are left alone.
        original_context: llama3: the context before stretching, in tokens.
    """

    theta: float
    kind: str = "default"
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 1.0
    original_context: int = 0


def read_ropes(path: Path, config: dict[str, Any], *, per_layer_type: bool) -> tuple[Rope, Rope]:
    """The rotary positions of layers that see all, and of layers with a sliding window.

    Args:
        path: the config's file, for messages.
        config: its content.
        per_layer_type: the family keeps two, as Gemma 3 does; the others use one for all layers.

    Raises:
        InputError: a rope type is not supported, or one of its numbers is missing or not a number.
        KeyError: `max_position_embeddings` is missing.
    """
    current, older = config.get("rope_parameters") or {}, config.get("rope_scaling") or {}
    theta = config.get("rope_theta") or 10_000.0
    nested = any(key in current for key in LAYER_TYPES)
    if per_layer_type:
        if current and not nested:
            supported = " and ".join(LAYER_TYPES)
            raise InputError(
                f"{path}: rope_parameters: {sorted(current)}; supported: one entry each for {supported}."
            )
        full = {"rope_theta": theta, **(current.get("full_attention") or {}), **older}
        local = {"rope_theta": config["rope_local_base_freq"], **(current.get("sliding_attention") or {})}
        return _rope(path, config, full), _rope(path, config, local)
    if nested:
        both = [_rope(path, config, {"rope_theta": theta, **(current.get(key) or {})}) for key in LAYER_TYPES]
        return both[0], both[1]
    rope = _rope(path, config, {"rope_theta": theta, **(older or current)})
    return rope, rope


def _rope(path: Path, config: dict[str, Any], given: dict[str, Any]) -> Rope:
    """What one entry says, `given`; the length of the context is in the config itself."""

    def number(key: str) -> float:
        value = given.get(key)
        if not isinstance(value, int | float) or not value > 0:
            raise InputError(
                f"{path}: rope_parameters.{key}: {value!r}; rope type {kind} needs a number above 0"
            )
        return float(value)

    kind = given.get("rope_type") or given.get("type") or "default"
    if kind not in ROPE_TYPES:
        supported = ", ".join(ROPE_TYPES)
        raise InputError(
            f"{path}: rope_parameters.rope_type: {kind!r} cannot be trained yet; supported: {supported}."
        )
    share = given.get("partial_rotary_factor", config.get("partial_rotary_factor")) or 1.0
    if share != 1.0:
        raise InputError(
            f"{path}: rope_parameters.partial_rotary_factor: {share!r} cannot be trained yet; supported: 1.0."
        )
    theta = number("rope_theta")
    if kind == "default":
        return Rope(theta)
    if kind == "linear":
        return Rope(theta, kind, number("factor"))
    given.setdefault("original_max_position_embeddings", config["max_position_embeddings"])
    if "original_max_position_embeddings" in config:
        given["original_max_position_embeddings"] = config["original_max_position_embeddings"]
    low, high = number("low_freq_factor"), number("high_freq_factor")
    if low >= high:
        raise InputError(
            f"{path}: rope_parameters.high_freq_factor: {high!r} must be above low_freq_factor {low!r}"
        )
    return Rope(theta, kind, number("factor"), low, high, int(number("original_max_position_embeddings")))
