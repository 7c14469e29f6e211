"""The examples in the docstrings of the registry and of provenance are true, each on a fresh registry."""

from __future__ import annotations

import doctest
import importlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from core.files import sha256_tree
from registry import MetricRow, PredictionRow, Registry, Run, open_registry
from tests.support.registry_entries import digest, make_weights, manifest, plain_gate, refusing_gate, start

pytestmark = pytest.mark.unit

MODULES = (
    "provenance.attestation",
    "provenance.card",
    "provenance.export",
    "provenance.keys",
    "provenance.signing",
    "provenance.verification",
    "registry.aliases",
    "registry.artifacts.store",
    "registry.comparisons",
    "registry.datasets",
    "registry.models",
    "registry.opening",
    "registry.registry",
    "registry.reviews",
    "registry.runs",
)
MODEL = "tiny-reasoner"
GOLDEN = digest("golden-v1")

REASONS = ("correct", "correct", "wrong", "wrong", "empty")


def found(name: str) -> list[doctest.DocTest]:
    return [
        example
        for example in doctest.DocTestFinder().find(importlib.import_module(name), name)
        if example.examples
    ]


EXAMPLES = [example for name in MODULES for example in found(name)]


def record(
    registry: Registry, folder: Path, run_id: str, content: str, kind: str = "trained"
) -> tuple[Run, Path]:
    """A finished run of five items of golden-v1, two of them right, and its weights."""
    dataset = registry.datasets.register("golden", "v1", GOLDEN, 360)
    run = start(registry, run_id, kind=kind, dataset_id=dataset.id, manifest=manifest())
    weights = make_weights(folder, content)
    done = registry.runs.finish(
        run.run_id,
        model_sha256=digest("parent") if kind == "baseline" else sha256_tree(weights),
        evaluation_sha256=digest(f"evaluation of {content}"),
        predictions_sha256=digest(f"predictions of {content}"),
        predictions_meta={"items": 5},
        metrics=[MetricRow("answer_correctness", 0.4, 5, "", 0.118, 0.769, "wilson95")],
        predictions=[
            PredictionRow(
                f"item-{place}",
                "" if reason == "empty" else "Answer: 12",
                float(reason == "correct"),
                None,
                reason,
            )
            for place, reason in enumerate(REASONS)
        ],
    )
    return done, weights


@pytest.fixture
def names(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the examples speak of: a registry with a base run, two versions, a refusal, and a run to offer."""
    monkeypatch.chdir(tmp_path)
    registry = open_registry(Path(".hallmark"))
    base, _ = record(registry, tmp_path, "20261124-101432-0f3e9a", "base", "baseline")
    offer = partial(registry.offer, MODEL, actor="ana", parent_model="tiny-base")
    first, first_weights = record(registry, tmp_path, "20261124-101500-ab12cd", "first")
    offer(first.run_id, plain_gate, weights=lambda: first_weights)
    worse, _ = record(registry, tmp_path, "20261125-020012-5d77c1", "worse")
    offer(worse.run_id, refusing_gate, weights=lambda: tmp_path)
    second, second_weights = record(registry, tmp_path, "20261126-020007-91be04", "second")
    registry.comparisons.record(
        first.run_id, second.run_id, delta=0.25, p_value=0.012, ci_low=0.1, ci_high=0.4, report={"n": 5}
    )
    offer(second.run_id, plain_gate, weights=lambda: second_weights)
    for alias in ("staging", "stable"):
        registry.aliases.set(MODEL, alias, 1, "as it was", "ana")
    candidate, path = record(registry, tmp_path, "20261127-020010-3c0ff1", "third")
    make_weights(tmp_path, "another").rename(tmp_path / "model")
    (tmp_path / "golden-v1.jsonl").write_text("golden-v1")
    yield {
        "registry": registry,
        "run": base,
        "run_id": candidate.run_id,
        "gate": plain_gate,
        "path": path,
        "version": registry.models.get(f"{MODEL}@champion"),
        "sha256": GOLDEN,
        "partial": partial,
        "Path": Path,
    }
    registry.close()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_is_true(
    example: doctest.DocTest, names: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    example.globs.update(names)
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example)
    assert result.failed == 0, capsys.readouterr().out


def test_every_module_whose_examples_are_named_has_some() -> None:
    assert {name for name in MODULES if not found(name)} == set()
