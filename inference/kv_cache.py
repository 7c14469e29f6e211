"""Keys and values of rows that come and go, in buffers with room to grow. Needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from inference.choosing import last_logits


def read(model: Any, tokens: list[int]) -> tuple[DynamicCache, Any]:
    """Let a model read a text; gives what it keeps of it, and the logits of the token behind it.

    Args:
        model: of transformers, all of whose layers keep keys and values of every token.
        tokens: token ids, at least one.

    Returns:
        the cache, of one row, and logits [1, vocabulary].
    """
    cache = DynamicCache(config=model.config.get_text_config(decoder=True))
    ids = torch.tensor([tokens], device=model.device)
    with torch.inference_mode():
        found = model(input_ids=ids, past_key_values=cache, use_cache=True, **last_logits(model, 1))
    return cache, found.logits[0, -1:]


@dataclass
class Window:
    """The part of the buffers that a forward pass reads and extends.

    Attributes:
        rows: which rows.
        first: the first column that any of them sees.
        end: the column behind the last one; the pass writes from here on.
        size: how many rows the buffers have.
        columns: how many columns they have.
    """

    rows: slice
    first: int
    end: int
    size: int
    columns: int


class WindowLayer(DynamicLayer):  # type: ignore[misc] # transformers' annotations are not read
    """One layer's keys and values, float [size, heads, columns, width of a head]. Where DynamicLayer copies
    everything for every token, this writes in place and gives views.

    Columns that a row does not use hold zeros or what an earlier row left there: finite numbers, which the
    mask leaves out.

    Args:
        window: shared by all layers.
    """

    def __init__(self, window: Window) -> None:
        super().__init__()
        self.window = window

    def lazy_initialization(self, key_states: Any, value_states: Any) -> None:
        """Make the buffers, which take their type from the first states."""
        self.keys, self.values = (self._empty(each) for each in (key_states, value_states))
        self.dtype, self.device = key_states.dtype, key_states.device
        self.is_initialized = True

    def _empty(self, like: Any) -> Any:
        shape = (self.window.size, like.shape[1], self.window.columns, like.shape[3])
        return torch.zeros(shape, dtype=like.dtype, device=like.device)

    def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Write states, float [rows, heads, time, width], behind the window; give all that its rows see."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        rows, first, end = self.window.rows, self.window.first, self.window.end
        behind = end + key_states.shape[2]
        self.keys[rows, :, end:behind] = key_states
        self.values[rows, :, end:behind] = value_states
        return self.keys[rows, :, first:behind], self.values[rows, :, first:behind]

    def begin_with(self, keys: Any, values: Any, places: Any) -> None:
        """Write the window's columns, for its rows, from what is there already.

        Args:
            keys: float [heads, tokens, width of a head].
            values: likewise.
            places: int64 [rows, columns of the window], which of the tokens each is.
        """
        if not self.is_initialized:
            self.lazy_initialization(keys[None], values[None])
        columns, places = slice(self.window.first, self.window.end), places.to(keys.device)
        for buffer, given in ((self.keys, keys), (self.values, values)):
            buffer[self.window.rows, :, columns] = given[:, places].transpose(0, 1)

    def repeat_rows(self, low: int, source: Any) -> None:
        """Copy the first rows from `low` on, as far as the window's columns go.

        Args:
            low: the first row.
            source: int64 [rows], for each row from `low` on of which of these it is a copy, from 0.
        """
        columns, source = slice(self.window.first, self.window.end), source.to(self.device)
        for buffer in (self.keys, self.values):
            buffer[low : low + len(source), :, columns] = buffer[low:, :, columns][source]

    def get_seq_length(self) -> int:
        """How many columns the window has."""
        return self.window.end - self.window.first

    def move_row(self, to: int, source: int) -> None:
        """Copy a row over another, as far as the window's columns go."""
        columns = slice(self.window.first, self.window.end)
        for buffer in (self.keys, self.values):
            buffer[to, :, columns] = buffer[source, :, columns]

    def move_columns(self, rows: int, first: int, end: int) -> None:
        """Make new buffers, of as many columns as the window says now, which begin with some of the old ones.

        Args:
            rows: how many are copied.
            first: the column that becomes the first one.
            end: the one behind the last one that is kept.
        """
        if not self.is_initialized:
            return
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = self._empty(old)
            new[:rows, :, : end - first] = old[:rows, :, first:end]
            setattr(self, name, new)


def window_cache(window: Window, layers: int = 0) -> Any:
    """What a model takes as `past_key_values`; further layers are made when they are first written to.

    Args:
        window: shared by all layers.
        layers: how many are there from the beginning.
    """
    cache = Cache(layer_class_to_replicate=partial(WindowLayer, window))
    cache.layers += [WindowLayer(window) for _ in range(layers)]
    return cache
