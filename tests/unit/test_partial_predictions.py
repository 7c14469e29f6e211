"""An interrupted inference continues with what it had, and never with what belongs to another job."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.partial import PartialPredictions, Row

pytestmark = pytest.mark.unit

ROWS = [
    Row(trace_id=f"t{number}", prediction=f"line\n{number} é", tokens=number, cut_off=False)
    for number in range(3)
]


def saved(path: Path) -> bytes:
    partial = PartialPredictions(path, "job")
    assert partial.read() == {}
    partial.append(ROWS[:2])
    partial.append(ROWS[2:])
    return path.read_bytes()


def test_every_torn_end_gives_back_the_whole_lines_before_it(tmp_path: Path) -> None:
    path = tmp_path / "partial.jsonl"
    content = saved(path)
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        rows = PartialPredictions(path, "job").read()
        whole = content[:cut].count(b"\n") - 1
        assert list(rows.values()) == ROWS[: max(whole, 0)]


def test_after_a_torn_end_appending_goes_on_cleanly(tmp_path: Path) -> None:
    path = tmp_path / "partial.jsonl"
    path.write_bytes(saved(path)[:-5])
    partial = PartialPredictions(path, "job")
    assert len(partial.read()) == 2
    partial.append(ROWS[2:])
    assert list(PartialPredictions(path, "job").read().values()) == ROWS


def test_another_job_starts_over(tmp_path: Path) -> None:
    path = tmp_path / "partial.jsonl"
    saved(path)
    assert PartialPredictions(path, "other job").read() == {}
