"""Was anything changed since it was recorded?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, bindparam, func
from sqlalchemy import select as sqlalchemy_select
from sqlmodel import Session, col, select

from core.files import sha256_json
from core.progress import quiet_meter
from registry.artifacts.store import Store
from registry.columns import FIRST_HASH
from registry.database import Database
from registry.log import log_hash
from registry.models import version_sha256
from registry.rows import MetricRow, PredictionRow
from registry.runs import AT_ONCE, WITHOUT_DOCUMENTS, content_sha256, dataset_files
from registry.tables import (
    Alias,
    AlphaSpending,
    Attestation,
    Metric,
    ModelVersion,
    Prediction,
    PromotionLog,
    Run,
)

MOVES = ("promoted", "forced", "rolled_back", "assigned")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that was changed since it was recorded.

    Attributes:
        where: the row or artifact, as in `run 20261124-101500-ab12cd` or `artifact 3f..`.
        what: what is wrong with it.
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def verify(database: Database, store: Store) -> list[Problem]:
    """See `registry.registry.Registry.verify`."""
    with database.reading() as session:
        parts = (_runs, _versions, _attestations, _log, _aliases, _spending)
        problems = [problem for part in parts for problem in part(session)]
        artifacts = sorted(set(session.exec(select(ModelVersion.weights_sha256))))
        stored, named = dataset_files(session, stored=True), dataset_files(session)
    # What runs stored must be there. Of older runs a file may be there, and then it must be whole.
    files = stored | {sha256 for sha256 in named - stored if store.has_file(sha256)}
    return [
        *problems,
        *(Problem(f"artifact {sha256}", sentence) for sha256, sentence in store.check(artifacts)),
        *(Problem(f"dataset {sha256}", sentence) for sha256, sentence in store.check_files(sorted(files))),
    ]


def _runs(session: Session) -> Iterator[Problem]:
    finished = col(Run.status) == "finished"
    meter = quiet_meter(
        "verify runs", session.exec(select(func.count()).select_from(Run).where(finished)).one(), "runs"
    )
    found = select(Run).where(finished).order_by(col(Run.id)).execution_options(yield_per=AT_ONCE)
    for number, run in enumerate(session.exec(found), 1):
        meter.update(number)
        metrics, predictions = (
            _rows(session, statement, run.run_id) for statement in (_METRICS, _PREDICTIONS)
        )
        if content_sha256(run, metrics, predictions) != run.content_sha256:
            yield Problem(
                f"run {run.run_id}", "its row, its metrics or its predictions were changed after it finished"
            )


def _columns(table: type[Metric] | type[Prediction], names: tuple[str, ...], order: str) -> Select[Any]:
    columns = table.__table__.c  # type: ignore[union-attr]
    return (
        sqlalchemy_select(*(columns[name] for name in names))
        .where(columns.run_id == bindparam("run_id"))
        .order_by(columns[order])
    )


_METRICS = _columns(Metric, ("run_id", *MetricRow.__slots__), "id")
_PREDICTIONS = _columns(Prediction, ("run_id", "position", *PredictionRow.__slots__), "position")


def _rows(session: Session, statement: Select[Any], run_id: str) -> list[dict[str, Any]]:
    """Rows as `registry.runs.Runs.finish` hashed them."""
    return [dict(row) for row in session.connection().execute(statement, {"run_id": run_id}).mappings()]


def _versions(session: Session) -> Iterator[Problem]:
    found = (
        select(ModelVersion, Run)
        .join(Run, col(Run.run_id) == ModelVersion.run_id)
        .order_by(col(ModelVersion.id))
    )
    for version, run in session.exec(found.options(*WITHOUT_DOCUMENTS).execution_options(yield_per=AT_ONCE)):
        if version_sha256(version, run) != version.content_sha256:
            yield Problem(
                f"version {version.model} v{version.number}", "its row was changed after it was written"
            )


def _log(session: Session) -> Iterator[Problem]:
    previous, expected = FIRST_HASH, 1
    found = session.exec(select(ModelVersion.model, ModelVersion.number, ModelVersion.content_sha256))
    versions = {(model, number): sha256 for model, number, sha256 in found}
    for row in session.exec(select(PromotionLog).order_by(col(PromotionLog.id))):
        where = f"promotion log row {row.id}"
        if row.id != expected:
            yield Problem(where, f"row {expected} before it is missing")
        elif row.previous_hash != previous:
            yield Problem(where, "does not continue the row before it")
        if log_hash(row) != row.hash:
            yield Problem(where, "was changed after it was written")
        if row.to_version is not None and versions.get((row.model, row.to_version)) != row.version_sha256:
            yield Problem(
                where, f"names {row.model} v{row.to_version}, which is not the version that was promoted"
            )
        previous, expected = row.hash, row.id + 1


def _aliases(session: Session) -> Iterator[Problem]:
    logged: dict[tuple[str, str], int] = {}
    for row in session.exec(
        select(PromotionLog)
        .where(col(PromotionLog.action).in_((*MOVES, "removed")))
        .order_by(col(PromotionLog.id))
    ):
        if row.to_version is None:
            logged.pop((row.model, row.alias), None)
        else:
            logged[row.model, row.alias] = row.to_version
    found = {(alias.model, alias.name): alias.version for alias in session.exec(select(Alias))}
    for model, name in sorted(logged.keys() | found.keys()):
        expected, version = logged.get((model, name)), found.get((model, name))
        if expected != version:
            yield Problem(
                f"alias {model}@{name}", f"points at {_shown(version)}, but the log says {_shown(expected)}"
            )


def _shown(number: int | None) -> str:
    return "nothing" if number is None else f"v{number}"


def _attestations(session: Session) -> Iterator[Problem]:
    for row in session.exec(select(Attestation).order_by(col(Attestation.id))):
        if sha256_json(row.document) != row.sha256:
            yield Problem(f"attestation of {row.model} v{row.number}", "was changed after it was written")


def _spending(session: Session) -> Iterator[Problem]:
    """The ledger of alpha is dense, and holds each decision of the log under the number it was made with."""
    ledger: dict[tuple[str, str], set[int]] = {}
    previous = ("", "", 0)
    for row in session.exec(
        select(AlphaSpending).order_by(
            col(AlphaSpending.model), col(AlphaSpending.dataset_sha256), col(AlphaSpending.number)
        )
    ):
        ledger.setdefault((row.model, row.comparison_sha256), set()).add(row.number)
        last = previous[2] if (row.model, row.dataset_sha256) == previous[:2] else 0
        if row.number != last + 1:
            yield Problem(
                f"alpha spending of {row.model}, dataset {row.dataset_sha256[:12]}",
                f"comparison {last + 1} is missing",
            )
        previous = (row.model, row.dataset_sha256, row.number)
    for entry in session.exec(select(PromotionLog).order_by(col(PromotionLog.id))):
        comparison, number = entry.decision.get("comparison_sha256"), entry.decision.get("number")
        if comparison is None:
            continue
        if number not in ledger.get((entry.model, comparison), ()):
            yield Problem(
                f"promotion log row {entry.id}",
                f"was decided as comparison {number}, which the ledger of alpha does not have",
            )
