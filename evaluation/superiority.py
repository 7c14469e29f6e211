"""Is the candidate better? An exact test of paired 0/1 scores that loses little to their being counts."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from evaluation.statistics import FloatArray, mcnemar_superiority

IntArray = np.ndarray

MOST_ITEMS = 10_000
"""With more items a count is almost continuous: McNemar's conditional p value is taken as it is."""

PRECISION = 1e-3
"""How far a p value may lie above the true maximum, relative to the largest conditional one in its tail."""

BAND = 4.3
"""Square roots of n. A binomial count lies farther from its mean with a probability below 1e-15 (Hoeffding
1963, J. Am. Stat. Assoc. 58:13).
"""


def better_exact(gained: int, lost: int, n: int) -> float:
    """One-sided exact p value of "not better" for paired 0/1 scores, not conditional on how many changed.

    McNemar's test takes the number of changed items as given. Then only every second difference can occur,
    and the test rejects less often than its level allows: with a fifth of 300 items changed and a level of
    4e-5, at 58 % of the level. This test takes the outcomes of all numbers of changed items together. It
    orders them by McNemar's mid-p value and asks how probable the observed outcome, or one that is as
    extreme, is for items that change either way with the same probability, at the probability of a change
    where that is highest (Suissa & Shuster 1991, Biometrics 47:361; Berger & Sidik 2003, Stat. Methods Med.
    Res. 12:91). The mid-p value falls with the gains and rises with the losses, so that is the largest
    probability under any truth in which gains are no more probable than losses.

    Args:
        gained: items that are wrong in the first and right in the second.
        lost: items that are right in the first and wrong in the second.
        n: all items, at least gained + lost. They are independent draws from what the models are used for.

    Returns:
        The p value: never below the exact maximum, and above it by less than 0.3 %. McNemar's where there
        are no more gains than losses, and for more than MOST_ITEMS items.

    Example:
        >>> f"{mcnemar_superiority(gained=46, lost=15):.1e}, {better_exact(gained=46, lost=15, n=300):.1e}"
        '4.4e-05, 3.2e-05'
    """
    if gained <= lost or n > MOST_ITEMS:
        return mcnemar_superiority(gained, lost)
    return _largest_probability(_within(float(mid_p(gained, lost)), n), n)


def smallest_significant_gain(discordant: int, n: int, level: float) -> float | None:
    """The smallest gain in the mean that `better_exact` accepts when `discordant` of `n` answers change.

    Args:
        discordant: pairs that differ.
        n: all pairs.
        level: the test's level.

    Returns:
        (gained - lost) / n for the fewest gains whose p value is below the level; None where even all of them
        are too few.

    Example:
        >>> round(smallest_significant_gain(discordant=62, n=300, level=0.02), 4)
        0.06
    """
    gained = bisect_left(
        range(discordant + 1), True, key=lambda gained: better_exact(gained, discordant - gained, n) < level
    )
    return (2 * gained - discordant) / n if gained <= discordant and 2 * gained > discordant else None


def significant_gains(n: int, level: float) -> IntArray:
    """For each number of changed items, 0 to n, the fewest gains that `better_exact` accepts; one more than
    there are changes where even all of them are too few. What the power of the test is computed from.

    Args:
        n: all items.
        level: of the test, at most 0.25.

    Returns:
        int64 [n + 1].

    Example:
        >>> significant_gains(n=10, level=0.05).tolist()
        [1, 2, 3, 4, 4, 5, 6, 7, 7, 8, 9]
    """
    if n > MOST_ITEMS:
        return _accepted(lambda gained, lost: _upper_tail(gained, gained + lost) < level, n)
    low, high = 0.0, 0.5
    fewest, too_few = _within(low, n), _within(high, n)
    # to the last outcome that lies between them, or outcomes of equal mid-p value
    while (fewest - too_few).sum() > 1 and low < (middle := (low + high) / 2) < high:
        gains = _within(middle, n)
        if _largest_probability(gains, n) < level:
            low, fewest = middle, gains
        else:
            high, too_few = middle, gains
    return fewest


