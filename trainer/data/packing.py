"""Traces to packed batches: whole traces laid side by side in rows, each seeing only itself. NumPy only, no jax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Int32Array = NDArray[np.int32]
Int64Array = NDArray[np.int64]


@dataclass(frozen=True)
class HostBatch:
    """Arrays int32 [batch, time]; `targets` is the next token, or -1 where there is no loss."""

    tokens: Int32Array
    positions: Int32Array
    segments: Int32Array
    targets: Int32Array


def pack(sizes: Int64Array, length: int) -> list[list[int]]:
    """Share traces out over rows: the longest left opens a row, then those that fill the rest of it best.

    This is bin packing by minimum bin slack with the largest item fixed (MBS', Fleszar & Hindi 2002, Computers &
    Operations Research 29(7)).

    Args:
        sizes: int64 [traces], tokens of each trace, 1 to `length`.
        length: tokens in a row.

    Returns:
        The rows: indices into `sizes`, each exactly once.
    """
    stock: dict[int, list[int]] = {}
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

    A subset sum by dynamic programming: bit s of a number says that the sum s can be reached.
    """
    reachable, sizes, mask = [1], [0], (1 << (room + 1)) - 1
    for size in descending:
        copies = min(len(stock[size]), room // size)
        if copies:
            sums = reachable[-1]
            for _ in range(copies):
                sums |= (sums << size) & mask
            reachable.append(sums)
            sizes.append(size)
            if sums >> room:
                break
    total, taken = reachable[-1].bit_length() - 1, []
    for number in range(len(sizes) - 1, 0, -1):
        while not reachable[number - 1] >> total & 1:
            taken.append(sizes[number])
            total -= sizes[number]
    return taken


def lay_out(
    tokens: NDArray[Any],
    offsets: Int64Array,
    prompt_lengths: Int32Array,
    rows: Sequence[Int64Array],
    length: int,
) -> HostBatch:
    """Lay traces side by side.

    Args:
        tokens: unsigned integers, the token ids of all traces one after another.
        offsets: int64 [traces + 1], where each trace begins and ends.
        prompt_lengths: int32 [traces], how many tokens of each trace bear no loss.
        rows: the traces of each row; a row may be empty.
        length: tokens in a row.
    """
    traces = np.concatenate(rows)
    counts = np.array([len(row) for row in rows], np.int64)
    sizes = offsets[traces + 1] - offsets[traces]
    begins = np.cumsum(sizes) - sizes  # of each trace, were all rows one
    row_sizes = np.bincount(np.repeat(np.arange(len(rows)), counts), sizes, len(rows)).astype(np.int64)
    shifts = np.repeat(np.arange(len(rows)) * length - (np.cumsum(row_sizes) - row_sizes), counts)
    segments = np.arange(1, len(traces) + 1) - np.repeat(np.cumsum(counts) - counts, counts)

    def spread(values: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(values, sizes)

    place = np.arange(int(sizes.sum()))
    position = place - spread(begins)
    token = tokens[place + spread(offsets[traces] - begins)].astype(np.int32)
    next_bears_loss = (position + 1 >= spread(prompt_lengths[traces])) & (position + 1 < spread(sizes))
    cells = place + spread(shifts)

    def rectangle(values: NDArray[Any], empty: int = 0) -> Int32Array:
        filled = np.full(len(rows) * length, empty, np.int32)
        filled[cells] = values
        return filled.reshape(len(rows), length)

    targets = np.where(next_bears_loss, np.append(token[1:], -1), -1)
    return HostBatch(
        rectangle(token), rectangle(position), rectangle(spread(segments)), rectangle(targets, -1)
    )
