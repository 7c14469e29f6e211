"""The document beside a model version: its statement, or a signed envelope of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.errors import IntegrityError
from core.files import canonical_json
from provenance.files import TreeFile
from provenance.keys import SigningKey
from provenance.signing import is_envelope, opened, sign
from provenance.statement import statement
from registry.alpha_entries import LEDGER

if TYPE_CHECKING:
    from registry import Head, ModelVersion, Registry, Run

LONGEST = 100
"""Characters of a value that a sentence quotes."""

ABSENT = object()
"""In place of a field that only the other statement has."""


def attest(
    version: ModelVersion,
    run: Run,
    decision: Mapping[str, Any],
    files: Sequence[TreeFile],
    head: Head | None,
    key: SigningKey | None,
) -> dict[str, Any]:
    """Make the document of a version that is being promoted. Fast and pure: called inside a transaction.

    Args:
        version: the version's row, its `content_sha256` included.
        run: the run that made and judged it.
        decision: the gate's answer, as the promotion log has it.
        files: of the model.
        head: the end of the audit log as it was just before the version.
        key: signs the statement; None leaves it unsigned.

    Returns:
        An in-toto statement, or with a key a DSSE envelope of it.

    Raises:
        InputError: the model has no file that a statement could be about.

    Example:
        >>> terms = {"weights": lambda: path, "actor": "ana", "attest": partial(attest, key=None)}
        >>> registry.offer("tiny-reasoner", run_id, gate, **terms).outcome
        'promoted'
    """
    return sealed(statement(version, run, decision, files, head), key)


def sealed(document: dict[str, Any], key: SigningKey | None) -> dict[str, Any]:
    """A document signed by a key, unless it is signed already or there is no key."""
    return document if key is None or is_envelope(document) else sign(document, key)


def stored_document(
    registry: Registry, version: ModelVersion, key: SigningKey | None = None
) -> dict[str, Any]:
    """The document of a version, made from its rows again: the stored one only where it says the same.

    Args:
        registry: holds the version.
        version: its row.
        key: signs what is not signed yet.

    Raises:
        IntegrityError: the stored one says something else, or the version's artifact is missing or changed.

    Example:
        >>> document = stored_document(registry, registry.models.get("tiny-reasoner@v2"))
        >>> document["_type"]
        'https://in-toto.io/Statement/v1'
    """
    made = derived(registry, version)
    stored = registry.models.attestation(version.model, version.number)
    if stored is None:  # promoted before there were attestations
        return sealed(made, key)
    if (found := differing(opened(stored), made)) is not None:
        raise IntegrityError(
            f"statement of {version.model} v{version.number}: {found}. Nothing is signed or exported. "
            "See: hallmark verify"
        )
    return sealed(stored, key)


def derived(registry: Registry, version: ModelVersion) -> dict[str, Any]:
    """The statement of a version as its rows give it.

    Raises:
        IntegrityError: its artifact is missing or changed.
    """
    decision = decision_of(registry, version)
    # Decisions hold their entries of the ledger of alpha for as long as statements name the audit log.
    head = registry.head_before(version) if LEDGER in decision else None
    return statement(
        version, registry.runs.get(version.run_id), decision, tree_files(registry, version), head
    )


def differing(stored: Any, made: Any, field: str = "") -> str | None:
    """The first field in which a stored statement is not the one that the rows give, in words; None where
    they are the same.
    """
    if isinstance(stored, dict) and isinstance(made, dict):
        pairs = [
            (f"{field}.{name}".strip("."), stored.get(name, ABSENT), made.get(name, ABSENT))
            for name in sorted(stored.keys() | made.keys())
        ]
    elif isinstance(stored, list) and isinstance(made, list) and len(stored) == len(made):
        pairs = [(f"{field}[{place}]", *each) for place, each in enumerate(zip(stored, made, strict=True))]
    else:
        one, other = _json(stored), _json(made)
        return None if one == other else f"{field} is {_cut(one)}, but the recorded rows say {_cut(other)}"
    found = (differing(one, other, name) for name, one, other in pairs)
    return next((each for each in found if each is not None), None)


def _json(value: Any) -> str:
    return "absent" if value is ABSENT else canonical_json(value)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def tree_files(registry: Registry, version: ModelVersion) -> Sequence[TreeFile]:
    """The files of a version's model.

    Raises:
        IntegrityError: its artifact is missing or changed.
    """
    return registry.artifacts.files(version.weights_sha256)


def decision_of(registry: Registry, version: ModelVersion) -> dict[str, Any]:
    """The gate's answer by which a version came to be: that of the first log row that names it."""
    rows = registry.models.history(version.model)
    return next(
        (
            row.decision
            for row in rows
            if row.to_version == version.number and row.action in ("promoted", "forced")
        ),
        {},
    )
