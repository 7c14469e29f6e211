"""Progress artifacts, sent now and then from a thread of their own."""

from __future__ import annotations

import contextvars
import re
import threading
from typing import NamedTuple
from uuid import UUID

from reports.markdown import prose
from tasks.logs import harmless

SHOW_EVERY_SECONDS = 2.0
"""How often a progress artifact is updated at most."""


class Shown(NamedTuple):
    """What a progress artifact says.

    Attributes:
        name: of the artifact.
        percent: from 0 to 100.
        sentence: beside it.
    """

    name: str
    percent: float
    sentence: str


class ProgressArtifacts:
    """Sends the latest progress now and then, from a thread of its own: a server that is slow or away never
    holds up the work. The artifacts are those of the flow run or task run in which this was made.

    Args:
        every: least seconds between two updates.
    """

    def __init__(self, every: float = SHOW_EVERY_SECONDS) -> None:
        self.every = every
        self.latest: Shown | None = None
        self.sent: Shown | None = None
        self.artifacts: dict[str, UUID] = {}
        self.ended = threading.Event()
        self.thread = threading.Thread(
            target=contextvars.copy_context().run, args=(self._send_all,), daemon=True
        )
        self.thread.start()

    def close(self) -> None:
        """Send what is left, unless the server keeps us waiting."""
        self.ended.set()
        self.thread.join(timeout=5)

    def _send_all(self) -> None:
        while not self.ended.wait(self.every):
            self._send()
        self._send()

    def _send(self) -> None:
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        shown = self.latest
        if shown is None or shown == self.sent:
            return
        self.sent = shown
        with harmless("progress"):
            if shown.name in self.artifacts:
                update_progress_artifact(self.artifacts[shown.name], shown.percent, prose(shown.sentence))
            else:
                key = re.sub(r"[^a-z0-9]+", "-", shown.name.lower()).strip("-")
                made = create_progress_artifact(shown.percent, key, prose(shown.sentence))
                assert isinstance(made, UUID)  # noqa: S101 - outside an event loop it is no coroutine
                self.artifacts[shown.name] = made
