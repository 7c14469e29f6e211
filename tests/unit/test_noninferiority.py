"""Not worse by the margin: published figures, an independent optimiser, and sizes by counting outcomes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import multinomial, norm

from benchmarks.sizes import exact, likelihood, likelihood_of_many, score, size
from evaluation.noninferiority import (
    gain_probability,
    not_worse_by_likelihood,
    not_worse_exact,
    tango_score,
)

pytestmark = pytest.mark.unit

margins = st.floats(0.005, 0.4)


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, int, int]:
    """Gains, losses, items."""
    n = draw(st.integers(1, 80))
    gained = draw(st.integers(0, n))
    return gained, draw(st.integers(0, n - gained)), n


def test_the_score_is_that_of_the_crossover_trial_of_contact_lens_solutions() -> None:
    """Tango 1998, section 6: 44 pairs, 43 and 0 alike, 1 and 0 not; margin 0.1: Z = 1.709, p = 0.044."""
    score = float(tango_score(gained=0, lost=1, n=44, margin=0.1))
    assert score == pytest.approx(1.709, abs=0.0005)
    assert norm.sf(score) == pytest.approx(0.044, abs=0.0005)


@pytest.mark.parametrize(
    ("gained", "lost", "n", "low", "high"),
    [
        # Fagerland, Lydersen & Laake 2014, Statist. Med. 33:2850: Tango's interval for the airways of Bentur
        # et al. 2009 and the responses of Cavo et al. 2012.
        (1, 7, 21, -0.517, -0.026),
        (6, 16, 161, -0.124, -0.0054),
    ],
)
def test_turned_round_the_score_gives_the_published_intervals(
    gained: int, lost: int, n: int, low: float, high: float
) -> None:
    quantile = norm.isf(0.025)

    def score(delta: float) -> float:
        return float(tango_score(gained, lost, n, -delta))

    assert brentq(lambda delta: score(delta) - quantile, -0.99, -1e-9) == pytest.approx(low, abs=0.0005)
    assert brentq(lambda delta: score(delta) + quantile, -0.99, -1e-9) == pytest.approx(high, abs=0.0005)


@settings(max_examples=60)
@given(tables(), margins)
def test_the_probability_of_a_gain_is_the_most_likely_one(table: tuple[int, int, int], margin: float) -> None:
    gained, lost, n = table

    def cost(gain: float) -> float:
        return -float(multinomial.logpmf([gained, lost, n - gained - lost], n, _chances(gain, margin)))

    ours = float(gain_probability(np.float64(gained), np.float64(lost), n, margin))
    best = minimize_scalar(cost, bounds=(0, (1 - margin) / 2), method="bounded", options={"xatol": 1e-10})
    assert cost(min(max(ours, 0.0), (1 - margin) / 2)) <= best.fun + 1e-7


def _chances(gain: float, margin: float) -> list[float]:
    return [gain, gain + margin, max(0.0, 1 - 2 * gain - margin)]


@settings(max_examples=40, deadline=None)
@given(tables(), margins)
def test_the_exact_p_is_the_largest_probability_of_an_outcome_as_good(
    table: tuple[int, int, int], margin: float
) -> None:
    gained, lost, n = table
    p = not_worse_exact(gained, lost, n, margin)
    assert 0 <= p <= 1
    counts = np.array([[g, lose, n - g - lose] for g in range(n + 1) for lose in range(n + 1 - g)])
    scores = tango_score(counts[:, 0], counts[:, 1], n, margin)
    as_good = counts[scores >= float(tango_score(gained, lost, n, margin)) - 1e-9]
    for gain in np.linspace(0, (1 - margin) / 2, 23):
        assert multinomial.pmf(as_good, n, _chances(gain, margin)).sum() <= p + 1e-9


@settings(max_examples=60, deadline=None)
@given(tables(), margins)
def test_a_gain_more_or_a_loss_less_never_counts_against_the_candidate(
    table: tuple[int, int, int], margin: float
) -> None:
    gained, lost, n = table
    p = not_worse_exact(gained, lost, n, margin)
    if gained + lost < n:
        assert not_worse_exact(gained + 1, lost, n, margin) <= p + 1e-9
    if lost:
        assert not_worse_exact(gained, lost - 1, n, margin) <= p + 1e-9


@settings(max_examples=60)
@given(tables(), margins, st.floats(0.001, 0.3))
def test_a_wider_margin_is_easier_to_keep(table: tuple[int, int, int], margin: float, wider: float) -> None:
    gained, lost, n = table
    differences = np.repeat([1.0, -1.0, 0.0], [gained, lost, n - gained - lost])
    ones = np.ones(n)
    assert (
        not_worse_by_likelihood(differences, ones, margin + wider)
        <= not_worse_by_likelihood(differences, ones, margin) + 1e-9
    )
    assert tango_score(gained, lost, n, margin + wider) >= tango_score(gained, lost, n, margin) - 1e-9


@pytest.mark.parametrize("level", [0.02, 0.0005])
@pytest.mark.parametrize("margin", [0.02, 0.1])
def test_a_candidate_that_is_worse_by_the_margin_passes_no_more_often_than_the_level_says(
    margin: float, level: float
) -> None:
    assert 0.2 * level < size(exact, 40, margin, level) <= level
    assert size(likelihood, 40, margin, level) <= level


def test_the_score_alone_would_pass_too_many() -> None:
    assert size(score, 60, 0.1, 0.02) > 1.2 * 0.02


def test_no_changed_answer_is_evidence_that_grows_with_the_items() -> None:
    few, many = not_worse_exact(0, 0, 60, 0.03), not_worse_exact(0, 0, 600, 0.03)
    assert few == pytest.approx(0.97**60, abs=1e-4)  # that no loss is seen where 3 % of the items are lost
    assert many < 1e-5
    assert few < likelihood(0, 0, 60, 0.03) < 1


def test_empirical_likelihood_agrees_with_one_found_by_halving() -> None:
    values = np.array([-1.0, -0.4, 0.0, 0.3, 1.0])
    rows = np.random.default_rng(0).multinomial(50, [0.02, 0.1, 0.6, 0.2, 0.08], 40)
    ours = [not_worse_by_likelihood(np.repeat(values, row), np.ones(50), 0.05) for row in rows]
    assert ours == pytest.approx(likelihood_of_many(rows, values + 0.05, 0.05).tolist(), rel=1e-6)
