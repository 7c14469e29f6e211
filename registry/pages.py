"""What pages ask of the registry: a page of runs at a time, and what an item of a run is found by.

Pages go on behind a row and not after so many of them (keyset pagination), so that the hundredth costs what
the first does, and nothing is seen twice while runs are added.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, cast

from sqlalchemy import ColumnElement, Text, and_, func, or_, type_coerce
from sqlalchemy import cast as cast_to
from sqlalchemy import select as sqlalchemy_select
from sqlalchemy.orm import defer
from sqlmodel import Session, col, select

from core.files import canonical_json
from registry.database import Database
from registry.runs import PAGE, WITHOUT_DOCUMENTS, RunFilter, conditions
from registry.tables import (
    AlphaSpending,
    AuditLog,
    Dataset,
    Metric,
    ModelVersion,
    Prediction,
    PromotionLog,
    Run,
)

Order = Literal["started", "score", "name", "dataset", "judge", "status"]
COUNTED = 10_000
"""Runs that are counted; of more it is said that there are more."""


class RunLine(NamedTuple):
    """A run as a list has it.

    Attributes:
        run: its row, without documents.
        dataset: KEY-vN.
        metric: the overall one; None while it has none.
    """

    run: Run
    dataset: str
    metric: Metric | None


class RunPage(NamedTuple):
    """Some runs, in order.

    Attributes:
        lines: the runs.
        total: how many fit the filters, at most one more than `COUNTED`.
        earlier: whether there are more before these.
        later: whether there are more after these.
    """

    lines: list[RunLine]
    total: int
    earlier: bool
    later: bool


def run_page(
    database: Database,
    filters: RunFilter,
    *,
    text: str | None = None,
    order: Order = "started",
    descending: bool = True,
    after: int | None = None,
    before: int | None = None,
    limit: int = 50,
) -> RunPage:
    """A page of the runs that fit.

    Args:
        database: the registry's.
        filters: which runs.
        text: what id, name or base model must contain, in whatever case.
        order: what they are sorted by; of equals the newest comes first where `descending`.
        descending: largest first.
        after: row id of the run that the page goes on behind.
        before: row id of the run that it ends before; not with `after`.
        limit: how many.

    Raises:
        InputError: nothing was recorded of such a model, dataset or judge; lists what was.
    """
    key = _sort_key(order)
    backwards = before is not None
    falls = descending != backwards
    with database.reading() as session:
        fits = conditions(session, filters)
        if text is not None:
            named = (col(Run.run_id), col(Run.name), col(Run.base_model))
            fits.append(or_(*(column.icontains(text, autoescape=True) for column in named)))
        fitting = select(Run.id).where(*fits).limit(COUNTED + 1).subquery()
        total = session.exec(select(func.count()).select_from(fitting)).one()
        cursor = before if backwards else after
        if cursor is not None:
            fits = [*fits, _behind(session, key, cursor, falls)]
        ordered = [each.desc() if falls else each.asc() for each in (key, col(Run.id)) if each is not None]
        # ids alone are sorted: whole rows hold documents, past which SQLite would have to read
        found = select(Run.id).join(Dataset).where(*fits).order_by(*ordered).limit(limit + 1)
        ids = session.exec(found).all()
        some = select(Run).where(col(Run.id).in_(ids)).options(*WITHOUT_DOCUMENTS)
        by_id = {run.id: run for run in session.exec(some)}
        rows = [by_id[each] for each in ids]
        more, rows = len(rows) > limit, rows[:limit]
        rows = rows[::-1] if backwards else rows
        return RunPage(
            lines=_lines(session, rows),
            total=total,
            earlier=more if backwards else after is not None,
            later=True if backwards else more,
        )


def _sort_key(order: Order) -> ColumnElement[Any] | None:
    """What runs are sorted by before their row id; None for that alone, which has the order of starts."""
    if order == "started":
        return None
    if order == "score":
        overall = select(Metric.value).where(Metric.run_id == Run.run_id, Metric.category == "")
        return func.coalesce(overall.order_by(col(Metric.id)).limit(1).scalar_subquery(), -1.0)
    if order == "dataset":
        return col(Dataset.key) + "-" + col(Dataset.version)
    columns = {"name": Run.name, "judge": Run.judge, "status": Run.status}
    return type_coerce(col(columns[order]), Text)


def _behind(
    session: Session, key: ColumnElement[Any] | None, cursor: int, falls: bool
) -> ColumnElement[bool]:
    """That a run comes behind the one with a row id."""
    place = col(Run.id)
    beyond = place < cursor if falls else place > cursor
    if key is None:
        return beyond
    value = (
        session.connection()
        .execute(sqlalchemy_select(key).select_from(Run).join(Dataset).where(place == cursor))
        .scalar()
    )
    return or_(key < value if falls else key > value, and_(key == value, beyond))


def _lines(session: Session, rows: Sequence[Run]) -> list[RunLine]:
    overall = select(Metric).where(
        col(Metric.run_id).in_([run.run_id for run in rows]), Metric.category == ""
    )
    metrics: dict[str, Metric] = {}
    for metric in session.exec(overall.order_by(col(Metric.id))):
        metrics.setdefault(metric.run_id, metric)
    used = select(Dataset).where(col(Dataset.id).in_({run.dataset_id for run in rows}))
    names = {dataset.id: dataset.name for dataset in session.exec(used)}
    return [RunLine(run, names[run.dataset_id], metrics.get(run.run_id)) for run in rows]


class RunChoices(NamedTuple):
    """What runs can be filtered by: what is recorded."""

    models: Sequence[str]
    datasets: Sequence[str]
    judges: Sequence[str]


def run_choices(database: Database) -> RunChoices:
    """The models, datasets and judges of all runs, by name."""
    with database.reading() as session:
        return RunChoices(
            models=session.exec(select(Run.base_model).distinct().order_by(Run.base_model)).all(),
            datasets=sorted(dataset.name for dataset in session.exec(select(Dataset))),
            judges=session.exec(select(Run.judge).distinct().order_by(Run.judge)).all(),
        )


def run_line(database: Database, run_id: str) -> Run | None:
    """A run by its whole id, without documents; None where there is none."""
    found = select(Run).where(Run.run_id == run_id).options(*WITHOUT_DOCUMENTS)
    with database.reading() as session:
        return session.exec(found).first()


def run_lines(database: Database, run_ids: Sequence[str]) -> dict[str, RunLine]:
    """Runs by their ids, as a list has them."""
    found = select(Run).where(col(Run.run_id).in_(run_ids)).options(*WITHOUT_DOCUMENTS)
    with database.reading() as session:
        return {line.run.run_id: line for line in _lines(session, session.exec(found).all())}


def scores_and_rungs(database: Database, run_id: str) -> Iterator[tuple[float, str | None]]:
    """The score of each answer of a run, and where in its text it was found, in dataset order."""
    found = (
        sqlalchemy_select(col(Prediction.score), col(Prediction.rung))
        .where(col(Prediction.run_id) == run_id)
        .order_by(col(Prediction.position))
    )
    with database.reading() as session:
        rows = session.connection().execute(found.execution_options(yield_per=PAGE))
        yield from ((score, rung) for score, rung in rows)


def answers_with(database: Database, run_id: str, text: str) -> list[int]:
    """The positions of a run's answers that contain a text, in dataset order: in what the model wrote, in any
    sample of it, or in what the judge found and said. Case does not matter.
    """
    texts = (Prediction.prediction, Prediction.extracted, Prediction.reason, Prediction.samples)
    found = sqlalchemy_select(col(Prediction.position), *map(col, texts)).where(
        col(Prediction.run_id) == run_id
    )
    if text.isascii():  # SQLite knows the case of no other letters
        # texts are stored as JSON: what is looked for has to look the same, and finds more, as `n` in a `\\n`
        stored = canonical_json(text)[1:-1]
        found = found.where(or_(*(cast_to(each, Text).icontains(stored, autoescape=True) for each in texts)))
    wanted = text.lower()
    with database.reading() as session:
        return sorted(
            position
            for position, *parts, samples in session.execute(found)
            if any(wanted in part.lower() for part in _answer_texts(parts, samples))
        )


def _answer_texts(parts: Sequence[str | None], samples: list[dict[str, Any]] | None) -> Iterator[str]:
    yield from filter(None, parts)
    yield from (sample["prediction"] for sample in samples or ())


def newest_log_id(database: Database) -> int:
    """The row id of the newest decision of any model; 0 where there is none."""
    with database.reading() as session:
        return session.exec(select(func.max(PromotionLog.id))).one() or 0


def decisions_page(
    database: Database, model: str, limit: int, before: int | None = None, alias: str | None = None
) -> list[PromotionLog]:
    """Decisions about a model, newest first.

    Args:
        database: the registry's.
        model: its name.
        limit: how many, at most.
        before: only those with a smaller row id.
        alias: only those about it.
    """
    found = select(PromotionLog).where(PromotionLog.model == model)
    if before is not None:
        found = found.where(col(PromotionLog.id) < before)
    if alias is not None:
        found = found.where(PromotionLog.alias == alias)
    with database.reading() as session:
        return list(session.exec(found.order_by(col(PromotionLog.id).desc()).limit(limit)))


def versions_page(database: Database, model: str, limit: int, below: int | None = None) -> list[ModelVersion]:
    """Versions of a model, newest first, without their manifests.

    Args:
        database: the registry's.
        model: its name.
        limit: how many, at most.
        below: only those with a smaller number.
    """
    found = select(ModelVersion).where(ModelVersion.model == model)
    if below is not None:
        found = found.where(col(ModelVersion.number) < below)
    ordered = found.order_by(col(ModelVersion.number).desc()).limit(limit)
    with database.reading() as session:
        return list(session.exec(ordered.options(defer(cast(Any, ModelVersion.manifest)))))


def version_of_weights(database: Database, model: str, weights_sha256: str) -> int | None:
    """The number of a model's version with some weights; None where there is none."""
    found = select(ModelVersion.number).where(
        ModelVersion.model == model, ModelVersion.weights_sha256 == weights_sha256
    )
    with database.reading() as session:
        return session.exec(found).first()


