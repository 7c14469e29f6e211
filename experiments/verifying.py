"""Was anything changed since it was recorded? What the registry finds by itself, and what takes more: levels
of alpha computed again, statements made again, the files of runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from core.config import Record
from core.errors import IntegrityError, UnreadableError
from core.progress import quiet_meter
from evaluation.alpha import SPENDING, spent_level
from experiments.run_checking import RunsCheck, check_runs
from experiments.workspace import Workspace
from provenance import SigningKey, configured_key
from provenance.attestation import statement_problem
from provenance.signing import signature_of
from registry import Head, Problem, Registry
from registry.artifacts.trees import TreeEntry
from registry.verify import guarded, printable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

CLOSE = 1e-9
"""Relative difference of two levels that are the same: the last digits of a power differ between machines."""


class Checked(Record):
    """How much was checked.

    Attributes:
        quick: rows and logs only; what follows the comparisons is 0.
        rows: of all tables.
        runs: finished ones, with their metrics and predictions.
        versions: of all models.
        comparisons: in the ledgers of alpha.
        statements: of versions, made again.
        signed: of these, those whose signature holds by a key that was given or is configured.
        artifacts: models of versions.
        artifact_bytes: of their files, each content once.
        run_folders: of runs that are here.
        run_files: in these.
        run_bytes: of these.
    """

    quick: bool = False
    rows: int = 0
    runs: int = 0
    versions: int = 0
    comparisons: int = 0
    statements: int = 0
    signed: int = 0
    artifacts: int = 0
    artifact_bytes: int = 0
    run_folders: int = 0
    run_files: int = 0
    run_bytes: int = 0


class Verification(Record):
    """What was found.

    Attributes:
        problems: everything that is not as it was recorded, a sentence each; empty when all is well.
        checked: how much was looked at.
        elsewhere: finished runs whose folders are not here, as those of other machines.
        without_model: trained runs whose folders are here, but no model in them, as after garbage collection.
        head: the end of the audit log, as N:HASH; empty where the database cannot be read to the end.
    """

    problems: list[str]
    checked: Checked
    elsewhere: list[str]
    without_model: list[str]
    head: str


def verify(
    workspace: Workspace,
    *,
    quick: bool = False,
    head: Head | None = None,
    public_keys: Sequence[Ed25519PublicKey] = (),
) -> Verification:
    """Check everything that is recorded, with progress. Whatever cannot be read is a problem; the rest is
    still checked.

    Args:
        workspace: its registry, artifacts and runs.
        quick: rows and logs only; no artifact, no statement, no file of a run.
        head: the end of the audit log as it was once; it must still be in the log.
        public_keys: one of these must have signed each statement that is signed. None: those by the
            configured key are checked with that.

    Raises:
        InputError: the configured key is not usable.
        ResourceError: the database or the store is not to be had.

    Example:
        >>> verify(open_workspace(), quick=True).problems
        []
    """
    own, registry = configured_key(), workspace.registry
    problems: list[Problem] = []
    end, runs, statements = "", RunsCheck(), _Statements(registry)
    with guarded("head of the log", problems):  # first: what is written meanwhile may not have been checked
        end = str(registry.head())
    problems += registry.verify(quick=quick, head=head)
    with guarded("levels", problems):
        problems.extend(_levels(registry))
    counts, finished = registry.counts(), 0
    versions = counts.get("model_version", 0)
    if not quick:
        with guarded("statements", problems):
            statements.check(problems, versions, public_keys, own)
        with guarded("files of runs", problems):
            runs = check_runs(workspace)
            problems += runs.problems
    with guarded("table run", problems):
        finished = registry.runs.count("finished")
    checked = Checked(
        quick=quick,
        rows=sum(counts.values()),
        runs=finished,
        versions=versions,
        comparisons=counts.get("alpha_spending", 0),
        statements=statements.made,
        signed=statements.signed,
        artifacts=len(statements.artifacts),
        artifact_bytes=statements.bytes,
        run_folders=runs.runs,
        run_files=runs.files,
        run_bytes=runs.bytes,
    )
    return Verification(
        problems=list(dict.fromkeys(map(str, problems))),
        checked=checked,
        elsewhere=list(map(printable, runs.elsewhere)),
        without_model=list(map(printable, runs.without_model)),
        head=printable(end),
    )


def _levels(registry: Registry) -> Iterator[Problem]:
    """The level of each decision, computed again from what the comparisons before it left of alpha: the
    smallest one of its datasets'. Those of another rule than today's cannot be.
    """
    seen: set[tuple[str, str, int]] = set()
    for decision in registry.decisions():
        keys = [(decision.model, entry.dataset_sha256, entry.number) for entry in decision.entries]
        first = [entry for key, entry in zip(keys, decision.entries, strict=True) if key not in seen]
        seen.update(keys)
        if not first or any(entry.spending != SPENDING for entry in first):
            continue
        try:
            alpha = float(decision.document["gate"]["alpha"])
            levels = [spent_level(alpha, each.number, each.carried, each.spent) for each in first]
        except (KeyError, TypeError, ValueError, OverflowError):
            yield Problem(
                decision.where, "its level cannot be computed again: it does not say at which alpha"
            )
            continue
        found, expected = {entry.level for entry in first}, min(levels)
        if len(found) > 1 or not math.isclose(found.pop(), expected, rel_tol=CLOSE):
            yield Problem(
                decision.where, f"was decided at level {first[0].level}, but its share of alpha is {expected}"
            )


class _Statements:
    """Makes the statement of each version again.

    Attributes:
        made: how many.
        signed: of these, those whose signature holds.
        artifacts: the models that they name; their files, by sha256; None for a damaged one.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.made = self.signed = 0
        self.artifacts: dict[str, list[TreeEntry] | None] = {}

    @property
    def bytes(self) -> int:
        """Of all contents, each once."""
        return sum(
            {file.sha256: file.size for files in self.artifacts.values() for file in files or ()}.values()
        )

    def check(
        self,
        problems: list[Problem],
        versions: int,
        public_keys: Sequence[Ed25519PublicKey],
        own: SigningKey | None,
    ) -> None:
        """Look at every version, of which there are so many; what is wrong is appended to the problems."""
        meter = quiet_meter("verify statements", versions, "versions")
        for number, (name, basis) in enumerate(self.registry.statement_bases(), 1):
            meter.update(number)
            where = f"statement of {name}"
            if isinstance(basis, str):
                problems.append(Problem(where, basis))
                continue
            with guarded(where, problems):
                self.made += 1
                files = self._files(basis.version.weights_sha256)
                if (found := statement_problem(basis, files)) is not None:
                    problems.append(Problem(where, found))
                    continue
                signature = signature_of(basis.document, public_keys, own)
                if signature == "valid":
                    self.signed += 1
                elif signature == "invalid":
                    problems.append(Problem(where, "its signature does not hold"))
                elif signature == "unsigned" and self.signed:  # else it may be older than the key
                    problems.append(Problem(where, "is not signed, though one before it is"))

    def _files(self, sha256: str) -> list[TreeEntry] | None:
        if sha256 not in self.artifacts:
            try:
                self.artifacts[sha256] = self.registry.artifacts.files(sha256)
            except (IntegrityError, UnreadableError):  # which the registry reports
                self.artifacts[sha256] = None
        return self.artifacts[sha256]
