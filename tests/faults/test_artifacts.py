"""Rows 9, 18, 19, 28, 30 and 31 for artifacts: flipped bytes, kills, full disks, forged names, secrets, and
places that are away.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError, IntegrityError, ResourceError
from core.files import canonical_json, sha256_bytes, sha256_tree
from registry import Registry, open_registry
from registry.artifacts import garbage
from registry.artifacts.blobs import LocalBlobs
from registry.artifacts.old_layout import convert
from registry.artifacts.store import Store
from tests.support.artifact_stores import (
    collect,
    make_tree,
    new_bucket,
    overwrite_blob,
    problems,
    read_tree,
    use_s3,
)
from tests.support.killing import kill_at_random_moment
from tests.support.refusals import assert_refused
from tests.support.registry_entries import UNSIGNED, finish, finished, make_weights, promote, start

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
FILES = {f"part-{number}": bytes([number]) * 200_000 for number in range(12)}


def python(program: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables)


def outcome(process: subprocess.Popen[str]) -> str:
    """What a program printed."""
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output


PUT = """
import sys
from pathlib import Path
from registry.artifacts.store import Store
print("ready", flush=True)
print(Store(sys.argv[1], Path(sys.argv[2])).put(Path(sys.argv[3])))
"""


def kill_at_random_moments(
    work: Callable[[], object], check: Callable[[], None], within_s: float, times: int = 20
) -> None:
    """Kill some work at a random moment, and look at what is left; again and again."""
    for _ in range(times):
        kill_at_random_moment(work, within_s)
        check()


def check_put(url: str, sha256: str, folder: Path) -> None:
    """An artifact is there whole or not at all, and no checkout is half made."""
    reader = Store(url, folder / "elsewhere")
    if reader.has(sha256):
        assert problems(reader, sha256) == []
        collect(reader, set(), dry_run=False, grace_s=0)
    else:
        with pytest.raises(IntegrityError, match="missing"):
            reader.get(sha256)
    for path in (folder / "checkouts").glob("?" * 64):
        assert sha256_tree(path) == path.name


def test_a_put_that_is_killed_leaves_nothing_that_looks_like_an_artifact(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "model", FILES)
    sha256 = sha256_tree(source)
    store = Store(tmp_path / "artifacts", tmp_path / "checkouts")
    kill_at_random_moments(lambda: store.put(source), lambda: check_put(store.place, sha256, tmp_path), 0.2)
    kill_at_random_moments(lambda: store.put(source), lambda: None, 0.05)  # many leftovers
    assert store.put(source) == sha256
    assert [path.name for path in (tmp_path / "artifacts").iterdir()] == ["blobs"], (
        "the next put removes them"
    )
    collect(store, {sha256}, dry_run=False, grace_s=0)
    assert read_tree(store.get(sha256)) == FILES
    assert [path.name for path in (tmp_path / "checkouts").iterdir()] == [sha256]
    assert [path.name for path in (tmp_path / "artifacts").iterdir()] == ["blobs"]


def test_a_put_to_s3_that_is_killed_leaves_nothing_that_looks_like_an_artifact(
    tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_s3(monkeypatch, s3)
    url = f"s3://{new_bucket(s3)}"
    source = make_tree(tmp_path / "model", FILES)
    sha256 = sha256_tree(source)
    for _ in range(4):
        process = python(PUT, url, tmp_path / "checkouts", source)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(random.random() * 2)
        process.kill()
        process.communicate()
        check_put(url, sha256, tmp_path)
    store = Store(url, tmp_path / "checkouts")
    assert store.put(source) == sha256
    assert [path.name for path in (tmp_path / "checkouts").iterdir()] == [sha256]
    collect(store, {sha256}, dry_run=False, grace_s=0)
    assert [path.name for path in (tmp_path / "checkouts").iterdir()] == [sha256]


def test_a_garbage_collection_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "artifacts", tmp_path / "checkouts")
    kept = store.put(make_tree(tmp_path / "model", FILES))
    others = [
        make_tree(tmp_path / f"other-{n}", {f"own-{i}": f"{n} {i}".encode() for i in range(20)})
        for n in range(3)
    ]
    hashes = [store.put(other) for other in others]

    def check() -> None:
        assert problems(store, kept) == []
        for sha256, other in zip(hashes, others, strict=True):
            if store.blobs.size(sha256) is not None:
                assert store.has(sha256), "a tree object is gone before its contents are"
            else:
                store.put(other)

    kill_at_random_moments(lambda: collect(store, {kept}, dry_run=False, grace_s=0), check, 0.05)
    collect(store, {kept}, dry_run=False, grace_s=0)
    assert {blob.sha256 for blob in store.blobs.list()} == {kept, *map(sha256_bytes, FILES.values())}


def test_converting_the_old_layout_may_be_killed_at_any_time(tmp_path: Path) -> None:
    hashes = []
    for number in range(20):
        source = make_tree(tmp_path / f"model-{number}", {**FILES, "own": str(number).encode()})
        hashes.append(sha256_tree(source))
        make_tree(tmp_path / "artifacts" / hashes[-1][:2] / hashes[-1], read_tree(source))
    store = Store(tmp_path / "artifacts", tmp_path / "checkouts")

    def check() -> None:
        for sha256 in hashes:
            assert store.has(sha256) or sha256_tree(tmp_path / "artifacts" / sha256[:2] / sha256) == sha256

    kill_at_random_moments(store.convert_old_layout, check, 0.15)
    assert store.convert_old_layout().damaged == ()
    for sha256 in hashes:
        assert sha256_tree(store.get(sha256)) == sha256
    collect(store, set(hashes), dry_run=False, grace_s=0)
    assert sorted(path.name for path in (tmp_path / "artifacts").iterdir()) == [".lock", "blobs"]


def test_two_processes_may_put_and_convert_the_same_artifact(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "model", FILES)
    sha256 = sha256_tree(source)
    make_tree(tmp_path / "artifacts" / sha256[:2] / sha256, FILES)
    program = (
        PUT
        + "Store(sys.argv[1], Path(sys.argv[2])).get(sys.argv[4]); "
        + "Store(sys.argv[1], Path(sys.argv[2])).convert_old_layout()"
    )
    processes = [
        python(program, tmp_path / "artifacts", tmp_path / "checkouts", source, sha256) for _ in range(4)
    ]
    assert {outcome(process) for process in processes} == {f"ready\n{sha256}\n"}
    assert not convert(LocalBlobs(tmp_path / "artifacts"), sha256)
    assert problems(Store(tmp_path / "artifacts", tmp_path / "checkouts"), sha256) == []


def test_upgrade_moves_the_old_layout_and_names_what_is_damaged(
    home: Path, tmp_path: Path, hallmark: Any
) -> None:
    registry = open_registry(home)
    hashes = [sha256_tree(make_weights(tmp_path, name)) for name in ("good", "bad")]
    for sha256, content in zip(hashes, (b"good", b"damaged"), strict=True):
        make_tree(
            home / "artifacts" / sha256[:2] / sha256, {"model.safetensors": content, "config.json": b"{}"}
        )
    result = hallmark("registry", "upgrade")
    assert result.returncode == 3
    assert "1 artifact was moved" in result.stdout
    assert f"artifact {hashes[1]}: changed at {home}" in result.stdout
    assert registry.artifacts.has(hashes[0])
    shutil.rmtree(home / "artifacts" / hashes[1][:2])
    assert hallmark("registry", "upgrade").returncode == 0


LIMITED = """
import resource, sys
from pathlib import Path
from core.errors import ResourceError
from registry.artifacts.store import Store
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    store = Store(sys.argv[1], Path(sys.argv[2]))
    store.put(Path(sys.argv[3])) if sys.argv[4] == "put" else store.get(sys.argv[4])
