"""The audited move of an alias: gate, version, alias, log and ledger of alpha, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import bindparam, func
from sqlmodel import Session, col, select

from core.errors import InputError, IntegrityError, TransientError
from core.files import sha256_json
from core.model_files import model_files
from registry.alpha_entries import LEDGER, Entry
from registry.alpha_ledger import Turn, comparison_sha256, spend, take_turn
from registry.artifacts.checkouts import is_intact
from registry.artifacts.store import Store
from registry.artifacts.trees import TreeEntry
from registry.audit import Head, check_recorded, head
from registry.columns import check_name, now
from registry.content import check_content
from registry.database import Database
from registry.log import append_log, move_alias
from registry.models import CHAMPION, aliased, version_sha256
from registry.runs import finished_run, is_imported, like_run, run_scores
from registry.tables import Attestation, Dataset, Metric, ModelVersion, RegisteredModel, Run

ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Pairing:
    """A requirement as the registry knows it: whose run on a dataset is compared with whose.

    Attributes:
        candidate: id of a run of the offered weights.
        against: id of the run to compare with, where it judged the opponent's weights; None for the newest
            run of these on the same dataset by the same judge that was predicted here.
        base: whether the opponent is the candidate's base model whatever is served; else it is the
            champion, or the base where there is none.
        terms: what is required, as JSON; part of what makes two comparisons one.
    """

    candidate: str
    against: str | None = None
    base: bool = False
    terms: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pair:
    """The two runs of a pairing, as the deciding transaction sees them.

    Attributes:
        opponent: the run to beat.
        candidate: the run of the weights that would be promoted.
        opponent_scores: trace_id -> score in [0, 1], in dataset order.
        candidate_scores: likewise.
        opponent_dataset: what the opponent was judged on.
        candidate_dataset: what the candidate was judged on.
        served: whether the opponent is what is served; else it is the base model.
    """

    opponent: Run
    candidate: Run
    opponent_scores: Mapping[str, float]
    candidate_scores: Mapping[str, float]
    opponent_dataset: Dataset
    candidate_dataset: Dataset
    served: bool = True


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a gate decides on, as the deciding transaction sees it.

    Attributes:
        pairs: one for each pairing of the offer, in its order.
        turns: the comparison's turn in the ledger of each dataset, the first pair's first.
    """

    pairs: Sequence[Pair]
    turns: Sequence[Turn]

    @property
    def number(self) -> int:
        """Which comparison this is for this model on the first pair's dataset, from 1."""
        return self.turns[0].number

    @property
    def carried(self) -> float:
        """The level that the comparison before it, on that dataset, left over."""
        return self.turns[0].carried

    @property
    def spent(self) -> float:
        """The sum of the levels of all comparisons before it, less what each had carried over."""
        return self.turns[0].spent

    @property
    def level(self) -> float | None:
        """The level at which it was decided before; None where it was not."""
        return self.turns[0].level


@dataclass(frozen=True, slots=True)
class Ruling:
    """A gate's answer, as far as the registry needs to know it.

    Attributes:
        promote: whether the candidate may be promoted.
        significant: whether its test found a gain, whatever else spoke against it.
        p_value: of that test.
        level: what the p value had to be below.
        reason: why, in whole sentences.
        document: the decision as JSON, for the log.
        spending: name of the rule that gave the level, for whoever computes it again; None for no known one.
    """

    promote: bool
    significant: bool
    p_value: float
    level: float
    reason: str
    document: dict[str, Any]
    spending: str | None = None


Gate = Callable[[Evidence], Ruling]
Attest = Callable[[ModelVersion, Run, dict[str, Any], Sequence[TreeEntry], Head], dict[str, Any]]
"""Gives the statement, or its signed envelope, of a new version: version, run, decision, files, and the end
of the audit log before it.
"""


@dataclass(frozen=True, slots=True)
class Offer:
    """A run that is offered, and the terms: the arguments of `registry.registry.Registry.offer`."""

    model: str
    run_id: str
    gate: Gate
    weights: Callable[[], Path]
    actor: str
    pairings: Sequence[Pairing]
    parent_model: str | None = None
    alias: str = CHAMPION
    force_reason: str | None = None
    promote: bool = True
    attest: Attest | None = None


Outcome = Literal["promoted", "forced", "refused", "passed", "already_champion"]
"""What became of an offer.

- promoted: the gate agreed, and the alias moved.
- refused: the gate did not agree.
- forced: the gate did not agree, and the alias moved all the same.
- passed: the gate agreed, and promotion was not wanted.
- already_champion: the alias points at these very weights.
"""


