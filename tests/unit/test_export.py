"""An export is whole, is what was judged, and says nothing that it should not; anybody can see that."""

from __future__ import annotations

import base64
import copy
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import provenance.export
from core.errors import HallmarkError
from provenance import stored_document
from provenance.export import export
from provenance.keys import load_public_key, make_key_pair
from provenance.verification import verify_export
from registry import Registry, open_registry
from tests.conftest import CommandLine
from tests.support.registry_entries import promoted

pytestmark = pytest.mark.unit

FILES = ["README.md", "config.json", "hallmark.intoto.jsonl", "metrics.json", "model.safetensors"]


@pytest.fixture
def version(home: Path, tmp_path: Path) -> str:
    """A registry with one version; its reference."""
    registry = open_registry(home, None)
    promoted(registry, tmp_path)
    registry.close()
    return "m@v1"


@pytest.fixture
def exported(version: str, hallmark: CommandLine, tmp_path: Path) -> Path:
    done = hallmark("models", "export", version, "out")
    assert done.returncode == 0, done.stderr
    return tmp_path / "out"


@pytest.fixture
def signed(home: Path, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A signed export, its key beside it, and its envelope."""
    registry = open_registry(home, None)
    export(registry, promoted(registry, tmp_path), tmp_path / "out", key=make_key_pair(tmp_path / "key"))
    registry.close()
    return tmp_path / "out", json.loads((tmp_path / "out" / "hallmark.intoto.jsonl").read_text())


def names(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*"))


def test_an_export_holds_the_model_its_card_its_statement_and_its_metrics(
    exported: Path, hallmark: CommandLine
) -> None:
    assert names(exported) == FILES
    assert (exported / "model.safetensors").read_text() == "weights"
    assert (exported / "README.md").read_text().startswith("---\n")
    metrics = json.loads((exported / "metrics.json").read_text())
    assert (metrics["model"], metrics["version"], metrics["metrics"][0]["value"]) == ("m", 1, 0.5)
    checked = hallmark("models", "verify-export", exported)
    assert checked.returncode == 0
    assert checked.stdout == "m@v1: 2 files are as the statement says; not signed\n"
    assert not list(exported.parent.glob(".out*"))


def test_the_statement_is_printed_shown_and_exported_the_same(exported: Path, hallmark: CommandLine) -> None:
    line = (exported / "hallmark.intoto.jsonl").read_text()
    assert hallmark("models", "statement", "m@champion").stdout == line
    shown = json.loads(hallmark("models", "show", "m@v1", "--json").stdout)
    assert (
        shown["statement"]
        == json.loads(line)
        == json.loads(hallmark("models", "statement", "m@v1", "--json").stdout)
    )


def test_the_same_version_is_exported_as_the_same_bytes(
    exported: Path, hallmark: CommandLine, tmp_path: Path
) -> None:
    assert json.loads(hallmark("models", "export", "m@v1", "again", "--json").stdout)["files"] == len(FILES)
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (exported / name).read_bytes()


def test_what_a_killed_export_left_is_removed_by_the_next(version: str, home: Path, tmp_path: Path) -> None:
    registry = open_registry(home)
    target = tmp_path / "exports" / "out"
    if (child := os.fork()) == 0:
        provenance.export._replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
        export(registry, registry.models.get(version), target)
    os.waitpid(child, 0)
    [left] = target.parent.iterdir()
    assert left.name.startswith(".out")
    export(registry, registry.models.get(version), target)
    assert list(target.parent.iterdir()) == [target]
    assert names(target) == FILES


def _link(directory: Path) -> None:
    (directory / "config.json").unlink()
    (directory / "config.json").symlink_to("/etc/hostname")


@pytest.mark.parametrize(
    ("change", "named", "code"),
    [
        (
            lambda out: (out / "model.safetensors").write_text("weightt"),
            "model.safetensors: changed: the statement says sha256 ",
            3,
        ),
        (lambda out: (out / "config.json").unlink(), "config.json: missing", 3),
        (lambda out: (out / "evil.py").write_text(""), "evil.py: added; the statement does not name it", 3),
        (lambda out: (out / "metrics.json").write_text("{}"), "metrics.json: changed", 3),
        (lambda out: (out / "metrics.json").unlink(), "metrics.json: missing", 3),
        (
            lambda out: (out / "hallmark.intoto.jsonl").write_text("{"),
            "hallmark.intoto.jsonl: not one line of JSON",
            3,
        ),
        (
            lambda out: (out / "hallmark.intoto.jsonl").write_text("[]"),
            "neither an in-toto statement nor a DSSE envelope",
            3,
        ),
        (
            lambda out: (out / "hallmark.intoto.jsonl").write_text('{"_type":"x"}'),
            "not an in-toto statement of https://slsa.dev",
            3,
        ),
        (
            lambda out: (out / "hallmark.intoto.jsonl").unlink(),
            "has no hallmark.intoto.jsonl, so it is not an export",
            2,
        ),
        (_link, "config.json: a link or special file is refused", 2),
        (shutil.rmtree, "not a directory", 2),
    ],
)
def test_what_is_not_as_exported_is_named(
    change: Callable[[Path], object], named: str, code: int, exported: Path, hallmark: CommandLine
) -> None:
    change(exported)
    checked = hallmark("models", "verify-export", exported)
    assert named in checked.stdout + checked.stderr
    assert checked.returncode == code


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_the_statement_holds_the_answer_is_a_sentence(
    data: st.DataObject, signed: tuple[Path, dict[str, Any]]
) -> None:
    out, envelope = signed
    statement = json.loads(base64.b64decode(envelope["payload"]))
    document = copy.deepcopy(data.draw(st.sampled_from([envelope, statement])))
    inner: Any = document
    while True:
        key = data.draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
        if not isinstance(inner[key], dict | list) or not inner[key] or data.draw(st.booleans()):
            break
        inner = inner[key]
    inner[key] = data.draw(JSON)
    (out / "hallmark.intoto.jsonl").write_text(json.dumps(document))
    try:
        found = verify_export(out, [load_public_key(out.parent / "key.pub")])
    except HallmarkError:
        return
    assert found.problems or document == envelope or "keyid" in str(key)


def test_the_card_may_be_edited_and_the_hub_may_add_its_own_files(
    exported: Path, hallmark: CommandLine
) -> None:
    (exported / "README.md").write_text("edited on the hub")
    (exported / ".gitattributes").write_text("*.safetensors filter=lfs")
    (exported / ".cache" / "huggingface").mkdir(parents=True)
    (exported / ".cache" / "huggingface" / "x.metadata").write_text("")
    assert hallmark("models", "verify-export", exported).returncode == 0


def test_a_signed_export_is_checked_with_the_public_key(
    version: str, hallmark: CommandLine, tmp_path: Path
) -> None:
    password = {"HALLMARK_SIGNING_KEY_PASSWORD": "a password"}
    keyid = json.loads(hallmark("models", "keygen", "key", "--json", **password).stdout)["keyid"]
    assert hallmark("models", "keygen", "other").returncode == 0
    signing = {"HALLMARK_SIGNING_KEY": str(tmp_path / "key"), **password}
    assert hallmark("models", "export", version, "out", **signing).returncode == 0
    assert "signed, it says, by " in hallmark("models", "verify-export", "out").stdout
    found = json.loads(hallmark("models", "verify-export", "out", "--public-key", "key.pub", "--json").stdout)
    assert (found["signature"], found["keyids"], found["problems"]) == ("valid", [keyid], [])
    other = hallmark("models", "verify-export", "out", "--public-key", "other.pub")
    assert other.returncode == 3
    assert "the signature is not one of" in other.stdout
    refused = hallmark("models", "export", version, "second", HALLMARK_SIGNING_KEY=str(tmp_path / "key"))
    assert (refused.returncode, (tmp_path / "second").exists()) == (2, False)


def test_an_unsigned_export_does_not_pass_where_a_signature_is_asked_for(
    exported: Path, hallmark: CommandLine
) -> None:
    hallmark("models", "keygen", "key")
    checked = hallmark("models", "verify-export", exported, "--public-key", "key.pub")
    assert checked.returncode == 3
    assert "the statement is not signed" in checked.stdout


def test_only_an_earlier_export_is_replaced_and_only_by_force(
    exported: Path, hallmark: CommandLine, tmp_path: Path
) -> None:
    (exported / "note").write_text("mine")
    refused = hallmark("models", "export", "m@v1", exported)
    assert (refused.returncode, (exported / "note").exists()) == (2, True)
    assert "is not empty" in refused.stderr
    assert hallmark("models", "export", "m@v1", exported, "--force").returncode == 0
    assert names(exported) == FILES
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note").write_text("mine")
    assert hallmark("models", "export", "m@v1", "mine", "--force").returncode == 2
    assert (tmp_path / "mine" / "note").read_text() == "mine"


def test_damaged_weights_are_not_exported(
    version: str, hallmark: CommandLine, home: Path, tmp_path: Path
) -> None:
    for path in home.rglob("model.safetensors"):
        path.chmod(0o644)
        path.write_text("weightt")
    assert hallmark("models", "export", version, "out").returncode == 3
    assert not (tmp_path / "out").exists()


def test_no_secret_of_the_environment_is_in_an_export(
    version: str, hallmark: CommandLine, tmp_path: Path
) -> None:
    secrets = {
        name: f"secret-{name}"
        for name in ("HF_TOKEN", "HALLMARK_SIGNING_KEY_PASSWORD", "AWS_SECRET_ACCESS_KEY")
    }
    secrets |= {
        "HALLMARK_NOTIFY_URL": "https://hooks.example.org/secret-hook",
        "USER": "secret-user",
        "LOGNAME": "secret-user",
    }
    assert hallmark("models", "keygen", "key", **secrets).returncode == 0
    done = hallmark("models", "export", version, "out", HALLMARK_SIGNING_KEY=str(tmp_path / "key"), **secrets)
    assert done.returncode == 0, done.stderr
    shown = hallmark("models", "statement", version, **secrets)
    files = [path.read_text() for path in (tmp_path / "out").rglob("*")]
    for text in (*files, done.stdout, shown.stdout):
        assert "secret" not in text
    for text in files:
        assert str(tmp_path) not in text


def test_the_registrys_password_is_not_in_an_export(
    registry: Registry, registry_url: str | None, home: Path, tmp_path: Path
) -> None:
    version = promoted(registry, tmp_path)
    if registry_url is not None:
        registry = open_registry(home, registry_url.replace("postgres:@", "postgres:secret-password@"))
        assert "secret-password" in registry.database.engine.url.render_as_string(hide_password=False)
    export(registry, version, tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if "secret-password" in path.read_text()]
    assert stored_document(registry, version) == json.loads(
        (tmp_path / "out" / "hallmark.intoto.jsonl").read_text()
    )
    registry.close()