except ResourceError as error:
    print(error)
"""


def test_a_file_that_does_not_fit_is_told_with_place_and_bytes_and_leaves_nothing(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "model", {"model.safetensors": bytes(300_000)})
    store = Store(tmp_path / "artifacts", tmp_path / "checkouts")
    before = store.put(make_tree(tmp_path / "small", {"config.json": b"{}"}))
    message = outcome(python(LIMITED, store.place, store.checkouts, source, "put"))
    assert message.startswith(f"{store.place}: larger than files may be here")
    assert "300,000 bytes" in message
    assert not store.has(sha256_tree(source))
    assert collect(store, {before}, dry_run=True, grace_s=0).files == 0, "nothing half-written is left"
    assert problems(store, before) == []


def test_a_download_that_does_not_fit_is_told_with_place_and_bytes(
    tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_s3(monkeypatch, s3)
    url = f"s3://{new_bucket(s3)}"
    sha256 = Store(url, tmp_path / "checkouts").put(
        make_tree(tmp_path / "model", {"model.safetensors": bytes(300_000)})
    )
    message = outcome(python(LIMITED, url, tmp_path / "elsewhere", "", sha256))
    assert str(tmp_path / "elsewhere") in message
    assert "300,000 bytes" in message
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_full_disk_is_told_with_place_and_bytes_and_leaves_what_was_there(
    small_disk: Path, tmp_path: Path
) -> None:
    store = Store(small_disk / "artifacts", small_disk / "checkouts")
    before = store.put(make_tree(tmp_path / "small", {"config.json": b"{}"}))
    source = make_tree(tmp_path / "model", FILES)
    with pytest.raises(ResourceError, match=f"{small_disk}.*: the disk is full. Free 2,400,000 bytes"):
        store.put(source)
    assert not store.has(sha256_tree(source))
    assert collect(store, {before}, dry_run=True, grace_s=0).files == 0
    assert read_tree(store.get(before)) == {"config.json": b"{}"}


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../outside", "a/../../outside", "a//b", "a/./b", "", "a/", "a\\..\\b", "nul\0"]
)
def test_a_forged_tree_object_cannot_leave_its_directory(name: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "artifacts", tmp_path / "checkouts")
    store.put(make_tree(tmp_path / "model", {"config.json": b"{}"}))
    forged = canonical_json([name, 2, sha256_bytes(b"{}")]).encode() + b"\n"
    object_file = tmp_path / "object"
    object_file.write_bytes(forged)
    store.blobs.add(object_file, sha256_bytes(forged))
    with pytest.raises(IntegrityError, match="is refused"):
        store.get(sha256_bytes(forged))
    with pytest.raises(IntegrityError, match="is refused"):
        store.export(sha256_bytes(forged), tmp_path / "given")
    assert not store.has(sha256_bytes(forged))
    assert not (tmp_path / "outside").exists()


def test_a_content_that_was_edited_is_named_by_verify_with_exit_code_3(
    home: Path, tmp_path: Path, hallmark: Any
) -> None:
    registry = open_registry(home)
    run, weights = finished(registry, tmp_path, "one")
    promote(registry, run, weights, attest=UNSIGNED)
    assert hallmark("verify").returncode == 0
    overwrite_blob(registry.artifacts, sha256_bytes(b"one"), b"onf")
    result = hallmark("verify")
    assert result.returncode == 3
    assert f"artifact {run.model_sha256}: model.safetensors: changed at" in result.stdout
    assert_refused(
        hallmark("models", "show", "m@champion"), 3, "model.safetensors: changed at", "promote its run again"
    )
    registry.artifacts.put(weights)
    assert hallmark("verify").returncode == 0


def test_the_registry_keeps_its_artifacts_on_s3(
    home: Path, tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch, hallmark: Any
) -> None:
    use_s3(monkeypatch, s3)
    url = f"s3://{new_bucket(s3)}/hallmark"
    registry = open_registry(home, artifacts=url)
    run, weights = finished(registry, tmp_path, "one")
    promote(registry, run, weights, attest=UNSIGNED)
    assert hallmark("verify", HALLMARK_ARTIFACTS=url).returncode == 0
    shown = hallmark("models", "show", "m@champion", "--json", HALLMARK_ARTIFACTS=url)
    assert str(home / "checkouts" / (run.model_sha256 or "")) in shown.stdout
    assert not (home / "artifacts").exists()
    assert "hunter2" not in shown.stdout + shown.stderr


def test_a_place_that_is_away_is_told_without_a_traceback_and_a_checkout_needs_it_not(
    home: Path, tmp_path: Path, hallmark: Any
) -> None:
    registry = open_registry(home)
    run, weights = finished(registry, tmp_path, "one")
    promote(registry, run, weights, attest=UNSIGNED)
    keys = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "hunter2secret"}
    away = {
        "HALLMARK_ARTIFACTS": "s3://bucket/x",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_MAX_ATTEMPTS": "1",
        **keys,
    }
    assert hallmark("models", "show", "m@v1", **away).returncode == 0
    shutil.rmtree(home / "checkouts")
    result = hallmark("models", "show", "m@v1", **away)
    assert_refused(result, 4, "s3://bucket/x: cannot be reached", "run the same command again")
    assert "hunter2" not in result.stderr


def test_a_bucket_that_is_not_there_or_denied_is_told_with_what_to_do(
    tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_s3(monkeypatch, s3)
    store = Store("s3://no-such-bucket/x", tmp_path / "checkouts")
    with pytest.raises(
        ResourceError, match="s3://no-such-bucket/x: there is no such place .*HALLMARK_ARTIFACTS"
    ):
        store.put(make_tree(tmp_path / "model", FILES))
    with pytest.raises(ResourceError, match="s3://no-such-bucket/x: there is no such place"):
        store.get("0" * 64)
    assert list((tmp_path / "checkouts").iterdir()) == []


def test_missing_credentials_and_an_unreachable_service_are_told_apart(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from core.errors import HallmarkError
from registry.artifacts.store import Store
try:
    Store("s3://bucket/x", Path(sys.argv[1])).get("0" * 64)
except HallmarkError as error:
    print(type(error).__name__, error, error.__cause__)
"""
    nothing = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }
    away = {
        "AWS_ENDPOINT_URL": "http://someone:hunter2secret@127.0.0.1:1",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    message = outcome(python(program, tmp_path, **nothing, **away))
    assert message.startswith("ResourceError s3://bucket/x: access was denied")
    message = outcome(
        python(
            program,
            tmp_path,
            **nothing,
            **away,
            AWS_ACCESS_KEY_ID="someone",
            AWS_SECRET_ACCESS_KEY="hunter2secret",
        )
    )
    assert message.startswith("TransientError s3://bucket/x: cannot be reached")
    assert "hunter2" not in message


def test_a_missing_package_says_how_to_install_it(tmp_path: Path) -> None:
    program = """
import sys
sys.modules["s3fs"] = None  # what Python does for a package that is not installed
from pathlib import Path
from core.errors import ResourceError
from registry.artifacts.store import Store
try:
    Store("s3://bucket", Path(sys.argv[1])).has("0" * 64)
except ResourceError as error:
    print(error)
"""
    assert "pip install 'hallmark[s3]'" in outcome(python(program, tmp_path))


def test_an_artifact_is_there_when_it_is_recorded_although_garbage_is_collected_meanwhile(
    home: Path, tmp_path: Path
) -> None:
    registry = open_registry(home)
    first, weights = finished(registry, tmp_path, "first")
    promote(registry, first, weights)
    program = """
import sys, time
from pathlib import Path
from registry import open_registry
registry = open_registry(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    registry.collect_garbage(grace_s=0)
    time.sleep(0.05)
"""
    collector = python(program, home)
    assert collector.stdout is not None
    assert collector.stdout.readline() == "ready\n"
    recorded = []
    for number in range(12):
        run, source = finished(registry, tmp_path, f"w{number}")
        assert promote(registry, run, source).outcome == "promoted"
        recorded.append(run.model_sha256 or "")
    assert collector.poll() is None, collector.communicate()
    collector.kill()
    collector.communicate()
    for sha256 in recorded:
        assert problems(registry.artifacts, sha256) == []


def test_what_is_promoted_while_the_store_is_listed_for_garbage_stays(
    registry: Registry, tmp_path: Path
) -> None:
    first, weights = finished(registry, tmp_path, "first")
    promote(registry, first, weights)
    second, others = finished(registry, tmp_path, "second")
    registry.artifacts.put(others)
    survey = registry.artifacts.survey({first.model_sha256 or ""}, grace_s=0)
    assert second.model_sha256 in {blob.sha256 for blob in survey.dead}
    promote(registry, second, others)
    assert (
        registry.artifacts.sweep(
            survey, {first.model_sha256 or "", second.model_sha256 or ""}, dry_run=False
        ).files
        == 0
    )
    assert registry.verify() == []


def test_garbage_of_the_registry_is_what_no_version_and_no_running_run_needs(
    registry: Registry, tmp_path: Path
) -> None:
    run, weights = finished(registry, tmp_path, "one")
    promote(registry, run, weights, attest=UNSIGNED)
    parent = registry.artifacts.put(make_weights(tmp_path, "parent"))
    going = start(registry, parent_model_sha256=parent)
    registry.artifacts.put(make_weights(tmp_path, "nobody's"))
    assert registry.collect_garbage().files == 0, "the last hour's artifacts stay"
    assert registry.collect_garbage(grace_s=0).files == 2
    assert registry.artifacts.has(parent)
    registry.runs.fail(going.run_id, "no reason")
    assert registry.collect_garbage(grace_s=0).files == 2
    assert not registry.artifacts.has(parent)
    assert registry.verify() == []


def test_a_registry_without_versions_removes_nothing_from_a_store_that_may_be_anothers(
    home: Path, tmp_path: Path
) -> None:
    owner = open_registry(home)
    run, weights = finished(owner, tmp_path, "one")
    promote(owner, run, weights)
    other = open_registry(tmp_path / "other", artifacts=str(home / "artifacts"))
    with pytest.raises(InputError, match="another registry's"):
        other.collect_garbage(grace_s=0)
    assert owner.verify() == []


def test_nothing_is_removed_while_a_versions_artifact_is_missing(registry: Registry, tmp_path: Path) -> None:
    run, weights = finished(registry, tmp_path, "one")
    promote(registry, run, weights, attest=UNSIGNED)
    before = {blob.sha256 for blob in registry.artifacts.blobs.list()} - {run.model_sha256}
    registry.artifacts.blobs.delete([run.model_sha256 or ""])
    with pytest.raises(IntegrityError, match="missing at"):
        registry.collect_garbage(grace_s=0)
    assert {blob.sha256 for blob in registry.artifacts.blobs.list()} == before


def test_old_models_make_room_but_not_those_that_are_worked_with(
    home: Path, tmp_path: Path, hallmark: Any
) -> None:
    from core.locks import acquire
    from experiments.promoting import weights_of
    from experiments.workspace import Workspace

    registry = open_registry(home)
    directories = {}
    for name in ("promoted", "plain", "locked"):
        directories[name] = home / "runs" / name
        make_tree(directories[name], {"model/model.safetensors": name.encode(), "predictions.jsonl": b""})
        run = start(registry, name)
        finish(registry, run, directories[name] / "model")
        if name == "promoted":
            promote(registry, run, directories[name] / "model")
    lock = acquire(directories["locked"] / ".lock", "a test")
    assert lock is not None
    assert "0 models" in hallmark("registry", "gc", "--models-older-than", 1).stdout
    told = hallmark("registry", "gc", "--models-older-than", 0, "--dry-run")
    assert "2 models" in told.stdout
    assert "kept in the artifact store" in told.stdout
    assert (directories["plain"] / "model").is_dir()
    result = hallmark("registry", "gc", "--models-older-than", 0, "--json")
    assert result.returncode == 0, result.stderr
    os.close(lock)
    assert [(directories[name] / "model").exists() for name in ("promoted", "plain", "locked")] == [
        False,
        False,
        True,
    ]
    assert (directories["plain"] / "predictions.jsonl").exists()
    workspace = Workspace(home, registry)
    assert read_tree(weights_of(registry.runs.get("promoted"), workspace)) == {
        "model.safetensors": b"promoted"
    }
    with pytest.raises(InputError, match="Or train it again: that gives the same bytes"):
        weights_of(registry.runs.get("plain"), workspace)


def test_what_is_gone_while_garbage_is_sized_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "gone"):
        (tmp_path / name).write_bytes(b"12345")
    listed = Path.rglob

    def renamed_meanwhile(folder: Path, pattern: str) -> list[Path]:
        found = sorted(listed(folder, pattern))
        (tmp_path / "gone").unlink()
        return found

    monkeypatch.setattr(Path, "rglob", renamed_meanwhile)
    assert garbage._sizes(tmp_path) == [5]
    assert garbage._sizes(tmp_path / "gone") == []
