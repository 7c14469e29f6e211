"""Runs: recorded, finished, found."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, NamedTuple, cast

from sqlalchemy import ColumnElement, Connection, bindparam, exists, func, insert, or_
from sqlalchemy import select as sqlalchemy_select
from sqlalchemy.orm import defer
from sqlmodel import Session, col, select

from core.errors import InputError
from core.files import canonical_json
from core.suggestions import did_you_mean
from core.text import visible_lines
from core.windows import windows
from registry.columns import frozen_json, now
from registry.database import Database
from registry.rows import MetricRow, PredictionRow
from registry.tables import Dataset, Metric, Prediction, PromotionLog, Run

CANDIDATES_SHOWN = 5
LOOKED_AT = 2000
"""Newest runs among which one is sought whose id was mistyped."""
ALIKE_IDS = 0.85
"""Ids of one day are much alike."""
ALIKE = 20
"""Newest runs of the same weights among which one with the same settings is looked for."""
OF_SPEED = ("batch_size", "device", "device_map", "memory_gb", "shards", "threads")
"""Settings of generation that are not meant to change what is written."""
PAGE = 1000
"""Predictions that are read or written at a time."""
AT_ONCE = 100
"""Rows with a manifest that are in memory at a time."""

NOT_CONTENT = {"id", "content_sha256"}
NOT_OLDER_CONTENT = NOT_CONTENT | {"finished_at", "files"}
"""What was left out of the content of a run before its files were recorded."""
NOT_WHERE_NULL = {"rung", "samples"}
"""Columns that are content only where they say something, so that runs from before there were any hash as
they did; whatever is written there later, or taken away, changes the hash.
"""

WITHOUT_DOCUMENTS = tuple(
    defer(cast(Any, column)) for column in (Run.manifest, Run.predictions_meta, Run.files)
)


class AnswersCounted(NamedTuple):
    """How many predictions of a run are alike.

    Attributes:
        rung: where the answer was found; None where none was, or the judge does not say.
        found: whether an answer was found.
        right: whether it got the full score.
        empty: whether the model wrote nothing.
    """

    rung: str | None
    found: bool
    right: bool
    empty: bool
    number: int


class Runs:
    """What was run, on what, and how it scored.

    Args:
        database: holds the rows.
        folder: of this home's runs; a run's files are in the folder there that has its id.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder

    def directory(self, run_id: str) -> Path:
        """The folder of a run's files in this home. It is not there for a run of another machine.

        Example:
            >>> registry.runs.directory(run.run_id).name == run.run_id
            True
        """
        return self.folder / run_id

    def start(
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
        parent_model_sha256: str | None = None,
    ) -> Run:
        """Record that a run has begun. The arguments are the columns of `registry.tables.Run`."""
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
            started_at=now(),
        )
        with self.database.writing() as session:
            session.add(run)
        return run

    def resume(self, run_id: str) -> Run:
        """Record that an unfinished run goes on.

        Raises:
            InputError: it is finished.
        """
        with self.database.writing() as session:
            run = _unfinished(session, run_id)
            run.status, run.error, run.finished_at = "running", None, None
            session.add(run)
            return run

    def fail(self, run_id: str, reason: str) -> Run:
        """Record that a run failed. It keeps no score.

        Args:
            run_id: the run.
            reason: why; it may quote anything, and control characters are recorded by their names.

        Raises:
            InputError: it is finished.
        """
        with self.database.writing() as session:
            run = _unfinished(session, run_id)
            run.status, run.error, run.finished_at = "failed", visible_lines(reason), _end(run)
            session.add(run)
            return run

    def interrupt(self, run_id: str, reason: str) -> Run:
        """Record that somebody stopped a run, which is no failure of it: the same command continues it. It is
        still unfinished, and its error says what stopped it.

        Args:
            run_id: the run.
            reason: what stopped it; control characters are recorded by their names.

        Raises:
            InputError: it is finished.
        """
        with self.database.writing() as session:
            run = _unfinished(session, run_id)
            run.status, run.error, run.finished_at = "running", visible_lines(reason), _end(run)
            session.add(run)
            return run

    def trained(self, run_id: str, model_sha256: str) -> Run:
        """Record which weights an unfinished run's training gave, so that they are known whatever becomes of
        the run.

        Raises:
            InputError: it is finished.
        """
        with self.database.writing() as session:
            run = _unfinished(session, run_id)
            run.model_sha256 = model_sha256
            session.add(run)
            return run

    def finish(
        self,
        run_id: str,
        *,
        model_sha256: str,
        evaluation_sha256: str,
        predictions_sha256: str,
        predictions_meta: dict[str, Any],
        metrics: Sequence[MetricRow],
        predictions: Iterable[PredictionRow],
        files: Mapping[str, str] | None = None,
    ) -> Run:
        """Record a run's whole result in one transaction. Recording the same result twice is fine.

        Args:
            run_id: the run.
            model_sha256: tree hash of the weights that were judged.
            evaluation_sha256: hash over everything that decides the scores.
            predictions_sha256: of predictions.jsonl.
            predictions_meta: content of predictions_meta.json.
            metrics: aggregates of the scores.
            predictions: one for each item, in dataset order; taken one by one inside the transaction.
            files: name relative to the run's folder -> sha256, of each file that the run leaves there.

        Raises:
            InputError: the run failed, or is finished with another result.
        """
        with self.database.writing() as session:
            run = _get(session, run_id)
            if run.status == "failed":
                raise InputError(f"run {run_id} failed and cannot be finished: {run.error}")
            if run.status == "finished":
                if run.predictions_sha256 != predictions_sha256 or run.model_sha256 != model_sha256:
                    raise InputError(f"run {run_id} is finished with other predictions or weights")
                return run
            run.status, run.finished_at, run.files = "finished", _end(run), dict(files or {})
            run.model_sha256, run.evaluation_sha256 = model_sha256, evaluation_sha256
            run.predictions_sha256 = predictions_sha256
            run.predictions_meta = frozen_json(predictions_meta, f"run {run_id}: predictions_meta")
            free = _free_ids(session.connection())
            metric_rows = [
                {"id": id_, "run_id": run_id, **_fields(row)} for id_, row in enumerate(metrics, free[0])
            ]
            prediction_rows = (
                {"id": free[1] + place, "run_id": run_id, "position": place, **_fields(row)}
                for place, row in enumerate(predictions)
            )
            content = ContentHash(run, metric_rows)
            connection = session.connection()
            if metric_rows:
                connection.execute(insert(_METRICS), metric_rows)
            for rows in windows(prediction_rows, PAGE):
                content.add(rows)
                connection.execute(insert(_PREDICTIONS), rows)
            run.content_sha256 = content.hexdigest()
            session.add(run)
            session.flush()
            return run

    def get(self, reference: str) -> Run:
        """A run by its id, or by a beginning or an end of it that no other run's id has.

        Raises:
            InputError: there is none, or more than one; lists them.

        Example:
            >>> registry.runs.get("20261124-1015").run_id
            '20261124-101500-ab12cd'
        """
        with self.database.reading() as session:
            return find_run(session, reference)

    def finished(self, reference: str) -> Run:
        """As `get`, for a run that can be compared and promoted.

        Raises:
            InputError: it is unknown, still running, or failed; says why.

        Example:
            >>> registry.runs.finished("20261124-1015").status
            'finished'
        """
        with self.database.reading() as session:
            return finished_run(session, reference)

    def files(self, run_id: str) -> dict[str, str] | None:
        """The sha256 of each file that a finished run left, by its name relative to the run's folder; None
        for one from before they were recorded.

        Raises:
            ValueError: the row was damaged.

        Example:
            >>> registry.runs.files(run.run_id)
            {}
        """
        with self.database.reading() as session:
            found = session.exec(select(Run.files).where(Run.run_id == run_id)).one()
            return None if found is None else dict(found)

    def metrics(self, run_id: str) -> list[Metric]:
        """A run's metrics, overall first.

        Example:
            >>> overall = registry.runs.metrics(run.run_id)[0]
            >>> overall.name, overall.value, overall.n, overall.ci_low, overall.ci_high
            ('answer_correctness', 0.4, 5, 0.118, 0.769)
        """
        with self.database.reading() as session:
            return list(session.exec(select(Metric).where(Metric.run_id == run_id).order_by(col(Metric.id))))

    def scores(self, run_id: str) -> dict[str, float]:
        """A run's scores in [0, 1] by trace_id, in dataset order.

        Example:
            >>> scores = registry.runs.scores(run.run_id)
            >>> sum(scores.values()) / len(scores)
            0.4
        """
        with self.database.reading() as session:
            return run_scores(session, run_id)

    def reasons(self, run_id: str) -> dict[str, int]:
        """The judge's reasons, and how often each occurred in a run.

        Example:
            >>> registry.runs.reasons(run.run_id)
            {'correct': 2, 'empty': 1, 'wrong': 2}
        """
        counted = select(Prediction.reason, func.count()).where(Prediction.run_id == run_id)
        with self.database.reading() as session:
            return dict(sorted(session.exec(counted.group_by(Prediction.reason)).all()))

    def rungs(self, run_id: str) -> dict[str, str]:
        """Where in its text each answer of a run was found, by trace_id, in dataset order; without those
        that had none. Empty where the judge does not say.

        Example:
            >>> registry.runs.rungs(run.run_id)
            {}
        """
        said = select(Prediction.trace_id, Prediction.rung).where(
            Prediction.run_id == run_id, col(Prediction.rung).is_not(None)
        )
        with self.database.reading() as session:
            rows = session.exec(said.order_by(col(Prediction.position))).all()
            return {trace_id: str(rung) for trace_id, rung in rows}

    def reason_of_each(self, run_id: str) -> dict[str, str]:
        """What the judge said of each answer of a run, in a word, by trace_id, in dataset order.

        Example:
            >>> registry.runs.reason_of_each(run.run_id)["item-1"]
            'correct'
        """
        said = select(Prediction.trace_id, Prediction.reason).where(Prediction.run_id == run_id)
        with self.database.reading() as session:
            return dict(session.exec(said.order_by(col(Prediction.position))).all())

    def predictions(self, run_id: str) -> list[Prediction]:
        """A run's predictions with their scores, in dataset order.

        Example:
            >>> first = registry.runs.predictions(run.run_id)[0]
            >>> first.prediction, first.score
            ('Answer: 12', 1.0)
        """
        return list(self.each_prediction(run_id))

    def each_prediction(self, run_id: str) -> Iterator[Prediction]:
        """The same, one by one: a page of them is in memory at a time."""
        found = select(Prediction).where(Prediction.run_id == run_id).order_by(col(Prediction.position))
        with self.database.reading() as session:
            for row in session.exec(found.execution_options(yield_per=PAGE)):
                session.expunge(row)
                yield row

    def some_predictions(self, run_id: str, full_score: bool, count: int) -> list[Prediction]:
        """The first predictions of a run with the full score, or without it, in dataset order.

        Example:
            >>> [row.reason for row in registry.runs.some_predictions(run.run_id, False, 2)]
            ['wrong', 'wrong']
        """
        scored = col(Prediction.score) >= 1 if full_score else col(Prediction.score) < 1
        found = select(Prediction).where(Prediction.run_id == run_id, scored)
        with self.database.reading() as session:
            return list(session.exec(found.order_by(col(Prediction.position)).limit(count)))

    def predictions_of(self, run_id: str, trace_ids: Sequence[str]) -> dict[str, Prediction]:
        """The predictions for some items, by trace_id; without those that the run does not have.

        Example:
            >>> registry.runs.predictions_of(run.run_id, ["none"])
            {}
        """
        found: dict[str, Prediction] = {}
        with self.database.reading() as session:
            for start in range(0, len(trace_ids), PAGE):
                some = select(Prediction).where(
                    Prediction.run_id == run_id,
                    col(Prediction.trace_id).in_(trace_ids[start : start + PAGE]),
                )
                found.update({row.trace_id: row for row in session.exec(some)})
        return found

    def counted_answers(self, run_id: str) -> list[AnswersCounted]:
        """How many predictions of a run are alike in where an answer was found, and whether it was right.

        Example:
            >>> sum(each.number for each in registry.runs.counted_answers(run.run_id) if each.right)
            2
        """
        kinds: tuple[Any, ...] = (
            col(Prediction.rung).label("of_rung"),
            col(Prediction.extracted).is_not(None).label("is_found"),
            (col(Prediction.score) >= 1).label("is_right"),
            (col(Prediction.prediction) == "").label("is_empty"),
        )
        counted = sqlalchemy_select(*kinds, func.count()).where(col(Prediction.run_id) == run_id)
        with self.database.reading() as session:
            rows = session.connection().execute(counted.group_by(*(kind.name for kind in kinds))).all()
        return [
            AnswersCounted(rung, bool(found), bool(right), bool(empty), number)
            for rung, found, right, empty, number in rows
        ]

    def that_made(self, weights_sha256: str) -> list[Run]:
        """The runs that trained exactly these weights, finished or not, oldest first; those whose predictions
        were judged again are among them.

        Example:
            >>> [run.run_id for run in registry.runs.that_made(version.weights_sha256)]
            ['20261126-020007-91be04']
        """
        made = select(Run).where(Run.model_sha256 == weights_sha256, Run.kind == "trained")
        with self.database.reading() as session:
            return list(session.exec(made.order_by(col(Run.id))))

    def tensors(self) -> dict[str, list[str]]:
        """The sha256 of the tensors that finished trained runs made -> ids of those runs, oldest first. A
        copy of a model with another card, or in other files, has them too.

        Example:
            >>> registry.runs.tensors()
            {}
        """
        tensors = col(Run.predictions_meta)["tensors_sha256"].as_string()
        made = sqlalchemy_select(tensors, col(Run.run_id)).where(
            col(Run.kind) == "trained", col(Run.status) == "finished", tensors.is_not(None)
        )
        found: dict[str, list[str]] = {}
        with self.database.reading() as session:
            for sha256, run_id in session.connection().execute(made.order_by(col(Run.id))):
                found.setdefault(sha256, []).append(run_id)
        return found

    def evaluated(self, evaluation_sha256: str) -> list[Run]:
        """The finished runs whose scores rest on exactly these inputs, newest first."""
        same = select(Run).where(Run.evaluation_sha256 == evaluation_sha256, Run.status == "finished")
        with self.database.reading() as session:
            return list(session.exec(same.order_by(col(Run.id).desc())))

    def judging(self, like: Run, dataset_sha256: str, judge: str) -> Run | None:
        """The newest finished run of a run's weights on a dataset by a judge, of those with its settings of
        prompt and generation where there are any.

        Args:
            like: a finished run.
            dataset_sha256: of the dataset's file.
            judge: as NAME@vN.

        Example:
            >>> sha256 = registry.datasets.get(run.dataset_id).sha256
            >>> registry.runs.judging(run, sha256, run.judge).run_id == run.run_id
            True
        """
        found = (
            select(Run)
            .join(Dataset, col(Dataset.id) == Run.dataset_id)
            .where(
                Run.model_sha256 == like.model_sha256,
                Dataset.sha256 == dataset_sha256,
                Run.judge == judge,
                Run.status == "finished",
            )
        )
        with self.database.reading() as session:
            return newest_alike(session.exec(found.order_by(col(Run.id).desc()).limit(ALIKE)).all(), like)

    def unfinished(self, inputs_sha256: str) -> list[Run]:
        """Running and failed runs with exactly these inputs, newest first."""
        same = select(Run).where(Run.inputs_sha256 == inputs_sha256, Run.status != "finished")
        with self.database.reading() as session:
            return list(session.exec(same.order_by(col(Run.id).desc())))

    def undecided(self, inputs_sha256: str) -> Run | None:
        """The newest finished run with exactly these inputs that no decision in the log is about."""
        decided = select(PromotionLog.id).where(PromotionLog.run_id == Run.run_id)
        same = select(Run).where(
            Run.inputs_sha256 == inputs_sha256, Run.status == "finished", ~exists(decided)
        )
        with self.database.reading() as session:
            return session.exec(same.order_by(col(Run.id).desc()).limit(1)).first()

    def repeated(self, run: Run) -> Run | None:
        """The newest earlier run that a run repeats: same inputs, same predictions, byte for byte."""
        found = select(Run).where(
            Run.inputs_sha256 == run.inputs_sha256,
            Run.predictions_sha256 == run.predictions_sha256,
            Run.status == "finished",
            col(Run.id) < run.id,
        )
        with self.database.reading() as session:
            return session.exec(found.order_by(col(Run.id).desc()).limit(1)).first()

    def weights_in_use(self) -> set[str]:
        """Hashes of the weights that running runs judge or start from."""
        with self.database.reading() as session:
            return weights_in_use(session)

    def count(self, status: str | None = None) -> int:
        """How many runs are recorded.

        Args:
            status: only those that are `running`, `finished` or `failed`.

        Example:
            >>> registry.runs.count()
            5
        """
        counted = select(func.count()).select_from(Run)
        with self.database.reading() as session:
            return session.exec(counted.where(Run.status == status) if status else counted).one()

    def list(self, limit: int = 20, kind: str | None = None, **looked_for: str | None) -> Sequence[Run]:
        """The newest runs, newest first. Their manifests are not loaded; `get` gives one run with everything.

        Args:
            limit: how many, at most.
            kind: only `baseline` or only `trained` runs.
            looked_for: the arguments of `RunFilter`; None stands for any.

        Raises:
            InputError: nothing was recorded of such a model, dataset or judge; lists what was.

        Example:
            >>> [(run.run_id, run.status) for run in registry.runs.list(limit=2)]
            [('20261127-020010-3c0ff1', 'finished'), ('20261126-020007-91be04', 'finished')]
        """
        filters = RunFilter(kind=kind, **looked_for)
        with self.database.reading() as session:
            found = select(Run).where(*conditions(session, filters)).order_by(col(Run.id).desc())
            return session.exec(found.limit(limit).options(*WITHOUT_DOCUMENTS)).all()

    def datasets(self, runs: Sequence[Run]) -> dict[str, str]:
        """The names of the datasets that some runs were judged on, by run id.

        Example:
            >>> registry.runs.datasets([run])
            {'20261124-101432-0f3e9a': 'golden-v1'}
        """
        with self.database.reading() as session:
            names = {
                number: session.exec(select(Dataset).where(Dataset.id == number)).one().name
                for number in {run.dataset_id for run in runs}
            }
        return {run.run_id: names[run.dataset_id] for run in runs}

    def trainings(self, runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
        """What the manifests of some runs say of their training, by run id; without runs that have none.

        Example:
            >>> registry.runs.trainings([run])
            {}
        """
        # The manifests are read here: PostgreSQL finds no field in a document that holds a NUL anywhere.
        ids = [run.run_id for run in runs if run.kind == "trained"]
        found: dict[str, dict[str, Any]] = {}
        with self.database.reading() as session:
            for start in range(0, len(ids), AT_ONCE):
                some = select(Run.run_id, Run.manifest).where(
                    col(Run.run_id).in_(ids[start : start + AT_ONCE])
                )
                found.update(
                    {run_id: manifest.get("training") or {} for run_id, manifest in session.exec(some)}
                )
        return found


@dataclass(frozen=True)
class RunFilter:
    """Which runs are looked for. None stands for any.

    Attributes:
        kind: baseline or trained.
        status: running, finished or failed.
        model: the model that a run judged or trained from, as it was named; also without `registry:`, without
            its version or revision, or only its last part: `org/small@a1b2c3`, `org/small` and `small` find
            the same.
        dataset: the golden dataset, as KEY-vN, as KEY, or as the path of a file with that name.
        judge: NAME@vN, or NAME.
        since: ISO 8601 text in UTC; only runs that were started then or later.
    """

    kind: str | None = None
    status: str | None = None
    model: str | None = None
    dataset: str | None = None
    judge: str | None = None
    since: str | None = None


def conditions(session: Session, filters: RunFilter) -> list[ColumnElement[bool]]:
    """A filter as SQL. What a run names in several ways is looked up first: there are few models, datasets
    and judges, and an index has the runs of each.
    """
    found = [
        column == value
        for column, value in ((col(Run.kind), filters.kind), (col(Run.status), filters.status))
        if value is not None
    ]
    if filters.since is not None:
        found.append(col(Run.started_at) >= filters.since)
    if filters.model is not None:
        named = session.exec(select(Run.base_model).distinct()).all()
        found.append(col(Run.base_model).in_(_fitting("model", filters.model, named, _model_names)))
    if filters.judge is not None:
        named = session.exec(select(Run.judge).distinct()).all()
        fitting = _fitting("judge", filters.judge, named, lambda name: {name, name.partition("@")[0]})
        found.append(col(Run.judge).in_(fitting))
    if filters.dataset is not None:
        datasets = {row.name: row for row in session.exec(select(Dataset))}
        wanted = PurePath(filters.dataset).name.removesuffix(".jsonl")
        fitting = _fitting("dataset", wanted, list(datasets), lambda name: {name, datasets[name].key})
        found.append(col(Run.dataset_id).in_([datasets[name].id for name in fitting]))
    return found


def _model_names(reference: str) -> set[str]:
    """What a model may be called for short.

    Example:
        >>> sorted(_model_names("org/small@a1b2"))
        ['org/small', 'org/small@a1b2', 'small', 'small@a1b2']
    """
    plain = reference.rstrip("/")
    whole = {reference, plain, plain.removeprefix("registry:"), plain.removeprefix("run:")}
    last = {name.rpartition("/")[2] for name in whole}
    return {short for name in whole | last for short in (name, name.partition("@")[0])}


def _fitting(
    what: str, wanted: str, recorded: Sequence[str], names: Callable[[str], set[str]]
) -> Sequence[str]:
    """What was recorded under a name.

    Raises:
        InputError: nothing was; lists what was.
    """
    if found := [each for each in recorded if wanted.rstrip("/") in names(each)]:
        return found
    some = ", ".join(sorted(recorded)[:CANDIDATES_SHOWN]) + (
        ", ..." if len(recorded) > CANDIDATES_SHOWN else ""
    )
    there_are = f"Recorded are {some}." if recorded else "Nothing was run yet."
    shorter = {name for each in recorded for name in names(each) if ("@" in name) == ("@" in wanted)}
    meant = did_you_mean(wanted, shorter)
    raise InputError(f"{what} {wanted[:80]}: no run is of it.{meant} {there_are}")


# Statements that every promotion asks several times are built once: building one costs more than SQLite takes
# to answer it.
_METRICS = Metric.__table__  # type: ignore[attr-defined]
_PREDICTIONS = Prediction.__table__  # type: ignore[attr-defined]
_LAST_METRIC, _LAST_PREDICTION = select(func.max(Metric.id)), select(func.max(Prediction.id))
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
    .limit(ALIKE)
)
_SCORES = (
    sqlalchemy_select(_PREDICTIONS.c.trace_id, _PREDICTIONS.c.score)
    .where(_PREDICTIONS.c.run_id == bindparam("run_id"))
    .order_by(_PREDICTIONS.c.position)
)


