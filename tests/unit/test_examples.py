"""The examples in docstrings say what happens."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
HEAVY = {"golden.rendering": "transformers", "trainer.checkpoints": "orbax.checkpoint"}
"""Modules whose examples need a library that the core does not install."""

MODULES = (
    "core.tabular",
    "evaluation.alpha",
    "evaluation.comparison",
    "evaluation.groups",
    "evaluation.metrics",
    "evaluation.noninferiority",
    "evaluation.numbers",
    "evaluation.power",
    "evaluation.statistics",
    "evaluation.superiority",
    "experiments.config",
    "experiments.differences",
    "experiments.guarding",
    "experiments.linting",
    "golden.datasets",
    "golden.guard",
    "golden.rendering",
    "golden.words",
    "inference.model_directory",
    "judges.judging",
    "judges.plugins",
    "reports.markdown",
    "reports.tables",
    "reports.templating",
    "trainer.checkpoints",
    "trainer.data.packing",
    "trainer.model.architecture",
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_true(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in HEAVY:
        pytest.importorskip(HEAVY[name])
    monkeypatch.chdir(ROOT)
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
    assert result.attempted
