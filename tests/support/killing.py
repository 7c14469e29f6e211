"""Work that is killed, or asked to stop, at a random moment."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable

from core.child_process import raise_on_termination
from core.errors import InterruptedWork


def kill_at_random_moment(
    work: Callable[[], object], within_s: float, number: signal.Signals = signal.SIGKILL
) -> bool:
    """Do some work in a process of its own, and kill that; whether it was still at work.

    Args:
        work: what is done.
        within_s: the latest moment, in seconds.
        number: the signal; one that asks is handled as the command line handles it.
    """
    forked = multiprocessing.get_context("fork")
    listens = forked.Event()

    def worker() -> None:
        raise_on_termination()
        try:
            listens.set()
            work()
        except InterruptedWork as stopped:
            os._exit(stopped.exit_code)

    process = forked.Process(target=worker)
    process.start()
    listens.wait()
    time.sleep(random.random() * within_s)
    if process.pid is not None:
        os.kill(process.pid, number)
    process.join()
    assert process.exitcode in (0, -number, 128 + number)
    return process.exitcode != 0
