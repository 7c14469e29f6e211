"""Signing a statement: the DSSE envelope, version 1.

Formats: https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md and envelope.md beside it;
in-toto's use of it: https://github.com/in-toto/attestation/blob/main/spec/v1/envelope.md.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from core.errors import IntegrityError
from core.files import canonical_json, parse_json
from provenance.keys import SigningKey, key_id

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
HEAD_PAYLOAD_TYPE = "application/vnd.hallmark.head+json"
"""Media type of the end of the audit log; see `provenance.head`."""


def pae(payload_type: str, payload: bytes) -> bytes:
    """The Pre-Authentication Encoding: the bytes that are signed, which no other type and payload have."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(statement: Mapping[str, Any], key: SigningKey, payload_type: str = PAYLOAD_TYPE) -> dict[str, Any]:
    """A statement in a signed envelope. The same statement and key give the same envelope.

    Args:
        statement: or another document whose field `_type` says what it is.
        key: signs it.
        payload_type: media type of such a document.
    """
    payload = canonical_json(statement).encode()
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [
            {"keyid": key.keyid, "sig": base64.b64encode(key.sign(pae(payload_type, payload))).decode()}
        ],
    }


def is_envelope(document: Any) -> bool:
    """Whether a document is an envelope, and not a bare statement."""
    return isinstance(document, dict) and "payload" in document


def key_ids(document: Mapping[str, Any]) -> list[str]:
    """The key ids that an envelope claims; nothing vouches for them."""
    return [
        signature["keyid"] for signature in _signatures(document) if isinstance(signature.get("keyid"), str)
    ]


def opened(document: Any) -> dict[str, Any]:
    """The statement of a document, which is a statement or an envelope, without looking at any signature.

    Raises:
        IntegrityError: it is neither.
    """
    statement = _parsed(_payload(document)) if is_envelope(document) else document
    if not isinstance(statement, dict) or "_type" not in statement:
        raise IntegrityError("neither an in-toto statement nor a DSSE envelope of one")
    return statement


def verify_envelope(envelope: Mapping[str, Any], public_keys: Sequence[Ed25519PublicKey]) -> dict[str, Any]:
    """The statement of an envelope that at least one of the given keys signed, from the very bytes signed.

    Args:
        envelope: as read.
        public_keys: the trusted keys. The envelope's own key ids are hints that nothing here relies on.

    Raises:
        IntegrityError: no given key signed these bytes, or it is not an envelope of a statement.

    Example:
        >>> from provenance.keys import load_public_key, make_key_pair
        >>> envelope = sign({"_type": "https://in-toto.io/Statement/v1"}, make_key_pair(Path("signing.pem")))
        >>> verify_envelope(envelope, [load_public_key(Path("signing.pem.pub"))])
        {'_type': 'https://in-toto.io/Statement/v1'}
    """
    payload = _payload(envelope)
    signed = pae(envelope["payloadType"], payload)
    signatures = [_decoded(entry.get("sig"), "sig") for entry in _signatures(envelope)]
    if not any(_fits(key, signature, signed) for key in public_keys for signature in signatures):
        claimed = ", ".join(keyid[:16] for keyid in key_ids(envelope)) or "nobody"
        wanted = ", ".join(key_id(key)[:16] for key in public_keys) or "no key"
        raise IntegrityError(
            f"the signature is not one of {wanted} over this statement; "
            f"the envelope says that it was signed by {claimed}"
        )
    return opened(_parsed(payload))


Signature = Literal["none", "unsigned", "other", "invalid", "valid"]
"""What is known of a document's signature.

- none: it is not signed, and nobody asked for that.
- unsigned: it is not signed, and a public key was given to check it with.
- other: by a key that is neither given nor the configured one, so it was not checked.
- invalid, valid: it was checked.
"""


def signature_of(
    document: Any, public_keys: Sequence[Ed25519PublicKey], own: SigningKey | None = None
) -> Signature:
    """Check the signature of a document as far as there is a key for it.

    Args:
        document: a statement, or an envelope.
        public_keys: one of these must have signed.
        own: the configured key, for where none is given. What other keys signed is not checked then, since
            keys change.
    """
    if not is_envelope(document):
        return "unsigned" if public_keys else "none"
    if not public_keys and (own is None or own.keyid not in key_ids(document)):
        return "other"
    try:
        verify_envelope(document, public_keys or ([own.public] if own else []))
    except IntegrityError:
        return "invalid"
    return "valid"


def _signatures(envelope: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = envelope.get("signatures")
    return (
        [signature for signature in found if isinstance(signature, dict)] if isinstance(found, list) else []
    )


def _fits(key: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _payload(envelope: Mapping[str, Any]) -> bytes:
    if envelope.get("payloadType") not in (PAYLOAD_TYPE, HEAD_PAYLOAD_TYPE):
        raise IntegrityError(f"the envelope's payloadType is not {PAYLOAD_TYPE}")
    return _decoded(envelope.get("payload"), "payload")


def _decoded(text: Any, name: str) -> bytes:
    """Base64, standard or URL-safe: DSSE lets the signer choose."""
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (AttributeError, ValueError, binascii.Error) as error:
        raise IntegrityError(f"the envelope's {name} is not base64") from error


def _parsed(payload: bytes) -> Any:
    try:
        return parse_json(payload.decode())
    except ValueError as error:
        raise IntegrityError("the envelope's payload is not JSON") from error
