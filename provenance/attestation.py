"""The document beside a model version: its statement, or a signed envelope of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from provenance.files import TreeFile
from provenance.keys import SigningKey
from provenance.signing import is_envelope, sign
from provenance.statement import statement

if TYPE_CHECKING:
    from registry import ModelVersion, Registry, Run


def attest(
    version: ModelVersion,
    run: Run,
    decision: Mapping[str, Any],
    files: Sequence[TreeFile],
    key: SigningKey | None,
) -> dict[str, Any]:
    """Make the document of a version that is being promoted. Fast and pure: called inside a transaction.

    Args:
        version: the version's row, its `content_sha256` included.
        run: the run that made and judged it.
        decision: the gate's answer, as the promotion log has it.
        files: of the model.
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
    return sealed(statement(version, run, decision, files), key)


def sealed(document: dict[str, Any], key: SigningKey | None) -> dict[str, Any]:
    """A document signed by a key, unless it is signed already or there is no key."""
    return document if key is None or is_envelope(document) else sign(document, key)


def stored_document(
    registry: Registry, version: ModelVersion, key: SigningKey | None = None
) -> dict[str, Any]:
    """The document of a version: the stored one, or, for an older version, one made from the same rows.

    Args:
        registry: holds the version.
        version: its row.
        key: signs what is not signed yet.

    Raises:
        IntegrityError: the version's artifact is missing or changed.

    Example:
        >>> document = stored_document(registry, registry.models.get("tiny-reasoner@v2"))
        >>> document["_type"]
        'https://in-toto.io/Statement/v1'
    """
    document = registry.models.attestation(version.model, version.number)
    if document is None:  # promoted before there were attestations
        document = statement(
            version,
            registry.runs.get(version.run_id),
            decision_of(registry, version),
            tree_files(registry, version),
        )
    return sealed(document, key)


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