@dataclass(frozen=True, slots=True)
class OfferResult:
    """What became of an offer.

    Attributes:
        outcome: see `Outcome`.
        version: the candidate's version; None where it has none.
        opponent: id of the run that the candidate was compared with; None for already_champion.
        ruling: the gate's answer; None for already_champion.
    """

    outcome: Outcome
    version: ModelVersion | None
    opponent: str | None
    ruling: Ruling | None


@dataclass(frozen=True, slots=True)
class _Case:
    """An offer as one transaction sees it, decided by the gate.

    Attributes:
        current: the version that the alias points at; None where there is none.
        pairs: the runs of each pairing.
        turns: one for each dataset, the first pairing's first.
    """

    offer: Offer
    current: ModelVersion | None
    pairs: Sequence[Pair]
    turns: Sequence[Turn]
    ruling: Ruling

    @property
    def main(self) -> Pair:
        """The runs of the first pairing: those of the run that is offered."""
        return self.pairs[0]

    @property
    def moves(self) -> bool:
        """Whether the alias is to move."""
        return (self.ruling.promote and self.offer.promote) or self.offer.force_reason is not None

    @property
    def entries(self) -> list[Entry]:
        """What the ledger of each dataset says of this comparison, from now on or as before."""
        return [turn.entry or self._entry(turn) for turn in self.turns]

    def _entry(self, turn: Turn) -> Entry:
        pair = next(pair for pair in self.pairs if pair.candidate_dataset.sha256 == turn.dataset_sha256)
        return Entry(
            dataset_sha256=turn.dataset_sha256,
            number=turn.number,
            comparison_sha256=turn.comparison_sha256,
            opponent_run_id=pair.opponent.run_id,
            candidate_run_id=pair.candidate.run_id,
            carried=turn.carried,
            spent=turn.spent,
            level=self.ruling.level,
            p_value=self.ruling.p_value,
            significant=self.ruling.significant,
            spending=self.ruling.spending,
        )

    @property
    def decision(self) -> dict[str, Any]:
        """The gate's answer with what it was about, for the log and the attestation."""
        about = {"against": self.main.opponent.run_id, "comparison_sha256": self.turns[0].comparison_sha256}
        ledger = [entry.model_dump(mode="json") for entry in self.entries]
        return {**self.ruling.document, **about, LEDGER: ledger}


def decide(database: Database, artifacts: Store, offer: Offer) -> OfferResult:
    """See `registry.registry.Registry.offer`."""
    check_name(offer.model, "model")
    check_name(offer.alias, "alias")
    stored: str | None = None
    intact: dict[str, str | None] = {}
    for _ in range(ATTEMPTS):
        # Asked without the write lock first: weights are stored only when the gate agrees, and storing
        # gigabytes must not hold up every other writer. What is found here decides nothing but that.
        with database.reading() as session:
            case = _assessed(session, offer, intact)
        # Weights before the version: an artifact that no version names does no harm (garbage collection
        # removes it), a version without its artifact would.
        if isinstance(case, _Case) and case.moves and stored is None:
            stored = _store_weights(artifacts, case)
        # Asked again under the write lock, which lasts until the commit: nobody else moves the alias, numbers
        # a version, takes a turn in the ledger of alpha or extends the log between what the gate sees here
        # and what is written. This answer counts.
        with database.writing() as session:
            case = _assessed(session, offer, intact)
            if not isinstance(case, _Case):
                return case
            if not case.moves:
                return _record_answer(session, case)
            # Garbage collection removes under the same lock, so what is there now is there at the commit.
            if stored is not None and artifacts.has(stored):
                return _promote(session, artifacts, case, stored)
        # The champion changed since the gate was asked, or the artifact was collected as garbage: once more.
        stored = None
    raise TransientError(
        f"{offer.model}@{offer.alias}: run {offer.run_id} could not be promoted in {ATTEMPTS} attempts, "
        "since its artifact or the champion changed each time. Run the same command again."
    )


def _check_content(session: Session, pairs: Sequence[Pair], intact: dict[str, str | None]) -> None:
    """Hash the compared runs again, each once: what was hashed before the write lock, and names the same
    content, is not hashed inside.

    Args:
        session: of the transaction.
        pairs: the runs.
        intact: the content of those that were hashed; the others are added.

    Raises:
        IntegrityError: a run's row, metrics or predictions were changed since it finished.
    """
    connection = session.connection()
    datasets = (dataset for pair in pairs for dataset in (pair.opponent_dataset, pair.candidate_dataset))
    for id_, dataset in {dataset.id: dataset for dataset in datasets}.items():
        check_recorded(connection, "dataset", dataset.name, id_)
    for run in (run for pair in pairs for run in (pair.opponent, pair.candidate)):
        if run.run_id not in intact or intact[run.run_id] != run.content_sha256:
            check_content(session, run)
            intact[run.run_id] = run.content_sha256