def find_run(session: Session, reference: str) -> Run:
    """See `Runs.get`."""
    exact = session.exec(_RUN, params={"run_id": reference}).first()
    if exact is not None:
        return exact
    named = col(Run.run_id)
    fits = or_(named.startswith(reference, autoescape=True), named.endswith(reference, autoescape=True))
    alike = select(Run.run_id).where(fits).order_by(col(Run.id).desc()).limit(CANDIDATES_SHOWN + 1)
    found = session.exec(alike).all() if reference else []
    if len(found) == 1:
        return session.exec(_RUN, params={"run_id": found[0]}).one()
    if found:
        shown = ", ".join(found[:CANDIDATES_SHOWN]) + (", ..." if len(found) > CANDIDATES_SHOWN else "")
        raise InputError(
            f"run {reference}: several ids begin or end with this: {shown}. Give more of the id."
        )
    newest = session.exec(select(Run.run_id).order_by(col(Run.id).desc()).limit(LOOKED_AT)).all()
    shown = ", ".join(newest[:CANDIDATES_SHOWN])
    there_are = f"The newest are {shown}." if newest else "Nothing was run yet."
    meant = did_you_mean(reference, newest, ALIKE_IDS)
    raise InputError(f"run {reference[:80]}: there is none.{meant} {there_are}")


