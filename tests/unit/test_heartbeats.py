"""Others know that the process of a flow run lives, and its end waits for nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
from prefect import Flow
from prefect.client.schemas.objects import FlowRun
from prefect.events.clients import AssertingEventsClient
from prefect.events.worker import EventsWorker
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED,
    temporary_settings,
)
from prefect.states import Completed, Running

from flows.promote import promote
from tasks import heartbeats
from tasks.heartbeats import HEARTBEAT, begin_heartbeats, end_heartbeats

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def events_kept() -> Iterator[None]:
    AssertingEventsClient.reset()
    nobody = {PREFECT_API_URL: "http://127.0.0.1:1/api", PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False}
    with temporary_settings(nobody):  # else Prefect starts a server
        EventsWorker.set_client_override(AssertingEventsClient)
        yield
        EventsWorker.drain_all()
    EventsWorker._client_override = None
    AssertingEventsClient.reset()


def beats(run: FlowRun) -> int:
    EventsWorker.drain_all()
    sent = [each for client in AssertingEventsClient.all for each in client.events]
    return sum(each.event == HEARTBEAT and each.resource.id == f"prefect.flow-run.{run.id}" for each in sent)


def test_they_are_sent_from_the_beginning_of_a_flow_run_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "EVERY_SECONDS", 0.05)
    flow, run = Flow(lambda: None, name="evaluate"), FlowRun(flow_id=uuid4(), name="evaluate tiny-base")
    begin_heartbeats(flow, run, Running())
    begin_heartbeats(flow, run, Running())  # it is tried again
    time.sleep(0.3)
    end_heartbeats(flow, run, Completed())
    sent = beats(run)
    time.sleep(0.2)
    assert sent > 1
    assert beats(run) == sent


def test_every_flow_begins_and_ends_them_however_it_ends() -> None:
    assert begin_heartbeats in promote.on_running_hooks
    for hooks in (
        promote.on_completion_hooks,
        promote.on_failure_hooks,
        promote.on_crashed_hooks,
        promote.on_cancellation_hooks,
    ):
        assert end_heartbeats in hooks
