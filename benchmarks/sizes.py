"""How often does a candidate that is worse by exactly the margin pass a test of "not worse"? At most as often
as the level says, or the test is wrong.

First all outcomes of paired 0/1 scores are counted, at many probabilities of a gain: for Hallmark's exact
test, its empirical likelihood (for items in groups, and for scores between 0 and 1), the asymptotic score
test, and a sign-flip test of the differences shifted by the margin. Then empirical likelihood is tried on
random distributions of differences between -1 and 1. Each figure is the largest share, divided by the level.

    python benchmarks/sizes.py [--samples 60000]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from scipy.stats import binom, multinomial, norm

from evaluation.noninferiority import not_worse_by_likelihood, not_worse_exact, tango_score

Test = Callable[[int, int, int, float], float]
"""P value of gains, losses, items, margin."""

exact: Test = not_worse_exact


def likelihood(gained: int, lost: int, n: int, margin: float) -> float:
    """Empirical likelihood, with every item a group of its own."""
    differences = np.repeat([1.0, -1.0, 0.0], [gained, lost, n - gained - lost])
    return not_worse_by_likelihood(differences, np.ones(n), margin)


def score(gained: int, lost: int, n: int, margin: float) -> float:
    """The score test, by the normal distribution."""
    return float(norm.sf(tango_score(gained, lost, n, margin)))


def flips(gained: int, lost: int, n: int, margin: float) -> float:
    """Sign flips of the differences after the margin was added: exact over all signs."""
    same = n - gained - lost
    observed = margin * same + (1 + margin) * gained - (1 - margin) * lost
    up, down = np.arange(gained + 1), np.arange(lost + 1)
    changed = (1 + margin) * (2 * up - gained)[:, None] + (1 - margin) * (2 * down - lost)
    weights = binom.pmf(up, gained, 0.5)[:, None] * binom.pmf(down, lost, 0.5)
    needed = np.ceil(((observed - changed) / margin + same) / 2 - 1e-9)
    return float((weights * binom.sf(needed - 1, same, 0.5)).sum())


TESTS = {"exact": exact, "likelihood": likelihood, "score": score, "flips": flips}


def size(test: Test, n: int, margin: float, level: float) -> float:
    """The largest probability that a test passes a candidate that is worse by exactly the margin: all
    outcomes are counted, at many probabilities of a gain.

    Args:
        test: its p value must not rise with a gain more or a loss less.
        n: items.
        margin: between 0 and 1.
        level: of the test.
    """
    lost, passed = -1, []
    for gained in range(n + 1):
        while gained + lost < n and test(gained, lost + 1, n, margin) <= level:
            lost += 1
        lost = min(lost, n - gained)
        passed += [[gained, losses, n - gained - losses] for losses in range(lost + 1)]
    gains = np.concatenate([np.linspace(0, 0.02, 9), np.linspace(0.02, (1 - margin) / 2, 40)])
    chances = [[gain, gain + margin, max(0.0, 1 - 2 * gain - margin)] for gain in gains]
    return max(float(multinomial.pmf(passed, n, chance).sum()) for chance in chances)


def random_sizes(groups: int, levels: list[float], samples: int, distributions: int = 150) -> list[float]:
    """The same for empirical likelihood on groups whose differences have a random distribution with a mean of
    exactly -margin.
    """
    rng = np.random.default_rng(groups)
    worst = [0.0] * len(levels)
    for _ in range(distributions):
        margin = float(rng.choice([0.01, 0.02, 0.05, 0.1]))
        values, chances = _random_distribution(rng, margin)
        counts = rng.multinomial(groups, chances, samples)
        p_values = likelihood_of_many(counts, values + margin, margin)
        shares = [float((p_values <= level).mean()) for level in levels]
        worst = [max(pair) for pair in zip(worst, shares, strict=True)]
    return worst


def likelihood_of_many(counts: np.ndarray, shifted: np.ndarray, margin: float) -> np.ndarray:
    """`not_worse_by_likelihood` of many samples at once, found by halving: float64 [samples].

    Args:
        counts: how often each difference occurs, int64 [samples, differences].
        shifted: the differences plus the margin, float64 [differences].
        margin: between 0 and 1.
    """
    values = np.append(shifted, margin - 1)
    times = np.column_stack([counts, np.ones(len(counts))])
    low, high = np.zeros((2, len(counts), 1))
    high += (1 - 1e-12) / (1 - margin)
    for _ in range(45):
        middle = (low + high) / 2
        rising = (times * values / (1 + middle * values)).sum(1, keepdims=True) > 0
        low, high = np.where(rising, middle, low), np.where(rising, high, middle)
    ratio = (times * np.log1p(low * values)).sum(1)
    return np.where(times @ values > 0, norm.sf(np.sqrt(2 * np.maximum(ratio, 0))), 1.0)


def _random_distribution(rng: np.random.Generator, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Differences and their probabilities."""
    size = int(rng.integers(2, 5))
    values, chances = rng.uniform(-1, 1, size), rng.dirichlet(np.full(size, rng.choice([0.1, 0.5, 2])))
    mean = float(values @ chances)
    side = -1.0 if mean > -margin else 1.0
    share = (-margin - mean) / (side - mean)
    return np.append(values, side), np.append(chances * (1 - share), share)


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=60_000)
    arguments = parser.parse_args()
    print(f"{'items':>6} {'margin':>7} {'level':>7} " + " ".join(f"{name:>11}" for name in TESTS))
    for n in (60, 300):
        for margin in (0.02, 0.05, 0.1):
            for level in (0.02, 0.0005):
                found = " ".join(f"{size(test, n, margin, level) / level:11.2f}" for test in TESTS.values())
                print(f"{n:6} {margin:7} {level:7} {found}", flush=True)
    levels = [0.05, 0.02, 0.002, 0.0005]
    print("\nempirical likelihood on random distributions\n")
    for groups in (20, 60, 300):
        shares = random_sizes(groups, levels, arguments.samples)
        for share, level in zip(shares, levels, strict=True):
            print(f"{groups:6} groups  level {level:7} {share / level:6.2f}", flush=True)


if __name__ == "__main__":
    main()
