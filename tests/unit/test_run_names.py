"""What a flow run is called: what was typed, else what it does and what differs from the defaults."""

from __future__ import annotations

from typing import Any

import pytest
from prefect.utilities.names import generate_slug

from experiments.config import EvaluateConfig, ExperimentConfig
from flows.naming import differing, is_made_up

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "name",
    ["alpha2-argonath", "delta6-librae-collapse", "rho-canis-majoris", "Licensed-Trout", "Rustic-Zuchon"],
)
def test_a_name_that_a_form_of_prefect_came_up_with_is_replaced(name: str) -> None:
    assert is_made_up(name)


def test_a_name_that_the_server_came_up_with_is_replaced() -> None:
    assert all(is_made_up(generate_slug(2)) for _ in range(200))


@pytest.mark.parametrize(
    "name",
    [
        "first-try",
        "my run",
        "lr-sweep-3",
        "support",
        "beta",
        "Qwen3-0.6B",
        "rejudge 7f3a",
        "night of the 3rd",
    ],
)
def test_a_typed_name_is_kept(name: str) -> None:
    assert not is_made_up(name)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, []),
        ({"base_model": "/models/q", "dataset": "mine-v1.jsonl", "model_name": "q"}, ["model_name=q"]),
        ({"train": {"steps": 90, "learning_rate": 2e-5}}, ["steps=90", "learning_rate=2e-05"]),
        ({"promote": False}, ["promote=off"]),
        ({"prompt": {"system": "Be\nbrief. " * 20}}, ["system=" + ("Be brief. " * 20)[:39] + "…"]),
        (
            {
                "train": {
                    "steps": 9,
                    "seed": 1,
                    "patience": 2,
                    "remat": True,
                    "held_out": 0.1,
                    "packing": False,
                }
            },
            ["steps=9", "packing=off", "remat=on", "seed=1", "2 more"],
        ),
    ],
)
def test_a_name_holds_what_differs_from_the_defaults(settings: dict[str, Any], named: list[str]) -> None:
    assert differing(ExperimentConfig.model_validate(settings)) == named


def test_an_evaluation_is_named_likewise() -> None:
    assert differing(EvaluateConfig.model_validate({"limit_items": 20})) == ["limit_items=20"]
    assert differing(None) == []
