"""Work that is killed at a random moment."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable


def kill_at_random_moment(work: Callable[[], object], within_s: float) -> bool:
    """Do some work in a process of its own, and kill that; whether it was still at work.

    Args:
        work: what is done.
        within_s: the latest moment, in seconds.
    """
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    time.sleep(random.random() * within_s)
    process.kill()
    process.join()
    return process.exitcode != 0
