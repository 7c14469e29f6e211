"""What long work says while it runs: how far, how fast, how long. Listeners decide how it looks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel


class Progress(BaseModel):
    """One report of long work.

    Attributes:
        stage: what is being done, as a person would say it.
        done: finished so far, in `unit`.
        total: all there is to do; 0 for a wait whose length nobody knows.
        unit: what is counted: items, steps, MB.
        rate: finished per second; 0 until it is known.
        seconds_left: estimate; None until it is known.
        note: anything else worth seeing, such as the loss.
    """

    stage: str
    done: int
    total: int
    unit: str
    rate: float = 0.0
    seconds_left: float | None = None
    note: str = ""

    def sentence(self) -> str:
        """The report as a line of text."""
        if self.total == 0:
            return f"{self.stage} {self.note}"
        left = "" if self.seconds_left is None else f", {self.seconds_left:.0f} s left"
        note = f", {self.note}" if self.note else ""
        return f"{self.stage}: {self.done}/{self.total} {self.unit}, {self.speed}{left}{note}"

    @property
    def speed(self) -> str:
        """The rate as a person reads it: what takes longer than a second is counted in seconds.

        Example:
            >>> slow = Progress(stage="train", done=1, total=9, unit="steps", rate=0.08)
            >>> slow.speed
            '12.5 s/step'
        """
        if 0 < self.rate < 1:
            return f"{1 / self.rate:.1f} s/{self.unit.removesuffix('s')}"
        return f"{self.rate:.1f} {self.unit}/s"


Listener = Callable[[Progress], None]
Count = Callable[[int], None]
"""Called with how many more bytes were read or sent."""

MB = 1_000_000
QUIET_S = 1.0
"""Work that takes no longer than this, in seconds, is not reported."""

_listener: ContextVar[Listener | None] = ContextVar("hallmark_listener", default=None)
_watcher: ContextVar[Listener | None] = ContextVar("hallmark_watcher", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Send the progress of whatever is done inside the block to `listener`."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def watching(watcher: Listener) -> Iterator[None]:
    """Send the progress of whatever is done inside the block to `watcher` too, whoever listens."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def is_listened_to() -> bool:
    """Whether anybody listens to what is done here."""
    return _listener.get() is not None


def current_listener() -> Listener:
    """Who listens to what is done here, and who watches; perhaps nobody."""
    listener, watcher = _listener.get() or _nobody, _watcher.get()
    if watcher is None:
        return listener
    told = watcher

    def both(progress: Progress) -> None:
        told(progress)
        listener(progress)

    return both


def announce(stage: str, note: str) -> None:
    """Say something once to whoever listens.

    Args:
        stage: what it is about.
        note: the rest of the sentence.
    """
    current_listener()(Progress(stage=stage, done=0, total=0, unit="", note=note))


@dataclass
class Meter:
    """Turns counts into reports with rate and time left, a few per second at most.

    Attributes:
        every: least seconds between two reports; the first and the last are always made.
        quiet: seconds in which nothing is reported; what is done by then is not reported at all.
    """

    stage: str
    total: int
    unit: str
    listener: Listener
    every: float = 0.2
    quiet: float = 0.0
    _started: float = field(default_factory=time.monotonic)
    _first: int | None = None
    _last: float = float("-inf")

    def update(self, done: int, **extra: Any) -> None:
        """Report that `done` of the total are finished."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._started = done, now
        if done < self.total and now - self._last < self.every:
            return
        if self._last == float("-inf") and now - self._started < self.quiet:
            return
        self._last = now
        rate = (done - self._first) / (now - self._started) if now > self._started else 0.0
        left = (self.total - done) / rate if rate > 0 else None
        self.listener(
            Progress(
                stage=self.stage,
                done=done,
                total=self.total,
                unit=self.unit,
                rate=rate,
                seconds_left=left,
                **extra,
            )
        )

    def finish(self) -> None:
        """Report the end, if anything was reported before."""
        if self._last > float("-inf"):
            self.update(self.total)


def quiet_meter(stage: str, total: int, unit: str) -> Meter:
    """A meter for whoever listens here, silent about work that takes no longer than `QUIET_S`."""
    meter = Meter(stage, total, unit, current_listener(), quiet=QUIET_S)
    meter.update(0)
    return meter


@contextmanager
def byte_meter(stage: str, total: int) -> Iterator[Count]:
    """The same for bytes that are read or sent by several threads at once; reported in MB.

    Args:
        stage: what is being done.
        total: how many bytes there are; it is done at the end of the block, even where fewer had to be read.
    """
    meter, lock, done = quiet_meter(stage, -(-total // MB), "MB"), threading.Lock(), 0

    def count(size: int) -> None:
        nonlocal done
        with lock:
            done += size
            meter.update(min(done // MB, meter.total - 1))

    yield count
    meter.finish()


def uncounted(_size: int) -> None:
    """Nobody counts."""


def _nobody(_progress: Progress) -> None:
    """Nobody listens."""
