"""Is an exported directory what its statement says? Needs only the directory: no registry, no network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from core.errors import InputError, IntegrityError
from core.files import open_for_reading, parse_json, sha256_file
from core.progress import byte_meter
from provenance.files import METRICS, STATEMENT, WRITTEN, walk
from provenance.signing import is_envelope, key_ids, opened, verify_envelope
from provenance.statement import PREDICATE_TYPE, STATEMENT_TYPE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

LEFT_BY_THE_HUB = (".git/", ".cache/huggingface/", ".gitattributes")
"""What `git clone` and `hf download` add to a directory. No model is loaded from there."""


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        model: what the statement is about, as NAME@vN.
        files: how many files the statement names.
        signature: none; not_checked, for want of a public key; valid; or invalid.
        keyids: of the keys that the envelope says it was signed by.
        problems: everything that is not as it should be, a sentence each; empty when all is well.
    """

    model: str
    files: int
    signature: Literal["none", "not_checked", "valid", "invalid"]
    keyids: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def verify_export(directory: Path, public_keys: Sequence[Ed25519PublicKey] = ()) -> Verification:
    """Hash every file of an exported directory against its statement, and check the signature.

    README.md is not covered: people edit it on the hub.

    Args:
        directory: as exported, or as downloaded from the hub with `hf download --local-dir`.
        public_keys: one of these must have signed. None: a signature is reported and not checked.

    Raises:
        InputError: it is no directory, has no statement, or holds a link or special file.
        IntegrityError: its statement cannot be read as one.

    Example:
        >>> from provenance.export import export
        >>> export(registry, registry.models.get("tiny-reasoner@champion"), Path("exported"))
        5
        >>> found = verify_export(Path("exported"))
        >>> found.model, found.files, found.signature, found.problems
        ('tiny-reasoner@v2', 2, 'none', [])
    """
    found = {name: path for name, path in walk(directory) if not name.startswith(LEFT_BY_THE_HUB)}
    if STATEMENT not in found:
        raise InputError(
            f"{directory}: has no {STATEMENT}, so it is not an export. "
            "Make one with: hallmark models export NAME@vN DIR"
        )
    try:
        return _verified(found, public_keys)
    except IntegrityError as error:
        raise IntegrityError(f"{found[STATEMENT]}: {error}") from error


def _verified(found: Mapping[str, Path], public_keys: Sequence[Ed25519PublicKey]) -> Verification:
    document = read_document(found[STATEMENT])
    signature, keyids, problems = _signature(document, public_keys)
    statement = opened(document)
    expected = subjects(statement)
    problems += _differences(expected, found)
    problems += _metrics(statement, found)
    return Verification(_model(statement), len(expected), signature, keyids, problems)


def _model(statement: Mapping[str, Any]) -> str:
    try:
        about = statement["predicate"]["hallmark_version"]
        return f"{about['model']}@v{about['number']}"
    except (KeyError, TypeError) as error:
        raise IntegrityError("the statement does not say which version it is about") from error


def read_document(path: Path) -> Any:
    """The document in a statement file, which is one line of JSON.

    Raises:
        InputError: it cannot be read.
        IntegrityError: it is not JSON.
    """
    with open_for_reading(path) as file:
        try:
            data = file.read()
        except OSError as error:  # as of a device
            raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return parse_json(data.decode())
    except ValueError as error:
        raise IntegrityError(f"not one line of JSON: {error}") from error


def subjects(statement: Mapping[str, Any]) -> dict[str, str]:
    """The files that a statement is about: name -> sha256.

    Raises:
        IntegrityError: it is not a statement of this kind, or names a file twice.
    """
    if (statement.get("_type"), statement.get("predicateType")) != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise IntegrityError(f"not an in-toto statement of {PREDICATE_TYPE}")
    try:
        pairs = [(str(file["name"]), str(file["digest"]["sha256"])) for file in statement["subject"]]
    except (KeyError, TypeError) as error:
        raise IntegrityError("the statement's subject is not a list of names and sha256 digests") from error
    if not pairs or len(dict(pairs)) != len(pairs):
        raise IntegrityError("the statement's subject is empty or names a file twice")
    return dict(pairs)


def _signature(
    document: Any, public_keys: Sequence[Ed25519PublicKey]
) -> tuple[Literal["none", "not_checked", "valid", "invalid"], list[str], list[str]]:
    if not is_envelope(document) or not document.get("signatures"):
        return (
            "none",
            [],
            ["the statement is not signed, and a public key was given to check it with"]
            if public_keys
            else [],
        )
    keyids = key_ids(document)
    if not public_keys:
        return "not_checked", keyids, []
    try:
        verify_envelope(document, public_keys)
    except IntegrityError as error:
        return "invalid", keyids, [str(error)]
    return "valid", keyids, []


def _differences(expected: Mapping[str, str], found: Mapping[str, Path]) -> Iterator[str]:
    with byte_meter(
        "hash", sum(found[name].stat().st_size for name in expected.keys() & found.keys())
    ) as count:
        for name in sorted({*expected, *found} - WRITTEN):
            if name not in found:
                yield f"{name}: missing"
            elif name not in expected:
                yield f"{name}: added; the statement does not name it"
            elif (sha256 := sha256_file(found[name], count)) != expected[name]:
                yield f"{name}: changed: the statement says sha256 {expected[name]}, found {sha256}"


def _metrics(statement: Mapping[str, Any], found: Mapping[str, Path]) -> Iterator[str]:
    """metrics.json is among the statement's byproducts."""
    try:
        byproducts = statement["predicate"]["runDetails"]["byproducts"]
        expected = {str(file["name"]): str(file["digest"]["sha256"]) for file in byproducts}[METRICS]
    except (KeyError, TypeError) as error:
        raise IntegrityError(f"the statement does not name {METRICS} among its byproducts") from error
    if METRICS not in found:
        yield f"{METRICS}: missing"
    elif sha256_file(found[METRICS]) != expected:
        yield f"{METRICS}: changed: the statement says other numbers"
