"""Stretches of tokens by their hashes: many texts as one array, and tables of what is looked up in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]

MAX_FILTER_BITS = 25


class Texts:
    """The hashes of the tokens of some texts, one text after the other, and of any stretch of them.

    The hash of a stretch is the sum of hash(token i) * BASE**i modulo 2**64, i counted from its first token;
    two different stretches have equal ones with a chance of about 2**-64.

    Attributes:
        starts: the place of each text's first token; int64.
        sizes: how many tokens each text has; int64.
        hashes: of the token at each place; uint64.
    """

    BASE = 0x9E3779B97F4A7C15
    BORDER = 0x5851F42D4C957F2D  # stands behind each text, so that nothing matches across

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        self.sizes: Numbers = np.fromiter(map(len, texts), np.int64, len(texts))
        ends = np.cumsum(self.sizes + 1) - 1
        self.starts: Numbers = ends - self.sizes
        self.hashes: Hashes = np.full(int(self.sizes.sum()) + len(texts), self.BORDER, np.uint64)
        is_token = np.ones(len(self.hashes), bool)
        is_token[ends] = False
        self.hashes[is_token] = hashes_of(list(chain.from_iterable(texts)))

    def without(self, unwanted: Hashes) -> Texts:
        """The same texts without the tokens of these hashes, which are sorted."""
        kept = ~np.isin(self.hashes, unwanted)
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])
        rest = object.__new__(Texts)
        rest.hashes = self.hashes[kept]
        rest.sizes = before[self.starts + self.sizes] - before[self.starts]
        rest.starts = before[self.starts]
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
        after: Numbers = np.searchsorted(self.starts, places, "right")
        return after - 1

    @cached_property
    def _sums(self) -> tuple[Hashes, Hashes]:
        """The sum of hash(token i) * BASE**(i + 1) before each place, and BASE**-(i + 1) at each place."""
        before = np.zeros(len(self.hashes) + 1, np.uint64)
        np.cumsum(self.hashes * _powers(self.BASE, len(self.hashes)), out=before[1:])
        return before, _powers(pow(self.BASE, -1, 1 << 64), len(self.hashes) + 1)


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
    table = Table(keys, numbers, np.zeros(1 << min(MAX_FILTER_BITS, len(keys).bit_length() + 2), bool))
    table.filter[table._beginning(keys)] = True
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
        filter: by the first bits of a hash, whether there is any key that begins so.
    """

    keys: Hashes
    values: npt.NDArray[np.int32]
    filter: npt.NDArray[np.bool_]

    @cached_property
    def most(self) -> int:
        """The most numbers that are known under one hash."""
        heads = np.flatnonzero(distinct(self.keys))
        return int(np.diff(np.append(heads, len(self.keys))).max(initial=0))

    def _beginning(self, hashes: Hashes) -> Hashes:
        return hashes >> np.uint64(65 - len(self.filter).bit_length())

    def find(self, wanted: Hashes) -> tuple[Numbers, Numbers]:
        """The places in `wanted` of hashes that are known, in order, and the number known under each."""
        places = np.flatnonzero(self.filter[self._beginning(wanted)])
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
