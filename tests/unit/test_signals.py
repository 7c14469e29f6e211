"""A signal stops the work, also where somebody else's code swallows what is raised."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from core.child_process import STOPPING, raise_on_termination, signals_held, stop_if_asked
from core.errors import InterruptedWork

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def handlers_put_back() -> Iterator[None]:
    before = {each: signal.getsignal(each) for each in STOPPING}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


def swallow(number: signal.Signals) -> None:
    with suppress(Exception):  # as Prefect does while it is imported
        signal.raise_signal(number)


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_that_is_held_stops_the_work_after_the_block(number: signal.Signals) -> None:
    raise_on_termination()
    swallowed = []
    with pytest.raises(InterruptedWork) as stopped, signals_held():
        swallow(number)
        swallowed.append(number)
    assert swallowed == [number]
    assert stopped.value.exit_code == 128 + number


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_is_nothing_that_is_taken_for_the_fault_of_a_judge_or_a_server(
    number: signal.Signals,
) -> None:
    raise_on_termination()
    with pytest.raises(InterruptedWork), suppress(Exception):
        signal.raise_signal(number)


def test_a_stop_that_other_code_swallowed_is_raised_again_as_long_as_the_handlers_are_there() -> None:
    stop_if_asked()
    raise_on_termination()
    stop_if_asked()
    with suppress(BaseException):  # as Prefect does behind the last state of a flow
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(InterruptedWork, match="stopped by SIGINT"):
        stop_if_asked()
    raise_on_termination()
    stop_if_asked()


def test_ctrl_c_from_python_is_held_too() -> None:
    with pytest.raises(KeyboardInterrupt), signals_held():
        swallow(signal.SIGINT)


def test_without_a_signal_the_handlers_are_as_before() -> None:
    raise_on_termination()
    before = [signal.getsignal(each) for each in STOPPING]
    with signals_held():
        pass
    assert [signal.getsignal(each) for each in STOPPING] == before


def test_in_another_thread_nothing_is_held() -> None:
    errors = []

    def work() -> None:
        try:
            with signals_held():
                pass
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []
