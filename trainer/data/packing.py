"""Traces to packed batches: whole traces side by side in rows, each seeing only itself. Imports no jax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Int32Array = NDArray[np.int32]
Int64Array = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class HostBatch:
    """A packed batch in the host's memory. All arrays are int32 [rows, time].

    Attributes:
        tokens: token ids; 0 on padding.
        positions: each token's place in its own trace, from 0.
        segments: which trace of its row a token belongs to, from 1; 0 on padding. Tokens see their own
            segment only.
        targets: the next token of the same trace where that one bears loss, else -1.
    """

    tokens: Int32Array
    positions: Int32Array
    segments: Int32Array
    targets: Int32Array


def pack(sizes: Int64Array, length: int) -> list[list[int]]:
    """Share traces out over rows: the longest one left opens a row, then those that fill the rest of it best.

    This is bin packing by minimum bin slack with the largest item fixed (MBS', Fleszar & Hindi 2002,
    Computers & Operations Research 29(7)).

    Args:
        sizes: int64 [traces], tokens of each trace, 1 to `length`.
        length: tokens per row.

    Returns:
        The rows: indices into `sizes`, each exactly once.

    Example:
        >>> pack(np.array([10, 8, 5, 5, 7, 5]), 20)
        [[0, 5, 3], [1, 2, 4]]
    """
    stock: dict[int, list[int]] = {}  # size -> traces of that size that are still to be placed
    for index, size in enumerate(sizes.tolist()):
        stock.setdefault(size, []).append(index)
    descending = sorted(stock, reverse=True)
    rows = []
    for size in descending:
        while stock[size]:
            row = [stock[size].pop()]
            row.extend(stock[other].pop() for other in _best_fill(stock, descending, length - size))
            rows.append(row)
    return rows


def _best_fill(stock: dict[int, list[int]], descending: list[int], room: int) -> list[int]:
    """The sizes, out of those in stock, whose sum is the largest that `room` holds; long ones first.

    A subset sum by dynamic programming over bits: bit s of a number is 1 where some sizes add up to s. Adding
    one more trace of a size shifts the bits by that size, so all sums are updated by one shift and one "or".
    """
    reachable = [1]  # reachable[n]: the sums that the first n sizes can make; at first only 0
    sizes = [0]  # sizes[n]: which size was added last to make reachable[n]
    mask = (1 << (room + 1)) - 1  # sums beyond the room are dropped
    for size in descending:
        copies = min(len(stock[size]), room // size)
        if copies:
            sums = reachable[-1]
            for _ in range(copies):
                sums |= (sums << size) & mask
            reachable.append(sums)
            sizes.append(size)
            if sums >> room:  # the room can be filled to the last token
                break
    # Back from the largest sum: a size is taken for as long as what is left cannot be made without it.
    total = reachable[-1].bit_length() - 1
    taken: list[int] = []
    for number in range(len(sizes) - 1, 0, -1):
        while not reachable[number - 1] >> total & 1:
            taken.append(sizes[number])
            total -= sizes[number]
    return taken


def lay_out(
    tokens: NDArray[Any],
    bears_loss: BoolArray,
    begins: Int64Array,
    sizes: Int64Array,
    rows: Sequence[Int64Array],
    length: int,
) -> HostBatch:
    """Lay traces side by side, all rows at once: no loop over tokens or traces.

    Args:
        tokens: unsigned integers [tokens], the token ids of all traces.
        bears_loss: bool [tokens], which of them the model is taught to write.
        begins: int64 [traces], where each trace begins in `tokens`.
        sizes: int64 [traces], how many tokens it has.
        rows: int64 indices of the traces of each row; a row may be empty.
        length: tokens per row.

    Returns:
        A batch of [len(rows), length].
    """
    # For every trace, in the order in which they are laid out: int64 [laid-out traces].
    traces = np.concatenate(rows)
    counts = np.array([len(row) for row in rows], np.int64)  # traces of each row
    lengths = sizes[traces]
    places = np.cumsum(lengths) - lengths  # of each trace, if all rows were one without padding
    row_sizes = np.bincount(np.repeat(np.arange(len(rows)), counts), lengths, len(rows)).astype(np.int64)
    # How far padding at the end of earlier rows moves a row's traces, in the flattened [rows * length].
    shifts = np.repeat(np.arange(len(rows)) * length - (np.cumsum(row_sizes) - row_sizes), counts)
    segments = np.arange(1, len(traces) + 1) - np.repeat(np.cumsum(counts) - counts, counts)

    def spread(values: NDArray[Any]) -> NDArray[Any]:
        """One value per trace to one value per token."""
        return np.repeat(values, lengths)

    # For every token that is laid out: [laid-out tokens].
    place = np.arange(int(lengths.sum()))
    position = place - spread(places)
    index = place + spread(begins[traces] - places)
    token = tokens[index].astype(np.int32)
    # A token bears loss as the target of the one before it, so the last token of a prompt has a target.
    next_bears_loss = np.append(bears_loss[index[1:]], False) & (position + 1 < spread(lengths))
    cells = place + spread(shifts)

    def rectangle(values: NDArray[Any], padding: int = 0) -> Int32Array:
        """One value per token to int32 [rows, length]."""
        filled = np.full(len(rows) * length, padding, np.int32)
        filled[cells] = values
        return filled.reshape(len(rows), length)

    targets = np.where(next_bears_loss, np.append(token[1:], -1), -1)
    return HostBatch(
        rectangle(token), rectangle(position), rectangle(spread(segments)), rectangle(targets, padding=-1)
    )
