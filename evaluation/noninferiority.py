"""Is the candidate not worse by a margin or more? Tests of paired 0/1 scores, and of other paired scores."""

from __future__ import annotations

import numpy as np

from evaluation.statistics import BLOCK, FloatArray

GRID, FINER = 400, 33
"""Places at which the probability of a gain is tried first, and then around the best of them."""


def tango_score(gained: FloatArray | int, lost: FloatArray | int, n: int, margin: float) -> FloatArray:
    """Score statistic of "worse by exactly the margin" for paired proportions (Tango 1998, Statist. Med.
    17:891, eq. 4; the same as Nam 1997, Biometrics 53:1422). Standard normal for many items.

    The difference of the two scores above the margin, by its standard error where the true difference is
    -margin. That needs the probability of a gain, which is estimated by maximum likelihood under this
    condition: the positive root of 2n q^2 - b q - gained * margin * (1 - margin).

    Args:
        gained: items that got better; any shape.
        lost: items that got worse; the same shape.
        n: all items.
        margin: between 0 and 1.

    Returns:
        float64 of the same shape. Large means not worse. Defined without any changed item, too.

    Example:
        >>> round(float(tango_score(gained=0, lost=1, n=44, margin=0.1)), 3)
        1.709
    """
    gained, lost = np.asarray(gained, dtype=np.float64), np.asarray(lost, dtype=np.float64)
    gain = gain_probability(gained, lost, n, margin)
    variance = n * (2 * gain + margin * (1 - margin))
    return np.asarray((gained - lost + n * margin) / np.sqrt(variance), dtype=np.float64)


def gain_probability(gained: FloatArray, lost: FloatArray, n: int, margin: float) -> FloatArray:
    """The most likely probability of a gain, where that of a loss is higher by exactly the margin.

    Args:
        gained, lost: counts, float64 of any shape.
        n: all items.
        margin: between 0 and 1.
    """
    b = gained + lost - margin * (2 * n + gained - lost)
    root = np.sqrt(b * b + 8 * n * gained * margin * (1 - margin))
    # the larger root, in the form that does not subtract two like numbers where b is negative
    with np.errstate(divide="ignore", invalid="ignore"):
        small = 2 * gained * margin * (1 - margin) / (root - b)
    return np.asarray(np.where(b > 0, (b + root) / (4 * n), np.where(gained > 0, small, 0.0)))


def not_worse_exact(gained: int, lost: int, n: int, margin: float) -> float:
    """Exact p value of "worse by the margin or more" for paired 0/1 scores.

    The score test is asymptotic, and at the small levels of later comparisons too liberal. So its statistic
    only ranks the outcomes, and the p value is the probability of the observed one or a more favourable one,
    at the probability of a gain where that is highest (unconditional exact test: Hsueh, Liu & Chen 2001,
    Biometrics 57:478; Liu, Hsueh, Hsieh & Chen 2002, Statist. Med. 21:231). The statistic rises with the
    gains and falls with the losses, so the largest probability lies where the true difference is -margin.

    Args:
        gained: items that got better.
        lost: items that got worse.
        n: all items, at least 1.
        margin: between 0 and 1.

    Returns:
        The p value; small means not worse.

    Example:
        >>> round(not_worse_exact(gained=20, lost=20, n=300, margin=0.05), 4)
        0.0119
    """
    return _largest_tail(_most_losses(float(tango_score(gained, lost, n, margin)), n, margin), n, margin)


def level_needed(n: int, margin: float, changed: float, power: float) -> float:
    """The level at which `not_worse_exact` passes a candidate that is truly equal with the power asked for.

    Args:
        n: independent items.
        margin: between 0 and 1.
        changed: probability that an answer changes, either way alike.
        power: between 0 and 1.

    Example:
        >>> round(level_needed(1000, margin=0.05, changed=0.15, power=0.8), 4)
        0.0009
    """
    from scipy.stats import binom

    counts = np.arange(n + 1)
    weights = binom.pmf(counts, n, changed / 2)
    likely = np.flatnonzero(weights > 1e-12)
    low, high = -10.0, 10.0
    for _ in range(20):  # the largest score that is reached so often
        middle = (low + high) / 2
        limits = _most_losses(middle, n, margin)[likely]
        losses = binom.cdf(limits, n - likely, changed / 2 / (1 - changed / 2))
        low, high = (middle, high) if np.dot(weights[likely], losses) >= power else (low, middle)
    return _largest_tail(_most_losses(low, n, margin), n, margin)


