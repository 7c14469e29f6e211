"""The audited move of an alias: the gate asked, the version numbered, the alias swapped, the log extended, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import bindparam, func
from sqlmodel import Session, col, select

from core.errors import InputError, IntegrityError, TransientError
from core.files import sha256_json
from registry.alpha_ledger import Turn, spend, take_turn
from registry.artifacts.store import Store
from registry.artifacts.trees import TreeEntry
from registry.columns import check_name, now
from registry.database import Database
from registry.log import append_log, move_alias
from registry.models import CHAMPION, aliased
from registry.runs import find_run, like_run, run_scores
from registry.tables import Attestation, Dataset, Metric, ModelVersion, RegisteredModel, Run


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a gate decides on, as the deciding transaction sees it.

    Attributes:
        opponent: the run to beat: the champion's, or, where there is no champion, the base model's.
        candidate: the run that would be promoted.
        opponent_scores: trace_id -> score, in dataset order.
        candidate_scores: likewise.
        number: which comparison this is for this model on this golden dataset, from 1.
        carried: the level that the comparison before it left over.
        opponent_dataset: what the opponent was judged on.
        candidate_dataset: what the candidate was judged on.
    """

    opponent: Run
    candidate: Run
    opponent_scores: Mapping[str, float]
    candidate_scores: Mapping[str, float]
    number: int
    carried: float
    opponent_dataset: Dataset
    candidate_dataset: Dataset


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a gate says.

    Attributes:
        promote: whether the candidate may be promoted.
        significant: whether its test found a gain, whatever else spoke against it.
        p_value: of that test.
        level: what the p value had to be below.
        reason: why, in whole sentences.
        document: the decision as JSON, for the log.
    """

    promote: bool
    significant: bool
    p_value: float
    level: float
    reason: str
    document: dict[str, Any]


Gate = Callable[[Evidence], Ruling]
Attest = Callable[[ModelVersion, Run, dict[str, Any], Sequence[TreeEntry]], dict[str, Any]]
"""Gives the statement, or its signed envelope, of a new version: version, run, decision, files."""

ATTEMPTS = 5

Outcome = Literal["promoted", "forced", "refused", "passed", "already_champion"]


@dataclass(frozen=True, slots=True)
class Offer:
    """What became of an offer.

    Attributes:
        outcome: promoted; forced, against the gate; refused; passed, when promotion was not wanted; already_champion.
        version: the candidate's version; None where it has none.
        opponent: run id that the candidate was compared with; None for already_champion.
        ruling: None for already_champion.
    """

    outcome: Outcome
    version: ModelVersion | None
    opponent: str | None
    ruling: Ruling | None


@dataclass(frozen=True, slots=True)
class _Assessment:
    candidate: Run
    current: ModelVersion | None
    dataset: Dataset | None = None
    opponent: Run | None = None
    turn: Turn | None = None
    ruling: Ruling | None = None

    @property
    def decision(self) -> dict[str, Any]:
        """The gate's answer with what it was about, for the log and the attestation."""
        if self.ruling is None or self.opponent is None or self.turn is None:
            return {}
        return {**self.ruling.document, "against": self.opponent.run_id, "comparison_sha256": self.turn.comparison_sha256}


# Built once; see registry/runs.py.
_SAME_WEIGHTS = select(ModelVersion).where(
    ModelVersion.model == bindparam("model"), ModelVersion.weights_sha256 == bindparam("weights_sha256")
)
_NEWEST = select(func.max(ModelVersion.number)).where(ModelVersion.model == bindparam("model"))
_METRICS = select(Metric).where(Metric.run_id == bindparam("run_id")).order_by(col(Metric.id))


