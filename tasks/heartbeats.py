"""The event by which others know that the process of a flow run lives.

Prefect can send it itself, but its thread sleeps in whole seconds, and every flow waits for that at its end.
"""

from __future__ import annotations

import contextvars
import threading
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tasks.logs import harmless

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

HEARTBEAT = "prefect.flow-run.heartbeat"
"""As Prefect names it."""
EVERY_SECONDS = 30

_beating: dict[UUID, _Heartbeats] = {}


def begin_heartbeats(flow: Any, flow_run: FlowRun, state: Any) -> None:
    """Hook of a flow run that begins: send the event now and every `EVERY_SECONDS`."""
    del state
    if flow_run.id not in _beating:  # it is called again when a flow is tried again
        _beating[flow_run.id] = _Heartbeats(flow, flow_run)


def end_heartbeats(flow: Any, flow_run: FlowRun, state: Any) -> None:
    """Hook of a flow run that has ended, in whatever way."""
    del flow, state
    if (heartbeats := _beating.pop(flow_run.id, None)) is not None:
        heartbeats.end()


class _Heartbeats:
    """A thread that sends them, with the settings of the flow run."""

    def __init__(self, flow: Any, flow_run: FlowRun) -> None:
        self.resource = {
            "prefect.resource.id": f"prefect.flow-run.{flow_run.id}",
            "prefect.resource.name": flow_run.name,
        }
        of_flow = {
            "prefect.resource.id": f"prefect.flow.{flow_run.flow_id}",
            "prefect.resource.role": "flow",
            "prefect.resource.name": flow.name,
        }
        of_deployment = {
            "prefect.resource.id": f"prefect.deployment.{flow_run.deployment_id}",
            "prefect.resource.role": "deployment",
        }
        self.related = [of_flow, of_deployment] if flow_run.deployment_id else [of_flow]
        self.ended = threading.Event()
        context = contextvars.copy_context()
        self.thread = threading.Thread(target=context.run, args=(self._send_all,), daemon=True)
        self.thread.start()

    def end(self) -> None:
        """Send no more: one after the flow run's end would make it look dead two minutes later."""
        self.ended.set()
        self.thread.join(timeout=5)

    def _send_all(self) -> None:
        from prefect.events import emit_event

        while True:
            with harmless("a heartbeat"):
                emit_event(event=HEARTBEAT, resource=self.resource, related=self.related)
            if self.ended.wait(EVERY_SECONDS):
                return
