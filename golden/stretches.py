"""Stretches of tokens by their hashes: many texts as one array, and tables of what is looked up in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]

MAX_FILTER_BITS = 28
SORTED_AT_A_TIME = 1 << 20


class Texts:
    """The hashes of the tokens of some texts, one text after the other, and of any stretch of them.

    The hash of a stretch is the sum of hash(token i) * BASE**i modulo 2**64, i counted from its first token;
    two different stretches have equal ones with a chance of about 2**-64.

    Attributes:
        starts: the place of each text's first token; int64.
        sizes: how many tokens each text has; int64.
        hashes: of the token at each place; uint64.
        places: of texts `without` some tokens: where each token was before; int64.
    """

    BASE = 0x9E3779B97F4A7C15
    BORDER = 0x5851F42D4C957F2D  # stands behind each text, so that nothing matches across

    places: Numbers

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        self.sizes: Numbers = np.fromiter(map(len, texts), np.int64, len(texts))
        ends = np.cumsum(self.sizes + 1) - 1
        self.starts: Numbers = ends - self.sizes
        self.hashes: Hashes = np.full(int(self.sizes.sum()) + len(texts), self.BORDER, np.uint64)
        is_token = np.ones(len(self.hashes), bool)
        is_token[ends] = False
        self.hashes[is_token] = hashes_of(list(chain.from_iterable(texts)))

    def without(self, unwanted: Table) -> Texts:
        """The same texts without the tokens of these hashes."""
        kept = np.ones(len(self.hashes), bool)
        kept[unwanted.find(self.hashes)[0]] = False
        return self._only(kept)

    def beginnings(self, sizes: Numbers) -> Texts:
        """The first `sizes` tokens of each text."""
        if np.array_equal(sizes, self.sizes):
            return self
        kept = np.arange(len(self.hashes)) < (self.starts + sizes)[self._owners]
        kept[self.starts + self.sizes] = True
        return self._only(kept)

    def _only(self, kept: npt.NDArray[np.bool_]) -> Texts:
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])
        rest = object.__new__(Texts)
        rest.hashes = self.hashes[kept]
        rest.sizes = before[self.starts + self.sizes] - before[self.starts]
        rest.starts = before[self.starts]
        rest.places = np.flatnonzero(kept)
        return rest

    def windows(self, size: int) -> Hashes:
        """The hash of the stretch of `size` tokens from each place on, where so many follow."""
        before, inverse = self._sums
        room = max(len(self.hashes) - size + 1, 0)
        return (before[size : size + room] - before[:room]) * inverse[:room]

    def stretches(self, first: Numbers, size: Numbers) -> Hashes:
        """The hash of each stretch of `size` tokens that begins at the place `first`."""
        before, inverse = self._sums
        found: Hashes = (before[first + size] - before[first]) * inverse[first]
        return found

    def text_of(self, places: Numbers) -> Numbers:
        """Which text each place is in."""
        found: Numbers = self._owners[places]
        return found

    @cached_property
    def _owners(self) -> Numbers:
        """Which text each place is in; the border behind it is, too."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes + 1)

    @cached_property
    def _sums(self) -> tuple[Hashes, Hashes]:
        """The sum of hash(token i) * BASE**(i + 1) before each place, and BASE**-(i + 1) at each place."""
        before = np.zeros(len(self.hashes) + 1, np.uint64)
        np.cumsum(self.hashes * _powers(self.BASE, len(self.hashes)), out=before[1:])
        return before, _powers(pow(self.BASE, -1, 1 << 64), len(self.hashes) + 1)


