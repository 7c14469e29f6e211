"""The document beside a model version: its statement, or a signed envelope of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.errors import HallmarkError, InputError, IntegrityError
from core.files import canonical_json
from provenance.files import FileEntry, TreeFile
from provenance.keys import SigningKey
from provenance.signing import is_envelope, opened, sign
from provenance.statement import statement

if TYPE_CHECKING:
    from registry import Head, ModelVersion, Registry, Run
    from registry.statements import Basis

LONGEST = 100
"""Characters of a value that a sentence quotes."""

NOT_READ = FileEntry("unknown", 0, "0" * 64)
"""In place of the files of a damaged artifact."""

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
    basis = registry.statement_basis(version)
    made = derived(basis, tree_files(registry, version))
    if basis.document is None:  # promoted before there were attestations
        return sealed(made, key)
    if (found := differing(opened(basis.document), made)) is not None:
        raise IntegrityError(
            f"statement of {version.model} v{version.number}: {found}. It is neither signed nor exported. "
            "See: hallmark verify"
        )
    return sealed(basis.document, key)


def derived(basis: Basis, files: Sequence[TreeFile]) -> dict[str, Any]:
    """The statement of a version as its rows give it.

    Args:
        basis: its rows.
        files: of its model.
    """
    return statement(basis.version, basis.run, basis.decision, files, basis.head)


def statement_problem(basis: Basis, files: Sequence[TreeFile] | None) -> str | None:
    """What is wrong with the recorded statement of a version, its signature aside; None where nothing is.

    Args:
        basis: the version's rows.
        files: of its model; None where its artifact is damaged, and then no file is compared.
    """
    if basis.document is None:
        return "is missing. Make it from the version's rows with: hallmark registry upgrade"
    try:
        recorded = opened(basis.document)
        made = derived(basis, [NOT_READ] if files is None else files)
        if files is None:
            made["subject"] = recorded.get("subject")
        return differing(recorded, made)
    except (HallmarkError, ValueError, TypeError, KeyError, AttributeError) as error:
        return f"cannot be made again: {error}"


def add_missing_statements(registry: Registry, key: SigningKey | None) -> tuple[list[str], list[str]]:
    """Make and record the statement of each version that has none.

    Args:
        registry: holds the versions.
        key: signs them; None leaves them unsigned.

    Returns:
        The versions that got one, as NAME vN; and a sentence for each that did not.
    """
    added, problems = [], []
    for name, basis in registry.statement_bases():
        try:
            if isinstance(basis, str):
                raise IntegrityError(basis)
            if basis.document is None:
                whole = registry.statement_basis(basis.version)  # whose rows are as they were recorded
                document = sealed(derived(whole, tree_files(registry, basis.version)), key)
                registry.record_statement(basis.version, document)
                added.append(name)
        except (InputError, IntegrityError, TypeError, ValueError, KeyError, AttributeError) as error:
            problems.append(f"statement of {name}: {error}")
    return added, problems


def differing(stored: Any, made: Any, field: str = "") -> str | None:
    """The first field in which a stored statement is not the one that the rows give, in words; None where
    they are the same.
    """
    if not field and canonical_json(stored) == canonical_json(made):
        return None
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
