"""Ed25519 keys in PEM files: made, read, and refused where others could have read them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import InputError
from core.files import atomic_writer, open_for_reading, sha256_bytes
from core.settings import Settings, get_settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

OPEN_TO_OTHERS = 0o037
"""Permission bits that a private key must not have. A group may read it, as containers mount secrets so."""


@dataclass(frozen=True)
class SigningKey:
    """A private key.

    Attributes:
        keyid: sha256 of the public key (DER, SubjectPublicKeyInfo), by which readers find it.
    """

    private: Ed25519PrivateKey = field(repr=False)
    keyid: str

    @property
    def public(self) -> Ed25519PublicKey:
        """Its public half."""
        return self.private.public_key()

    def sign(self, data: bytes) -> bytes:
        """The signature of some bytes (RFC 8032); the same bytes have the same signature."""
        return self.private.sign(data)


def key_id(key: Ed25519PublicKey) -> str:
    """The sha256 of a public key's DER form."""
    from cryptography.hazmat.primitives import serialization

    return sha256_bytes(
        key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def configured_key(settings: Settings | None = None) -> SigningKey | None:
    """The key that HALLMARK_SIGNING_KEY names; None where it is not set.

    Raises:
        InputError: see `load_signing_key`.
    """
    settings = settings or get_settings()
    if settings.signing_key is None or not settings.signing_key.name:  # an empty variable is no key
        return None
    return load_signing_key(settings.signing_key, settings.signing_key_password)


def load_signing_key(path: Path, password: str | None = None) -> SigningKey:
    """Read a private key.

    Args:
        path: a PEM file (PKCS #8).
        password: of an encrypted key.

    Raises:
        InputError: it is missing, open to others, encrypted with another password, or not an Ed25519 key.

    Example:
        >>> key = make_key_pair(Path("signing.pem"))
        >>> load_signing_key(Path("signing.pem")).keyid == key.keyid
        True
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    data = _read(path)
    if (mode := path.stat().st_mode & 0o777) & OPEN_TO_OTHERS:
        raise InputError(
            f"{path}: the private key is open to others (mode {mode:04o}). Run: chmod 600 {path}"
        )
    encrypted = b"ENCRYPTED" in data
    if encrypted and not password:
        raise InputError(f"{path}: the private key is encrypted. Set HALLMARK_SIGNING_KEY_PASSWORD.")
    try:
        key = serialization.load_pem_private_key(data, password.encode() if encrypted and password else None)
    except Exception as error:  # the library raises half a dozen kinds, some of them its own
        wrong = "the password is wrong, or it is damaged" if encrypted else "not a private key in PEM form"
        raise InputError(f"{path}: {wrong}. Make one with: hallmark models keygen PATH") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{path}: not an Ed25519 key. Make one with: hallmark models keygen PATH")
    return SigningKey(key, key_id(key.public_key()))


def load_public_key(path: Path) -> Ed25519PublicKey:
    """Read a public key, a PEM file (SubjectPublicKeyInfo).

    Raises:
        InputError: it is missing or not an Ed25519 public key.

    Example:
        >>> key = make_key_pair(Path("signing.pem"))
        >>> key_id(load_public_key(Path("signing.pem.pub"))) == key.keyid
        True
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    data = _read(path)
    try:
        key = serialization.load_pem_public_key(data)
    except Exception as error:  # see above
        raise InputError(
            f"{path}: not a public key in PEM form. It begins with -----BEGIN PUBLIC KEY-----"
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(f"{path}: not an Ed25519 key")
    return key


def make_key_pair(path: Path, password: str | None = None) -> SigningKey:
    """Write a new private key (mode 0600) to a file, and its public key beside it as `PATH.pub`.

    Args:
        path: of the private key.
        password: encrypts it.

    Raises:
        InputError: one of the files exists.
        ResourceError: they cannot be written.

    Example:
        >>> key = make_key_pair(Path("signing.pem"), password="a long one")
        >>> len(key.keyid)
        64
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public_path = path.with_name(f"{path.name}.pub")
    for existing in (path, public_path):
        if os.path.lexists(existing):
            raise InputError(f"{existing}: exists, and a key is never overwritten. Name another file.")
    key = Ed25519PrivateKey.generate()
    encryption = (
        serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    )
    with atomic_writer(path, mode=0o600) as file:
        file.write(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        )
    with atomic_writer(public_path) as file:
        file.write(
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
    return SigningKey(key, key_id(key.public_key()))


def _read(path: Path) -> bytes:
    with open_for_reading(path) as file:
        return file.read(1 << 16)
