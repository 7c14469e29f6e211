"""The registry: one object for everything that is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from registry.aliases import Aliases
from registry.alpha_check import Decision, decisions
from registry.alpha_ledger import Ledger, ledgers
from registry.artifacts.garbage import Collected
from registry.artifacts.store import Store
from registry.audit import Head, head
from registry.comparisons import Comparisons
from registry.database import Database
from registry.database_errors import describe
from registry.datasets import Datasets
from registry.garbage import GRACE_S, collect
from registry.models import CHAMPION, Models
from registry.promotion import Attest, Gate, Offer, OfferResult, Pairing, decide
from registry.reviews import Reviews
from registry.runs import Runs
from registry.statements import Basis, basis, every_basis, record_statement
from registry.stored import any_text
from registry.tables import ModelVersion
from registry.verify import Problem, counts, verify


class Registry:
    """Everything that is recorded, on one database and one store. `registry.open_registry` opens it.

    Every row that comes out of it stays usable after its transaction.

    Attributes:
        datasets: what runs are judged on.
        runs: what was run, and how it scored.
        comparisons: of two runs.
        reviews: what people said of golden items.
        models: the versions that may be served, and why.
        aliases: the names that point at versions, moved by hand.
        artifacts: the files of the versions.
        database: the connections that all of these share.
    """

    def __init__(self, database: Database, artifacts: Store, runs: Path) -> None:
        self.database = database
        self.artifacts = artifacts
        self.datasets = Datasets(database)
        self.runs = Runs(database, runs)
        self.comparisons = Comparisons(database)
        self.reviews = Reviews(database)
        self.models = Models(database, artifacts)
        self.aliases = Aliases(database, artifacts)

    @property
    def description(self) -> str:
        """Where the registry is, without any password."""
        return describe(self.database.engine.url)

    @property
    def is_read_only(self) -> bool:
        """Whether everything can be read here and nothing recorded."""
        return self.database.is_read_only

    def offer(
        self,
        model: str,
        run_id: str,
        gate: Gate,
        *,
        weights: Callable[[], Path],
        actor: str,
        against: str | None = None,
        pairings: Sequence[Pairing] = (),
        parent_model: str | None = None,
        alias: str = CHAMPION,
        force_reason: str | None = None,
        promote: bool = True,
        attest: Attest | None = None,
    ) -> OfferResult:
        """Ask the gate about a run, and when it agrees make its weights a version and point the alias at it.

        The gate is asked first without the write lock, and again inside the transaction that writes, against
        the champion as it is at that moment; what it says there counts. The same weights are never a second
        version. A refusal is recorded too.

        Args:
            model: the registered model; made when it is new.
            run_id: a finished run.
            gate: decides.
            weights: gives the model directory that the run judged; called only when the alias is to move.
            actor: who asks, for the log.
            against: run to compare with where it judged the champion's weights, or where there is no
                champion. Default: the newest run of the champion's, else the base model's, weights on the
                same dataset by the same judge.
            pairings: what is compared, where it is more than this run with what is served; the first one is
                this run's, and its dataset has the ledger of alpha.
            parent_model: what the model was trained from.
            alias: which alias moves.
            force_reason: promote even if the gate refuses; recorded.
            promote: False to decide and record only.
            attest: makes the provenance statement of a new version.

        Raises:
            InputError: the run is not finished, a name is not allowed, or there is nothing comparable to
                compare with.
            IntegrityError: the weights are not the ones that the run judged.
            TransientError: its artifact was removed each time before it was promoted.

        Example:
            >>> result = registry.offer("tiny-reasoner", run_id, gate, weights=lambda: path, actor="ana")
            >>> result.outcome, result.version.number
            ('promoted', 3)
        """
        offer = Offer(
            model=model,
            run_id=run_id,
            gate=gate,
            weights=weights,
            actor=actor,
            pairings=pairings or [Pairing(run_id, against)],
            parent_model=parent_model,
            alias=alias,
            force_reason=force_reason,
            promote=promote,
            attest=attest,
        )
        return decide(self.database, self.artifacts, offer)

    def alpha_ledgers(self, model: str) -> list[Ledger]:
        """Which comparisons were decided for a model, and the level of each: a ledger for each golden
        dataset, the one with the newest comparison last.

        Raises:
            InputError: there is no such model; lists those there are.

        Example:
            >>> ledgers = registry.alpha_ledgers("tiny-reasoner")
            >>> [(ledger.dataset.key, len(ledger.spent)) for ledger in ledgers]
            [('golden', 3)]
        """
        return ledgers(self.database, model)

    def verify(self, quick: bool = False, head: Head | None = None) -> list[Problem]:
        """Hash everything that is recorded again: rows, logs, triggers and constraints, and artifacts.

        Args:
            quick: leave the artifacts out.
            head: what `head` gave once; the audit log up to there must still be the same.

        Returns:
            Everything that was changed since it was recorded; empty when nothing was.

        Example:
            >>> registry.verify()
            []
        """
        return verify(self.database, self.artifacts, quick, head)

    def head(self) -> Head:
        """The end of the audit log. Kept outside, it shows later whether the log up to it is still the same.

        Example:
            >>> str(registry.head()).partition(":")[0] == str(registry.counts()["audit_log"])
            True
        """
        with self.database.reading() as session, any_text(session.connection()):
            return head(session.connection())

    def statement_basis(self, version: ModelVersion) -> Basis:
        """What the statement of a version is made from, and the one that is recorded.

        Example:
            >>> basis = registry.statement_basis(registry.models.get("tiny-reasoner@v2"))
            >>> basis.decision["verdict"], basis.document is None
            ('better', True)
        """
        with self.database.reading() as session:
            return basis(session, version)

    def statement_bases(self) -> Iterator[tuple[str, Basis | str]]:
        """The same for every version by its name, NAME vN; or why its rows cannot be read."""
        return every_basis(self.database)

    def record_statement(self, version: ModelVersion, document: dict[str, Any]) -> None:
        """Keep the statement of a version that has none; one that is there by now stays.

        Args:
            version: its row.
            document: its statement, or a signed envelope of it.
        """
        record_statement(self.database, version, document)

    def decisions(self) -> Iterator[Decision]:
        """Every decision of the gate that can be read, of all models, oldest first.

        Example:
            >>> [decision.entries[0].number for decision in registry.decisions()]
            [1, 2, 3]
        """
        with self.database.reading() as session, any_text(session.connection()):
            for decision in decisions(session.connection()):
                if isinstance(decision, Decision):
                    yield decision

    def counts(self) -> dict[str, int]:
        """How many rows each table has; without a table that is not there or cannot be read.

        Example:
            >>> registry.counts()["model_version"]
            2
        """
        return counts(self.database)

    def collect_garbage(
        self, dry_run: bool = False, grace_s: float = GRACE_S, models_older_than: float | None = None
    ) -> Collected:
        """Remove artifacts that nothing needs.

        What stays: the weights of versions, and of those that running runs work with; the files of the
        datasets that runs were judged and trained on; in a store that other homes may read also the weights
        of every finished trained run, so that each of them can promote, judge and continue it.

        Args:
            dry_run: remove nothing; the result lists what would be removed.
            grace_s: artifacts stored less than this many seconds ago stay.
            models_older_than: for how many days after its run a trained model stays for other homes; None:
                forever.

        Raises:
            InputError: something would be removed, and no model that is recorded here is in the store, so
                that it may be another registry's.
            IntegrityError: an artifact of a version is missing or damaged; nothing is removed.
            ResourceError: the store is not usable.

        Example:
            >>> registry.collect_garbage(dry_run=True).files
            0
        """
        return collect(self.database, self.artifacts, dry_run, grace_s, models_older_than)

    def close(self) -> None:
        """Give back all database connections."""
        self.database.close()
