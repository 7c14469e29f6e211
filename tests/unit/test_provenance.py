"""The statement about a model version: what in-toto and SLSA readers expect, the same every time, and nothing
of this machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement

from core.errors import InputError
from core.files import canonical_json, sha256_bytes
from provenance import attest
from provenance.attestation import decision_of
from provenance.card_data import hub_model
from provenance.files import FileEntry, entries
from provenance.public import public, public_model
from registry import Head, ModelVersion, Registry, Run, open_registry
from tests.support.registry_entries import DECISION, digest, manifest, promoted

pytestmark = pytest.mark.unit

HEAD = Head(41, digest("the entries before"))


@pytest.fixture
def opened(home: Path) -> Iterator[Registry]:
    registry = open_registry(home, None)
    yield registry
    registry.close()


def made(registry: Registry, folder: Path, **changes: Any) -> tuple[dict[str, Any], ModelVersion, Run]:
    """A statement and the rows it was made from."""
    version = promoted(registry, folder, **changes)
    run = registry.runs.get(version.run_id)
    files = entries(registry.artifacts.get(version.weights_sha256))
    return attest(version, run, decision_of(registry, version), files, HEAD, None), version, run


def test_a_statement_is_read_by_the_parsers_of_in_toto(opened: Registry, tmp_path: Path) -> None:
    statement, _, run = made(opened, tmp_path)
    parsed = json_format.ParseDict(statement, statement_pb2.Statement())  # refuses unknown names
    Statement.copy_from_pb(parsed).validate()
    predicate = {
        name: value for name, value in statement["predicate"].items() if not name.startswith("hallmark_")
    }
    provenance = json_format.ParseDict(predicate, provenance_pb2.Provenance())
    for descriptor in (
        *provenance.build_definition.resolved_dependencies,
        *provenance.run_details.byproducts,
    ):
        ResourceDescriptor.copy_from_pb(descriptor).validate()
        assert descriptor.digest
    assert provenance.run_details.metadata.invocation_id == run.run_id
    assert (
        provenance.run_details.metadata.started_on.ToDatetime()
        < provenance.run_details.metadata.finished_on.ToDatetime()
    )
    assert predicate["runDetails"]["metadata"]["startedOn"].endswith("Z")
    assert {name for name in statement["predicate"] if "_" in name} == {
        "hallmark_version",
        "hallmark_evaluation",
        "hallmark_decision",
        "hallmark_log",
    }


def test_a_statement_names_every_file_but_those_that_an_export_writes(
    opened: Registry, tmp_path: Path
) -> None:
    statement, _, _ = made(opened, tmp_path)
    assert statement["subject"] == [
        {"name": "config.json", "digest": {"sha256": sha256_bytes(b"{}")}},
        {"name": "model.safetensors", "digest": {"sha256": sha256_bytes(b"weights")}},
    ]


def test_a_statement_names_every_input_by_its_digest(opened: Registry, tmp_path: Path) -> None:
    statement, _, _ = made(opened, tmp_path)
    definition = statement["predicate"]["buildDefinition"]
    found = {dependency["name"]: dependency["digest"] for dependency in definition["resolvedDependencies"]}
    assert found == {
        "tiny-base": {"sha256": digest("parent")},
        "sample-v1": {"sha256": digest("sample")},
        "train-v1": {"sha256": digest("train")},
        "uv.lock": {"sha256": digest("lock")},
        "hallmark": {"gitCommit": "ab" * 20},
    }
    assert definition["externalParameters"]["training"]["steps"] == 200
    assert not definition["externalParameters"].keys() & definition["internalParameters"].keys()
    assert "bands" not in canonical_json(statement)


def test_a_statement_holds_scores_judge_and_decision(opened: Registry, tmp_path: Path) -> None:
    statement, version, _ = made(opened, tmp_path)
    predicate = statement["predicate"]
    assert DECISION.items() <= predicate["hallmark_decision"].items()
    assert predicate["hallmark_decision"]["against"] == "base-run"
    assert predicate["hallmark_evaluation"]["judge"] == {"name": "answer_correctness@v1", "fingerprint": "f"}
    assert predicate["hallmark_evaluation"]["metrics"][0] == version.metrics[0]
    assert predicate["hallmark_version"]["contentSha256"] == version.content_sha256


def test_the_same_rows_give_the_same_bytes_in_any_order_of_files(opened: Registry, tmp_path: Path) -> None:
    statement, version, run = made(opened, tmp_path)
    files = entries(opened.artifacts.get(version.weights_sha256))
    again = attest(version, run, statement["predicate"]["hallmark_decision"], files[::-1], HEAD, None)
    assert canonical_json(again) == canonical_json(statement)


def test_no_place_on_this_machine_is_in_a_statement(opened: Registry, tmp_path: Path) -> None:
    recorded = manifest(reference="/home/someone/models/foo/", dataset="/home/someone/data/train-v1.jsonl")
    statement, _, _ = made(
        opened,
        tmp_path,
        base_model="/home/someone/models/foo/",
        manifest=recorded,
    )
    text = canonical_json(statement)
    assert "someone" not in text
    assert str(tmp_path) not in text
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["baseModel"] == "foo"
    assert definition["internalParameters"]["switches"] == {
        "XLA_FLAGS": "--xla_dump_to=dump --xla_gpu_deterministic_ops=true"
    }


def test_a_hub_model_is_named_by_its_package_url_and_a_registered_one_by_its_version(
    opened: Registry, tmp_path: Path
) -> None:
    statement, _, _ = made(opened, tmp_path, manifest=manifest("Qwen/Qwen3-0.6B@main", "c0ffee"))
    assert (
        statement["predicate"]["buildDefinition"]["resolvedDependencies"][0]["uri"]
        == "pkg:huggingface/Qwen/Qwen3-0.6B@c0ffee"
    )
    assert hub_model(statement) == "Qwen/Qwen3-0.6B"
    registered, _, _ = made(
        opened, tmp_path, content="other", manifest=manifest("registry:m@champion", "m@v1")
    )
    assert registered["predicate"]["buildDefinition"]["resolvedDependencies"][0]["uri"] == "registry:m@v1"


def test_a_run_that_recorded_little_still_has_a_statement(opened: Registry, tmp_path: Path) -> None:
    statement, _, _ = made(opened, tmp_path, manifest={"seed": 0})
    names = [
        dependency["name"] for dependency in statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    ]
    assert names == ["tiny-base", "sample-v1"]
    json_format.ParseDict(statement, statement_pb2.Statement())


def test_a_model_without_files_has_no_statement(opened: Registry, tmp_path: Path) -> None:
    _, version, run = made(opened, tmp_path)
    with pytest.raises(InputError, match="m v1: has no file"):
        attest(version, run, DECISION, [FileEntry("README.md", 1, digest("a"))], HEAD, None)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("/home/x/models/foo", "foo"),
        ("~/models/foo/", "foo"),
        ("/home/some user/foo", "foo"),
        ("file:///home/x/foo", "foo"),
        ("--dump=/home/x/a --other=1", "--dump=a --other=1"),
        ("s3://key:secret@bucket/a/b", "s3://bucket/a/b"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("0/1 scores", "0/1 scores"),
        (["/a/b", {"c": "/d/e"}, 1, None], ["b", {"c": "e"}, 1, None]),
    ],
)
def test_paths_are_cut_to_names_and_sign_ins_are_gone(value: Any, shown: Any) -> None:
    assert public(value) == shown
    assert public(json.loads(json.dumps(shown))) == shown


@pytest.mark.parametrize(
    ("reference", "revision", "shown"),
    [
        ("models/foo", None, "foo"),
        ("../foo/", None, "foo"),
        ("Qwen/Qwen3-0.6B", "c0ffee", "Qwen/Qwen3-0.6B"),
        ("Qwen/Qwen3-0.6B@main", "c0ffee", "Qwen/Qwen3-0.6B"),
        ("registry:m@champion", "m@v3", "registry:m@champion"),
    ],
)
def test_a_directory_is_called_by_its_last_part_only(
    reference: str, revision: str | None, shown: str
) -> None:
    assert public_model(reference, revision) == shown
