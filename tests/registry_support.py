"""Making registries and recorded runs for tests, on SQLite and on PostgreSQL."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path
from typing import Any

from hallmark.files import sha256_tree
from registry import MetricRow, PredictionRow, Registry, Run

DECISION = {"verdict": "better", "promote": True, "reasons": ["It is better."], "smallest_gain": 0.05}


def digest(text: str) -> str:
    """Some sha256."""
    return hashlib.sha256(text.encode()).hexdigest()


def make_weights(folder: Path, content: str) -> Path:
    """A model directory as the registry sees it: some files."""
    path = folder / f"weights-{digest(content)[:8]}"
    path.mkdir(parents=True, exist_ok=True)
    (path / "model.safetensors").write_text(content)
    (path / "config.json").write_text("{}")
    return path


def start(registry: Registry, run_id: str | None = None, **changes: Any) -> Run:
    """A run that has begun."""
    dataset = registry.register_dataset("golden", "v1", digest("golden"), 2)
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
        "directory": "/tmp/run",
    }
    return registry.start_run(**{**fields, **changes})


def finish(registry: Registry, run: Run, weights: Path, score: float = 0.5) -> Run:
    """The run, finished with two predictions."""
    return registry.finish_run(
        run.run_id,
        model_sha256=sha256_tree(weights),
        evaluation_sha256=digest(str(weights)),
        predictions_sha256=digest("predictions"),
        predictions_meta={"items": 2},
        metrics=[MetricRow("answer_correctness", score, 2, "", 0.1, 0.9, "wilson"), MetricRow("answer_correctness", 1.0, 1, "addition")],
        predictions=[PredictionRow("t1", "Answer: 1\0é", 1.0, "1", "correct"), PredictionRow("t0", "", 0.0, None, "empty")],
    )


def finished(registry: Registry, folder: Path, content: str) -> tuple[Run, Path]:
    """A finished run and its weights."""
    weights = make_weights(folder, content)
    return finish(registry, start(registry), weights), weights


def promote(registry: Registry, run: Run, weights: Path, expected: int | None, **changes: Any) -> Any:
    """Promote with plain arguments."""
    fields = {"expected_champion": expected, "reason": "better", "actor": "someone", "weights": weights, "parent_model": "tiny-base"}
    return registry.promote("m", run.run_id, DECISION, **{**fields, **changes})
