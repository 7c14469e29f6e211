"""The audited move of an alias: one transaction that allocates the version, compares and swaps, and extends the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from hallmark.errors import HallmarkError, InputError, IntegrityError
from hallmark.files import sha256_json
from registry.columns import check_name, frozen_json, now
from registry.engine import Database
from registry.models import CHAMPION, aliased, numbered, require_model
from registry.runs import find_run
from registry.store import Store
from registry.tables import Alias, Dataset, Metric, ModelVersion, PromotionLog, RegisteredModel, Run

FIRST_HASH = "0" * 64
"""What the first row of the log has as its previous hash."""


class PromotionConflict(HallmarkError):
    """Another promoter was faster: the alias no longer points where it did when the decision was made."""


class Promotion:
    """Promoting, refusing, rolling back."""

    def __init__(self, database: Database, store: Store) -> None:
        self.database = database
        self.store = store

    def promote(
        self,
        model: str,
        run_id: str,
        decision: dict[str, Any],
        *,
        expected_champion: int | None,
        reason: str,
        actor: str,
        weights: Path,
        parent_model: str | None = None,
        alias: str = CHAMPION,
        forced: bool = False,
    ) -> ModelVersion:
        """Make a run's weights a version of a model and point the alias at it.

        The weights are stored before the transaction: an artifact that no version names does no harm, a version without
        its artifact would. The same weights are never a second version.

        Args:
            model: the registered model; made when it is new.
            run_id: a finished run.
            decision: the gate's answer, as JSON.
            expected_champion: number of the version that the decision was made against; None for none.
            reason: why, for the log.
            actor: who, for the log.
            weights: the model directory that the run judged.
            parent_model: what the model was trained from.
            alias: which alias moves.
            forced: the gate said no and was overridden.

        Raises:
            InputError: the run is not finished, or a name is not allowed.
            IntegrityError: the weights are not the ones that the run judged.
            PromotionConflict: the alias points elsewhere by now.
        """
        check_name(model, "model")
        check_name(alias, "alias")
        with self.database.reading() as session:
            run = _finished(session, run_id)
        stored = self.store.put_tree(weights)
        if stored != run.model_sha256:
            raise IntegrityError(
                f"{weights}: changed since run {run_id} judged these weights: expected sha256 {run.model_sha256}, found {stored}."
            )
        with self.database.writing() as session:
            _ensure_model(session, model)
            current = aliased(session, model, alias)
            version = session.exec(select(ModelVersion).where(ModelVersion.model == model, ModelVersion.weights_sha256 == stored)).first()
            if version is not None and current is not None and current.number == version.number:
                return version
            served = current.number if current else None
            if served != expected_champion:
                raise PromotionConflict(
                    f"{model}@{alias}: was {_shown(expected_champion)} when the decision was made and is {_shown(served)} now; "
                    "another promotion came first. Compare with the new one and decide again."
                )
            version = version or _new_version(session, model, run, stored, parent_model, self.store)
            _point(session, model, alias, version.number)
            action = "forced" if forced else "promoted"
            _log(session, model, alias, action, current, version, run_id=run_id, reason=reason, decision=decision, actor=actor)
            return version

    def refuse(self, model: str, run_id: str, decision: dict[str, Any], reason: str, actor: str, alias: str = CHAMPION) -> PromotionLog:
        """Record that the gate refused a run.

        Raises:
            InputError: the run is not finished, or a name is not allowed.
        """
        check_name(model, "model")
        with self.database.writing() as session:
            _finished(session, run_id)
            _ensure_model(session, model)
            current = aliased(session, model, alias)
            return _log(session, model, alias, "refused", current, None, run_id=run_id, reason=reason, decision=decision, actor=actor)

    def rollback(self, model: str, to_version: int, reason: str, actor: str, alias: str = CHAMPION) -> ModelVersion:
        """Point the alias at an earlier version again, after its artifact was hashed.

        Raises:
            InputError: there is no such model or version, or the alias points at it already.
            IntegrityError: the version's artifact is missing or changed.
        """
        with self.database.reading() as session:
            require_model(session, model)
            version = numbered(session, model, to_version)
        if version is None:
            raise InputError(f"{model}: has no version v{to_version}. See: hallmark models show {model}")
        self.store.get_tree(version.weights_sha256)
        with self.database.writing() as session:
            current = aliased(session, model, alias)
            if current is not None and current.number == to_version:
                raise InputError(f"{model}@{alias}: is v{to_version} already")
            _point(session, model, alias, to_version)
            _log(session, model, alias, "rolled_back", current, version, run_id=version.run_id, reason=reason, decision={}, actor=actor)
        return version


def _shown(number: int | None) -> str:
    return "unset" if number is None else f"v{number}"


def _finished(session: Session, run_id: str) -> Run:
    run = find_run(session, run_id)
    if run.status == "failed":
        raise InputError(f"run {run.run_id} failed and cannot be promoted: {run.error}")
    if run.status != "finished":
        raise InputError(f"run {run.run_id} is not finished and cannot be promoted yet")
    return run


def _ensure_model(session: Session, model: str) -> None:
    if session.exec(select(RegisteredModel).where(RegisteredModel.name == model)).first() is None:
        session.add(RegisteredModel(name=model, created_at=now()))
        session.flush()


def _new_version(session: Session, model: str, run: Run, sha256: str, parent_model: str | None, store: Store) -> ModelVersion:
    newest = session.exec(select(func.max(ModelVersion.number)).where(ModelVersion.model == model)).one()
    dataset = session.exec(select(Dataset).where(Dataset.id == run.dataset_id)).one()
    metrics = session.exec(select(Metric).where(Metric.run_id == run.run_id).order_by(col(Metric.id)))
    version = ModelVersion(
        model=model,
        number=(newest or 0) + 1,
        run_id=run.run_id,
        weights_sha256=sha256,
        artifact=store.path(sha256).relative_to(store.root).as_posix(),
        metrics=[metric.model_dump(exclude={"id", "run_id"}) for metric in metrics],
        dataset_key=dataset.key,
        dataset_version=dataset.version,
        dataset_sha256=dataset.sha256,
        judge=run.judge,
        parent_model=parent_model,
        parent_sha256=run.parent_model_sha256,
        manifest=run.manifest,
        content_sha256="",
        created_at=now(),
    )
    version.content_sha256 = version_sha256(version, run)
    session.add(version)
    session.flush()
    return version


def version_sha256(version: ModelVersion, run: Run) -> str:
    """The hash over a version's row and its run's content."""
    return sha256_json([version.model_dump(exclude={"id", "content_sha256"}), run.content_sha256])


def _point(session: Session, model: str, alias: str, number: int) -> None:
    row = session.exec(select(Alias).where(Alias.model == model, Alias.name == alias)).first() or Alias(
        model=model, name=alias, version=number
    )
    row.version = number
    session.add(row)
    session.flush()


def _log(
    session: Session,
    model: str,
    alias: str,
    action: str,
    before: ModelVersion | None,
    after: ModelVersion | None,
    *,
    run_id: str,
    reason: str,
    decision: dict[str, Any],
    actor: str,
) -> PromotionLog:
    last = session.exec(select(PromotionLog).order_by(col(PromotionLog.id).desc()).limit(1)).first()
    row = PromotionLog(
        id=last.id + 1 if last else 1,
        model=model,
        alias=alias,
        action=action,
        from_version=before.number if before else None,
        to_version=after.number if after else None,
        run_id=run_id,
        reason=reason,
        decision=frozen_json(decision, "decision"),
        actor=actor,
        version_sha256=after.content_sha256 if after else None,
        created_at=now(),
        previous_hash=last.hash if last else FIRST_HASH,
        hash="",
    )
    row.hash = log_hash(row)
    session.add(row)
    session.flush()
    return row


def log_hash(row: PromotionLog) -> str:
    """The hash over all other columns of a log row, the previous row's hash included."""
    return sha256_json(row.model_dump(exclude={"hash"}))
