"""Making registries and recorded runs for tests, on SQLite and on PostgreSQL."""

from __future__ import annotations

import hashlib
import uuid
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import text

from core.errors import InputError
from core.files import sha256_tree
from provenance import attest
from registry import (
    Evidence,
    Gate,
    MetricRow,
    ModelVersion,
    OfferResult,
    PredictionRow,
    Registry,
    Ruling,
    Run,
    open_registry,
)

DECISION = {"verdict": "better", "promote": True, "reasons": ["It is better."], "smallest_gain": 0.05}


UNSIGNED = partial(attest, key=None)
"""What a promotion without a key writes a statement with."""


def digest(text: str) -> str:
    """Some sha256."""
    return hashlib.sha256(text.encode()).hexdigest()


def edit(registry: Registry, *statements: str) -> None:
    """Change rows past triggers and constraints, which are all there again afterwards."""
    with registry.database.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            driver: Any = connection.connection.driver_connection
            for pragma in ("foreign_keys = OFF", "ignore_check_constraints = ON"):
                driver.execute(f"PRAGMA {pragma}")  # before the transaction begins
            known = connection.execute(
                text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            ).all()
            triggers = [f"DROP TRIGGER {name}" for name, _ in known], [sql for _, sql in known]
        else:
            triggers = ["SET LOCAL session_replication_role = replica"], []
        for statement in (*triggers[0], *statements, *triggers[1]):
            connection.exec_driver_sql(statement)
        connection.commit()
        connection.invalidate()  # nobody else gets a connection without constraints


def make_weights(folder: Path, content: str) -> Path:
    """A model directory as the registry sees it: some files."""
    path = folder / f"weights-{digest(content)[:8]}"
    path.mkdir(parents=True, exist_ok=True)
    (path / "model.safetensors").write_text(content)
    (path / "config.json").write_text("{}")
    return path


def start(registry: Registry, run_id: str | None = None, **changes: Any) -> Run:
    """A run that has begun."""
    dataset = registry.datasets.register("sample", "v1", digest("sample"), 2)
    fields = {
        "run_id": run_id or f"run-{uuid.uuid4().hex[:12]}",
        "kind": "trained",
        "name": "a run",
        "base_model": "tiny-base",
        "parent_model_sha256": digest("parent"),
        "dataset_id": dataset.id,
        "judge": "answer_correctness@v1",
        "judge_fingerprint": "f",
        "inputs_sha256": digest("inputs"),
        "manifest": {"seed": 0, "text": "é\0"},
    }
    return registry.runs.start(**{**fields, **changes})


def finish(registry: Registry, run: Run, weights: Path, score: float = 0.5) -> Run:
    """The run, finished with two predictions."""
    return registry.runs.finish(
        run.run_id,
        model_sha256=sha256_tree(weights),
        evaluation_sha256=digest(str(weights)),
        predictions_sha256=digest(f"predictions of {weights.name}"),
        predictions_meta={"items": 2},
        metrics=[
            MetricRow("answer_correctness", score, 2, "", 0.1, 0.9, "wilson"),
            MetricRow("answer_correctness", 1.0, 1, "addition"),
        ],
        predictions=[
            PredictionRow("t1", "Answer: 1\0é", 1.0, "1", "correct", "marker"),
            PredictionRow("t0", "", 0.0, None, "empty"),
        ],
    )


def finished(registry: Registry, folder: Path, content: str) -> tuple[Run, Path]:
    """A finished run and its weights."""
    weights = make_weights(folder, content)
    return finish(registry, start(registry), weights), weights


def plain_gate(evidence: Evidence, *, says_yes: bool = True) -> Ruling:
    """A gate that always says the same, so that a test can look at what the registry does with it."""
    level = 0.02 / evidence.number + evidence.carried
    document = {**DECISION, "promote": says_yes, "number": evidence.number, "level": level}
    return Ruling(
        promote=says_yes,
        significant=says_yes,
        p_value=0.001,
        level=level,
        reason="better" if says_yes else "worse",
        document=document,
    )


def refusing_gate(evidence: Evidence) -> Ruling:
    """A gate that always says no."""
    return plain_gate(evidence, says_yes=False)


