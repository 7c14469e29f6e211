"""Paired scores and their tests."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from evaluation.groups import IntArray, grouped, regrouped
from evaluation.metrics import is_binary
from evaluation.noninferiority import not_worse_by_likelihood, not_worse_exact
from evaluation.statistics import (
    FloatArray,
    Interval,
    bootstrap_interval,
    mcnemar_exact,
    sign_flip_p,
)
from evaluation.superiority import better_exact

TEST_NAMES = {
    "mcnemar_exact": "exact McNemar test",
    "mcnemar_by_group": "exact McNemar test by group",
    "paired_permutation": "sign-flip permutation test",
    "paired_permutation_by_group": "sign-flip permutation test by group",
}


@dataclass(frozen=True)
class Pairs:
    """Paired scores and their tests: McNemar's exact one for 0/1 scores, else sign-flip permutation. Where
    items hang together, whole groups are flipped and resampled.

    Attributes:
        before: float64 [items].
        after: float64 [items].
        groups: the place of each item's group, int64 [items]; None where every item stands alone.
        seed: decides the permutations.
        resamples: how many of them.
    """

    before: FloatArray
    after: FloatArray
    groups: IntArray | None
    seed: int
    resamples: int

    def __len__(self) -> int:
        return len(self.before)

    @property
    def gained(self) -> int:
        """Pairs that got better."""
        return int((self.after > self.before).sum())

    @property
    def lost(self) -> int:
        """Pairs that got worse."""
        return int((self.after < self.before).sum())

    @property
    def delta(self) -> float:
        """Mean of after less mean of before."""
        return math.fsum(self.after - self.before) / len(self.before)

    @property
    def independent(self) -> int:
        """How many groups; as many as items where every item stands alone."""
        return len(self) if self.groups is None else int(self.groups.max()) + 1

    @cached_property
    def binary(self) -> bool:
        """Whether all scores are 0 or 1."""
        return is_binary(self.before) and is_binary(self.after)

    @property
    def test(self) -> str:
        """Name of the test."""
        name = "mcnemar" if self.binary else "paired_permutation"
        if self.groups is not None:
            return f"{name}_by_group"
        return "mcnemar_exact" if self.binary else name

    def p_value(self) -> float:
        """Two-sided p value of "no difference"."""
        if self.test == "mcnemar_exact":
            return mcnemar_exact(self.gained, self.lost)
        return self._flipped("two-sided")

    def p_better(self) -> float:
        """One-sided p value of "not better"."""
        if self.test == "mcnemar_exact":
            return better_exact(self.gained, self.lost, len(self))
        if (pairs := self._one_each()) is not None:
            return pairs.p_better()
        return self._flipped("greater")

    def p_not_worse(self, margin: float) -> float:
        """One-sided p value of "worse by the margin or more": exact where every group is one item with 0/1
        scores, or as many copies of one.

        Args:
            margin: between 0 and 1.
        """
        if self.test == "mcnemar_exact":
            return not_worse_exact(self.gained, self.lost, len(self), margin)
        if (pairs := self._one_each()) is not None:
            return pairs.p_not_worse(margin)
        return not_worse_by_likelihood(*self._sums(), margin)

    def interval(self) -> Interval:
        """Paired bootstrap interval of delta, 95 %."""
        difference = self.after - self.before
        if self.groups is None:
            return bootstrap_interval(difference, resamples=self.resamples, seed=self.seed)
        sums, sizes = grouped(difference, self.groups)
        return bootstrap_interval(sums, resamples=self.resamples, seed=self.seed, sizes=sizes)

    def at(self, places: IntArray) -> Pairs:
        """Some of the pairs."""
        groups = regrouped(self.groups, places)
        return Pairs(self.before[places], self.after[places], groups, self.seed, self.resamples)

    def _one_each(self) -> Pairs | None:
        """One item of each group, where all groups are as large and the items of each score alike on both
        sides, as copies do: then more of them are no more evidence. None otherwise.
        """
        if self.groups is None or not self.binary:
            return None
        (before, sizes), (after, _) = grouped(self.before, self.groups), grouped(self.after, self.groups)
        size = sizes[0]
        if (sizes != size).any() or not (np.isin(before, (0, size)) & np.isin(after, (0, size))).all():
            return None
        return Pairs(before / size, after / size, None, self.seed, self.resamples)

    def _flipped(self, alternative: Literal["two-sided", "greater"]) -> float:
        sums, _ = self._sums()
        return sign_flip_p(sums, alternative, self.resamples, self.seed)

    def _sums(self) -> tuple[FloatArray, IntArray]:
        """Sum of the differences and number of the items of each group."""
        difference = self.after - self.before
        if self.groups is None:
            return difference, np.ones(len(difference), dtype=np.int64)
        return grouped(difference, self.groups)
