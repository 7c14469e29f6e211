"""The promotion log: append-only, each row hashing the one before, and the alias that a row moves."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from core.errors import HallmarkError, IntegrityError
from core.files import sha256_json
from registry.audit import newest_sha256
from registry.columns import FIRST_HASH, frozen_json, now
from registry.models import CHAMPION
from registry.tables import Alias, ModelVersion, PromotionLog

# Built once; see registry/runs.py.
_ALIAS = select(Alias).where(Alias.model == bindparam("model"), Alias.name == bindparam("alias"))
MOVES = ("promoted", "forced", "rolled_back", "assigned")
"""Actions that point an alias at a version."""
_MOVED = (
    select(PromotionLog.to_version)
    .where(
        PromotionLog.model == bindparam("model"),
        PromotionLog.alias == bindparam("alias"),
        col(PromotionLog.action).in_((*MOVES, "removed")),
    )
    .order_by(col(PromotionLog.id).desc())
    .limit(1)
)
_LAST = select(PromotionLog.id, PromotionLog.hash).order_by(col(PromotionLog.id).desc()).limit(1)


class PromotionConflict(HallmarkError):
    """Another promoter was faster: the alias no longer points where it did when the decision was made."""


def append_log(
    session: Session,
    model: str,
    alias: str,
    action: str,
    before: ModelVersion | None,
    after: ModelVersion | None,
    run_id: str,
    reason: str,
    actor: str,
    decision: dict[str, Any] | None = None,
) -> PromotionLog:
    """Write the next row of the log. Only inside a writing transaction, where nobody else appends.

    Args:
        session: of the transaction.
        model, alias: what the row is about.
        action: see `registry.tables.PromotionLog`.
        before: where the alias pointed; None when nowhere.
        after: where it points now; None when nothing moved or the alias is gone.
        run_id: the run that was decided on, or that the version came from.
        reason: why.
        actor: who asked.
        decision: the gate's answer as JSON.

    Raises:
        IntegrityError: the last row of the log is not there any more, or the alias did not point where the
            log says.
    """
    # Ids are given here, not by the database: dense ids show a missing row, and an auto-increment skips one
    # after a rollback. Each row hashes the one before, so changing or removing any row breaks every hash that
    # follows.
    last = session.connection().execute(_LAST).first()
    number = last[0] + 1 if last else 1
    if newest_sha256(session.connection(), "promotion_log", str(number)) is not None:
        raise IntegrityError(
            f"promotion log row {number}: is missing. See: hallmark verify. Restore a backup of the registry."
        )
    logged = session.connection().execute(_MOVED, {"model": model, "alias": alias}).scalar()
    if logged != (before.number if before else None):
        raise IntegrityError(
            f"alias {model}@{alias}: points at {shown(before.number if before else None)}, but the promotion "
            f"log says {shown(logged)}. Restore the registry from a backup; hallmark verify names everything "
            "that was changed."
        )
    row = PromotionLog(
        id=number,
        model=model,
        alias=alias,
        action=action,
        from_version=before.number if before else None,
        to_version=after.number if after else None,
        run_id=run_id,
        reason=reason,
        decision=frozen_json(decision or {}, "decision"),
        actor=actor,
        version_sha256=after.content_sha256 if after else None,
        created_at=now(),
        previous_hash=last[1] if last else FIRST_HASH,
        hash="",
    )
    row.hash = log_hash(row)
    session.add(row)
    session.flush()
    return row


def shown(number: int | None) -> str:
    """A version as messages say it."""
    return "nothing" if number is None else f"v{number}"


def log_hash(row: PromotionLog) -> str:
    """The hash over all other columns of a log row, the previous row's hash included."""
    return sha256_json(row.model_dump(exclude={"hash"}))


def move_alias(
    session: Session, model: str, alias: str, before: ModelVersion | None, after: ModelVersion
) -> None:
    """Compare and swap: point an alias at a version if it still points where it did.

    Raises:
        PromotionConflict: it points elsewhere by now.
    """
    if before is None:
        session.add(Alias(model=model, name=alias, version=after.number, protected=alias == CHAMPION))
        session.flush()
        return
    row = session.exec(_ALIAS, params={"model": model, "alias": alias}).first()
    if row is None or row.version != before.number:
        raise PromotionConflict(
            f"{model}@{alias}: no longer v{before.number}; another promotion came first. "
            "Run the same command again."
        )
    row.version = after.number
    session.add(row)
    session.flush()
