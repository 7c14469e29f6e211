"""Files are written whole or not at all, hashed without collisions, and read strictly."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.errors import InputError, ResourceError
from core.files import (
    atomic_writer,
    canonical_json,
    count_lines,
    parse_json,
    raise_for_os_error,
    read_jsonl,
    sha256_tree,
    write_jsonl,
)
from core.tensors import sha256_tensors

pytestmark = pytest.mark.unit

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | text,
    lambda v: st.lists(v) | st.dictionaries(text, v),
    max_leaves=8,
)


@given(st.lists(values, min_size=1, max_size=5))
@example([r"\u0000 as six characters"])
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list[object]) -> None:
    path = tmp_path_factory.mktemp("jsonl") / "rows.jsonl"
    write_jsonl(path, rows)
    assert [value for _, value in read_jsonl(path)] == rows


@given(st.dictionaries(text, values, max_size=4))
def test_the_same_value_is_always_the_same_bytes(value: dict[str, object]) -> None:
    shuffled = dict(reversed(value.items()))
    assert canonical_json(value) == canonical_json(shuffled)
    assert parse_json(canonical_json(value)) == value


def test_the_canonical_bytes_that_recorded_hashes_rest_on_do_not_change() -> None:
    value = {"b": [1.5, 1e-7, -0.0, True, None, 2**60], "a": {"é\0\n": "\u2028☕"}}
    assert (
        canonical_json(value)
        == '{"a":{"é\\u0000\\n":"\u2028☕"},"b":[1.5,1e-07,-0.0,true,null,1152921504606846976]}'
    )
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_writer(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_with_the_path(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"x\.json: the disk is full"):
        raise_for_os_error(OSError(errno.ENOSPC, "No space left on device"), tmp_path / "x.json")


def test_a_place_that_cannot_be_written_is_told_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="file/x.json"), atomic_writer(tmp_path / "file" / "x.json"):
        pass


def test_no_two_trees_share_a_hash(tmp_path: Path) -> None:
    trees = [{"a": "1", "b": "2"}, {"a": "12", "b": ""}, {"a": "2", "b": "1"}, {"ab": "12"}, {"a/b": "12"}]
    hashes = set()
    for number, tree in enumerate(trees):
        for name, content in tree.items():
            path = tmp_path / str(number) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        hashes.add(sha256_tree(tmp_path / str(number)))
    assert len(hashes) == len(trees)


def test_a_link_inside_a_model_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="a link or special file"):
        sha256_tree(tmp_path)


def test_reading_is_lazy(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"ok": 1}) + "\nnot json\n")
    rows = read_jsonl(path)
    assert next(rows) == (1, {"ok": 1})
    with pytest.raises(InputError, match=r"rows\.jsonl:2: not valid JSON"):
        next(rows)


def safetensors(path: Path, tensors: dict[str, bytes], **metadata: str) -> None:
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    start = 0
    for name, data in tensors.items():
        end = start + len(data)
        header[name] = {"dtype": "U8", "shape": [len(data)], "data_offsets": [start, end]}
        start = end
    head = json.dumps(header).encode()
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(len(head).to_bytes(8, "little") + head + b"".join(tensors.values()))


def test_the_same_tensors_in_other_files_are_the_same_model(tmp_path: Path) -> None:
    safetensors(tmp_path / "one" / "model.safetensors", {"a": b"12", "b": b"3" * 3_000_000})
    safetensors(
        tmp_path / "renamed" / "weights.safetensors", {"b": b"3" * 3_000_000, "a": b"12"}, format="pt"
    )
    for name, data in (("a", b"12"), ("b", b"3" * 3_000_000)):
        safetensors(tmp_path / "sharded" / f"model-{name}.safetensors", {name: data})
    same = {sha256_tensors(tmp_path / name) for name in ("one", "renamed", "sharded")}
    assert len(same) == 1
    others = [{"a": b"12", "c": b"3" * 3_000_000}, {"a": b"123", "b": b"3" * 2_999_999}, {"a": b"12"}]
    for number, tensors in enumerate(others):
        safetensors(tmp_path / f"other-{number}" / "model.safetensors", tensors)
        same.add(sha256_tensors(tmp_path / f"other-{number}"))
    assert len(same) == 4


@pytest.mark.parametrize(
    "content",
    [b"", b"text", b"\2\0\0\0\0\0\0\0[]", b"\xff" * 9, b"\x13\0\0\0\0\0\0\0" + b'{"a": {"dtype": 1}}'],
)
def test_a_file_that_is_no_safetensors_file_has_a_hash_too(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    first = sha256_tensors(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(content + b"more")
    assert sha256_tensors(tmp_path) != first


@pytest.mark.parametrize(
    ("content", "lines"), [(b"", 0), (b"\n", 1), (b"a", 1), (b"a\nb", 2), (b"a\nb\n", 2)]
)
def test_lines_are_counted_with_or_without_a_line_feed_at_the_end(
    content: bytes, lines: int, tmp_path: Path
) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(content)
    assert count_lines(path) == lines