class Column:
    """An array that grows where it is, as far as it can; a list of parts would need twice the memory at the
    end.

    Args:
        dtype: of its values.
    """

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._array = np.empty(0, dtype)
        self._size = 0

    def extend(self, more: npt.NDArray[Any]) -> None:
        """Put some more values at its end."""
        size = self._size + len(more)
        if size > len(self._array):
            self._array.resize(size + size // 8, refcheck=False)
        self._array[self._size : size] = more
        self._size = size

    def whole(self) -> npt.NDArray[Any]:
        """All of it."""
        return self._array[: self._size]


def table_of(keys: Hashes, values: npt.NDArray[np.integer], most: int | None = None) -> Table:
    """The table in which each of `values` is known by the hash in `keys`; those of one hash stay in order.

    A hash under which there are more than `most` is left out. Millions of hashes are sorted with as few
    copies as can be, which is why this is a function: it owns what it is given.
    """
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    numbers: npt.NDArray[np.int32] = values[order].astype(np.int32, copy=False)
    del order, values
    if most is not None:
        kept = _up_to(most, keys)
        keys, numbers = keys[kept], numbers[kept]
    bits = min(MAX_FILTER_BITS, len(keys).bit_length() + 5)
    table = Table(keys, numbers, np.zeros(1 << (bits - 3), np.uint8))
    for start in range(0, len(keys), SORTED_AT_A_TIME):
        byte, bit = table._beginnings(keys[start : start + SORTED_AT_A_TIME])
        heads = np.flatnonzero(distinct(byte))
        table.filter[byte[heads]] |= np.bitwise_or.reduceat(np.uint8(1) << bit, heads)
    return table


def hashes_of(values: Sequence[str]) -> Hashes:
    """The hash of each string."""
    # Python hashes the bytes that it stores: `ba` and the one character U+6162 are the same two
    lengths = np.fromiter(map(len, values), np.uint64, len(values))
    hashes = np.fromiter(map(hash, values), np.int64, len(values)).view(np.uint64)
    return hashes + lengths * np.uint64(Texts.BASE)


def _powers(base: int, count: int) -> Hashes:
    powers: Hashes = np.multiply.accumulate(np.full(count, base, np.uint64), dtype=np.uint64)
    return powers


@dataclass(frozen=True)
class Table:
    """Numbers by hash, several under one hash where there are several: two sorted arrays behind a filter.

    Attributes:
        keys: hashes in order; uint64.
        values: the number at each of them; int32.
        filter: a bit for each way in which a hash can begin, set where there is a key that begins so; uint8.
    """

    keys: Hashes
    values: npt.NDArray[np.int32]
    filter: npt.NDArray[np.uint8]

    @cached_property
    def most(self) -> int:
        """The most numbers that are known under one hash."""
        heads = np.flatnonzero(distinct(self.keys))
        return int(np.diff(np.append(heads, len(self.keys))).max(initial=0))

    def _beginnings(self, hashes: Hashes) -> tuple[Numbers, npt.NDArray[np.uint8]]:
        """The byte and the bit of the filter that stand for each hash."""
        first = hashes >> np.uint64(62 - len(self.filter).bit_length())
        return (first >> np.uint64(3)).view(np.int64), first.astype(np.uint8) & np.uint8(7)

    def find(self, wanted: Hashes) -> tuple[Numbers, Numbers]:
        """The places in `wanted` of hashes that are known, in order, and the number known under each."""
        byte, bit = self._beginnings(wanted)
        places = np.flatnonzero((self.filter[byte] >> bit) & np.uint8(1))
        first = np.searchsorted(self.keys, wanted[places], "left")
        known = np.flatnonzero(self.keys[np.minimum(first, len(self.keys) - 1)] == wanted[places])
        places, first = places[known], first[known]
        count = np.searchsorted(self.keys, wanted[places], "right") - first
        before = np.cumsum(count) - count
        entries = np.arange(int(count.sum())) + np.repeat(first - before, count)
        return np.repeat(places, count), self.values[entries].astype(np.int64)


def _up_to(most: int, keys: Hashes) -> npt.NDArray[np.bool_]:
    """Which of some sorted keys occur at most so often."""
    too_often = keys[most:] == keys[: max(len(keys) - most, 0)]
    kept = np.ones(len(keys), bool)
    for offset in range(most + 1):
        kept[offset : offset + len(too_often)] &= ~too_often
    return kept


def distinct(*columns: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """Of rows that are sorted by these columns, those that differ from the row before."""
    new = np.ones(len(columns[0]), bool)
    if len(new):
        new[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return new
