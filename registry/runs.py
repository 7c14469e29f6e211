"""Datasets and runs: recorded, finished, found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import bindparam, func, insert
from sqlalchemy import select as sqlalchemy_select
from sqlalchemy.orm import defer
from sqlmodel import Session, col, select

from core.errors import InputError, IntegrityError
from core.files import sha256_json
from registry.columns import frozen_json, now
from registry.database import Database
from registry.rows import MetricRow, PredictionRow
from registry.tables import Comparison, Dataset, Metric, Prediction, Run

CANDIDATES_SHOWN = 5
NOT_CONTENT = {"id", "content_sha256", "directory", "finished_at"}

WITHOUT_DOCUMENTS = tuple(defer(cast(Any, column)) for column in (Run.manifest, Run.predictions_meta))


class Runs:
    """What was run, on what, and how it scored."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def register_dataset(self, key: str, version: str, sha256: str, items: int) -> Dataset:
        """Record a dataset; one that is recorded already must be the same.

        Raises:
            IntegrityError: the key and version stand for another file.
        """
        with self.database.writing() as session:
            known = _known_dataset(session, key, version, sha256)
            if known is None:
                known = Dataset(key=key, version=version, sha256=sha256, items=items, created_at=now())
                session.add(known)
                session.flush()
            return known

    def check_dataset(self, key: str, version: str, sha256: str) -> None:
        """Raises IntegrityError where the key and version stand for another file already; records nothing."""
        with self.database.reading() as session:
            _known_dataset(session, key, version, sha256)

    def get_dataset(self, dataset_id: int) -> Dataset:
        """A dataset by its row id, as runs name it."""
        with self.database.reading() as session:
            return session.exec(select(Dataset).where(Dataset.id == dataset_id)).one()

    def start_run(
        self,
        *,
        run_id: str,
        kind: str,
        name: str,
        base_model: str,
        dataset_id: int,
        judge: str,
        judge_fingerprint: str,
        inputs_sha256: str,
        manifest: dict[str, Any],
        directory: str,
        parent_model_sha256: str | None = None,
    ) -> Run:
        """Record that a run has begun. The arguments are the columns of `Run`."""
        run = Run(
            run_id=run_id,
            kind=kind,
            name=name,
            base_model=base_model,
            parent_model_sha256=parent_model_sha256,
            dataset_id=dataset_id,
            judge=judge,
            judge_fingerprint=judge_fingerprint,
            inputs_sha256=inputs_sha256,
            manifest=frozen_json(manifest, f"run {run_id}: manifest"),
            directory=directory,
            started_at=now(),
        )
        with self.database.writing() as session:
            session.add(run)
        return run

    def resume_run(self, run_id: str) -> Run:
        """Record that an unfinished run goes on.

        Raises:
            InputError: it is finished.
        """
        with self.database.writing() as session:
            run = _unfinished(session, run_id)
            run.status, run.error, run.finished_at = "running", None, None
            session.add(run)
            return run

    def fail_run(self, run_id: str, reason: str) -> Run:
        """Record that a run failed. It keeps no score.

        Raises:
            InputError: it is finished.
        """
        with self.database.writing() as session:
            run = _unfinished(session, run_id)
            run.status, run.error, run.finished_at = "failed", reason, now()
            session.add(run)
            return run

    def finish_run(
        self,
        run_id: str,
        *,
        model_sha256: str,
        evaluation_sha256: str,
        predictions_sha256: str,
        predictions_meta: dict[str, Any],
        metrics: Sequence[MetricRow],
        predictions: Sequence[PredictionRow],
    ) -> Run:
        """Record everything that a run came to, in one transaction. Saying the same twice is fine.

        Args:
            run_id: the run.
            model_sha256: tree hash of the weights that were judged.
            evaluation_sha256: hash over all that decides the scores.
            predictions_sha256: of predictions.jsonl.
            predictions_meta: content of predictions_meta.json.
            metrics: aggregates.
            predictions: one for each item, in dataset order.

        Raises:
            InputError: the run failed, or is finished with other content.
        """
        with self.database.writing() as session:
            run = _get(session, run_id)
            if run.status == "failed":
                raise InputError(f"run {run_id} failed and cannot be finished: {run.error}")
            if run.status == "finished":
                if run.predictions_sha256 != predictions_sha256 or run.model_sha256 != model_sha256:
                    raise InputError(f"run {run_id} is finished with other predictions or weights")
                return run
            run.status, run.finished_at = "finished", now()
            run.model_sha256, run.evaluation_sha256 = model_sha256, evaluation_sha256
            run.predictions_sha256, run.predictions_meta = (
                predictions_sha256,
                frozen_json(predictions_meta, f"run {run_id}: predictions_meta"),
            )
            metric_rows = [{"run_id": run_id, **_fields(row)} for row in metrics]
            prediction_rows = [{"run_id": run_id, "position": place, **_fields(row)} for place, row in enumerate(predictions)]
            run.content_sha256 = content_sha256(run, metric_rows, prediction_rows)
            session.add(run)
            session.flush()
            for table, rows in ((_METRICS, metric_rows), (_PREDICTIONS, prediction_rows)):
                if rows:
                    session.connection().execute(insert(table), rows)
            return run

    def find_evaluated(self, evaluation_sha256: str) -> Run | None:
        """The newest finished run whose scores rest on exactly these inputs."""
        return next(iter(self.evaluated_runs(evaluation_sha256)), None)

    def evaluated_runs(self, evaluation_sha256: str) -> list[Run]:
        """The finished runs whose scores rest on exactly these inputs, newest first."""
        found = select(Run).where(Run.evaluation_sha256 == evaluation_sha256, Run.status == "finished").order_by(col(Run.id).desc())
        with self.database.reading() as session:
            return list(session.exec(found))

    def unfinished_runs(self, inputs_sha256: str) -> list[Run]:
        """Running and failed runs with exactly these inputs, newest first."""
        found = select(Run).where(Run.inputs_sha256 == inputs_sha256, Run.status != "finished").order_by(col(Run.id).desc())
        with self.database.reading() as session:
            return list(session.exec(found))

    def get_run(self, reference: str) -> Run:
        """A run by its id, or by a beginning that no other run's id has.

        Raises:
            InputError: there is none, or more than one; lists them.
        """
        with self.database.reading() as session:
            return find_run(session, reference)

    def count_runs(self) -> int:
        """How many runs are recorded."""
        with self.database.reading() as session:
            return session.exec(select(func.count()).select_from(Run)).one()

    def list_runs(self, limit: int = 20, kind: str | None = None) -> list[Run]:
        """The newest runs, newest first. Their manifests are not loaded; `get_run` gives one with everything."""
        found = select(Run).order_by(col(Run.id).desc()).limit(limit)
        with self.database.reading() as session:
            return list(session.exec((found.where(Run.kind == kind) if kind else found).options(*WITHOUT_DOCUMENTS)))

    def run_metrics(self, run_id: str) -> list[Metric]:
        """A run's metrics, overall first."""
        with self.database.reading() as session:
            return list(session.exec(select(Metric).where(Metric.run_id == run_id).order_by(col(Metric.id))))

    def run_scores(self, run_id: str) -> dict[str, float]:
        """A run's scores by trace_id, in dataset order."""
        with self.database.reading() as session:
            return run_scores(session, run_id)

    def run_reasons(self, run_id: str) -> dict[str, int]:
        """The judge's reasons and how often each occurred in a run."""
        found = select(Prediction.reason, func.count()).where(Prediction.run_id == run_id).group_by(Prediction.reason)
        with self.database.reading() as session:
            return dict(sorted(session.exec(found).all()))

    def run_predictions(self, run_id: str) -> list[Prediction]:
        """A run's predictions with their scores, in dataset order."""
        with self.database.reading() as session:
            return list(session.exec(select(Prediction).where(Prediction.run_id == run_id).order_by(col(Prediction.position))))

    def find_repeated(self, run: Run) -> Run | None:
        """The newest earlier run whose predictions are the same bytes for the same inputs."""
        found = select(Run).where(
            Run.inputs_sha256 == run.inputs_sha256,
            Run.predictions_sha256 == run.predictions_sha256,
            Run.status == "finished",
            col(Run.id) < run.id,
        )
        with self.database.reading() as session:
            return session.exec(found.order_by(col(Run.id).desc()).limit(1)).first()

    def record_comparison(
        self, baseline: str, candidate: str, *, delta: float, p_value: float, ci_low: float, ci_high: float, report: dict[str, Any]
    ) -> Comparison:
        """Record a comparison of two runs."""
        row = Comparison(
            baseline_run_id=baseline,
            candidate_run_id=candidate,
            delta=delta,
            p_value=p_value,
            ci_low=ci_low,
            ci_high=ci_high,
            report=frozen_json(report, "comparison"),
            created_at=now(),
        )
        with self.database.writing() as session:
            session.add(row)
        return row


