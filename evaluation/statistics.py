"""The statistics behind a decision, with their sources. scipy loads when they are used."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

import numpy as np

Interval = tuple[float, float]
FloatArray = np.ndarray

EXACT_WORK = 200_000_000
"""Additions that an exact distribution may take: a quarter of a second; a comparison has a few of them."""

GRID = 1000
"""Steps from 0 to the largest difference, where differences are no whole numbers of anything."""

DISTINCT = 1_000
"""So many distinct values are counted in a bootstrap sample; of more, each item is drawn by itself."""
BLOCK = 2_000_000
"""Numbers drawn at a time while resampling, so that memory stays flat however many items there are."""


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Score interval of a proportion (Wilson 1927, J. Am. Stat. Assoc. 22:209).

    Args:
        successes: how many of `n`, 0 to n.
        n: number of items, at least 1.
        confidence: between 0 and 1.

    Example:
        >>> low, high = wilson_interval(169, 360)
        >>> f"{low:.3f} to {high:.3f}"
        '0.418 to 0.521'
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return (centre - half) / scale if successes else 0.0, (centre + half) / scale if successes < n else 1.0


def mcnemar_exact(gained: int, lost: int) -> float:
    """Two-sided exact p value of McNemar's test (McNemar 1947, Psychometrika 12:153): is a change as often a
    gain as a loss?

    Under the null hypothesis the discordant pairs fall either way with probability one half. That is
    symmetric, so the p value is twice the one of the heavier side.

    Args:
        gained: pairs that are wrong in the first and right in the second.
        lost: pairs that are right in the first and wrong in the second.

    Returns:
        The p value; 1 without any discordant pair.

    Example:
        >>> mcnemar_exact(gained=8, lost=1)
        0.0390625
    """
    return min(1.0, 2 * mcnemar_superiority(max(gained, lost), min(gained, lost)))


def mcnemar_superiority(gained: int, lost: int) -> float:
    """One-sided exact p value of McNemar's test: how likely at least `gained` gains are when a change is as
    often a loss.

    The upper tail of a binomial distribution is a regularised incomplete beta function:
    P(X >= k) = I_p(k, n - k + 1).

    Args:
        gained: pairs that are wrong in the first and right in the second.
        lost: pairs that are right in the first and wrong in the second.

    Returns:
        The p value of "not better"; 1 without any gain.

    Example:
        >>> mcnemar_superiority(gained=8, lost=1)
        0.01953125
    """
    from scipy.special import betainc

    return float(betainc(gained, lost + 1, 0.5)) if gained else 1.0


def paired_permutation_p(
    differences: Sequence[float] | FloatArray,
    alternative: Literal["two-sided", "greater"] = "two-sided",
    resamples: int = 10_000,
    seed: int = 0,
) -> float:
    """P value of the sign-flip permutation test on paired differences (Fisher 1935, The Design of
    Experiments, 21).

    Args:
        differences: float64 [items], second less first.
        alternative: two-sided, or greater for the p value of "not better".
        resamples: random sign patterns.
        seed: decides the patterns.

    Returns:
        The p value, never below 1 / (resamples + 1) (Phipson & Smyth 2010, arXiv:1603.05766).

    Example:
        >>> round(paired_permutation_p([0.25, 0.5, 0.25, 0.75, 0.5], "greater"), 2)
        0.03
    """
    values = np.asarray(differences, dtype=np.float64)
    # no sign changes a zero
    values = values[values != 0]
    if not len(values):
        return 1.0
    # How many differences of one size get a plus is one binomial draw, far cheaper than a draw for each.
    sizes, counts = np.unique(np.abs(values), return_counts=True)
    seen = values.sum() if alternative == "greater" else abs(values.sum())
    rng = np.random.default_rng(seed)
    step = max(1, BLOCK // len(sizes))
    as_far = 0
    for start in range(0, resamples, step):
        plus = rng.binomial(counts, 0.5, size=(min(step, resamples - start), len(sizes)))
        totals = (2 * plus - counts) @ sizes
        totals = totals if alternative == "greater" else np.abs(totals)
        as_far += int((totals >= seen - 1e-9 * np.dot(counts, sizes)).sum())  # a tie is as far
    return (1 + as_far) / (1 + resamples)


def sign_flip_exact(
    sums: Sequence[int] | FloatArray, alternative: Literal["two-sided", "greater"] = "two-sided"
) -> float | None:
    """Exact p value of the sign-flip test on whole numbers: gains less losses of each group of items.

    Under the null hypothesis each group's sum would as likely have the other sign. The distribution of the
    total over all signs is built up group by group (Pagano & Tritchler 1983, J. Am. Stat. Assoc. 78:435).
    Where all sums that are not zero have the same size it is McNemar's exact test on the groups.

    Args:
        sums: int64 [groups], second less first.
        alternative: two-sided, or greater for the p value of "not better".

    Returns:
        The p value; 1 without any sum other than zero; None where it would take too long.

    Example:
        >>> sign_flip_exact([4, 4, 4, -4, 0, 4], "greater") == mcnemar_superiority(gained=4, lost=1)
        True
        >>> sign_flip_exact([3, 1, 1], "greater")
        0.125
    """
    values = np.asarray(sums, dtype=np.int64)
    values = values[values != 0]
    if not len(values):
        return 1.0
    sizes = np.abs(values) // np.gcd.reduce(values)
    total, size = int(sizes.sum()), len(sizes)
    if sizes.max() == 1:
        gained = int((values > 0).sum())
        exact = mcnemar_exact if alternative == "two-sided" else mcnemar_superiority
        return exact(gained, size - gained)
    if total * size > EXACT_WORK:
        return None
    positive = int(sizes[values > 0].sum())
    if alternative == "greater":
        return _positive_tail(sizes, positive)
    return min(1.0, 2 * _positive_tail(sizes, max(positive, total - positive)))


def sign_flip_p(
    differences: Sequence[float] | FloatArray,
    alternative: Literal["two-sided", "greater"] = "two-sided",
    resamples: int = 10_000,
    seed: int = 0,
) -> float:
    """P value of the sign-flip permutation test, exact where that is not too much work.

    Random signs cannot give a p value below 1 / (resamples + 1), so that at the small levels of later
    comparisons nothing would ever be significant. Scores are mostly multiples of something, such as 0.25, and
    so exact as they are. Others are rounded to a thousandth of the largest difference: that is then a test of
    rounded differences, and no less valid.

    Args:
        differences: float64 [items], or the sums of groups, float64 [groups]; second less first.
        alternative: two-sided, or greater for the p value of "not better".
        resamples: random sign patterns, where there are too many items.
        seed: decides the patterns.

    Example:
        >>> sign_flip_p([0.25, 0.5, 0.25, 0.75, 0.5], "greater")
        0.03125
    """
    values = whole_numbers(np.asarray(differences, dtype=np.float64))
    exact = sign_flip_exact(values, alternative)
    return paired_permutation_p(values, alternative, resamples, seed) if exact is None else exact


def whole_numbers(values: FloatArray) -> FloatArray:
    """The values as multiples of the largest fraction that they are multiples of, else of a thousandth of the
    largest, rounded.

    Args:
        values: float64 of any length.

    Returns:
        int64 of the same length.
    """
    largest = np.abs(values).max(initial=0.0)
    if largest == 0:
        return np.zeros(len(values), dtype=np.int64)
    # copies of a group have sums as many times as large, and must give the same p value
    for scale in (*range(1, 101), GRID / largest):
        whole = np.rint(values * scale)
        if np.abs(values * scale - whole).max() < 1e-9 * scale:
            break
    return np.asarray(whole, dtype=np.int64)


def _positive_tail(sizes: FloatArray, least: int) -> float:
    """How probable it is that the sums with a plus sign come to `least` or more, when every sign is a coin
    flip.
    """
    chance = np.zeros(int(sizes.sum()) + 1)
    chance[0], reached = 1.0, 0
    for size in np.sort(sizes):
        after = 0.5 * chance[: reached + size + 1]
        after[size:] += 0.5 * chance[: reached + 1]
        reached += int(size)
        chance[: reached + 1] = after
    return min(1.0, math.fsum(chance[least:]))


def bootstrap_interval(
    values: Sequence[float] | FloatArray,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    sizes: Sequence[int] | FloatArray | None = None,
) -> Interval:
    """Percentile bootstrap interval of a mean (Efron 1979, Ann. Statist. 7:1). On paired differences it is
    the paired bootstrap; with group sizes whole groups are drawn (Davison & Hinkley 1997, Bootstrap Methods
    and their Application, 3.8).

    Args:
        values: float64 [items]; with sizes the sums of groups, float64 [groups].
        confidence: between 0 and 1.
        resamples: how many samples with replacement.
        seed: decides the samples.
        sizes: items of each group, int64 [groups].

    Example:
        >>> bootstrap_interval([1.0, 1.0, 0.0, 1.0], resamples=100)
        (0.25, 1.0)
    """
    data = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    # Drawing n groups with replacement and counting each distinct one is one multinomial draw, far cheaper
    # than n indices while few are distinct.
    if sizes is None:
        sums, counts = np.unique(data, return_counts=True)
        items = np.ones(len(sums))
    else:
        rows, counts = np.unique(np.column_stack([data, sizes]), axis=0, return_counts=True)
        sums, items = rows.T
    step = max(1, BLOCK // len(sums))
    means = []
    for start in range(0, resamples, step):
        samples = min(step, resamples - start)
        if len(sums) > DISTINCT:
            places = rng.integers(0, len(data), size=(samples, len(data)), dtype=np.int32)
            count = len(data) if sizes is None else np.asarray(sizes)[places].sum(axis=1)
            means.append(data[places].sum(axis=1) / count)
        else:
            drawn = rng.multinomial(len(data), counts / len(data), size=samples)
            means.append(drawn @ sums / (drawn @ items))
    low, high = np.quantile(np.concatenate(means), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values adjusted for testing several hypotheses at once (Holm 1979, Scand. J. Statist. 6:65).

    Args:
        p_values: one for each hypothesis, in any order.

    Returns:
        The adjusted p values, in the given order.

    Example:
        >>> holm([0.5, 0.125, 0.25])
        [0.5, 0.375, 0.5]
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
