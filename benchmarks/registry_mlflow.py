"""MLflow's side of `benchmarks/registry.py`: its client on its SQLAlchemy stores, in this process."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_LOGGING_LEVEL": "WARNING"}

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric, SqlRun
from sqlalchemy import create_engine, insert

from benchmarks.registry_hallmark import MODEL, run_scores
from evaluation.comparison import Comparison, compare

BATCH = 1000
"""Most metrics that `log_batch` takes."""

PAGE = 10_000
"""Most versions that a page may hold here; the default is 10,000 too."""


class MLflow:
    """A registry of MLflow's in a fresh folder, with one version."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True)
        self.url = f"sqlite:///{home / 'mlflow.db'}"
        mlflow.set_tracking_uri(self.url)  # for load_table, which asks the default client
        self.client = MlflowClient(tracking_uri=self.url, registry_uri=self.url)
        self.experiment = self.client.create_experiment(
            "golden", artifact_location=(home / "artifacts").as_uri()
        )
        self.client.create_registered_model(MODEL)
        self.source = (home / "weights").as_uri()
        self.promote(self.candidate())

    def populate(self, versions: int) -> None:
        """Have so many versions, each with its run and eleven metrics."""
        have = len(self.client.search_model_versions(f"name = '{MODEL}'", max_results=PAGE))
        runs, metrics, rows = [], [], []
        for number in range(have + 1, versions + 1):
            run = uuid.uuid4().hex
            runs.append(self.run_row(run, number))
            metrics += [
                {
                    "key": f"category-{n}",
                    "value": 0.4,
                    "timestamp": number,
                    "step": 0,
                    "is_nan": False,
                    "run_uuid": run,
                }
                for n in range(11)
            ]
            rows.append(
                {"name": MODEL, "version": number, "source": self.source, "run_id": run, "status": "READY"}
            )
        if rows:
            engine = create_engine(self.url)
            with engine.begin() as connection:
                for table, values in (
                    (SqlRun, runs),
                    (SqlMetric, metrics),
                    (SqlLatestMetric, metrics),
                    (SqlModelVersion, rows),
                ):
                    connection.execute(insert(table), values)
            engine.dispose()

    def run_row(self, run: str, number: int) -> dict[str, object]:
        return {
            "run_uuid": run,
            "name": run[:8],
            "user_id": "someone",
            "status": "FINISHED",
            "lifecycle_stage": "active",
            "experiment_id": int(self.experiment),
            "artifact_uri": self.source,
            "start_time": number,
            "source_type": "LOCAL",
        }

    def candidate(self) -> str:
        """A run."""
        return self.client.create_run(self.experiment).info.run_id

    def promote(self, run: str) -> None:
        """A new version, and the alias on it. No gate, no hash, no log."""
        version = self.client.create_model_version(MODEL, self.source, run_id=run, await_creation_for=0)
        self.client.set_registered_model_alias(MODEL, "champion", version.version)

    def after_promotion(self) -> None:
        """Nothing: there is no gate that would have to say yes again."""

    def newest_versions(self) -> int:
        return len(
            self.client.search_model_versions(
                f"name = '{MODEL}'", max_results=20, order_by=["version_number DESC"]
            )
        )

    def all_versions(self) -> int:
        found, token = 0, None
        while True:
            page = self.client.search_model_versions(f"name = '{MODEL}'", max_results=PAGE, page_token=token)
            found, token = found + len(page), page.token
            if not token:
                return found

    def models(self) -> int:
        return len(self.client.search_registered_models())

    def champion(self) -> int:
        return int(self.client.get_model_version_by_alias(MODEL, "champion").version)

    def numbered(self) -> int:
        return int(self.client.get_model_version(MODEL, "2").version)

    def newest_runs(self) -> int:
        return len(self.client.search_runs([self.experiment], max_results=20))

    def write_metrics(self, scores: list[float]) -> str:
        """Scores alone, one step of one metric an item: no text, no reason. Returns the run."""
        run = self.candidate()
        for start in range(0, len(scores), BATCH):
            batch = enumerate(scores[start : start + BATCH], start)
            self.client.log_batch(run, metrics=[Metric("score", score, 0, step) for step, score in batch])
        return run

    def write_table(self, scores: list[float]) -> str:
        """What we record, as a table: one JSON file beside the database. Returns the run."""
        run = self.candidate()
        rows = [
            (f"item-{n}", f"One step.\nAnswer: {n}", score, str(n), "correct")
            for n, score in enumerate(scores)
        ]
        table = pd.DataFrame(rows, columns=["trace_id", "prediction", "score", "extracted", "reason"])
        self.client.log_table(run, table, "scores.json")
        return run

    def compare_metrics(self, first: str, second: str, categories: dict[str, str]) -> Comparison:
        """Read both runs' scores as the history of a metric; our comparison on top."""

        def read(run: str) -> dict[str, float]:
            return {
                f"item-{point.step}": point.value for point in self.client.get_metric_history(run, "score")
            }

        return compare(*(run_scores(run, read(run), categories) for run in (first, second)))

    def compare_tables(self, first: str, second: str, categories: dict[str, str]) -> Comparison:
        """Read both runs' tables; our comparison on top."""

        def read(run: str) -> dict[str, float]:
            table = self.client.load_table(self.experiment, "scores.json", run_ids=[run])
            return dict(zip(table["trace_id"], table["score"].astype(float), strict=True))

        return compare(*(run_scores(run, read(run), categories) for run in (first, second)))