def _known_dataset(session: Session, key: str, version: str, sha256: str) -> Dataset | None:
    known = session.exec(select(Dataset).where(Dataset.key == key, Dataset.version == version)).first()
    if known is not None and known.sha256 != sha256:
        raise IntegrityError(
            f"dataset {key}-{version}: changed since it was registered: expected sha256 {known.sha256}, found {sha256}. "
            "Restore the file, or give the changed one a new version."
        )
    return known


# Statements that every promotion asks several times are built once: building one costs more than SQLite takes to answer it.
_METRICS = Metric.__table__  # type: ignore[attr-defined]
_PREDICTIONS = Prediction.__table__  # type: ignore[attr-defined]
_RUN = select(Run).where(Run.run_id == bindparam("run_id"))
_LIKE_RUN = (
    select(Run)
    .where(
        Run.model_sha256 == bindparam("model_sha256"),
        Run.status == "finished",
        Run.dataset_id == bindparam("dataset_id"),
        Run.judge == bindparam("judge"),
        Run.judge_fingerprint == bindparam("judge_fingerprint"),
        col(Run.id) != bindparam("id"),
    )
    .order_by(col(Run.id).desc())
    .limit(1)
)
_SCORES = (
    sqlalchemy_select(_PREDICTIONS.c.trace_id, _PREDICTIONS.c.score)
    .where(_PREDICTIONS.c.run_id == bindparam("run_id"))
    .order_by(_PREDICTIONS.c.position)
)


