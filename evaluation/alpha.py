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
from functools import cache

SPENDING = "fallback@v2"
"""Name of the rule below. A decision is recorded with it, so that its level can be computed again for as long
as the rule is this one; whoever changes a level changes the name.
"""

FIRST, EARLY, LASTING = 0.40, 0.35, 0.25
"""Parts of alpha: for the first comparison, for those soon after it, and for those of many nights."""

EXPONENT = 1.6
"""How fast the early part falls."""

ZETA = 2.2857656656801301
"""The sum of k ** -EXPONENT over all k from 1 (Riemann's zeta function)."""

SPAN = 50
"""How many comparisons use half of the lasting part."""

LEAST = 1e-300
"""The level where nothing is left, because alpha was lowered: above zero, and below every p value."""


@cache
def weight(number: int) -> float:
    """The share of alpha that belongs to a comparison. All shares sum to 1.

    The first gets a part of its own; the early part falls with `number ** -1.6`, and the lasting part hardly
    during the first SPAN comparisons, then with the square.

    Args:
        number: which comparison it is, from 1.

    Example:
        >>> weight(1), round(weight(10), 4), round(weight(50), 4)
        (0.4, 0.0105, 0.0018)
    """
    if number == 1:
        return FIRST
    early = math.pow(number, -EXPONENT) / (ZETA - 1)
    lasting = SPAN / ((number + SPAN - 2) * (number + SPAN - 1))
    return EARLY * early + LASTING * lasting


def rest(number: int) -> float:
    """The share of alpha that belongs to a comparison and to all after it.

    Args:
        number: which comparison it is, from 1.
    """
    return 1 - math.fsum(map(weight, range(1, number)))


def spent_level(alpha: float, number: int, carried: float = 0.0, spent: float | None = None) -> float:
    """The level at which a comparison is tested: its share of what the comparisons before it left of alpha.

    Where they had their shares by these weights, that is `alpha * weight(number)`. Where they had others, by
    an earlier version's weights or of another alpha, the levels still sum to at most alpha.

    Args:
        alpha: the chance of any false promotion, over all comparisons together.
        number: which comparison with a fresh candidate it is on this golden dataset, from 1.
        carried: level of the comparison before it where that one passed, else 0. A level that found a true
            gain is not used up by it, so it goes on to the next (the fallback).
        spent: the sum of the levels of all comparisons before it, less what each had carried over; None for
            their shares by these weights.

    Example:
        >>> round(spent_level(0.05, number=1), 5), round(spent_level(0.05, number=2), 5)
        (0.02, 0.00473)
        >>> round(spent_level(0.05, number=2, spent=0.0219), 5)
        0.00444
    """
    own = alpha * weight(number)
    if spent is not None:
        own = max((alpha - spent) * weight(number) / rest(number), LEAST)
    return own + _carried(alpha, number, carried)


def alpha_left(alpha: float, number: int, carried: float = 0.0, spent: float | None = None) -> float:
    """What comparison `number` and all that may come after it can still spend.

    Args:
        alpha: the chance of any false promotion, over all comparisons together.
        number: the next comparison, from 1.
        carried: level that the comparison before it left over.
        spent: as for `spent_level`.

    Example:
        >>> round(alpha_left(0.05, number=2), 4)
        0.03
    """
    left = alpha * rest(number) if spent is None else max(alpha - spent, 0.0)
    return left + _carried(alpha, number, carried)


def _carried(alpha: float, number: int, carried: float) -> float:
    """What the comparison before left over, as far as all before this one could at this alpha: a larger alpha
    left more, which is not what is asked for now.
    """
    return min(carried, alpha * (1 - rest(number))) if carried else 0.0
