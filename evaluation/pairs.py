"""Paired scores and their tests."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from evaluation.groups import IntArray, grouped, regrouped
from evaluation.metrics import is_binary
from evaluation.noninferiority import not_worse_by_likelihood, not_worse_exact
from evaluation.statistics import (
    FloatArray,
    Interval,
    bootstrap_interval,
    mcnemar_exact,
    sign_flip_exact,
    sign_flip_p,
    whole_numbers,
)
from evaluation.superiority import better_exact

BOTH = "(the gate: the larger of its and empirical likelihood's p value)"
LIKELIHOOD = "with random signs (the gate: empirical likelihood)"

TEST_NAMES = {
    "mcnemar_exact": "exact McNemar test",
    "mcnemar_by_group": "exact McNemar test by group",
    "permutation_and_likelihood": f"sign-flip permutation test {BOTH}",
    "permutation_and_likelihood_by_group": f"sign-flip permutation test by group {BOTH}",
    "likelihood": f"sign-flip permutation test {LIKELIHOOD}",
    "likelihood_by_group": f"sign-flip permutation test by group {LIKELIHOOD}",
    # of comparisons that were recorded before the gate asked for more than sign flips
    "paired_permutation": "sign-flip permutation test",
    "paired_permutation_by_group": "sign-flip permutation test by group",
}
"""What a person calls each test: that of the two-sided p value, and what the gate asks where it differs."""


@dataclass(frozen=True)
class Pairs:
    """Paired scores and their tests. Where items hang together, whole groups are flipped and resampled.

    "Is there a difference?" is asked by McNemar's exact test for 0/1 scores, else by sign flips. "Is it
    better?", on which promotions rest, by an exact test for 0/1 scores, also in groups that are copies. Sign
    flips alone cannot answer that one: they take a difference to be as probable with the other sign, and many
    small gains beside a rare large loss that was not seen by chance look certain to them.

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
        """Name of the test, a key of `TEST_NAMES`."""
        if self._alone is not None:
            return "mcnemar_exact" if self.groups is None else "mcnemar_by_group"
        name = "likelihood" if self._flips_greater is None else "permutation_and_likelihood"
        return name if self.groups is None else f"{name}_by_group"

    def p_value(self) -> float:
        """Two-sided p value of "no difference"."""
        if self._alone is not None:
            return mcnemar_exact(self._alone.gained, self._alone.lost)
        return sign_flip_p(self._flipped, "two-sided", self.resamples, self.seed)

    def p_better(self) -> float:
        """One-sided p value of "not better": for 0/1 scores exact, where every group is one item or as many
        copies of one. Else the larger one of sign flips and of empirical likelihood; the latter alone where
        there are too many items for an exact distribution of the signs.
        """
        if self._alone is not None:
            return better_exact(self._alone.gained, self._alone.lost, len(self._alone))
        likelihood = not_worse_by_likelihood(*self._sums, 0.0)
        return likelihood if self._flips_greater is None else max(likelihood, self._flips_greater)

    def p_not_worse(self, margin: float) -> float:
        """One-sided p value of "worse by the margin or more": exact where every group is one item with 0/1
        scores, or as many copies of one.

        Args:
            margin: between 0 and 1.
        """
        if self._alone is not None:
            return not_worse_exact(self._alone.gained, self._alone.lost, len(self._alone), margin)
        return not_worse_by_likelihood(*self._sums, margin)

    def interval(self) -> Interval:
        """Paired bootstrap interval of delta, 95 %."""
        difference = self.after - self.before
        if self.groups is None:
            return bootstrap_interval(difference, resamples=self.resamples, seed=self.seed)
        sums, sizes = self._sums
        return bootstrap_interval(sums, resamples=self.resamples, seed=self.seed, sizes=sizes)

    def at(self, places: IntArray) -> Pairs:
        """Some of the pairs."""
        groups = regrouped(self.groups, places)
        return Pairs(self.before[places], self.after[places], groups, self.seed, self.resamples)

    @cached_property
    def _alone(self) -> Pairs | None:
        """Pairs of 0/1 scores that each stand alone: these, or one item of each group, where the items of
        each score alike on both sides, as copies do: then more of them are no more evidence. None otherwise.
        """
        if not self.binary:
            return None
        if self.groups is None:
            return self
        (before, sizes), (after, _) = grouped(self.before, self.groups), grouped(self.after, self.groups)
        before, after = before / sizes, after / sizes
        if not (np.isin(before, (0, 1)) & np.isin(after, (0, 1))).all():
            return None
        return Pairs(before, after, None, self.seed, self.resamples)

    @cached_property
    def _flips_greater(self) -> float | None:
        """Exact one-sided p value of the sign-flip test; None where it would take too long."""
        return sign_flip_exact(self._flipped, "greater")

    @cached_property
    def _flipped(self) -> IntArray:
        """The sums of the groups as whole numbers, for sign flips. Each item more than once gives the same
        numbers.
        """
        sums, sizes = self._sums
        return whole_numbers(sums if self.binary else sums / np.gcd.reduce(sizes))

    @cached_property
    def _sums(self) -> tuple[FloatArray, IntArray]:
        """Sum of the differences and number of the items of each group."""
        difference = self.after - self.before
        if self.groups is None:
            return difference, np.ones(len(difference), dtype=np.int64)
        return grouped(difference, self.groups)
