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

    numbers = [
        uniform(3, f"item {n}", sample, step) for n in range(20) for sample in (0, 1) for step in range(50)
    ]
    assert kstest(numbers, "uniform").pvalue > 0.01
    few = [uniform(*each) for each in itertools.product((0, 1), ("a", "b"), (0, 1), (0, 1))]
    assert len(set(few)) == 16
    assert uniform(0, "a", 0, 0) == 0.4857248603017089
    assert 0 <= uniform(0, "\ud800", 0, 0) < 1


@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.3, 1e-9])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_tokens_come_as_often_as_transformers_warpers_say(temperature: float, top_p: float) -> None:
    import torch

    row = logits(1, 40)[0]
    places = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    tokens, _ = draw(row.expand(20_000, -1), places, temperature, top_p)
    found = torch.bincount(tokens, minlength=40) / 20_000
    assert (found - shares(row, temperature, top_p)).abs().max() <= 1.01 / 20_000
    assert bool((tokens.diff() >= 0).all()), "in the order of the ids"


def test_a_low_temperature_is_greedy() -> None:
    import torch

    rows = logits(50, 300)
    numbers = torch.rand(50, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for temperature in (1e-4, 1e-30):
        assert torch.equal(draw(rows, numbers, temperature, 1.0)[0], rows.argmax(-1))


def test_of_equally_likely_tokens_the_lower_ids_are_kept() -> None:
    import torch

    row = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    tokens = {int(draw(row, torch.tensor([n / 100]), 1.0, 0.5)[0]) for n in range(100)}
    assert tokens == {0, 1}


def test_numbers_at_the_ends_draw_the_first_and_the_last_token() -> None:
    import torch

    row = torch.tensor([[-torch.inf, 0.0, 1.0, -torch.inf]])
    assert [int(draw(row, torch.tensor([u]), 1.0, 1.0)[0]) for u in (0.0, 1 - 2.0**-53)] == [1, 2]


@pytest.mark.parametrize("top_p", [1.0, 0.8])
def test_company_and_order_change_nothing(top_p: float) -> None:
    import torch

    rows = logits(33, 5_000)
    numbers = torch.tensor([uniform(0, str(n), 0, 0) for n in range(33)], dtype=torch.float64)
    tokens, margins = draw(rows, numbers, 0.7, top_p, 1e-3)
    alone = [draw(rows[[n]], numbers[[n]], 0.7, top_p, 1e-3) for n in reversed(range(33))]
    assert tokens.tolist()[::-1] == [int(token) for token, _ in alone]
    assert margins.tolist()[::-1] == pytest.approx([float(margin) for _, margin in alone])


@pytest.mark.parametrize("temperature", [0.5, 1.5])
@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.4])
def test_noise_below_the_margin_never_changes_a_token(temperature: float, top_p: float) -> None:
    """Also noise at its worst: everything before a token goes up and all else goes down, or the reverse."""
    import torch

    noise = 0.02
    rows = logits(400, 200)
    numbers = torch.tensor([uniform(1, str(n), 0, 0) for n in range(400)], dtype=torch.float64)
    tokens, margins = draw(rows, numbers, temperature, top_p, noise)
    sure = margins > noise
    assert 0.3 < sure.double().mean() < 1, "few tokens need another look"
    ids = torch.arange(200)
    changed = torch.zeros(400, dtype=torch.bool)
    pushes = [ids < tokens[:, None], ids <= tokens[:, None]]
    generator = torch.Generator().manual_seed(2)
    pushes += [torch.rand(400, 200, generator=generator) < 0.5 for _ in range(20)]
    for push in pushes:
        for sign in (-1, 1):
            moved = rows + sign * (push.float() - 0.5) * noise * 0.99
            changed |= draw(moved, numbers, temperature, top_p)[0] != tokens
    assert not (changed & sure).any()
    assert changed.any(), "the noise is enough to change others"
    if top_p == 1:
        assert changed[margins < noise * 0.95].all(), "the bound is exact"
