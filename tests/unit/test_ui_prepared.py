"""What takes longer than a page may: made once, in the background."""

from __future__ import annotations

import threading

import pytest

from core.errors import InputError
from hallmark.ui.prepared import Prepared, StillPreparing

pytestmark = pytest.mark.unit


def test_what_is_not_ready_is_said_and_made_only_once() -> None:
    prepared, go_on, calls = Prepared(0.01), threading.Event(), list[int]()

    def make() -> str:
        calls.append(1)
        go_on.wait(60)
        return "made"

    for _ in range(3):
        with pytest.raises(StillPreparing, match="the plot"):
            prepared.get("key", "the plot", make)
    go_on.set()
    found = prepared.peek("key")
    assert found is not None
    assert found.result(60) == "made"
    assert prepared.get("key", "the plot", make) == "made"
    assert calls == [1]


def test_what_went_wrong_is_told_to_whoever_asks_next_and_then_tried_again() -> None:
    prepared, go_on = Prepared(0.01), threading.Event()

    def fail() -> str:
        go_on.wait(60)
        raise InputError("the file is gone")

    with pytest.raises(StillPreparing):
        prepared.get("key", "it", fail)
    go_on.set()
    while not (found := prepared.peek("key")) or not found.done():
        pass
    with pytest.raises(InputError, match="the file is gone"):
        prepared.get("key", "it", fail)
    patient = Prepared(60)
    assert patient.get("key", "it", lambda: "there again") == "there again"


def test_only_so_many_results_are_kept() -> None:
    prepared = Prepared(60, most=2)
    for number in range(3):
        assert prepared.get(number, "it", lambda number=number: number) == number  # type: ignore[misc]
    assert prepared.peek(0) is None
    assert prepared.peek(2) is not None


def test_only_so_many_are_made_at_the_same_time() -> None:
    prepared, running, most = Prepared(60, at_once=2), list[int](), list[int]()
    lock, all_in = threading.Lock(), threading.Barrier(2, timeout=60)

    def make() -> None:
        with lock:
            running.append(1)
            most.append(len(running))
        all_in.wait()
        with lock:
            running.pop()

    askers = [threading.Thread(target=prepared.get, args=(n, "it", make)) for n in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(60)
    assert max(most) == 2
