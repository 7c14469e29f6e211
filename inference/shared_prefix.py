"""The beginning that prompts have in common, which a model reads once. Needs torch.

A system message and solved examples are the same tokens in every prompt, and often most of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from inference.kv_cache import read

LEAST = 16
"""A beginning of fewer tokens is read with each prompt."""


@dataclass(frozen=True)
class Prefix:
    """A beginning, and what a model keeps of it.

    Attributes:
        tokens: token ids.
        layers: of each layer its keys and values, float [heads, tokens, width of a head].
    """

    tokens: list[int]
    layers: list[tuple[Any, Any]]

    def begins(self, tokens: Sequence[int]) -> bool:
        """Whether a prompt begins with it, and has more."""
        return len(tokens) > len(self.tokens) and tokens[: len(self.tokens)] == self.tokens


def shared_tokens(prompts: Sequence[list[int]]) -> list[int]:
    """The tokens with which all of some prompts begin and none of them ends.

    Args:
        prompts: token ids.

    Returns:
        nothing where there are fewer than two prompts, or fewer than `LEAST` such tokens.
    """
    if len(prompts) < 2:
        return []
    longest = min(map(len, prompts)) - 1
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(min(prompts), max(prompts), strict=False))
    found = [token for token, _ in pairs][:longest]
    return found if len(found) >= LEAST else []


def read_prefix(model: Any, tokens: list[int]) -> Prefix:
    """Let a model read a beginning.

    Args:
        model: of transformers, all of whose layers keep keys and values of every token.
        tokens: token ids, at least one.
    """
    cache, _ = read(model, tokens)
    return Prefix(tokens, [(layer.keys[0], layer.values[0]) for layer in cache.layers])