def _assessed(session: Session, offer: Offer, intact: dict[str, str | None]) -> _Case | OfferResult:
    """The offer with the gate's answer; or its result, where the alias points at these very weights.

    Args:
        session: of the transaction.
        offer: a run, and the terms.
        intact: see `_check_content`.
    """
    candidate = finished_run(session, offer.run_id)
    current = aliased(session, offer.model, offer.alias)
    if current is not None:
        name = f"{current.model} v{current.number}"
        check_recorded(session.connection(), "model_version", name, current.id)
    if current is not None and current.weights_sha256 == candidate.model_sha256:
        return OfferResult("already_champion", current, None, None)
    pairs = [_pair(session, current, candidate, pairing) for pairing in offer.pairings]
    _check_content(session, pairs, intact)
    comparison = comparison_sha256(
        [(pair.candidate_dataset.sha256, pair.opponent, pair.candidate) for pair in pairs],
        [pairing.terms for pairing in offer.pairings],
    )
    # Each dataset that the decision rests on counts it, whichever stands first: else alpha would begin again
    # with every dataset that is put in front.
    datasets = dict.fromkeys(pair.candidate_dataset.sha256 for pair in pairs)
    turns = [take_turn(session, offer.model, sha256, comparison) for sha256 in datasets]
    return _Case(offer, current, pairs, turns, offer.gate(Evidence(pairs, turns)))


def _pair(session: Session, current: ModelVersion | None, offered: Run, pairing: Pairing) -> Pair:
    """The runs of a pairing."""
    candidate = offered if pairing.candidate == offered.run_id else finished_run(session, pairing.candidate)
    if candidate.model_sha256 != offered.model_sha256:
        raise InputError(
            f"run {candidate.run_id}: did not judge the weights of run {offered.run_id}, which are offered. "
            f"Judge them with: hallmark evaluate run:{offered.run_id}"
        )
    current = None if pairing.base else current
    opponent = _opponent(session, current, offered, candidate, pairing)
    _refuse_itself(opponent, candidate)
    scores = run_scores(session, opponent.run_id), run_scores(session, candidate.run_id)
    datasets = session.get_one(Dataset, opponent.dataset_id), session.get_one(Dataset, candidate.dataset_id)
    return Pair(opponent, candidate, *scores, *datasets, served=current is not None)


def _opponent(
    session: Session, current: ModelVersion | None, offered: Run, candidate: Run, pairing: Pairing
) -> Run:
    """The run to beat. Never one of other weights than the champion's: that would be a way round the gate.
    Nor one with imported predictions that nobody named.

    Args:
        current: the version to beat; None for the base model.
        offered: the run whose weights are offered; its base model is meant.
        candidate: the run of these weights that is compared.
        pairing: says which run was asked for.
    """
    given = finished_run(session, pairing.against) if pairing.against else None
    if current is None:
        base = given or like_run(session, offered.parent_model_sha256, candidate)
        if base is not None:
            return base
        nobody = "no run" if pairing.base else "there is no champion and no run"
        raise InputError(
            f"run {candidate.run_id}: nothing to compare it with: {nobody} of its base model. "
            f"Run: hallmark baseline --base-model {offered.base_model}, or name a run with --against."
        )
    if given is not None and given.model_sha256 == current.weights_sha256:
        return given
    found = like_run(session, current.weights_sha256, candidate) or finished_run(session, current.run_id)
    if is_imported(found):
        raise InputError(
            f"run {candidate.run_id}: nothing to compare it with: the predictions of {current.model} "
            f"v{current.number} were imported, and no run of it was made here. "
            f"Run: hallmark evaluate registry:{current.model}@v{current.number}, or name the imported run: "
            f"--against {found.run_id}"
        )
    return found


def _refuse_itself(opponent: Run, candidate: Run) -> None:
    """Refuse to compare weights with themselves: what differs then is no gain of theirs.

    Raises:
        InputError: both runs judged the same weights, and one has imported predictions that are not the
            other's.
    """
    same = opponent.model_sha256 == candidate.model_sha256
    imported = is_imported(opponent) or is_imported(candidate)
    if same and imported and opponent.predictions_sha256 != candidate.predictions_sha256:
        raise InputError(
            f"run {candidate.run_id}: judged the same weights as run {opponent.run_id}, with other "
            "predictions. Equal weights that are asked alike predict alike, so one of the two imports is not "
            "of them. Name a run of the base model with --against."
        )