class Promotion:
    """Offering runs to an alias."""

    def __init__(self, database: Database, store: Store) -> None:
        self.database = database
        self.artifacts = store

    def offer(
        self,
        model: str,
        run_id: str,
        gate: Gate,
        *,
        weights: Callable[[], Path],
        actor: str,
        against: str | None = None,
        parent_model: str | None = None,
        alias: str = CHAMPION,
        force_reason: str | None = None,
        promote: bool = True,
        attest: Attest | None = None,
    ) -> Offer:
        """Ask the gate about a run, and when it agrees make its weights a version and point the alias at it.

        The gate is asked first without the write lock, since weights are only stored when it agrees. Then it is asked
        again inside the transaction that writes, against the champion as it is at that moment; what it says there counts.
        Weights are stored before: an artifact that no version names does no harm, a version without its artifact would.
        The same weights are never a second version. A refusal is recorded too.

        Args:
            model: the registered model; made when it is new.
            run_id: a finished run.
            gate: decides.
            weights: gives the model directory that the run judged.
            actor: who, for the log.
            against: run to compare with where it judged the champion's weights, or where there is no champion. Default:
                the newest run of the champion's, else the base model's, weights on the same dataset by the same judge.
            parent_model: what the model was trained from.
            alias: which alias moves.
            force_reason: promote even if the gate refuses; recorded.
            promote: False to decide and record only.
            attest: makes the provenance statement of a new version.

        Raises:
            InputError: the run is not finished, a name is not allowed, or there is nothing comparable to compare with.
            IntegrityError: the weights are not the ones that the run judged.
            TransientError: its artifact was removed each time before it was promoted.
        """
        check_name(model, "model")
        check_name(alias, "alias")
        stored: str | None = None
        for _ in range(ATTEMPTS):
            with self.database.reading() as session:
                assessment = _assess(session, model, alias, run_id, against, gate)
            if _moves(assessment, force_reason, promote) and stored is None:
                stored = self._store_weights(weights(), assessment.candidate)
            with self.database.writing() as session:
                assessment = _assess(session, model, alias, run_id, against, gate)
                if not _moves(assessment, force_reason, promote):
                    return self._record_answer(session, model, alias, assessment, actor)
                if stored is not None and self.artifacts.has_tree(stored):
                    return self._promote(session, model, alias, assessment, stored, actor, parent_model, force_reason, attest)
            stored = None  # the champion changed since the gate was asked, or the artifact was collected as garbage: once more
        raise TransientError(
            f"{model}@{alias}: run {run_id} could not be promoted in {ATTEMPTS} attempts, since its artifact or the champion changed each "
            "time. Run the same command again."
        )

    def _store_weights(self, weights: Path, run: Run) -> str:
        stored = self.artifacts.put_tree(weights)
        if stored != run.model_sha256:
            raise IntegrityError(
                f"{weights}: changed since run {run.run_id} judged these weights: expected sha256 {run.model_sha256}, found {stored}."
            )
        return stored

    def _record_answer(self, session: Session, model: str, alias: str, assessment: _Assessment, actor: str) -> Offer:
        opponent, ruling = assessment.opponent, assessment.ruling
        if opponent is None or ruling is None:
            return Offer("already_champion", assessment.current, None, None)
        outcome: Outcome = "passed" if ruling.promote else "refused"
        if assessment.current is None:
            _ensure_model(session, model)
        self._log(session, model, alias, outcome, assessment, None, ruling.reason, actor)
        return Offer(outcome, None, opponent.run_id, ruling)

    def _promote(
        self,
        session: Session,
        model: str,
        alias: str,
        assessment: _Assessment,
        stored: str,
        actor: str,
        parent_model: str | None,
        force_reason: str | None,
        attest: Attest | None,
    ) -> Offer:
        run, dataset, opponent, ruling = assessment.candidate, assessment.dataset, assessment.opponent, assessment.ruling
        assert dataset is not None and opponent is not None and ruling is not None  # noqa: S101, PT018  _moves said so
        if assessment.current is None:
            _ensure_model(session, model)
        known = session.exec(_SAME_WEIGHTS, params={"model": model, "weights_sha256": stored}).first()
        version = known or self._new_version(session, model, run, dataset, stored, parent_model, assessment.decision, attest)
        move_alias(session, model, alias, assessment.current, version)
        outcome: Outcome = "promoted" if ruling.promote else "forced"
        self._log(session, model, alias, outcome, assessment, version, ruling.reason if ruling.promote else force_reason or "", actor)
        return Offer(outcome, version, opponent.run_id, ruling)

    @staticmethod
    def _log(
        session: Session,
        model: str,
        alias: str,
        action: str,
        assessment: _Assessment,
        version: ModelVersion | None,
        reason: str,
        actor: str,
    ) -> None:
        turn, opponent, ruling = assessment.turn, assessment.opponent, assessment.ruling
        assert turn is not None and opponent is not None and ruling is not None  # noqa: S101, PT018
        run = assessment.candidate
        spend(session, turn, opponent, run, p_value=ruling.p_value, level=ruling.level, significant=ruling.significant)
        append_log(
            session,
            model,
            alias,
            action,
            assessment.current,
            version,
            run_id=run.run_id,
            reason=reason,
            actor=actor,
            decision=assessment.decision,
        )

    def _new_version(
        self,
        session: Session,
        model: str,
        run: Run,
        dataset: Dataset,
        sha256: str,
        parent_model: str | None,
        decision: dict[str, Any],
        attest: Attest | None,
    ) -> ModelVersion:
        newest = session.connection().execute(_NEWEST, {"model": model}).scalar()
        metrics = session.exec(_METRICS, params={"run_id": run.run_id})
        version = ModelVersion(
            model=model,
            number=(newest or 0) + 1,
            run_id=run.run_id,
            weights_sha256=sha256,
            artifact=self.artifacts.key(sha256),
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
        if attest is not None:
            document = attest(version, run, decision, self.artifacts.tree(sha256))
            session.add(Attestation(model=model, number=version.number, document=document, sha256=sha256_json(document)))
            session.flush()
        return version


def version_sha256(version: ModelVersion, run: Run) -> str:
    """The hash over a version's row and its run's content."""
    return sha256_json([version.model_dump(exclude={"id", "content_sha256"}), run.content_sha256])


def _moves(assessment: _Assessment, force_reason: str | None, promote: bool) -> bool:
    ruling = assessment.ruling
    return ruling is not None and ((ruling.promote and promote) or force_reason is not None)


def _assess(session: Session, model: str, alias: str, run_id: str, against: str | None, gate: Gate) -> _Assessment:
    candidate = finished_run(session, run_id)
    current = aliased(session, model, alias)
    if current is not None and current.weights_sha256 == candidate.model_sha256:
        return _Assessment(candidate, current)
    opponent = _opponent(session, current, candidate, against)
    datasets = session.get_one(Dataset, opponent.dataset_id), session.get_one(Dataset, candidate.dataset_id)
    turn = take_turn(session, model, datasets[1].sha256, opponent, candidate)
    scores = run_scores(session, opponent.run_id), run_scores(session, candidate.run_id)
    evidence = Evidence(opponent, candidate, *scores, turn.number, turn.carried, *datasets)
    return _Assessment(candidate, current, datasets[1], opponent, turn, gate(evidence))


def _opponent(session: Session, current: ModelVersion | None, candidate: Run, against: str | None) -> Run:
    """The run to beat. Never a run of other weights than the champion's: that would be a way round the gate."""
    given = finished_run(session, against) if against else None
    if current is None:
        if (base := given or like_run(session, candidate.parent_model_sha256, candidate)) is not None:
            return base
        raise InputError(
            f"run {candidate.run_id}: nothing to compare it with: there is no champion and no run of its base model. "
            f"Run: hallmark baseline --base-model {candidate.base_model}, or name a run with --against."
        )
    if given is not None and given.model_sha256 == current.weights_sha256:
        return given
    return like_run(session, current.weights_sha256, candidate) or finished_run(session, current.run_id)


def finished_run(session: Session, reference: str) -> Run:
    """A run that can be compared and promoted.

    Raises:
        InputError: it is unknown, still running, or failed; says why.
    """
    run = find_run(session, reference)
    if run.status == "failed":
        raise InputError(f"run {run.run_id} failed and has no scores: {run.error}")
    if run.status != "finished":
        raise InputError(f"run {run.run_id} is not finished. Wait for it, or start the same experiment again: it continues.")
    return run


def _ensure_model(session: Session, model: str) -> None:
    if session.exec(select(RegisteredModel.name).where(RegisteredModel.name == model)).first() is None:
        session.add(RegisteredModel(name=model, created_at=now()))
        session.flush()
