"""The statistics agree with scipy and statsmodels, and have the properties a person relies on."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.alpha import EARLY, EXPONENT, LASTING, SPAN, ZETA, rest, spent_level, weight
from evaluation.statistics import (
    bootstrap_interval,
    holm,
    mcnemar_exact,
    mcnemar_superiority,
    paired_permutation_p,
    wilson_interval,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("successes", "n"), [(0, 10), (3, 10), (10, 10), (144, 360), (1, 1), (50_000, 100_000)]
)
def test_wilson_agrees_with_statsmodels(successes: int, n: int) -> None:
    from statsmodels.stats.proportion import proportion_confint

    assert wilson_interval(successes, n) == pytest.approx(
        proportion_confint(successes, n, method="wilson"), abs=1e-12
    )


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_estimate_and_stays_between_0_and_1(case: tuple[int, int]) -> None:
    low, high = wilson_interval(*case)
    assert 0 <= low <= case[0] / case[1] + 1e-12
    assert case[0] / case[1] - 1e-12 <= high <= 1


@pytest.mark.parametrize(("gained", "lost"), [(0, 1), (5, 5), (12, 3), (40, 19), (0, 30)])
def test_mcnemar_agrees_with_statsmodels(gained: int, lost: int) -> None:
    from statsmodels.stats.contingency_tables import mcnemar

    expected = mcnemar([[100, gained], [lost, 50]], exact=True).pvalue
    assert mcnemar_exact(gained, lost) == pytest.approx(expected, rel=1e-9)


@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_does_not_care_which_run_comes_first(gained: int, lost: int) -> None:
    assert mcnemar_exact(gained, lost) == mcnemar_exact(lost, gained)
    assert 0 < mcnemar_exact(gained, lost) <= 1


def test_no_changed_answer_is_no_evidence() -> None:
    assert mcnemar_exact(0, 0) == 1.0
    assert paired_permutation_p([0.0, 0.0]) == 1.0


def test_the_permutation_test_agrees_with_mcnemar_on_0_1_scores() -> None:
    differences = [1.0] * 12 + [-1.0] * 3 + [0.0] * 30
    assert paired_permutation_p(differences, resamples=50_000) == pytest.approx(
        mcnemar_exact(12, 3), abs=0.006
    )


def test_the_permutation_test_repeats() -> None:
    differences = np.random.default_rng(1).normal(0.1, 1, 80)
    assert paired_permutation_p(differences) == paired_permutation_p(differences)


def test_the_bootstrap_agrees_with_scipy() -> None:
    from scipy.stats import bootstrap

    values = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], 360, p=[0.05, 0.65, 0.3])
    expected = bootstrap(
        (values,), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert bootstrap_interval(values) == pytest.approx((expected.low, expected.high), abs=0.006)


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0]), min_size=1, max_size=60), st.integers(0, 3))
def test_the_bootstrap_repeats_and_stays_within_the_values(values: list[float], seed: int) -> None:
    low, high = bootstrap_interval(values, resamples=200, seed=seed)
    assert (low, high) == bootstrap_interval(values, resamples=200, seed=seed)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


@pytest.fixture(scope="module")
def little_garbage() -> Iterator[None]:
    """statsmodels collects garbage at each call: a second, beside all that other tests have loaded."""
    import statsmodels.stats.multitest  # noqa: F401

    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("little_garbage")
@settings(max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_agrees_with_statsmodels(p_values: list[float]) -> None:
    from statsmodels.stats.multitest import multipletests

    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]))


@given(st.integers(0, 200), st.integers(0, 200))
def test_the_one_sided_test_agrees_with_scipy_and_is_half_of_the_two_sided_one(
    gained: int, lost: int
) -> None:
    from scipy.stats import binomtest

    if gained + lost:
        assert mcnemar_superiority(gained, lost) == pytest.approx(
            binomtest(gained, gained + lost, 0.5, "greater").pvalue
        )
    smaller = min(mcnemar_superiority(gained, lost), mcnemar_superiority(lost, gained))
    assert mcnemar_exact(gained, lost) == pytest.approx(min(1.0, 2 * smaller))


def test_the_tests_stay_exact_for_runs_of_many_items() -> None:
    from scipy.stats import binom

    for gained, lost in ((25_700, 25_000), (50_000, 50_000), (400, 0), (1_000, 300)):
        assert mcnemar_superiority(gained, lost) == pytest.approx(
            float(binom.sf(gained - 1, gained + lost, 0.5)), rel=1e-9
        )
        assert 0 < mcnemar_exact(gained, lost) <= 1


def test_the_one_sided_permutation_test_agrees_with_mcnemar_on_0_1_scores() -> None:
    differences = [1.0] * 12 + [-1.0] * 3 + [0.0] * 30
    assert paired_permutation_p(differences, "greater", resamples=50_000) == pytest.approx(
        mcnemar_superiority(12, 3), abs=0.004
    )


def test_the_weights_of_all_comparisons_sum_to_one() -> None:
    from scipy.special import zeta

    assert pytest.approx(zeta(EXPONENT), rel=1e-12) == ZETA
    after = EARLY * zeta(EXPONENT, 1001) / (ZETA - 1) + LASTING * SPAN / (1001 + SPAN - 2)
    assert sum(weight(number) for number in range(1, 1001)) + after == pytest.approx(1)
    assert rest(1001) == pytest.approx(after)


def test_each_comparison_has_less_than_the_one_before_it_and_more_than_nothing() -> None:
    weights = [weight(number) for number in range(1, 5001)]
    assert all(later < earlier for earlier, later in pairwise(weights))
    assert weights[-1] > 0


@given(st.lists(st.booleans(), min_size=1, max_size=300), st.floats(0.001, 0.5))
def test_the_levels_spent_on_comparisons_that_found_nothing_never_sum_to_more_than_alpha(
    passed: list[bool], alpha: float
) -> None:
    carried, spent = 0.0, 0.0
    for number, found in enumerate(passed, start=1):
        level = spent_level(alpha, number, carried)
        assert level > 0
        carried, spent = (level, spent) if found else (0.0, spent + level)
    assert spent <= alpha


@given(st.lists(st.floats(0.0005, 0.02), max_size=30), st.lists(st.booleans(), min_size=1, max_size=100))
def test_a_ledger_that_began_with_other_shares_goes_on_within_what_they_left(
    earlier: list[float], passed: list[bool]
) -> None:
    alpha, own, carried, lost = 0.05, list(earlier), 0.0, sum(earlier)
    for number, found in enumerate(passed, start=len(earlier) + 1):
        level = spent_level(alpha, number, carried, spent=sum(own))
        assert level > 0
        own.append(level - carried)
        carried, lost = (level, lost) if found else (0.0, lost + level)
    assert lost <= max(alpha, sum(earlier)) + 1e-12


def test_a_ledger_of_these_shares_gives_them_on() -> None:
    own: list[float] = []
    for number in range(1, 200):
        own.append(spent_level(0.05, number, spent=sum(own)))
        assert own[-1] == pytest.approx(0.05 * weight(number), rel=1e-9)
