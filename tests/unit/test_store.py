"""The artifact store keeps each content once, whole, and says so when it is not what it was; in a folder and
on S3.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError, IntegrityError
from core.files import sha256_bytes, sha256_tree
from registry.artifacts.store import Store
from registry.artifacts.trees import TreeEntry, manifest, parse_manifest, tree_sha256
from tests.support.artifact_stores import (
    collect,
    make_tree,
    new_bucket,
    overwrite_blob,
    problems,
    read_tree,
    use_s3,
)

pytestmark = pytest.mark.unit

FILES = {
    "config.json": b"{}",
    "model.safetensors": b"weights" * 1000,
    "tokenizer/vocab.txt": b"a\nb\n",
    "empty": b"",
}


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    if request.param == "folder":
        return Store(tmp_path / "artifacts", tmp_path / "checkouts")
    endpoint = request.getfixturevalue("s3")
    use_s3(monkeypatch, endpoint)
    return Store(f"s3://{new_bucket(endpoint)}/some/prefix", tmp_path / "checkouts")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "model", FILES)


def stored_blobs(store: Store) -> set[str]:
    return {blob.sha256 for blob in store.blobs.list()}


def elsewhere(store: Store, tmp_path: Path) -> Store:
    """The same artifacts, seen from another machine."""
    return Store(store.url.folder or store.place, tmp_path / "elsewhere")


def test_what_is_put_is_got_back_byte_for_byte_also_from_elsewhere(
    store: Store, source: Path, tmp_path: Path
) -> None:
    sha256 = store.put(source)
    assert sha256 == sha256_tree(source)
    assert store.has(sha256)
    assert store.path(sha256).is_dir()
    for reader in (store, elsewhere(store, tmp_path)):
        directory = reader.get(sha256)
        assert directory == reader.path(sha256)
        assert read_tree(directory) == FILES
    assert problems(store, sha256) == []
    assert [entry.name for entry in store.files(sha256)] == sorted(FILES)


def test_the_tree_object_has_the_hash_of_the_tree(store: Store, source: Path) -> None:
    sha256 = store.put(source)
    data = store.blobs.read(sha256)
    assert data is not None
    assert sha256_bytes(data) == sha256
    assert store.key(sha256) == f"blobs/{sha256[:2]}/{sha256}"
    assert store.blobs.where(sha256) == f"{store.place}/{store.key(sha256)}"


def test_each_content_is_kept_once_and_not_sent_again(store: Store, source: Path, tmp_path: Path) -> None:
    store.put(source)
    before = {blob.sha256: blob.modified for blob in store.blobs.list()}
    other = make_tree(
        tmp_path / "other", {**FILES, "copy.json": FILES["config.json"], "model.safetensors": b"new"}
    )
    sha256 = store.put(other)
    after = {blob.sha256: blob.modified for blob in store.blobs.list()}
    assert set(after) - set(before) == {sha256, sha256_bytes(b"new")}
    assert {name: after[name] for name in before} == before
    assert read_tree(store.get(sha256)) == read_tree(other)


def test_a_changed_content_is_named_with_its_file_place_and_remedy_and_mended_by_putting_it_again(
    store: Store, source: Path, tmp_path: Path
) -> None:
    sha256 = store.put(source)
    weights = sha256_bytes(FILES["model.safetensors"])
    overwrite_blob(store, weights, FILES["model.safetensors"].replace(b"w", b"W"))
    place = store.blobs.where(weights)
    [problem] = problems(store, sha256)
    assert problem.startswith(f"model.safetensors: changed at {place}: found sha256 ")
    reader = elsewhere(store, tmp_path)
    with pytest.raises(
        IntegrityError,
        match=f"artifact {sha256}: model.safetensors: changed at .*Restore it from a backup, or promote",
    ):
        reader.get(sha256)
    assert not reader.path(sha256).exists()
    assert store.put(source) == sha256
    assert problems(store, sha256) == []
    assert read_tree(reader.get(sha256)) == FILES


def test_a_missing_content_is_named(store: Store, source: Path, tmp_path: Path) -> None:
    sha256 = store.put(source)
    store.blobs.delete([sha256_bytes(FILES["config.json"])])
    assert not store.has(sha256)
    [problem] = problems(store, sha256)
    assert problem.startswith("config.json: missing at ")
    with pytest.raises(IntegrityError, match=f"artifact {sha256}: config.json: missing at"):
        elsewhere(store, tmp_path).get(sha256)


def test_a_missing_or_changed_tree_object_is_named(store: Store, source: Path, tmp_path: Path) -> None:
    sha256 = store.put(source)
    overwrite_blob(store, sha256, b"nothing")
    assert not store.has(sha256)
    assert "its tree object: changed at" in problems(store, sha256)[0]
    with pytest.raises(IntegrityError, match="its tree object: changed at"):
        elsewhere(store, tmp_path).get(sha256)
    store.blobs.delete([sha256])
    with pytest.raises(IntegrityError, match=f"artifact {sha256}: missing at"):
        elsewhere(store, tmp_path).get(sha256)
    assert not store.has(sha256)


@pytest.mark.parametrize("kind", ["folder", "pipe", "loop"])
def test_what_is_in_the_place_of_a_content_is_named_and_the_rest_is_checked(
    kind: str, source: Path, tmp_path: Path
) -> None:
    store = Store(tmp_path / "artifacts", tmp_path / "checkouts")
    sha256 = store.put(source)
    first, *_, last = store.files(sha256)
    path = Path(store.blobs.where(first.sha256))
    path.unlink()
    {"loop": lambda: path.symlink_to(path), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir}[kind]()
    Path(store.blobs.where(last.sha256)).unlink()
    odd, missing = store.check([sha256])
    assert odd[1].startswith(f"{first.name}: ")
    assert str(path) in odd[1]
    assert ("cannot be read (" in odd[1]) == (kind != "pipe")
    assert missing[1].startswith(f"{last.name}: missing at ")


def test_a_file_in_the_place_of_the_store_is_named_for_each_artifact(source: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "artifacts", tmp_path / "checkouts")
    sha256, single = store.put(source), store.put_file(source / "empty")
    (tmp_path / "artifacts").rename(tmp_path / "away")
    (tmp_path / "artifacts").touch()
    for [(_, sentence)] in (list(store.check([sha256])), list(store.check_files([single]))):
        assert "cannot be read (Not a directory)" in sentence


def test_a_damaged_checkout_is_replaced_while_the_contents_are_intact(store: Store, source: Path) -> None:
    sha256 = store.put(source)
    checkout = store.get(sha256)
    (checkout / "config.json").unlink()
    (checkout / "config.json").write_text("[]")
    (checkout / "extra").symlink_to("/etc/passwd")
    assert read_tree(store.get(sha256)) == FILES
    assert not (checkout / "extra").is_symlink()


def test_an_export_is_a_new_directory_of_ones_own(store: Store, source: Path, tmp_path: Path) -> None:
    sha256 = store.put(source)
    target = tmp_path / "given" / "model"
    store.export(sha256, target)
    assert read_tree(target) == FILES
    (target / "config.json").write_text("mine")
    assert problems(store, sha256) == []
    with pytest.raises(InputError, match="exists and is not an empty directory"):
        store.export(sha256, target)
    (tmp_path / "empty").mkdir()
    store.export(sha256, tmp_path / "empty", link=True)
    assert read_tree(tmp_path / "empty") == FILES
    assert sorted(path.name for path in (tmp_path / "given").iterdir()) == ["model"]


def test_a_damaged_artifact_is_not_exported(store: Store, source: Path, tmp_path: Path) -> None:
    sha256 = store.put(source)
    overwrite_blob(store, sha256_bytes(FILES["empty"]), b"x")
    with pytest.raises(IntegrityError, match="empty: changed at"):
        store.export(sha256, tmp_path / "given")
    assert not (tmp_path / "given").exists()


def test_garbage_is_what_no_kept_artifact_needs(store: Store, source: Path, tmp_path: Path) -> None:
    kept = store.put(source)
    dropped = store.put(make_tree(tmp_path / "other", {**FILES, "model.safetensors": b"other"}))
    before = stored_blobs(store)
    assert collect(store, {kept}, dry_run=False, grace_s=3600).files == 0, "what was just stored stays"
    told = collect(store, {kept}, dry_run=True, grace_s=0)
    assert stored_blobs(store) == before
    done = collect(store, {kept}, dry_run=False, grace_s=0)
    assert done == told
    assert before - stored_blobs(store) == {dropped, sha256_bytes(b"other")}
    assert {name for name in done.names if name.startswith("blobs/")} == {
        store.key(dropped),
        store.key(sha256_bytes(b"other")),
    }
    assert not store.path(dropped).exists()
    assert read_tree(store.get(kept)) == FILES
    assert collect(store, {kept, "0" * 64}, dry_run=False, grace_s=0).files == 0


def test_nothing_is_removed_while_a_kept_tree_object_is_damaged(store: Store, source: Path) -> None:
    sha256 = store.put(source)
    overwrite_blob(store, sha256, b"nothing")
    before = stored_blobs(store)
    with pytest.raises(IntegrityError, match="tree object"):
        collect(store, {sha256}, dry_run=False, grace_s=0)
    assert stored_blobs(store) == before


def test_a_link_and_a_special_file_are_refused_by_name(store: Store, source: Path) -> None:
    (source / "inside").symlink_to(source / "config.json")
    with pytest.raises(InputError, match=f"{source / 'inside'}: a link or special file"):
        store.put(source)
    (source / "inside").unlink()
    os.mkfifo(source / "inside")
    with pytest.raises(InputError, match=f"{source / 'inside'}: a link or special file"):
        store.put(source)
    assert stored_blobs(store) == set()


@pytest.mark.parametrize("name", ["a\\b", os.fsdecode(b"caf\xe9")])
def test_a_file_name_that_means_another_file_elsewhere_is_refused(
    name: str, store: Store, source: Path
) -> None:
    (source / name).write_text("")
    with pytest.raises(InputError, match="refused"):
        store.put(source)


def test_what_is_stored_is_read_only_and_shared_with_its_checkout(source: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "artifacts", tmp_path / "checkouts")
    for _ in range(2):
        checkout = store.get(store.put(source)) / "model.safetensors"
        blob = Path(store.blobs.where(sha256_bytes(FILES["model.safetensors"])))
        assert checkout.samefile(blob)
        assert blob.stat().st_mode & 0o777 == 0o444
    assert sorted(path.name for path in (tmp_path / "artifacts").iterdir()) == ["blobs"]


def test_checkouts_on_another_disk_are_copies(source: Path, tmp_path: Path) -> None:
    import tempfile

    if Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        store = Store(tmp_path / "artifacts", Path(other))
        sha256 = store.put(source)
        assert read_tree(store.get(sha256)) == FILES
        store = Store(f"file://{other}/artifacts", tmp_path / "checkouts")
        assert read_tree(store.get(store.put(source))) == FILES
        assert [path.name for path in Path(other, "artifacts").iterdir()] == ["blobs"]


def test_any_place_of_fsspec_will_do(source: Path, tmp_path: Path) -> None:
    store = Store("memory://artifacts", tmp_path / "checkouts")
    sha256 = store.put(source)
    assert read_tree(elsewhere(store, tmp_path).get(sha256)) == FILES
    removed = collect(store, set(), dry_run=False, grace_s=0).names
    assert len(removed) == len(FILES) + 2, "the contents, the tree object and the checkout"
    assert not store.has(sha256)


def old_layout(root: Path, source: Path) -> str:
    sha256 = sha256_tree(source)
    make_tree(root / sha256[:2] / sha256, read_tree(source))
    return sha256


def test_an_artifact_of_the_old_layout_is_read_and_becomes_blobs_on_the_way(
    source: Path, tmp_path: Path
) -> None:
    sha256 = old_layout(tmp_path / "artifacts", source)
    store = Store(tmp_path / "artifacts", tmp_path / "checkouts")
    assert read_tree(store.get(sha256)) == FILES
    assert not (tmp_path / "artifacts" / sha256[:2]).exists()
    assert problems(store, sha256) == []


def test_the_old_layout_is_converted_once_and_a_damaged_artifact_stays_and_is_named(
    source: Path, tmp_path: Path
) -> None:
    good = old_layout(tmp_path / "artifacts", source)
    bad = old_layout(tmp_path / "artifacts", make_tree(tmp_path / "other", {"a": b"1"}))
    damaged = tmp_path / "artifacts" / bad[:2] / bad
    (damaged / "a").write_text("2")
    store = Store(tmp_path / "artifacts", tmp_path / "checkouts")
    first, second = store.convert_old_layout(), store.convert_old_layout()
    assert (first.moved, second.moved) == (1, 0)
    assert first.damaged == second.damaged
    assert first.damaged[0].startswith(f"artifact {bad}: changed at {damaged}: found sha256 ")
    assert damaged.is_dir()
    assert store.has(good)
    with pytest.raises(IntegrityError, match="changed at"):
        store.get(bad)


names = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\\\0"), min_size=1),
    min_size=1,
    max_size=3,
)
entries = st.builds(
    TreeEntry,
    names.map("/".join).filter(lambda name: all(part not in (".", "..") for part in name.split("/"))),
    st.integers(0, 1 << 50),
    st.binary(min_size=1, max_size=2).map(sha256_bytes),
)
trees = st.lists(entries, max_size=5, unique_by=lambda entry: entry.name)


@given(trees, trees)
def test_different_trees_never_have_the_same_manifest(
    first: list[TreeEntry], second: list[TreeEntry]
) -> None:
    assert (manifest(first) == manifest(second)) == (set(first) == set(second))


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "a-b", "c/a", "c/b", "c-d", "é", "☕\n", '"']),
        st.binary(max_size=3),
        max_size=6,
    )
)
def test_a_manifest_hashes_as_its_directory_does(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    folder = make_tree(tmp_path_factory.mktemp("tree"), files)
    found = [TreeEntry(name, len(content), sha256_bytes(content)) for name, content in files.items()]
    assert tree_sha256(found) == sha256_tree(folder)
    assert parse_manifest(manifest(found)) == sorted(found)


@given(
    st.binary(max_size=200)
    | trees.map(manifest).flatmap(lambda data: st.binary(max_size=3).map(lambda extra: data + extra))
)
def test_only_the_text_of_a_tree_is_read_as_one(data: bytes) -> None:
    try:
        found = parse_manifest(data)
    except IntegrityError:
        return
    assert manifest(found) == data


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sftp://someone:hunter2secret@host:22/artifacts?token=s3cr3t", "sftp://host:22/artifacts"),
        ("s3://bucket/prefix/", "s3://bucket/prefix"),
        ("file:///srv/my%20models", "/srv/my models"),
        ("/srv/my%20models", "/srv/my%20models"),
    ],
)
def test_a_place_is_shown_without_its_secrets(url: str, shown: str, tmp_path: Path) -> None:
    assert Store(url, tmp_path).place == shown


@pytest.mark.parametrize("url", ["s3://someone:hunter2secret@bucket/x", "gs://hunter2secret@bucket"])
def test_credentials_in_a_bucket_address_are_refused_without_showing_them(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not belong in") as caught:
        Store(url, tmp_path)
    assert "hunter2" not in str(caught.value)


def test_an_unknown_protocol_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="carrier-pigeon"):
        Store("carrier-pigeon://loft", tmp_path).has("0" * 64)


def test_a_single_file_is_kept_by_its_own_sha256_and_verified_when_read(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "golden-v1.jsonl"
    file.write_bytes(b'{"trace_id": "a"}\n')
    sha256 = sha256_bytes(file.read_bytes())
    assert not store.has_file(sha256)
    assert [store.put_file(file), store.put_file(file)] == [sha256, sha256]
    assert store.has_file(sha256)
    assert stored_blobs(store) == {sha256}
    other = elsewhere(store, tmp_path)
    assert other.get_file(sha256).read_bytes() == file.read_bytes()
    assert list(store.check_files([sha256])) == []
    other.get_file(sha256).chmod(0o644)
    other.get_file(sha256).unlink()
    overwrite_blob(store, sha256, b"other")
    with pytest.raises(IntegrityError, match="changed at .* found sha256 .*the same file again"):
        other.get_file(sha256)
    assert [name for name, _ in store.check_files([sha256])] == [sha256]
    store.blobs.delete([sha256])
    with pytest.raises(IntegrityError, match="missing at"):
        other.get_file(sha256)


def test_garbage_collection_keeps_the_files_that_it_is_told_to_keep(store: Store, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("kept", "unnamed")]
    for file in files:
        file.write_text(file.name)
    kept, unnamed = map(store.put_file, files)
    read = [store.get_file(sha256) for sha256 in (kept, unnamed)]
    store.sweep(store.survey(set(), -1, {kept}), set(), False, {kept})
    assert stored_blobs(store) == {kept}
    assert [path.exists() for path in read] == [True, False]
    store.sweep(store.survey(set(), -1), set(), False, {kept})
    assert stored_blobs(store) == {kept}, "somebody named it since the survey"
