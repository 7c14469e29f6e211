"""Alpha spent over repeated comparisons, so that nightly luck is not promoted.

Every comparison with a fresh candidate is another chance for luck. Comparison k on a golden dataset is
therefore tested at a level of its own, and the levels of all comparisons, however many there will be, sum to
alpha. By the union bound the chance that any candidate without a true gain passes is then at most alpha,
whatever the dependence between the comparisons (alpha spending: Foster & Stine 2008, J. R. Stat. Soc. B
70:429; online Bonferroni and online fallback: Tian & Ramdas 2021, Stat. Methods Med. Res. 30:976,
arXiv:1910.04900). docs/statistics.md has the argument and a simulation.
"""

from __future__ import annotations

import math

EXPONENT = 1.6
"""How fast the weights fall. Slower leaves less for the first comparison, faster less for the fiftieth."""

ZETA = 2.2857656656801301
"""The sum of k ** -EXPONENT over all k from 1 (Riemann's zeta function), by which the weights sum to one."""


def weight(number: int) -> float:
    """The share of alpha that belongs to a comparison: `number ** -1.6 / zeta(1.6)`. All shares sum to 1.

    Args:
        number: which comparison it is, from 1.

    Example:
        >>> round(weight(1), 4), round(weight(10), 4)
        (0.4375, 0.011)
    """
    return math.pow(number, -EXPONENT) / ZETA


def spent_level(alpha: float, number: int, carried: float = 0.0) -> float:
    """The level at which a comparison is tested.

    Args:
        alpha: the chance of any false promotion, over all comparisons together.
        number: which comparison with a fresh candidate it is on this golden dataset, from 1.
        carried: level of the comparison before it where that one passed, else 0. A level that found a true
            gain is not used up by it, so it goes on to the next (the fallback).

    Example:
        >>> round(spent_level(0.05, number=1), 4)
        0.0219
    """
    return alpha * weight(number) + carried


def alpha_left(alpha: float, number: int, carried: float = 0.0) -> float:
    """What comparison `number` and all that may come after it can still spend.

    Args:
        alpha: the chance of any false promotion, over all comparisons together.
        number: the next comparison, from 1.
        carried: level that the comparison before it left over.

    Example:
        >>> round(alpha_left(0.05, number=2), 4)
        0.0281
    """
    return alpha * (1 - math.fsum(weight(before) for before in range(1, number))) + carried
