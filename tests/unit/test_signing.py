"""Signed statements: others' tools can check them, and a changed byte or another key is noticed."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from core.errors import InputError, IntegrityError
from core.files import canonical_json
from core.settings import Settings
from provenance.keys import (
    SigningKey,
    configured_key,
    key_id,
    load_public_key,
    load_signing_key,
    make_key_pair,
)
from provenance.signing import PAYLOAD_TYPE, pae, sign, verify_envelope

pytestmark = pytest.mark.unit

STATEMENT = {"_type": "https://in-toto.io/Statement/v1", "text": "é"}


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return make_key_pair(tmp_path / "key")


def test_the_encoding_is_that_of_the_specifications_test_vector() -> None:
    assert (
        pae("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@given(st.text(), st.binary(), st.text(), st.binary())
def test_type_and_payload_can_be_told_apart_in_what_is_signed(
    kind: str, payload: bytes, other: str, others: bytes
) -> None:
    assert pae(kind, payload) == Envelope(payload, kind, {}).pae()
    assert (pae(kind, payload) == pae(other, others)) == ((kind, payload) == (other, others))


def test_another_implementation_verifies_our_envelope(key: SigningKey, tmp_path: Path) -> None:
    envelope = sign(STATEMENT, key)
    public = SSlibKey.from_crypto(load_public_key(tmp_path / "key.pub"), key.keyid)
    read = Envelope.from_dict(dict(envelope))
    assert list(read.verify([public], 1)) == [key.keyid]
    assert read.payload == canonical_json(STATEMENT).encode()
    assert read.payload_type == PAYLOAD_TYPE


def test_the_same_statement_and_key_give_the_same_envelope(key: SigningKey, tmp_path: Path) -> None:
    assert sign(STATEMENT, key) == sign(dict(reversed(STATEMENT.items())), load_signing_key(tmp_path / "key"))
    assert verify_envelope(sign(STATEMENT, key), [load_public_key(tmp_path / "key.pub")]) == STATEMENT


def _payload(envelope: dict[str, Any]) -> None:
    envelope["payload"] = base64.b64encode(canonical_json({**STATEMENT, "text": "e"}).encode()).decode()


def _signature(envelope: dict[str, Any]) -> None:
    signature = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
    signature[0] ^= 1
    envelope["signatures"][0]["sig"] = base64.b64encode(signature).decode()


def _type(envelope: dict[str, Any]) -> None:
    envelope["payloadType"] = "application/json"


@pytest.mark.parametrize(
    "change",
    [
        _payload,
        _signature,
        _type,
        lambda envelope: envelope.update(signatures=[]),
        lambda envelope: envelope.pop("signatures"),
        lambda envelope: envelope.update(payload="not base64!"),
        lambda envelope: envelope.update(payload=7),
        lambda envelope: envelope["signatures"][0].pop("sig"),
    ],
)
def test_a_changed_envelope_is_refused(change: Any, key: SigningKey, tmp_path: Path) -> None:
    envelope = sign(STATEMENT, key)
    change(envelope)
    with pytest.raises(IntegrityError):
        verify_envelope(envelope, [load_public_key(tmp_path / "key.pub")])


def test_another_key_is_refused_whatever_key_id_the_envelope_claims(key: SigningKey, tmp_path: Path) -> None:
    other = make_key_pair(tmp_path / "other")
    envelope = sign(STATEMENT, key)
    envelope["signatures"][0]["keyid"] = other.keyid
    with pytest.raises(IntegrityError, match=f"the signature is not one of {other.keyid[:16]}"):
        verify_envelope(envelope, [load_public_key(tmp_path / "other.pub")])
    keys = [load_public_key(tmp_path / name) for name in ("other.pub", "key.pub")]
    assert verify_envelope(envelope, keys) == STATEMENT


def test_url_safe_base64_is_read_too(key: SigningKey, tmp_path: Path) -> None:
    envelope = sign({**STATEMENT, "text": "?>?>~~"}, key)
    for holder, name in ((envelope, "payload"), (envelope["signatures"][0], "sig")):
        holder[name] = holder[name].replace("+", "-").replace("/", "_")
    assert verify_envelope(envelope, [load_public_key(tmp_path / "key.pub")])["text"] == "?>?>~~"


def test_a_new_private_key_is_for_its_owner_only_and_never_overwritten(
    key: SigningKey, tmp_path: Path
) -> None:
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert (
        key_id(load_public_key(tmp_path / "key.pub")) == key.keyid == load_signing_key(tmp_path / "key").keyid
    )
    with pytest.raises(InputError, match="exists, and a key is never overwritten"):
        make_key_pair(tmp_path / "key")


def test_a_private_key_that_others_can_read_is_refused_with_the_remedy(
    key: SigningKey, tmp_path: Path
) -> None:
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(InputError, match=rf"open to others \(mode 0644\). Run: chmod 600 {tmp_path / 'key'}"):
        load_signing_key(tmp_path / "key")


def test_an_encrypted_key_needs_its_password(tmp_path: Path) -> None:
    made = make_key_pair(tmp_path / "locked", "a password")
    assert load_signing_key(tmp_path / "locked", "a password").keyid == made.keyid
    for password, message in (
        (None, "is encrypted. Set HALLMARK_SIGNING_KEY_PASSWORD"),
        ("wrong", "the password is wrong"),
    ):
        with pytest.raises(InputError, match=message):
            load_signing_key(tmp_path / "locked", password)


def test_what_is_not_an_ed25519_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rsa"
    key = rsa.generate_private_key(65537, 2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for data, message in (
        (key.private_bytes(*form), "not an Ed25519 key"),
        (b"nothing", "not a private key in PEM form"),
    ):
        path.write_bytes(data)
        path.chmod(0o600)
        with pytest.raises(InputError, match=message):
            load_signing_key(path)
        with pytest.raises(InputError, match="not a public key in PEM form"):
            load_public_key(path)
    with pytest.raises(InputError, match="no such file"):
        load_signing_key(tmp_path / "none")


def test_the_key_is_the_one_that_the_environment_names(
    key: SigningKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HALLMARK_SIGNING_KEY", "")
    assert configured_key() is None
    monkeypatch.setenv("HALLMARK_SIGNING_KEY", str(tmp_path / "key"))
    monkeypatch.setenv("HALLMARK_SIGNING_KEY_PASSWORD", "a password")
    found = configured_key()
    assert found is not None
    assert found.keyid == key.keyid
    assert "a password" not in repr(Settings())