def finished_run(session: Session, reference: str) -> Run:
    """See `Runs.finished`."""
    run = find_run(session, reference)
    if run.status == "failed":
        raise InputError(f"run {run.run_id} failed and has no scores: {run.error}")
    if run.status != "finished":
        stopped = f" It was {run.error.partition('. ')[0]}." if run.error else ""
        raise InputError(
            f"run {run.run_id} is not finished.{stopped} "
            "Wait for it, or start the same experiment again: it continues."
        )
    return run


def like_run(session: Session, model_sha256: str | None, like: Run) -> Run | None:
    """The newest finished run of some weights with the dataset and judge of another run, of those with the
    same settings of prompt and generation where there are any. One whose predictions were imported is never
    chosen: it has to be named.
    """
    same = {name: getattr(like, name) for name in ("dataset_id", "judge", "judge_fingerprint", "id")}
    found = session.exec(_LIKE_RUN, params={"model_sha256": model_sha256, **same}).all()
    return newest_alike([run for run in found if not is_imported(run)], like)


def is_imported(run: Run) -> bool:
    """Whether another program made a run's predictions."""
    return bool(run.manifest.get("imported"))


def newest_alike(runs: Sequence[Run], like: Run) -> Run | None:
    """The first of some runs that was asked and generated with the settings of another one, else the first
    that was generated with them, else the first. Of equals, one whose predictions were made here.

    Args:
        runs: newest first.
        like: the other one.
    """

    def settings(run: Run) -> dict[str, Any]:
        chosen = run.manifest.get("generation") or {}
        return {name: value for name, value in chosen.items() if name not in OF_SPEED}

    def unlike(run: Run) -> tuple[bool, bool, bool]:
        asked = run.manifest.get("prompt") != like.manifest.get("prompt")
        return settings(run) != settings(like), asked, is_imported(run)

    return min(runs, key=unlike, default=None)  # the first of equals