def find_run(session: Session, reference: str) -> Run:
    """See `Runs.get_run`."""
    exact = session.exec(_RUN, params={"run_id": reference}).first()
    if exact is not None:
        return exact
    starts = col(Run.run_id).startswith(reference, autoescape=True)
    found = list(session.exec(select(Run).where(starts).order_by(col(Run.id).desc()).limit(CANDIDATES_SHOWN + 1))) if reference else []
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(run.run_id for run in found[:CANDIDATES_SHOWN])
        raise InputError(f"run {reference}: more than one begins so: {shown}. Give more of the id.")
    newest = session.exec(select(Run.run_id).order_by(col(Run.id).desc()).limit(CANDIDATES_SHOWN)).all()
    raise InputError(
        f"run {reference[:80]}: there is none. " + (f"The newest are {', '.join(newest)}." if newest else "Nothing was run yet.")
    )


def like_run(session: Session, model_sha256: str | None, like: Run) -> Run | None:
    """The newest finished run that judged weights under the same conditions as another run did its own."""
    same = {name: getattr(like, name) for name in ("dataset_id", "judge", "judge_fingerprint", "id")}
    return session.exec(_LIKE_RUN, params={"model_sha256": model_sha256, **same}).first()


def run_scores(session: Session, run_id: str) -> dict[str, float]:
    """trace_id -> score, in dataset order."""
    rows = session.connection().execute(_SCORES, {"run_id": run_id}).all()
    return {trace_id: score for trace_id, score in rows}  # noqa: C416  dict() takes rows for mappings, which is slower


def _get(session: Session, run_id: str) -> Run:
    run = session.exec(_RUN, params={"run_id": run_id}).first()
    if run is None:
        raise InputError(f"run {run_id}: not recorded")
    return run


def _unfinished(session: Session, run_id: str) -> Run:
    run = _get(session, run_id)
    if run.status == "finished":
        raise InputError(f"run {run_id} is finished already")
    return run


def _fields(row: MetricRow | PredictionRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__slots__}


def content_sha256(run: Run, metrics: Sequence[dict[str, Any]], predictions: Sequence[dict[str, Any]]) -> str:
    """The hash over a finished run: its row, its metrics and its predictions."""
    return sha256_json([run.model_dump(exclude=NOT_CONTENT), metrics, predictions])
