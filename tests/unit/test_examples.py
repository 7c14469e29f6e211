"""The examples in docstrings say what happens."""

from __future__ import annotations

import doctest
import importlib

import pytest

pytestmark = pytest.mark.unit

MODULES = (
    "evaluation.alpha",
    "evaluation.comparison",
    "evaluation.metrics",
    "evaluation.numbers",
    "evaluation.statistics",
    "experiments.config",
    "experiments.differences",
    "tasks.markdown",
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_true(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
    assert result.attempted