def run_scores(session: Session, run_id: str) -> dict[str, float]:
    """See `Runs.scores`."""
    rows = session.connection().execute(_SCORES, {"run_id": run_id}).all()
    # Not dict(rows): it takes the rows for mappings, which is slower.
    return {trace_id: score for trace_id, score in rows}  # noqa: C416


def weights_in_use(session: Session) -> set[str]:
    """See `Runs.weights_in_use`."""
    rows = session.exec(select(Run.model_sha256, Run.parent_model_sha256).where(Run.status == "running"))
    return {sha256 for row in rows for sha256 in row if sha256}


def dataset_files(session: Session, *, after: int = 0) -> set[str]:
    """Hashes of the datasets' files that runs need: what they are judged on, and what they are trained on.

    Args:
        session: open.
        after: only of the runs with a higher row id.
    """
    # The manifests are read here: PostgreSQL finds no field in a document that holds a NUL anywhere.
    named = select(Run.manifest, Dataset.sha256).join(Dataset).where(col(Run.id) > after)
    found: set[str] = set()
    for manifest, golden in session.exec(named.execution_options(yield_per=AT_ONCE)):
        pins = [manifest.get("dataset"), (manifest.get("training") or {}).get("dataset")]
        found.update([golden, *(pin["sha256"] for pin in pins if pin)])
    return found


