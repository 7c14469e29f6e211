"""Row 28: a statement that the rows do not give is never signed or exported, and verify names it."""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.files import canonical_json, sha256_json
from evaluation.gate import GateConfig
from experiments.promoting import promote_run
from provenance.head import HEAD_TYPE
from provenance.keys import load_public_key, load_signing_key, make_key_pair
from provenance.signing import opened, sign, verify_envelope
from registry import Registry, open_registry
from tests.conftest import CommandLine
from tests.faults.test_older_homes import ROWS, WEIGHTS, weights
from tests.faults.test_registry_upgrade import make_registry
from tests.support.recorded_runs import record_baseline, record_trained, right_for, workspace_at
from tests.support.refusals import assert_refused
from tests.support.registry_entries import edit

pytestmark = pytest.mark.unit

Document = dict[str, Any]


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two homes with a champion each, one of them signed, and two keys."""
    folder = tmp_path_factory.mktemp("homes")
    with pytest.MonkeyPatch.context() as environment:
        for name in ("key", "other"):
            make_key_pair(folder / name)
        for name in ("unsigned", "signed"):
            if name == "signed":
                environment.setenv("HALLMARK_SIGNING_KEY", str(folder / "key"))
            workspace = workspace_at(folder / name)
            record_baseline(workspace, right_for(0.4))
            run = record_trained(workspace, right_for(0.6), "better")
            promote_run(run.run_id, "support", GateConfig(), workspace)
            workspace.registry.close()
    return folder


def better(document: Document) -> Document:
    """The statement with a score that nobody measured."""
    changed: Document = json.loads(canonical_json(opened(document)))
    changed["predicate"]["hallmark_evaluation"]["metrics"][0]["value"] = 0.99
    return changed


def with_a_payload(document: Document, statement: Document) -> Document:
    payload = base64.b64encode(canonical_json(statement).encode()).decode()
    return {**document, "payload": payload}


def without_a_place(document: Document) -> Document:
    changed = json.loads(canonical_json(opened(document)))
    del changed["predicate"]["hallmark_log"]
    return changed


def replace_statement(registry: Registry, made: Callable[[Document], Document]) -> None:
    document = made(registry.models.attestation("support", 1) or {})
    text = canonical_json(document).replace("'", "''")
    edit(registry, f"UPDATE attestation SET document = '{text}', sha256 = '{sha256_json(document)}'")


def problems(done: Any) -> list[str]:
    return [str(problem) for problem in json.loads(done.stdout)["problems"] if "statement of" in problem]


def test_each_home_is_whole(homes: Path, hallmark: CommandLine) -> None:
    for name in ("unsigned", "signed"):
        done = hallmark("verify", "--json", HALLMARK_HOME=str(homes / name))
        assert (done.returncode, problems(done)) == (0, [])
        assert json.loads(done.stdout)["checked"]["statements"] == 1
    checked = hallmark("verify", "--public-key", homes / "key.pub", HALLMARK_HOME=str(homes / "signed"))
    assert checked.returncode == 0


@pytest.mark.parametrize("signer", [None, "key"])
def test_a_forged_statement_is_neither_exported_nor_signed(
    signer: str | None, homes: Path, home: Path, tmp_path: Path, hallmark: CommandLine
) -> None:
    shutil.copytree(homes / "unsigned", home)
    registry = open_registry(home)
    replace_statement(registry, better)
    registry.close()
    signing = {"HALLMARK_SIGNING_KEY": str(homes / signer)} if signer else {}
    forged = "statement of support v1: predicate.hallmark_evaluation.metrics[0].value is 0.99, but"
    assert_refused(hallmark("models", "export", "support@v1", "out", **signing), 3, forged)
    assert not (tmp_path / "out").exists()
    assert_refused(hallmark("models", "statement", "support@v1", **signing), 3, forged)
    done = hallmark("verify", "--json", **signing)
    assert done.returncode == 3
    assert [problem.startswith(forged) for problem in problems(done)] == [True]


@pytest.mark.parametrize(
    ("forge", "named"),
    [
        (lambda document, _: with_a_payload(document, better(document)), "metrics[0].value is 0.99"),
        (lambda document, keys: sign(better(document), keys["other"]), "metrics[0].value is 0.99"),
        (lambda document, keys: sign(better(document), keys["key"]), "metrics[0].value is 0.99"),
        (lambda document, keys: sign(opened(document), keys["other"]), "its signature does not hold"),
        (lambda document, _: without_a_place(document), "predicate.hallmark_log is absent"),
        (lambda document, _: {"payload": 1}, "cannot be made again"),
        (lambda document, _: {}, "cannot be made again"),
    ],
)
def test_a_signed_statement_is_checked_with_the_public_key(
    forge: Callable[[Document, Any], Document], named: str, homes: Path, home: Path, hallmark: CommandLine
) -> None:
    shutil.copytree(homes / "signed", home)
    keys = {name: load_signing_key(homes / name) for name in ("key", "other")}
    registry = open_registry(home)
    replace_statement(registry, lambda document: forge(document, keys))
    registry.close()
    done = hallmark("verify", "--json", "--public-key", homes / "key.pub")
    assert done.returncode == 3
    (problem,) = problems(done)
    assert named in problem


def test_a_statement_from_before_there_was_a_key_is_counted(
    homes: Path, home: Path, hallmark: CommandLine
) -> None:
    counts = []
    for name in ("signed", "unsigned"):
        done = hallmark(
            "verify", "--json", "--public-key", homes / "key.pub", HALLMARK_HOME=str(homes / name)
        )
        assert done.returncode == 0
        counts.append(json.loads(done.stdout)["checked"]["signed"])
    assert counts == [1, 0]


def test_what_the_configured_key_did_not_sign_is_found_where_it_says_so(
    homes: Path, home: Path, hallmark: CommandLine
) -> None:
    """Another key may have signed it once; one that is named must have."""
    shutil.copytree(homes / "signed", home)
    assert hallmark("verify", HALLMARK_SIGNING_KEY=str(homes / "other")).returncode == 0
    registry = open_registry(home)
    wrong = base64.b64encode(bytes(64)).decode()
    replace_statement(
        registry, lambda envelope: {**envelope, "signatures": [{**envelope["signatures"][0], "sig": wrong}]}
    )
    registry.close()
    done = hallmark("verify", "--json", HALLMARK_SIGNING_KEY=str(homes / "key"))
    assert problems(done) == ["statement of support v1: its signature does not hold"]


def test_a_deleted_statement_is_missing(homes: Path, home: Path, hallmark: CommandLine) -> None:
    shutil.copytree(homes / "signed", home)
    registry = open_registry(home)
    edit(registry, "DELETE FROM attestation")
    registry.close()
    done = hallmark("verify", "--json")
    assert done.returncode == 3
    assert problems(done)[0].startswith("statement of support v1: is missing")


def test_the_head_is_written_signed_for_others_to_keep(
    homes: Path, tmp_path: Path, hallmark: CommandLine
) -> None:
    at_home = {"HALLMARK_HOME": str(homes / "signed"), "HALLMARK_SIGNING_KEY": str(homes / "key")}
    printed = hallmark("verify", "--quick", "--write-head", "head.json", **at_home).stdout.splitlines()
    envelope = json.loads((tmp_path / "head.json").read_text())
    head = verify_envelope(envelope, [load_public_key(homes / "key.pub")])
    assert head["_type"] == HEAD_TYPE
    assert printed[-2:] == [f"log: {head['rows']} rows, head {head['sha256']}", "head.json: written"]
    kept = hallmark("verify", "--head", "head.json", "--public-key", homes / "key.pub", **at_home)
    assert kept.returncode == 0


def test_the_statement_of_a_version_names_the_log_before_it(homes: Path, hallmark: CommandLine) -> None:
    at_home = {"HALLMARK_HOME": str(homes / "unsigned")}
    statement = json.loads(hallmark("models", "statement", "support@v1", **at_home).stdout)
    log = statement["predicate"]["hallmark_log"]
    registry = open_registry(homes / "unsigned")
    assert log["rows"] < registry.head().rows
    registry.close()
    assert (
        hallmark("verify", "--quick", "--head", f"{log['rows']}:{log['sha256']}", **at_home).returncode == 0
    )


def test_an_upgrade_writes_the_statements_that_older_versions_lack(
    home: Path, tmp_path: Path, hallmark: CommandLine
) -> None:
    make_registry(home, None, "0003")
    with sqlite3.connect(home / "registry.db") as connection:
        (trigger,) = connection.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'attestation_no_delete'"
        ).fetchone()
        connection.execute("DROP TRIGGER attestation_no_delete")
        connection.execute("DELETE FROM attestation WHERE number = 2")
        connection.execute(trigger)
    store = open_registry(tmp_path / "other").artifacts
    for content in WEIGHTS:
        store.put(weights(tmp_path, content))
    shutil.copytree(tmp_path / "other" / "artifacts", home / "artifacts")
    done = hallmark("registry", "upgrade", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["statements_added"] == ["m v2"]
    assert json.loads(hallmark("registry", "upgrade", "--json").stdout)["statements_added"] == []
    registry = open_registry(home)
    (row,) = (row for row in ROWS["attestation"] if row["number"] == 2)
    assert registry.models.attestation("m", 2) == row["document"]
    registry.close()
    assert problems(hallmark("verify", "--json")) == []
