"""Training data as batches: a part held out, the rest packed, shuffled, streamed in flat memory. No jax."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from core.errors import InputError
from trainer.data.packing import HostBatch, Int64Array, lay_out, pack
from trainer.data.tokens import TokenizedDataset, tokenize

__all__ = ["PackedStream", "TokenizedDataset", "evaluation_batches", "held_out", "tokenize"]

WINDOW_ROWS, WINDOW_TRACES = 256, 10_000
"""About how many rows and at most how many traces are packed at a time: more fill rows better, but slower."""

Rows = list[Int64Array]
"""The traces of each row."""

_ORDER, _ROWS, _SPLIT = 1, 2, 3


def _random(*key: int) -> np.random.Generator:
    """Random numbers that the key alone decides: what they are for, the seed, and where in the stream."""
    return np.random.Generator(np.random.PCG64(key))


def held_out(dataset: TokenizedDataset, fraction_or_count: float, seed: int) -> tuple[Int64Array, Int64Array]:
    """Set traces aside that training never sees, nor any copy of them: those of the same tokens, as a mixture
    with weights has them, go together. Copies are counted as one.

    Args:
        dataset: all traces.
        fraction_or_count: a share of the distinct ones below 1, or how many of them; 0 for none.
        seed: decides which.

    Returns:
        Indices to train on and indices held out, int64, in file order.

    Raises:
        InputError: nothing would be left to train on.
    """
    if not fraction_or_count and len(dataset):
        return np.arange(len(dataset)), np.empty(0, np.int64)
    examples = _examples(dataset)
    order = _random(_SPLIT, seed).permutation(len(dataset))
    drawn = examples[order]
    firsts = np.sort(
        np.unique(drawn, return_index=True)[1]
    )  # where the order meets an example for the first time
    total = len(firsts)
    count = math.ceil(fraction_or_count * total) if fraction_or_count < 1 else int(fraction_or_count)
    if not 0 <= count < total:
        raise InputError(
            f"{count} of {total} {'traces' if total == len(dataset) else 'distinct traces'} cannot be held "
            "out: at least one must be left to train on. Hold out fewer."
        )
    out = np.isin(examples, drawn[firsts[:count]])
    return np.flatnonzero(~out), np.flatnonzero(out)


def _examples(dataset: TokenizedDataset) -> Int64Array:
    """Int64 [traces], equal where traces have the same tokens: the beginnings of their hashes."""
    found = np.empty(len(dataset), np.int64)
    for index, (begin, size) in enumerate(zip(dataset.begins.tolist(), dataset.sizes.tolist(), strict=True)):
        tokens = dataset.tokens[begin : begin + size].tobytes()
        found[index] = int.from_bytes(hashlib.blake2b(tokens, digest_size=8).digest(), "big", signed=True)
    return found


class _Place(NamedTuple):
    """Where a stream stands: the row that comes next."""

    epoch: int = 0
    window: int = 0
    row: int = 0


class PackedStream(Iterator[HostBatch]):
    """An endless stream of packed batches; every epoch holds every trace once, in an order of its own.

    The order of an epoch is cut into windows. A window's traces are shared out over rows, and its rows
    shuffled, since packing puts long traces first. So a place in the stream is three numbers, whatever the
    size of the dataset.

    Args:
        dataset: the traces.
        indices: int64, which of them to stream; None: all.
        batch: rows per batch.
        length: tokens per row.
        seed: decides the order of every epoch.
        packing: False puts one trace into each row.
        state: what `state()` returned on a stream with the same arguments, to continue there.

    Raises:
        InputError: a trace is longer than a row, or there is no trace.
    """

    def __init__(
        self,
        dataset: TokenizedDataset,
        indices: Int64Array | None = None,
        *,
        batch: int,
        length: int,
        seed: int,
        packing: bool = True,
        state: dict[str, int] | None = None,
    ) -> None:
        self._dataset = dataset
        self._batch = batch
        self._length = length
        self._seed = seed
        self._packing = packing
        self._indices = np.arange(len(dataset)) if indices is None else indices
        if not len(self._indices):
            raise InputError("there are no traces to train on")
        dataset.check_lengths(length)
        self._windows = _window_count(dataset, self._indices, length)
        self._place = _Place(**state) if state else _Place()
        self._order: tuple[int, Int64Array] | None = None  # of the epoch that was read last
        self._rows: tuple[int, int, Rows] | None = None  # of the epoch and window that were read last

    def state(self) -> dict[str, int]:
        """Where the next batch begins, as JSON values."""
        return self._place._asdict()

    def rows_in_first_epoch(self) -> int:
        """How many rows its first epoch has."""
        return sum(len(self._window_rows(0, window)) for window in range(self._windows))

    def __next__(self) -> HostBatch:
        place = self._place
        rows: Rows = []
        while len(rows) < self._batch:
            window = self._window_rows(place.epoch, place.window)
            taken = window[place.row : place.row + self._batch - len(rows)]
            rows += taken
            place = place._replace(row=place.row + len(taken))
            if place.row == len(window):
                epoch, number = divmod(place.epoch * self._windows + place.window + 1, self._windows)
                place = _Place(epoch, number)
        self._place = place  # only now, so that an interrupted call leaves the stream where it was
        return _batch(self._dataset, rows, self._length)

    def _window_rows(self, epoch: int, window: int) -> Rows:
        """The rows of a window, packed and shuffled."""
        if self._rows is None or self._rows[:2] != (epoch, window):
            traces = self._indices[_slice(self._epoch_order(epoch), window, self._windows)]
            rows = _share_out(self._dataset, traces, self._length, self._packing)
            order = _random(_ROWS, self._seed, epoch, window).permutation(len(rows))
            self._rows = epoch, window, [rows[number] for number in order]
        return self._rows[2]

    def _epoch_order(self, epoch: int) -> Int64Array:
        """Int64 [indices], a permutation of their places."""
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, _random(_ORDER, self._seed, epoch).permutation(len(self._indices))
        return self._order[1]


def rows_per_epoch(
    dataset: TokenizedDataset, indices: Int64Array, *, length: int, seed: int, packing: bool = True
) -> int:
    """How many rows the first epoch of a `PackedStream` with these arguments has. Others have about as many.

    Raises:
        InputError: a trace is longer than a row, or there is no trace.
    """
    return PackedStream(
        dataset, indices, batch=1, length=length, seed=seed, packing=packing
    ).rows_in_first_epoch()


def evaluation_batches(
    dataset: TokenizedDataset, indices: Int64Array, *, batch: int, length: int, packing: bool = True
) -> Iterator[HostBatch]:
    """Each of some traces once, in a fixed order; empty rows, which bear no loss, complete the last batch.

    Args:
        dataset: the traces.
        indices: int64, which of them.
        batch: rows per batch.
        length: tokens per row.
        packing: False puts one trace into each row.

    Yields:
        Batches of [batch, length].

    Raises:
        InputError: a trace is longer than a row.
    """
    dataset.check_lengths(length)
    windows = _window_count(dataset, indices, length)
    waiting: Rows = []
    for window in range(windows):
        waiting += _share_out(dataset, _slice(indices, window, windows), length, packing)
        while len(waiting) >= batch:
            yield _batch(dataset, waiting[:batch], length)
            del waiting[:batch]
    if waiting:
        empty = [np.empty(0, np.int64)] * (batch - len(waiting))
        yield _batch(dataset, waiting + empty, length)


def _window_count(dataset: TokenizedDataset, indices: Int64Array, length: int) -> int:
    """In how many windows the traces are packed."""
    rows = int(dataset.sizes[indices].sum()) / length
    return max(1, round(rows / WINDOW_ROWS), math.ceil(len(indices) / WINDOW_TRACES))


def _slice(values: Int64Array, number: int, count: int) -> Int64Array:
    """Part `number` of `count` nearly equal ones."""
    return values[len(values) * number // count : len(values) * (number + 1) // count]


def _share_out(dataset: TokenizedDataset, traces: Int64Array, length: int, packing: bool) -> Rows:
    """Some traces as rows, whose indices are into the dataset."""
    if not packing:
        return [traces[number : number + 1] for number in range(len(traces))]
    return [traces[row] for row in pack(dataset.sizes[traces], length)]


def _batch(dataset: TokenizedDataset, rows: Rows, length: int) -> HostBatch:
    return lay_out(dataset.tokens, dataset.bears_loss, dataset.begins, dataset.sizes, rows, length)
