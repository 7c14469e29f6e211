"""The exact test of "better" against enumeration: valid at every level, and never weaker than McNemar's."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from evaluation.statistics import mcnemar_superiority
from evaluation.superiority import (
    MOST_ITEMS,
    better_exact,
    mid_p,
    significant_gains,
    smallest_significant_gain,
)

pytestmark = pytest.mark.unit

counts = st.integers(2, 300).flatmap(
    lambda n: st.integers(1, n).flatmap(
        lambda gained: st.tuples(st.just(gained), st.integers(0, n - gained), st.just(n))
    )
)


@cache
def outcomes(n: int) -> list[tuple[int, int]]:
    """All numbers of gained and lost items."""
    return [(gained, lost) for gained in range(n + 1) for lost in range(n + 1 - gained)]


@cache
def probabilities(n: int, gain: float, loss: float) -> np.ndarray:
    """Of all outcomes, by scipy's multinomial distribution."""
    from scipy.stats import multinomial

    table = [[gained, lost, n - gained - lost] for gained, lost in outcomes(n)]
    return multinomial.pmf(table, n, [gain, loss, 1 - gain - loss])


@cache
def p_values(n: int) -> np.ndarray:
    return np.array([better_exact(gained, lost, n) for gained, lost in outcomes(n)])


@pytest.mark.parametrize("n", [1, 4, 12])
def test_the_p_value_is_the_largest_probability_of_an_outcome_as_extreme(n: int) -> None:
    mid = np.array([mid_p(gained, lost) for gained, lost in outcomes(n)])
    changes = np.linspace(0, 1, 801)
    null = np.array([probabilities(n, change / 2, change / 2) for change in changes])
    for place, (gained, lost) in enumerate(outcomes(n)):
        if gained > lost:
            largest = null[:, mid <= mid[place] * (1 + 1e-9)].sum(axis=1).max()
            assert largest <= p_values(n)[place] * (1 + 1e-9)
            assert p_values(n)[place] <= largest * 1.003


@pytest.mark.parametrize("n", [3, 20, 60])
@pytest.mark.parametrize("change", [0.02, 0.2, 0.55, 1.0])
@pytest.mark.parametrize("gains", [0.5, 0.45, 0.2])
def test_without_a_true_gain_a_p_value_is_below_a_level_with_at_most_that_probability(
    n: int, change: float, gains: float
) -> None:
    chance = probabilities(n, change * gains, change * (1 - gains))
    order = np.argsort(p_values(n), kind="stable")
    reached = np.cumsum(chance[order])
    levels = p_values(n)[order]
    last = np.append(np.flatnonzero(np.diff(levels)), len(levels) - 1)  # all outcomes of equal p value
    below = levels[last] < 0.25
    assert (reached[last][below] <= levels[last][below] * (1 + 1e-9)).all()


@given(counts)
def test_it_is_never_weaker_than_mcnemars_test(case: tuple[int, int, int]) -> None:
    gained, lost, n = case
    conditional = mcnemar_superiority(gained, lost)
    assume(conditional < 0.25)  # no comparison is tested at a larger level
    assert 0 < better_exact(gained, lost, n) <= 1.002 * conditional


@given(counts)
def test_a_gain_more_is_more_evidence_and_a_loss_more_is_less(case: tuple[int, int, int]) -> None:
    gained, lost, n = case
    more = n + 1  # both are compared on as many items, so one may change more
    here = better_exact(gained, lost, more)
    assert better_exact(gained + 1, lost, more) <= here <= better_exact(gained, lost + 1, more)


def test_it_uses_most_of_a_small_level_and_mcnemars_test_little_more_than_half() -> None:
    from scipy.stats import binom

    n, level = 300, 4e-5
    old = [
        next(
            (
                gained
                for gained in range(changed + 1)
                if mcnemar_superiority(gained, changed - gained) < level
            ),
            n,
        )
        for changed in range(n + 1)
    ]
    size = [
        float(binom.pmf(range(n + 1), n, 0.2) @ binom.sf(np.asarray(least) - 1, range(n + 1), 0.5))
        for least in (old, significant_gains(n, level))
    ]
    assert size[0] < 0.65 * level
    assert 0.8 * level < size[1] <= level


@pytest.mark.parametrize(("gained", "lost"), [(9, 1), (46, 15), (120, 80), (3, 3)])
def test_the_mid_p_value_agrees_with_scipy(gained: int, lost: int) -> None:
    from scipy.stats import binom

    changed = gained + lost
    expected = binom.sf(gained, changed, 0.5) + binom.pmf(gained, changed, 0.5) / 2
    assert mid_p(gained, lost) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", [400, 1500])
def test_the_band_of_counts_that_is_looked_at_holds_all_that_matters(n: int) -> None:
    from scipy.stats import binom

    changed, level = np.arange(n + 1), 1e-6
    least = significant_gains(n, level)
    tails = binom.sf(least - 1, changed, 0.5)
    sizes = [float(binom.pmf(changed, n, change) @ tails) for change in np.linspace(0.001, 1, 300)]
    assert 0.97 * level < max(sizes) <= level


def test_no_more_gains_than_losses_and_very_many_items_are_tested_as_mcnemar_does() -> None:
    assert better_exact(0, 0, 10) == 1.0
    assert better_exact(7, 9, 300) == mcnemar_superiority(7, 9)
    assert better_exact(2100, 1900, MOST_ITEMS + 1) == mcnemar_superiority(2100, 1900)


@pytest.mark.parametrize(("n", "level"), [(10, 0.05), (120, 0.02), (120, 5e-4)])
def test_the_fewest_significant_gains_are_those_whose_p_value_is_below_the_level(
    n: int, level: float
) -> None:
    least = significant_gains(n, level)
    for changed in range(n + 1):
        expected = next((g for g in range(changed + 1) if better_exact(g, changed - g, n) < level), None)
        assert least[changed] == (changed + 1 if expected is None else expected)


@given(st.integers(0, 120), st.sampled_from([0.02, 1e-4]))
def test_the_smallest_significant_gain_is_significant_and_a_smaller_one_is_not(
    discordant: int, level: float
) -> None:
    gain = smallest_significant_gain(discordant, 360, level)
    if gain is None:
        assert better_exact(discordant, 0, 360) >= level
        return
    gained = (discordant + round(gain * 360)) // 2
    assert better_exact(gained, discordant - gained, 360) < level
    assert gain > 0
    assert better_exact(gained - 1, discordant - gained + 1, 360) >= level
