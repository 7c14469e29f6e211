"""What long work says while it runs: how far, how fast, how long still. Who listens decides how it looks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel


class Progress(BaseModel):
    """One report of a stage.

    Attributes:
        stage: what is being done, as a person would say it.
        done: finished so far, in `unit`.
        total: all there is to do; 0 for a wait whose length nobody knows.
        unit: items, steps.
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
        return f"{self.stage}: {self.done}/{self.total} {self.unit}, {self.rate:.1f} {self.unit}/s{left}{note}"


Listener = Callable[[Progress], None]


@dataclass
class Meter:
    """Turns counts into reports with rate and time left, a few each second at most.

    Attributes:
        every: least seconds between two reports; the first and the last are always made.
    """

    stage: str
    total: int
    unit: str
    listener: Listener
    every: float = 0.2
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
        self._last = now
        rate = (done - self._first) / (now - self._started) if now > self._started else 0.0
        left = (self.total - done) / rate if rate > 0 else None
        self.listener(Progress(stage=self.stage, done=done, total=self.total, unit=self.unit, rate=rate, seconds_left=left, **extra))