def _store_weights(artifacts: Store, case: _Case) -> str:
    weights, run = case.offer.weights(), case.main.candidate
    stored = artifacts.put(weights, files=model_files(weights))
    if stored != run.model_sha256 and is_intact(weights, run.model_sha256 or ""):
        stored = artifacts.put(weights)  # recorded when every file counted, whatever it was
    if stored != run.model_sha256:
        raise IntegrityError(
            f"{weights}: changed since run {run.run_id} judged these weights: "
            f"expected sha256 {run.model_sha256}, found {stored}."
        )
    return stored


def _record_answer(session: Session, case: _Case) -> OfferResult:
    if case.current is None:
        _ensure_model(session, case.offer.model)
    outcome: Outcome = "passed" if case.ruling.promote else "refused"
    _log(session, case, outcome, None, case.ruling.reason)
    return OfferResult(outcome, None, case.main.opponent.run_id, case.ruling)


def _promote(session: Session, artifacts: Store, case: _Case, stored: str) -> OfferResult:
    model, ruling = case.offer.model, case.ruling
    if case.current is None:
        _ensure_model(session, model)
    # The same weights are never a second version: the one that they have is promoted again.
    known = session.exec(_SAME_WEIGHTS, params={"model": model, "weights_sha256": stored}).first()
    version = known or _new_version(session, artifacts, case, stored)
    move_alias(session, model, case.offer.alias, case.current, version)
    outcome: Outcome = "promoted" if ruling.promote else "forced"
    _log(session, case, outcome, version, ruling.reason if ruling.promote else case.offer.force_reason or "")
    return OfferResult(outcome, version, case.main.opponent.run_id, ruling)


def _log(session: Session, case: _Case, outcome: Outcome, version: ModelVersion | None, reason: str) -> None:
    """Write the decision down: its row of the log, and its share of each dataset's alpha."""
    offer, run = case.offer, case.main.candidate
    log = append_log(
        session,
        offer.model,
        offer.alias,
        outcome,
        case.current,
        version,
        run.run_id,
        reason,
        offer.actor,
        case.decision,
    )
    for turn, entry in zip(case.turns, case.entries, strict=True):
        if turn.entry is None:  # one that was decided before has spent its level already
            spend(session, offer.model, entry, log.id)


def _ensure_model(session: Session, model: str) -> None:
    if session.exec(select(RegisteredModel.name).where(RegisteredModel.name == model)).first() is None:
        session.add(RegisteredModel(name=model, created_at=now()))
        session.flush()


# Built once; see registry/runs.py.
_SAME_WEIGHTS = select(ModelVersion).where(
    ModelVersion.model == bindparam("model"), ModelVersion.weights_sha256 == bindparam("weights_sha256")
)
_NEWEST = select(func.max(ModelVersion.number)).where(ModelVersion.model == bindparam("model"))
_METRICS = select(Metric).where(Metric.run_id == bindparam("run_id")).order_by(col(Metric.id))


def _new_version(session: Session, artifacts: Store, case: _Case, sha256: str) -> ModelVersion:
    offer, run, dataset = case.offer, case.main.candidate, case.main.candidate_dataset
    newest = session.connection().execute(_NEWEST, {"model": offer.model}).scalar()
    metrics = session.exec(_METRICS, params={"run_id": run.run_id})
    version = ModelVersion(
        model=offer.model,
        number=(newest or 0) + 1,
        run_id=run.run_id,
        weights_sha256=sha256,
        artifact=artifacts.key(sha256),
        metrics=[metric.model_dump(exclude={"id", "run_id"}) for metric in metrics],
        dataset_key=dataset.key,
        dataset_version=dataset.version,
        dataset_sha256=dataset.sha256,
        judge=run.judge,
        parent_model=offer.parent_model,
        parent_sha256=run.parent_model_sha256,
        manifest=run.manifest,
        content_sha256="",
        created_at=now(),
    )
    version.content_sha256 = version_sha256(version, run)
    session.add(version)
    session.flush()
    if offer.attest is not None:
        before = head(session.connection())  # entries are appended at the end of the transaction
        document = offer.attest(version, run, case.decision, artifacts.files(sha256), before)
        digest = sha256_json(document)
        session.add(Attestation(model=offer.model, number=version.number, document=document, sha256=digest))
        session.flush()
    return version
