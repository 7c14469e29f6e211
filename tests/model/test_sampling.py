"""Tokens are drawn as temperature and top-p say, by numbers of their own."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from inference.sampling import draw, uniform

pytestmark = pytest.mark.model


def logits(rows: int, vocabulary: int, spread: float = 2.0, seed: int = 0) -> Any:
    import torch

    return torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed)) * spread


def shares(row: Any, temperature: float, top_p: float) -> Any:
    """Likelihoods after transformers' own temperature and nucleus."""
    import torch
    from transformers import TemperatureLogitsWarper, TopPLogitsWarper

    row = TemperatureLogitsWarper(temperature)(None, row[None].double())
    return torch.softmax(TopPLogitsWarper(top_p)(None, row), -1)[0]


def test_numbers_are_spread_evenly_and_depend_on_all_four() -> None:
    from scipy.stats import kstest

    drawn = [
        uniform(3, f"item {n}", sample, step) for n in range(20) for sample in (0, 1) for step in range(50)
    ]
    assert kstest(drawn, "uniform").pvalue > 0.01
    few = [uniform(*each) for each in itertools.product((0, 1), ("a", "b"), (0, 1), (0, 1))]
    assert len(set(few)) == 16
    assert uniform(0, "a", 0, 0) == 0.4857248603017089
    assert 0 <= uniform(0, "\ud800", 0, 0) < 1


def numbers(count: int, seed: int = 0) -> Any:
    import torch

    return torch.tensor([uniform(seed, str(n), 0, 0) for n in range(count)], dtype=torch.float64)


@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.3, 1e-9])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_tokens_come_as_often_as_transformers_warpers_say(temperature: float, top_p: float) -> None:
    import torch
    from scipy.stats import chisquare

    row = logits(1, 40)[0]
    tokens, _ = draw(row.expand(20_000, -1), numbers(20_000), temperature, top_p)
    found, expected = torch.bincount(tokens, minlength=40), shares(row, temperature, top_p) * 20_000
    assert not found[expected == 0].any()
    common = expected >= 5
    counted = [*found[common].tolist(), int(found[~common].sum())]
    awaited = [*expected[common].tolist(), float(expected[~common].sum())]
    if awaited[-1] == 0:
        counted, awaited = counted[:-1], awaited[:-1]
    assert len(counted) == 1 or chisquare(counted, awaited).pvalue > 0.001


def test_steps_and_samples_are_drawn_independently() -> None:
    """The same logits at every step: pairs of tokens that follow each other come as often as chance says."""
    import torch
    from scipy.stats import chi2_contingency

    row = logits(1, 6, spread=0.5)[0].expand(20_000, -1)
    drawn = torch.tensor([uniform(0, "item", n % 4, n // 4) for n in range(20_000)], dtype=torch.float64)
    tokens, _ = draw(row, drawn, 1.0, 1.0)
    for apart in (1, 4):
        pairs = torch.zeros(6, 6)
        pairs.index_put_((tokens[:-apart], tokens[apart:]), torch.ones(1), accumulate=True)
        assert chi2_contingency(pairs.numpy()).pvalue > 0.001


def test_a_low_temperature_is_greedy() -> None:
    import torch

    rows = logits(50, 300)
    for temperature in (1e-4, 1e-30):
        assert torch.equal(draw(rows, numbers(50), temperature, 1.0)[0], rows.argmax(-1))


def test_of_equally_likely_tokens_the_lower_ids_are_kept() -> None:
    import torch

    row = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    assert set(draw(row.expand(100, -1), numbers(100), 1.0, 0.5)[0].tolist()) == {0, 1}


def test_a_token_that_the_model_forbids_is_never_drawn() -> None:
    import torch

    row = torch.tensor([[-torch.inf, 0.0, 1.0, -torch.inf]]).expand(100, -1)
    for top_p in (1.0, 0.99):
        assert set(draw(row, numbers(100), 5.0, top_p)[0].tolist()) == {1, 2}
    only = torch.tensor([[-torch.inf, 0.0]])
    assert [float(each) for each in draw(only, numbers(1), 1.0, 1.0)] == [1, torch.inf]


def test_a_drawn_token_is_always_the_same() -> None:
    """Recorded: other numbers would change predictions of a seed."""
    tokens, margins = draw(logits(6, 50), numbers(6), 1.0, 0.95)
    assert tokens.tolist() == [45, 19, 16, 16, 38, 27]
    assert (margins > 0).all()


@pytest.mark.parametrize("top_p", [1.0, 0.8])
def test_company_and_order_change_nothing(top_p: float) -> None:
    rows = logits(33, 5_000)
    tokens, margins = draw(rows, numbers(33), 0.7, top_p, 1e-3)
    alone = [draw(rows[[n]], numbers(33)[[n]], 0.7, top_p, 1e-3) for n in reversed(range(33))]
    assert tokens.tolist()[::-1] == [int(token) for token, _ in alone]
    assert margins.tolist()[::-1] == pytest.approx([float(margin) for _, margin in alone])


def test_a_flat_distribution_needs_all_tokens_of_a_large_vocabulary() -> None:
    rows = logits(4, 5_000, spread=0.01)
    tokens, _ = draw(rows, numbers(4), 1.0, 0.9)
    for row, token in zip(rows, tokens, strict=True):
        assert shares(row, 1.0, 0.9)[token] > 0
    assert tokens.tolist() == draw(rows, numbers(4), 1.0, 0.9, 1e-6)[0].tolist()


@pytest.mark.parametrize("temperature", [0.5, 1.5])
@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.4])
def test_noise_below_the_margin_never_changes_a_token(temperature: float, top_p: float) -> None:
    """Also noise at its worst: the token that was drawn goes down and all others go up."""
    import torch

    noise = 0.05
    rows = logits(1_000, 200)
    tokens, margins = draw(rows, numbers(1_000), temperature, top_p, noise)
    sure = margins > noise
    assert 0.8 < sure.double().mean() < 1, "few tokens need another look"
    changed = torch.zeros(1_000, dtype=torch.bool)
    generator = torch.Generator().manual_seed(2)
    pushes = [torch.arange(200) == tokens[:, None]]
    pushes += [torch.rand(1_000, 200, generator=generator) < 0.5 for _ in range(10)]
    for push in pushes:
        for sign in (-1, 1):
            moved = rows + sign * (push.float() - 0.5) * noise * 0.99
            changed |= draw(moved, numbers(1_000), temperature, top_p)[0] != tokens
    assert not (changed & sure).any()
    assert changed.any(), "the noise is enough to change others"
    if top_p == 1:
        assert changed[margins < noise * 0.98].all(), "the bound is exact"
