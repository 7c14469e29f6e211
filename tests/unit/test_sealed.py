"""What an unfinished run resumes from is hashed: whatever is changed, lost or moved in it is found."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from core.sealed import SUMS, SealedLines, damage, intact_lines, seal
from tests.support.damage import DAMAGE

pytestmark = pytest.mark.unit

VALUES = [{"text": f"line\n{number} é", "number": number} for number in range(4)]


def folder(path: Path) -> Path:
    (path / "deep").mkdir(parents=True)
    (path / "a file").write_bytes(b"some bytes")
    (path / "deep" / "b").write_bytes(b"")
    seal(path / SUMS, [path])
    return path


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("name", ["a file", "deep/b", SUMS])
def test_whatever_is_done_to_a_sealed_file_is_found_and_the_file_is_named(
    kind: str, name: str, tmp_path: Path
) -> None:
    for seed in range(20):
        place = folder(tmp_path / str(seed))
        assert damage(place / SUMS) is None
        before = (place / name).read_bytes()
        DAMAGE[kind](place / name, random.Random(seed))
        same = (place / name).exists() and (place / name).read_bytes() == before
        assert same or (damage(place / SUMS) or "").startswith(str(place / name))


def test_the_list_of_other_files_is_no_list_of_these(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    seal(tmp_path / "ab.sha256", [tmp_path / "a", tmp_path / "b"])
    seal(tmp_path / "bc.sha256", [tmp_path / "b", tmp_path / "c"])
    assert damage(tmp_path / "ab.sha256", [tmp_path / "a", tmp_path / "b"]) is None
    shutil.copy(tmp_path / "bc.sha256", tmp_path / "ab.sha256")
    found = damage(tmp_path / "ab.sha256", [tmp_path / "a", tmp_path / "b"])
    assert found == f"{tmp_path / 'ab.sha256'}: the list of other files"


def test_sha256sum_reads_the_list(tmp_path: Path) -> None:
    place, program = folder(tmp_path / "sealed"), shutil.which("sha256sum")
    assert program is not None
    subprocess.run([program, "--strict", "-c", SUMS], cwd=place, check=True)


def written(path: Path) -> bytes:
    lines = SealedLines(path, "owner")
    assert lines.resume() == (0, None)
    lines.append(VALUES[:1])
    lines.append(VALUES[1:])
    return path.read_bytes()


def test_lines_up_to_the_first_changed_bit_are_kept_and_the_rest_can_be_written_again(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    content, chance = written(path), random.Random(1)
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        lines = SealedLines(path, "owner")
        whole, _ = lines.resume()
        assert list(lines.values()) == VALUES[:whole]
        assert whole >= content[:place].count(b"\n") - 1
        lines.append(VALUES[whole:])
        assert path.read_bytes() == content


@pytest.mark.parametrize(
    "order",
    [[0, 1, 3, 4], [0, 2, 1, 3, 4], [0, 1, 1, 2, 3, 4], [1, 2, 3, 4]],
    ids=["lost", "moved", "doubled", "first"],
)
def test_a_line_that_is_lost_moved_or_doubled_is_named(order: list[int], tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    lines = written(path).splitlines(keepends=True)
    path.write_bytes(b"".join(lines[place] for place in order))
    found = intact_lines(path)
    assert found.problem == f"{path}:{found.lines + 1}: changed since it was written"
    sealed = SealedLines(path, "owner")
    assert sealed.resume() == (max(found.lines - 1, 0), found.problem)
    assert list(sealed.values()) == VALUES[: max(found.lines - 1, 0)]


def test_the_lines_of_another_owner_are_begun_again(tmp_path: Path) -> None:
    path: Any = tmp_path / "lines.jsonl"
    written(path)
    assert SealedLines(path, "other").resume() == (0, None)
    found = intact_lines(path)
    assert (found.lines, found.owner, found.problem) == (1, "other", None)