def base_run(registry: Registry) -> Run:
    """The finished run of the base model, made once; what a first candidate is compared with."""
    try:
        return registry.runs.get("base-run")
    except InputError:
        run = start(registry, "base-run", kind="baseline", parent_model_sha256=None)
    rows = [PredictionRow("t1", "", 0.0, None, "empty"), PredictionRow("t0", "", 0.0, None, "empty")]
    return registry.runs.finish(
        run.run_id,
        model_sha256=digest("parent"),
        evaluation_sha256=digest("base"),
        predictions_sha256=digest("base predictions"),
        predictions_meta={"items": 2},
        metrics=[MetricRow("answer_correctness", 0.0, 2, "", 0.0, 0.5, "wilson")],
        predictions=rows,
    )


def promote(
    registry: Registry, run: Run, weights: Path, gate: Gate = plain_gate, **changes: Any
) -> OfferResult:
    """Offer with plain arguments."""
    base_run(registry)
    fields = {"actor": "someone", "weights": lambda: weights, "parent_model": "tiny-base"}
    return registry.offer("m", run.run_id, gate, **{**fields, **changes})


def promote_many(home: Path, url: str | None, name: str, rounds: int) -> None:
    """Make and promote so many versions; the name tells their weights from those of others."""
    registry = open_registry(home, url)
    for number in range(rounds):
        run, weights = finished(registry, home / name, f"{name}-{number}")
        assert promote(registry, run, weights).outcome == "promoted"
    registry.close()


def manifest(reference: str = "tiny-base", revision: str | None = None, **training: Any) -> dict[str, Any]:
    """What a trained run records of its inputs, as `experiments.plan` writes it."""
    return {
        "format": 1,
        "run_id": "20260101-000000-abcdef",
        "kind": "trained",
        "inputs_sha256": digest("inputs"),
        "model": {"reference": reference, "sha256": digest("parent"), "revision": revision},
        "dataset": {
            "name": "sample-v1",
            "sha256": digest("sample"),
            "items": 2,
            "bands": {"t0": "easy", "t1": "hard"},
        },
        "judge": {"name": "answer_correctness@v1", "fingerprint": digest("judge")},
        "generation": {"batch_size": 64, "dtype": "float32", "max_new_tokens": 128},
        "training": {
            "config": {
                "dataset": "train-v1",
                "method": "full",
                "steps": 200,
                "learning_rate": 0.002,
                "lora": {"rank": 16},
                **training,
            },
            "dataset": {"name": "train-v1", "sha256": digest("train"), "items": 9600},
            "contamination": {"overlaps": 0, "allowed": False, "pairs": []},
        },
        "environment": {
            "code": {"hallmark": "0.1.0", "git_commit": "ab" * 20, "git_dirty": False},
            "uv_lock_sha256": digest("lock"),
            "python": "3.11.7",
            "platform": "Linux-6.1-x86_64",
            "packages": {"torch": "2.15.0", "jax": "0.10.2"},
            "hardware": {"processor": "a processor", "machine": "x86_64", "cores": 2, "gpus": []},
            "switches": {"XLA_FLAGS": "--xla_dump_to=/home/someone/dump --xla_gpu_deterministic_ops=true"},
        },
    }


def promoted(registry: Registry, folder: Path, content: str = "weights", **changes: Any) -> ModelVersion:
    """A version whose run has a whole manifest and was compared with its base model's run."""
    base = base_run(registry)
    run = start(registry, **{"manifest": manifest(), **changes})
    (made := make_weights(folder, content)).joinpath("README.md").write_text("# the card of the training")
    finish(registry, run, made)
    served = registry.models.aliased("m")
    opponent = served.run_id if served else base.run_id
    report = {"n": 2, "test": "mcnemar_exact", "baseline": {"value": 0.25}, "candidate": {"value": 0.5}}
    registry.comparisons.record(
        opponent, run.run_id, delta=0.25, p_value=0.012, ci_low=0.1, ci_high=0.4, report=report
    )
    version = promote(registry, run, made, attest=UNSIGNED).version
    assert version is not None
    return version