def mid_p(gained: FloatArray | int, lost: FloatArray | int) -> FloatArray:
    """Mid-p value of McNemar's one-sided test (Lancaster 1961, J. Am. Stat. Assoc. 56:223): the probability
    of more gains than these, and half of that of exactly these, when a change is as often a loss.

    It is a regularised incomplete beta function, so it falls with the gains and rises with the losses.

    Args:
        gained, lost: counts of any one shape.

    Returns:
        float64 of that shape.
    """
    from scipy.special import betainc

    return np.asarray(betainc(np.asarray(gained) + 1, np.asarray(lost) + 1, 0.5))


def _within(limit: float, n: int) -> IntArray:
    """For each number of changed items the fewest gains whose mid-p value is within the limit; one more than
    there are changes where none is. int64 [n + 1].
    """
    limit *= 1 + 1e-9  # the observed outcome itself belongs to its tail
    return _accepted(lambda gained, lost: mid_p(gained, lost) <= limit, n)


def _accepted(accepts: Callable[[IntArray, IntArray], FloatArray], n: int) -> IntArray:
    """For each number of changed items the fewest gains, at least half of it, that are accepted."""
    changed = np.arange(n + 1)
    low, high = (changed + 1) // 2, changed + 1
    while (open_ := low < high).any():
        middle = np.minimum((low + high) // 2, changed)
        enough = accepts(middle, changed - middle)
        high = np.where(open_ & enough, middle, high)
        low = np.where(open_ & ~enough, middle + 1, low)
    return low


def _upper_tail(gained: IntArray, changed: IntArray) -> FloatArray:
    """How probable at least `gained` heads are in `changed` flips of a coin; 0 where that cannot be."""
    from scipy.special import betainc

    lost = changed - gained
    some = (gained > 0) & (lost >= 0)
    return np.where(some, betainc(np.maximum(gained, 1), np.maximum(lost, 0) + 1, 0.5), gained <= 0)


def _largest_probability(least: IntArray, n: int) -> float:
    """An upper bound, close to within PRECISION, of the probability that the gains reach `least`, over all
    probabilities of a change.

    With the probability of a change sin(a)^2, the probability of the tail is the mean t(D) over a binomial
    count D of changes. Its second derivative in a is the mean of t(D) times a score whose mean is zero and
    whose mean size is at most 8n; so it is at most 4n max(t). At the maximum the first derivative vanishes,
    hence no maximum lies more than 2n max(t) d^2 above a point at distance d.
    """
    tails = _upper_tail(least, np.arange(n + 1))
    counts, probabilities = _binomials(n)
    found = np.einsum("ij,ij->i", probabilities, tails[counts])
    return min(1.0, float(found.max() + PRECISION * tails.max()))


def _places(n: int) -> int:
    """How many probabilities of a change are tried: so many that 2n d^2 is at most PRECISION."""
    return math.ceil(math.pi * math.sqrt(n / (8 * PRECISION)))


@lru_cache(maxsize=4)
def _binomials(n: int) -> tuple[IntArray, FloatArray]:
    """Counts and their probabilities, around the mean, int64 and float64 [places, counts]."""
    from scipy.special import gammaln, xlog1py, xlogy

    places = _places(n)
    change = np.sin((np.arange(places) + 0.5) * (np.pi / 2 / places))[:, None] ** 2
    reach = min(n, math.ceil(BAND * math.sqrt(n)))
    first = np.clip(np.rint(n * change) - reach, 0, max(0, n - 2 * reach)).astype(np.int64)
    counts = first + np.arange(min(n, 2 * reach) + 1)
    choose = gammaln(n + 1) - gammaln(counts + 1) - gammaln(n - counts + 1)
    return counts, np.exp(choose + xlogy(counts, change) + xlog1py(n - counts, -change))