def _largest_tail(limits: FloatArray, n: int, margin: float) -> float:
    """The probability of an outcome within the limits, at the probability of a gain where it is largest."""
    # Fine where a gain is rare: there the probability changes fastest.
    gains = (1 - margin) / 2 * np.linspace(0, 1, GRID) ** 2
    largest = 0.0
    for _ in range(3):  # each time more finely around the best
        tails = _tails(gains, limits, n, margin)
        best = int(tails.argmax())
        largest = max(largest, float(tails[best]))
        gains = np.linspace(gains[max(0, best - 1)], gains[min(best + 1, len(gains) - 1)], FINER)
    return min(1.0, largest)


def _most_losses(score: float, n: int, margin: float) -> FloatArray:
    """For each number of gains, 0 to n, the most losses with which the statistic is not below the observed
    one; -1 where even none are too many. int64 [n + 1].
    """
    gained = np.arange(n + 1)
    low, high = np.full(n + 1, -1), n - gained
    limit = score - 1e-9 * max(1.0, abs(score))  # the observed outcome itself belongs to its tail
    while (open_ := low < high).any():
        middle = (low + high + 1) // 2
        enough = tango_score(gained, np.maximum(middle, 0), n, margin) >= limit
        low = np.where(open_ & enough, middle, low)
        high = np.where(open_ & ~enough, middle - 1, high)
    return low


def _tails(gains: FloatArray, limits: FloatArray, n: int, margin: float) -> FloatArray:
    """Probability of an outcome within the limits, where an item is gained with each of these probabilities,
    and lost with one that is higher by the margin: float64 of the same length.
    """
    from scipy.special import bdtr
    from scipy.stats import binom

    step = max(1, BLOCK // 20 // (n + 1))
    found = []
    for start in range(0, len(gains), step):
        gain = gains[start : start + step, None]
        # ten standard deviations and a few: beyond them there is nothing that counts
        spread = 10 * np.sqrt(n * gain.max() * (1 - gain.min())) + 50
        likely = np.arange(max(0, int(n * gain.min() - spread)), min(n, int(n * gain.max() + spread)) + 1)
        counts = likely[limits[likely] >= 0]
        losses = bdtr(limits[counts], n - counts, np.minimum(1.0, (gain + margin) / (1 - gain)))
        found.append((binom.pmf(counts, n, gain) * losses).sum(axis=1))
    return np.concatenate(found)


def not_worse_by_likelihood(sums: FloatArray, sizes: FloatArray, margin: float) -> float:
    """P value of "worse by the margin or more" for scores between 0 and 1, and for items in groups: empirical
    likelihood, with one more group that loses all it has.

    The likelihood ratio weighs the groups anew so that their mean difference is -margin; its signed root is
    standard normal for many groups (Owen 1988, Biometrika 75:237). Losses that are rare and were not seen by
    chance would make it too sure, so the largest group is added once more, fully lost (in the manner of Chen,
    Variyath & Abraham 2008, J. Comput. Graph. Stat. 17:426). With that its size stays at or below the level
    down to 0.00004, for all that docs/statistics.md tried; that of a sign-flip test of the differences
    shifted by the margin does not.

    Args:
        sums: differences of each group, second less first, float64 [groups].
        sizes: items of each group, int64 [groups].
        margin: between 0 and 1.

    Example:
        >>> round(not_worse_by_likelihood(np.zeros(100), np.ones(100), margin=0.05), 3)
        0.012
    """
    from scipy.optimize import brentq
    from scipy.special import ndtr

    largest = np.max(sizes)
    shifted = np.append(sums + margin * sizes, -(1 - margin) * largest) / largest
    # Differences are often whole numbers of points: each distinct one is counted once.
    values, counts = np.unique(shifted, return_counts=True)
    if values[-1] <= 0:
        return 1.0

    def slope(tilt: float) -> float:
        return float(np.dot(counts, values / (1 + tilt * values)))

    # The weights 1 / (1 + tilt * value) are positive between these; the slope falls from one to the other.
    low, high = -(1 - 1e-12) / values[-1], -(1 - 1e-12) / values[0]
    tilt = brentq(slope, low, high, xtol=1e-15)
    ratio = max(0.0, 2 * float(np.dot(counts, np.log1p(tilt * values))))
    return float(ndtr(-np.sign(tilt) * np.sqrt(ratio)))