class DecidedComparison(NamedTuple):
    """A comparison in the ledger of alpha, and the decision by which it got there.

    Attributes:
        spent: its row.
        log: the row of the promotion log; None where it is not named.
    """

    spent: AlphaSpending
    log: PromotionLog | None


def comparisons_page(
    database: Database, model: str, dataset_sha256: str, limit: int, below: int | None = None
) -> list[DecidedComparison]:
    """Comparisons of a model on one golden dataset, newest first.

    Args:
        database: the registry's.
        model: its name.
        dataset_sha256: of the dataset's file.
        limit: how many, at most.
        below: only those with a smaller number.
    """
    spent = select(AlphaSpending).where(
        AlphaSpending.model == model, AlphaSpending.dataset_sha256 == dataset_sha256
    )
    if below is not None:
        spent = spent.where(col(AlphaSpending.number) < below)
    with database.reading() as session:
        rows = session.exec(spent.order_by(col(AlphaSpending.number).desc()).limit(limit)).all()
        named = select(PromotionLog).where(
            col(PromotionLog.id).in_([row.log_id for row in rows if row.log_id])
        )
        logs = {log.id: log for log in session.exec(named)}
        return [DecidedComparison(row, logs.get(row.log_id or 0)) for row in rows]


def newest_compared(database: Database) -> str | None:
    """The model whose comparison entered the ledger of alpha last; None where there is none."""
    with database.reading() as session:
        return session.exec(select(AlphaSpending.model).order_by(col(AlphaSpending.id).desc())).first()


def newest_entries(database: Database, limit: int) -> list[AuditLog]:
    """The last entries of the audit log, newest first."""
    with database.reading() as session:
        return list(session.exec(select(AuditLog).order_by(col(AuditLog.id).desc()).limit(limit)))
