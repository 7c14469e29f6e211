"""The end of the audit log, kept outside of the registry: written to a file, signed, and read again.

Whoever can write to the database can write all of it again with new hashes, and nothing inside it shows that.
A head that was kept elsewhere does: the log up to it must still have that hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InputError, IntegrityError
from core.files import atomic_writer, canonical_json
from provenance.files import STATEMENT
from provenance.keys import SigningKey
from provenance.signing import HEAD_PAYLOAD_TYPE, opened, sign, signature_of
from provenance.statement import DOCUMENTATION, STATEMENT_TYPE
from provenance.verification import read_document
from registry.audit import Head

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

LONGEST = 200
"""Characters of a name that a sentence quotes."""

HEAD_TYPE = f"{DOCUMENTATION}#head-v1"


def is_there(path: Path) -> bool:
    """Whether there is such a file or directory; there is none of a name that no file can have."""
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or with the character NUL
        return False


def write_head_file(path: Path, head: Head, key: SigningKey | None) -> None:
    """Write a head to a file, atomically, as one line of JSON.

    Args:
        path: the file; one that is there is replaced.
        head: from `registry.registry.Registry.head`.
        key: signs it, as a DSSE envelope; None leaves it unsigned.

    Raises:
        ResourceError: it cannot be written.
    """
    document: dict[str, Any] = {"_type": HEAD_TYPE, "rows": head.rows, "sha256": head.sha256}
    if key is not None:
        document = sign(document, key, HEAD_PAYLOAD_TYPE)
    with atomic_writer(path) as file:
        file.write(canonical_json(document).encode() + b"\n")


def read_head(text: str, public_keys: Sequence[Ed25519PublicKey] = (), own: SigningKey | None = None) -> Head:
    """A head that was kept outside.

    Args:
        text: N:HASH, a file of `write_head_file`, the statement of an export, or an export's directory.
        public_keys: one of these must have signed the file.
        own: the configured key; what it is said to have signed is checked.

    Raises:
        InputError: there is no such file, or it holds no head.
        IntegrityError: the signature does not hold, or there is none and a public key was given.

    Example:
        >>> read_head(str(registry.head())) == registry.head()
        True
    """
    path = Path(text)
    if not is_there(path):
        if ":" in text and "/" not in text:
            return Head.parse(text)
        shown = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
        raise InputError(f"{shown}: no such file, and not of the form N:HASH")
    path = path / STATEMENT if path.is_dir() else path
    try:
        document = read_document(path)
    except IntegrityError as error:
        raise InputError(f"{path}: {error}") from error
    signature = signature_of(document, public_keys, own)
    if signature == "unsigned":
        raise IntegrityError(f"{path}: is not signed, and a public key was given to check it with")
    if signature == "invalid":
        raise IntegrityError(f"{path}: its signature is not one of the keys that were given")
    try:
        return _head(opened(document))
    except (IntegrityError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: holds no head of an audit log. hallmark verify --write-head FILE writes one; the "
            "statements of exports hold one since versions have it."
        ) from error


def _head(document: dict[str, Any]) -> Head:
    kind = document["_type"]
    if kind not in (HEAD_TYPE, STATEMENT_TYPE):
        raise ValueError(kind)
    found = document if kind == HEAD_TYPE else document["predicate"]["hallmark_log"]
    return Head.parse(f"{found['rows']}:{found['sha256']}")
