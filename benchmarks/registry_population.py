"""Years of nights, inserted in bulk: runs, versions, decisions and the ledger of alpha, all as the registry
itself would write them.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import func, insert, update
from sqlmodel import Session, col, select

from registry import MetricRow, PredictionRow, Registry, Run
from registry.alpha_entries import LEDGER, REPEATED, Entry, entries_of, left_by
from registry.audit import adopt
from registry.columns import now
from registry.log import log_hash
from registry.models import version_sha256
from registry.runs import ContentHash
from registry.tables import Alias, AlphaSpending, Metric, ModelVersion, Prediction, PromotionLog, Row

OLD_ITEMS = 10
"""Predictions of an old run. Nothing that is timed reads them but `verify`."""

AT_ONCE = 500
"""Versions in memory."""


def digest(text: str) -> str:
    """Some sha256."""
    return hashlib.sha256(text.encode()).hexdigest()


def populate(registry: Registry, model: str, like: Run, versions: int, trace_ids: Sequence[str]) -> None:
    """Add versions until there are so many, each with a run like another one, forced through the gate one
    after the other.

    Hashes and both logs are right: `verify` finds nothing but the weights, which never existed.
    """
    with registry.database.reading() as session:
        have = session.exec(select(func.max(ModelVersion.number))).one() or 0
    for first in range(have + 1, versions + 1, AT_ONCE):
        with registry.database.writing() as session:
            _insert(session, model, like, range(first, min(first + AT_ONCE, versions + 1)), trace_ids)
    with registry.database.writing() as session:
        adopt(session.connection())


def _insert(session: Session, model: str, like: Run, numbers: range, trace_ids: Sequence[str]) -> None:
    rows: dict[type[Row], list[dict[str, Any]]] = defaultdict(list)
    last = session.exec(select(PromotionLog).order_by(col(PromotionLog.id).desc()).limit(1)).one()
    newest = session.exec(select(AlphaSpending).order_by(col(AlphaSpending.number).desc()).limit(1)).one()
    [entry] = entries_of(session.get_one(PromotionLog, newest.log_id))
    at = session.exec(select(Alias.version).where(Alias.model == model)).one()
    free = [session.exec(select(func.max(table.id))).one() + 1 for table in (Metric, Prediction)]
    for number in numbers:
        run, metrics, answers = _run(like, number, trace_ids, free)
        version = _version(model, run, number, metrics)
        entry = _after(entry, like.run_id, run.run_id)
        last = _decision(last, version, at, entry)
        at = number
        repeated = {name: getattr(entry, name) for name in REPEATED}
        ledger = AlphaSpending(
            model=model,
            dataset_sha256=entry.dataset_sha256,
            **repeated,
            log_id=last.id,
            created_at=now(),
        )
        for row in (run, version, ledger):
            rows[type(row)].append(row.model_dump(exclude={"id"}))
        rows[Metric] += metrics
        rows[Prediction] += answers
        rows[PromotionLog].append(last.model_dump())
    for table in (Run, Metric, Prediction, ModelVersion, PromotionLog, AlphaSpending):
        session.execute(insert(table), rows[table])
    session.execute(update(Alias).where(col(Alias.model) == model).values(version=at))


def _run(
    like: Run, number: int, trace_ids: Sequence[str], free: list[int]
) -> tuple[Run, list[dict[str, Any]], list[dict[str, Any]]]:
    run = Run(**like.model_dump(exclude={"id"}))
    run.run_id, run.kind, run.inputs_sha256 = f"old-{number:06}", "trained", digest(f"old inputs {number}")
    run.model_sha256, run.predictions_sha256 = (
        digest(f"old weights {number}"),
        digest(f"old predictions {number}"),
    )
    run.evaluation_sha256 = digest(f"old evaluation {number}")
    metrics = [
        {
            "id": id_,
            "run_id": run.run_id,
            **asdict(MetricRow("answer_correctness", 0.4, 30, name, 0.3, 0.5, "wilson")),
        }
        for id_, name in enumerate(("", *(f"category-{n}" for n in range(10))), free[0])
    ]
    answers = [
        {
            "id": free[1] + place,
            "run_id": run.run_id,
            "position": place,
            **asdict(PredictionRow(trace_id, "Answer: 1", 0.0, "1", "wrong")),
        }
        for place, trace_id in enumerate(trace_ids[:OLD_ITEMS])
    ]
    free[0], free[1] = free[0] + len(metrics), free[1] + len(answers)
    content = ContentHash(run, metrics)
    content.add(answers)
    run.content_sha256 = content.hexdigest()
    return run, metrics, answers


def _version(model: str, run: Run, number: int, metrics: list[dict[str, Any]]) -> ModelVersion:
    version = ModelVersion(
        model=model,
        number=number,
        run_id=run.run_id,
        weights_sha256=digest(f"old weights {number}"),
        artifact="",
        metrics=[
            {name: value for name, value in row.items() if name not in ("id", "run_id")} for row in metrics
        ],
        dataset_key="golden",
        dataset_version="v1",
        dataset_sha256=run.manifest["dataset"]["sha256"],
        judge=run.judge,
        parent_model=run.base_model,
        parent_sha256=run.parent_model_sha256,
        manifest=run.manifest,
        content_sha256="",
        created_at=now(),
    )
    version.content_sha256 = version_sha256(version, run)
    return version


def _after(before: Entry, opponent: str, candidate: str) -> Entry:
    """The next comparison in the ledger of alpha; one that may be luck."""
    left = left_by(before)
    return Entry(
        dataset_sha256=before.dataset_sha256,
        number=left.number + 1,
        comparison_sha256=digest(f"comparison of {opponent} with {candidate}"),
        opponent_run_id=opponent,
        candidate_run_id=candidate,
        carried=left.carried,
        spent=left.spent,
        level=1e-6,
        p_value=0.5,
        significant=False,
    )


def _decision(last: PromotionLog, version: ModelVersion, before: int, entry: Entry) -> PromotionLog:
    row = PromotionLog(
        id=last.id + 1,
        model=version.model,
        alias="champion",
        action="forced",
        from_version=before,
        to_version=version.number,
        run_id=version.run_id,
        reason="an old night",
        decision={
            "comparison_sha256": entry.comparison_sha256,
            "number": entry.number,
            LEDGER: [entry.model_dump()],
            "reasons": ["It may be luck." * 10],
        },
        actor="someone",
        version_sha256=version.content_sha256,
        created_at=now(),
        previous_hash=last.hash,
        hash="",
    )
    row.hash = log_hash(row)
    return row