def last_run(session: Session) -> int:
    """The highest row id of a run; 0 where there is none."""
    return session.exec(select(func.max(Run.id))).one() or 0


def trained_weights(session: Session, since: str = "") -> set[str]:
    """Hashes of the weights that finished trained runs made.

    Args:
        session: open.
        since: only of runs that finished at this time or later, as ISO 8601 text in UTC.
    """
    found = select(Run.model_sha256).where(
        Run.kind == "trained", Run.status == "finished", col(Run.finished_at) >= since
    )
    return {sha256 for sha256 in session.exec(found.distinct()) if sha256}


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


def _end(run: Run) -> str:
    """The present time, but never one before the run's start: the clock may have gone back."""
    return max(now(), run.started_at)


def _free_ids(connection: Connection) -> list[int]:
    """The first free row id of a metric, and of a prediction. They are given here and not by the database, so
    that the run's content can cover them.
    """
    return [(connection.execute(last).scalar() or 0) + 1 for last in (_LAST_METRIC, _LAST_PREDICTION)]


def _fields(row: MetricRow | PredictionRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__slots__}


class ContentHash:
    """The sha256 of the canonical JSON of a run that finishes: its row, its metrics and its predictions, with
    their ids. The predictions come some at a time.

    Args:
        run: with all that is recorded of it but this hash.
        metrics: the rows.
    """

    def __init__(self, run: Run, metrics: Sequence[dict[str, Any]]) -> None:
        before = [run.model_dump(exclude=NOT_CONTENT), metrics]
        self.digest = hashlib.sha256(canonical_json(before).removesuffix("]").encode() + b",[")
        self.separator = b""

    def add(self, predictions: Sequence[dict[str, Any]]) -> None:
        """The next rows."""
        for row in predictions:
            said = {
                name: value for name, value in row.items() if value is not None or name not in NOT_WHERE_NULL
            }
            self.digest.update(self.separator + canonical_json(said).encode())
            self.separator = b","

    def hexdigest(self) -> str:
        """The hash over all that came."""
        digest = self.digest.copy()
        digest.update(b"]]")
        return digest.hexdigest()
