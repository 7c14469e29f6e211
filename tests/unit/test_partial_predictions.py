"""An interrupted inference continues with what it had, and never with what belongs to another job."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.partial import PartialPredictions, Row, Windows

pytestmark = pytest.mark.unit

WINDOW = 2
ROWS = [
    Row(trace_id=f"t{number}", prediction=f"line\n{number} é", tokens=number, cut_off=False)
    for number in range(3)
]


def saved(path: Path) -> bytes:
    partial = PartialPredictions(path, "job", WINDOW)
    assert partial.resume() == 0
    partial.append(ROWS[:2])
    partial.append(ROWS[2:])
    return path.read_bytes()


def test_every_torn_end_gives_back_the_whole_lines_before_it(tmp_path: Path) -> None:
    path = tmp_path / "partial.jsonl"
    content = saved(path)
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        partial = PartialPredictions(path, "job", WINDOW)
        whole = max(content[:cut].count(b"\n") - 1, 0)
        assert partial.resume() == whole
        assert list(partial.rows()) == ROWS[:whole]


def test_after_a_torn_end_appending_goes_on_cleanly(tmp_path: Path) -> None:
    path = tmp_path / "partial.jsonl"
    path.write_bytes(saved(path)[:-5])
    partial = PartialPredictions(path, "job", WINDOW)
    assert partial.resume() == 2
    partial.append(ROWS[2:])
    assert list(partial.rows()) == ROWS


@pytest.mark.parametrize("other", [("other job", WINDOW), ("job", WINDOW + 1)], ids=["job", "windows"])
def test_another_job_starts_over(other: tuple[str, int], tmp_path: Path) -> None:
    path = tmp_path / "partial.jsonl"
    saved(path)
    assert PartialPredictions(path, *other).resume() == 0


def test_the_rows_of_a_window_are_taken_in_any_order_and_none_of_the_next(tmp_path: Path) -> None:
    path = tmp_path / "partial.jsonl"
    partial = PartialPredictions(path, "job", WINDOW)
    partial.resume()
    partial.append([ROWS[1], ROWS[0], ROWS[2]])
    rows = Windows(partial.rows())
    assert rows.take({("t0", 0), ("t1", 0)}) == {("t0", 0): ROWS[0], ("t1", 0): ROWS[1]}
    assert rows.take({("t2", 0), ("t3", 0)}) == {("t2", 0): ROWS[2]}
    assert rows.take({("t4", 0)}) == {}
