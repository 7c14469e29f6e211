"""A child process that adds numbers: `python -m tests.support.sums`."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from pydantic import BaseModel

from core.child_process import EARLY, answering


class SumSpec(BaseModel):
    """What is to be added, and a file that it may hold with its parent."""

    numbers: list[int]
    lock: Path | None = None


class Sum(BaseModel):
    """What it says about itself, beside the sum.

    Attributes:
        early: it began before it knew what to do.
        holds: it has the file open.
        threads: as it was told.
    """

    total: int
    pid: int
    early: bool
    holds: bool
    threads: str


def meanwhile() -> None:
    """What the variable MEANWHILE says: fail, die, or write the process's id into a file."""
    print("got ready")
    match os.environ.get("MEANWHILE"):
        case None:
            return
        case "fail":
            raise ValueError("what was got ready was broken")
        case "die":
            os._exit(1)
        case path:
            Path(path).write_text(str(os.getpid()))
            threading.Event().wait()


if __name__ == "__main__":
    with answering(SumSpec, meanwhile=meanwhile) as job:
        opened = [each.resolve() for each in Path("/proc/self/fd").iterdir()]
        print("works")
        job.answer(
            Sum(
                total=sum(job.spec.numbers),
                pid=os.getpid(),
                early=EARLY in sys.argv,
                holds=job.spec.lock in opened,
                threads=os.environ["OMP_NUM_THREADS"],
            )
        )
