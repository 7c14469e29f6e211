"""Stretches of tokens by their hashes: many texts as one array, and tables of what is looked up in it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]

MAX_FILTER_BITS = 26


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
        count = int(self.sizes.sum())
        self.hashes: Hashes = np.full(count + len(texts), self.BORDER, np.uint64)
        is_token = np.ones(len(self.hashes), bool)
        is_token[ends] = False
        every = (hash(token) for text in texts for token in text)
        self.hashes[is_token] = np.fromiter(every, np.int64, count).view(np.uint64)

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


def _powers(base: int, count: int) -> Hashes:
    powers: Hashes = np.multiply.accumulate(np.full(count, base, np.uint64), dtype=np.uint64)
    return powers


class Table:
    """Numbers by hash, several under one hash where there are several: two sorted arrays behind a filter."""

    def __init__(self, keys: Hashes, values: npt.NDArray[np.integer]) -> None:
        """Take the numbers `values`, each known by the hash in `keys`; those of one hash stay in order."""
        order = np.argsort(keys, kind="stable")
        self.keys, self.values = keys[order], values[order].astype(np.int32)
        bits = min(MAX_FILTER_BITS, len(keys).bit_length() + 3)
        self.shift = np.uint64(64 - bits)
        self.filter = np.zeros(1 << bits, bool)
        self.filter[self.keys >> self.shift] = True

    def find(self, wanted: Hashes) -> tuple[Numbers, Numbers]:
        """The places in `wanted` of hashes that are known, in order, and the number known under each."""
        places = np.flatnonzero(self.filter[wanted >> self.shift])
        first = np.searchsorted(self.keys, wanted[places], "left")
        count = np.searchsorted(self.keys, wanted[places], "right") - first
        before = np.cumsum(count) - count
        entries = np.arange(int(count.sum())) + np.repeat(first - before, count)
        return np.repeat(places, count), self.values[entries].astype(np.int64)


def distinct(*columns: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """Of rows that are sorted by these columns, those that differ from the row before."""
    new = np.ones(len(columns[0]), bool)
    if len(new):
        new[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return new
