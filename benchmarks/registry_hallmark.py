"""Hallmark's side of `benchmarks/registry.py`: real runs on golden-v1, through the public interface of the
registry.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlmodel import Session

from benchmarks.registry_population import digest, populate
from evaluation.comparison import Comparison, RunScores, compare
from evaluation.gate import GateConfig
from evaluation.metrics import summarise
from experiments.phases import metric_rows
from experiments.promoting import Gatekeeper
from golden.datasets import load_dataset
from judges.base import Score
from registry import MetricRow, OfferResult, PredictionRow, Run, open_registry

MODEL = "tiny-reasoner"
JUDGE = "answer_correctness@v1"
BASE_WEIGHTS = digest("weights of the base model")


class Hallmark:
    """A registry of ours in a fresh folder, with a base run and one version whose run scored 40 %, to be
    beaten.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.random = random.Random(0)  # noqa: S311  no secret
        self.registry = open_registry(home)
        self.transaction = 0.0
        self._time_transactions()
        self.golden = load_dataset("golden-v1")
        self.items = list(self.golden.items())
        self.runs = 0
        dataset = self.registry.datasets.register("golden", "v1", self.golden.sha256, len(self.items))
        self.dataset_id = dataset.id
        self.base = self.finished_run(0.4, kind="baseline")
        self.offer(self.finished_run(0.4), force_reason="so that the others are better")
        self.weak = self.champion()

    def _time_transactions(self) -> None:
        """Keep how long the newest write transaction took, in seconds, from its lock to its commit."""
        writing = self.registry.database.writing

        @contextmanager
        def timed() -> Iterator[Session]:
            started = time.perf_counter()
            with writing() as session:
                yield session
            self.transaction = time.perf_counter() - started

        self.registry.database.writing = timed  # type: ignore[method-assign]

    def populate(self, versions: int) -> None:
        """Have so many versions, each with its run, its decision in the log and its place in the ledger of
        alpha.
        """
        populate(self.registry, MODEL, self.base, versions, [item.trace_id for item in self.items])

    # What is timed, and what is done around it.

    def candidate(self) -> Run:
        """A run that is better than the weak version, its weights in the store already."""
        return self.finished_run(0.95)

    def promote(self, run: Run) -> None:
        """The whole offer: gate, version, alias, log, ledger."""
        if (offer := self.offer(run)).outcome != "promoted":
            raise RuntimeError(f"expected a promotion, got {offer}")

    def after_promotion(self) -> None:
        """The weak version becomes champion again, so that the next candidate is better too."""
        if self.champion() != self.weak:
            self.registry.aliases.rollback(MODEL, self.weak, "for the next round", "someone")

    def newest_versions(self) -> int:
        return len(self.registry.models.versions(MODEL, limit=20))

    def all_versions(self) -> int:
        return len(self.registry.models.versions(MODEL))

    def models(self) -> int:
        return len(self.registry.models.list())

    def history(self) -> int:
        return len(self.registry.models.history(MODEL, 50))

    def champion(self) -> int:
        return self.registry.models.get(f"{MODEL}@champion").number

    def numbered(self) -> int:
        return self.registry.models.get(f"{MODEL}@v2").number

    def newest_runs(self) -> int:
        return len(self.registry.runs.list(20))

    def write_scores(self, items: int) -> str:
        """Record a run of many items, texts, scores and reasons, hashed. Returns its id."""
        scores = [float(self.random.random() < 0.5) for _ in range(items)]
        rows = [
            PredictionRow(f"item-{n}", f"One step.\nAnswer: {n}", score, str(n), "correct")
            for n, score in enumerate(scores)
        ]
        dataset = self.registry.datasets.register("large", "v1", digest("large"), items)
        run = self.started_run("trained", dataset.id)
        self.finish(run, [MetricRow("answer_correctness", 0.5, items)], rows, digest(run.run_id))
        return run.run_id

    def compare(self, first: str, second: str, categories: dict[str, str]) -> Comparison:
        """Read the scores of two runs and compare them."""
        return compare(
            *(run_scores(run, self.registry.runs.scores(run), categories) for run in (first, second))
        )

    # How a run comes to be.

    def offer(self, run: Run, force_reason: str | None = None) -> OfferResult:
        weights = self.registry.runs.directory(run.run_id) / "model"
        gatekeeper = Gatekeeper(GateConfig())
        return self.registry.offer(
            MODEL,
            run.run_id,
            gatekeeper,
            weights=lambda: weights,
            actor="someone",
            parent_model="tiny-base",
            force_reason=force_reason,
        )

    def finished_run(self, accuracy: float, kind: str = "trained") -> Run:
        """A run of golden-v1, with a copy of the dataset in its folder and its weights in the store."""
        run = self.started_run(kind, self.dataset_id)
        folder = self.registry.runs.directory(run.run_id)
        (folder / "model").mkdir(parents=True)
        (folder / "model" / "model.safetensors").write_text(run.run_id)
        shutil.copy(self.golden.path, folder / "dataset.jsonl")
        scores = [
            Score(
                trace_id=item.trace_id,
                score=float(self.random.random() < accuracy),
                extracted=item.final_answer,
                reason="correct",
            )
            for item in self.items
        ]
        rows = [
            PredictionRow(
                s.trace_id, f"A step.\nAnother.\nAnswer: {s.extracted}", s.score, s.extracted, s.reason
            )
            for s in scores
        ]
        weights = BASE_WEIGHTS if kind == "baseline" else self.registry.artifacts.put(folder / "model")
        return self.finish(
            run, metric_rows(summarise(scores, self.items, "answer_correctness")), rows, weights
        )

    def started_run(self, kind: str, dataset_id: int) -> Run:
        self.runs += 1
        return self.registry.runs.start(
            run_id=f"run-{self.runs:06}",
            kind=kind,
            name="tiny-base trained golden-v1",
            base_model="tiny-base",
            parent_model_sha256=BASE_WEIGHTS,
            dataset_id=dataset_id,
            judge=JUDGE,
            judge_fingerprint="f",
            inputs_sha256=digest(f"inputs {self.runs}"),
            manifest=self.manifest(),
        )

    def manifest(self) -> dict[str, Any]:
        """As large as a real one: the bands of all items, the settings, the versions of packages."""
        return {
            "format": 1,
            "dataset": {
                "name": self.golden.name,
                "sha256": self.golden.sha256,
                "items": len(self.items),
                "bands": self.golden.bands,
            },
            "training": {
                "config": {f"setting_{n}": n / 7 for n in range(25)},
                "contamination": {"overlaps": 0, "pairs": []},
            },
            "environment": {
                "packages": {f"package-{n}": "1.2.3" for n in range(20)},
                "code": {f"{n}.py": digest(str(n)) for n in range(20)},
            },
        }

    def finish(
        self, run: Run, metrics: list[MetricRow], predictions: list[PredictionRow], model_sha256: str
    ) -> Run:
        predictions_sha256 = digest(f"predictions of {run.run_id}")
        meta = {
            "generation": {"max_new_tokens": 64, "do_sample": False},
            "prompt_template": "plain@v1",
            "tokenizer_sha256": digest("tokenizer"),
            "device": "cpu",
            "dtype": "float32",
            "threads": 2,
            "items": len(predictions),
            "prompt_tokens": 9000,
            "completion_tokens": 9000,
            "truncated_prompts": [],
            "reached_max_new_tokens": [],
            "batch_size_used": 32,
            "predictions_sha256": predictions_sha256,
            "timing": {"seconds": 10.0},
        }
        return self.registry.runs.finish(
            run.run_id,
            model_sha256=model_sha256,
            evaluation_sha256=digest(f"evaluation of {run.run_id}"),
            predictions_sha256=predictions_sha256,
            predictions_meta=meta,
            metrics=metrics,
            predictions=predictions,
        )


def run_scores(run: str, scores: dict[str, float], categories: dict[str, str]) -> RunScores:
    """A run as `compare` takes it; for both sides."""
    return RunScores(run, "large-v1", digest("large"), JUDGE, "f", {}, scores, categories)
