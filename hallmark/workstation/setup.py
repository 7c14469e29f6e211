"""What is set up on a Prefect server, all of it idempotent: the work pool and its limit, deployments,
automations.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import make_home
from hallmark.workstation.deploying import PROJECT, deploy, deployments, remove_renamed
from hallmark.workstation.reaching import Address
from hallmark.workstation.services import SERVER

POOL = "gpu"
ZOMBIE = "Its process stopped reporting. Start the same experiment again: it continues."
NOTIFY_BLOCK = "hallmark-notify"
RENAMED = (
    "hallmark: mark zombies crashed",
    *(f"hallmark: tell about a {what}" for what in ("promotion", "rollback", "refusal", "failure", "crash")),
)
"""Automations that have another name now; the old ones would act a second time."""


def set_up(home: Path, environment: dict[str, str]) -> Iterator[str]:
    """Set everything up on the server that the environment names, saying what was done.

    Args:
        home: HALLMARK_HOME, absolute; the deployments work in it.
        environment: of a client, with PREFECT_API_URL.

    Raises:
        InputError: this is no checkout, or the schedule's settings are unusable.
        ResourceError: the server does not answer.
    """
    if not (PROJECT / "prefect.yaml").is_file():
        raise InputError(
            f"{PROJECT}: no prefect.yaml. Deploying needs a checkout of the project: "
            "clone it and run `make up` there."
        )
    deployments(home, environment)  # refuses a time zone that does not exist before anything is set up
    make_home(home)
    os.environ.update(environment)
    yield _set_up_pool()
    yield deploy(home, environment)
    yield from remove_renamed()
    yield _set_up_automations(environment.get("HALLMARK_NOTIFY_URL"))
    if (running := SERVER.holder(home)) and running.address == environment["PREFECT_API_URL"]:
        _remove_logos()


def wait_for_server(
    address: str, sign_in: str | None, alive: Any, seconds: float = 180.0, named_by: str = ""
) -> None:
    """Wait until the server answers.

    Args:
        address: of the API.
        sign_in: "user:password", or None.
        alive: called now and then; raises when waiting has become pointless.
        seconds: how long.
        named_by: who says that a server is there, for the message.

    Raises:
        InputError: the address is no URL.
        ResourceError: it does not answer, refuses the sign-in, or is no Prefect server.
    """
    deadline = time.monotonic() + seconds
    while True:
        alive()
        problem = Address(address, named_by, sign_in).problem()
        if problem is None:
            return
        if not problem.transient or time.monotonic() > deadline:
            raise problem
        time.sleep(0.3)


def worker_reports() -> set[tuple[str, str]]:
    """The name of each worker of the pool, and when it reported last by the server's clock. Another time
    means that it has reported since, wherever the clocks went meanwhile.
    """
    return {(worker["name"], worker["last_heartbeat_time"]) for worker in _workers()}


def mark_dead_runs_crashed(worker: str) -> Iterator[str]:
    """Mark flow runs that this machine's worker left behind, which would hold the pool's only place for ever;
    says which.

    Called before the worker starts. Prefect's runs carry the process that they ran in, and not always the
    machine; without it, runs are taken for ours where no other worker is online.

    Args:
        worker: name of the worker of this machine.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, WorkPoolFilter
    from prefect.client.schemas.objects import StateType
    from prefect.states import Crashed

    unfinished = FlowRunFilter.model_validate(
        {"state": {"type": {"any_": [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]}}}
    )
    pool = WorkPoolFilter.model_validate({"name": {"any_": [POOL]}})
    with get_client(sync_client=True) as client:
        alone = {found["name"] for found in _workers() if found["status"] == "ONLINE"} <= {worker}
        for run in client.read_flow_runs(flow_run_filter=unfinished, work_pool_filter=pool):
            machine, _, pid = (run.infrastructure_pid or "").rpartition(":")
            here = machine == platform.node() or (not machine and alone)
            if here and not _works_for_prefect(pid):
                client.set_flow_run_state(run.id, Crashed(message=ZOMBIE), force=True)
                yield f"flow run {run.name}: its process is gone, marked as crashed"


def _works_for_prefect(pid: str) -> bool:
    try:
        return b"prefect" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _workers() -> list[dict[str, Any]]:
    from prefect.client.orchestration import get_client

    path = {"work_pool_name": POOL}
    with get_client(sync_client=True) as client:
        found: list[dict[str, Any]] = client.request(
            "POST", "/work_pools/{work_pool_name}/workers/filter", path_params=path, json={}
        ).json()
    return found


def _set_up_pool() -> str:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectNotFound
    from prefect.workers.process import ProcessWorker

    description = "One GPU, one job. Created by `hallmark deploy`."
    template = ProcessWorker.get_default_base_job_template()
    with get_client(sync_client=True) as client:
        try:
            pool = client.read_work_pool(POOL)
        except ObjectNotFound:
            wanted = WorkPoolCreate(
                name=POOL,
                type="process",
                base_job_template=template,
                concurrency_limit=1,
                description=description,
            )
            client.create_work_pool(wanted)
            return f"work pool {POOL}: made, one job at a time"
        if pool.concurrency_limit != 1:
            client.update_work_pool(POOL, WorkPoolUpdate(concurrency_limit=1))
            return f"work pool {POOL}: now one job at a time, as it has to be"
    return f"work pool {POOL}: there already, one job at a time"


def _remove_logos() -> None:
    """Let the pages of our own server load no pictures from elsewhere: Prefect's blocks come with addresses
    of logos.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import BlockTypeUpdate

    with get_client(sync_client=True) as client:
        for block_type in client.read_block_types():
            if block_type.logo_url:
                client.update_block_type(block_type.id, BlockTypeUpdate(logo_url=None))


def _set_up_automations(notify_url: str | None) -> str:
    from prefect.automations import Automation

    _remove_automations(RENAMED)
    done = []
    for name, description, trigger, actions in _automations(_notification(notify_url)):
        try:
            known: Any = Automation.read(name=name)
        except ValueError:
            Automation(name=name, description=description, trigger=trigger, actions=actions).create()
        else:
            if _content(known.trigger, known.actions) != _content(
                trigger, actions
            ):  # an update forgets what is being waited for
                known.description, known.trigger, known.actions = description, trigger, actions
                known.update()
        done.append(name.removeprefix("hallmark: "))
    without = (
        ""
        if notify_url
        else ". For notifications of promotions, refusals and failures, set HALLMARK_NOTIFY_URL to a webhook"
    )
    return f"automations: {', '.join(done)}{without}"


def _remove_automations(names: tuple[str, ...]) -> None:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        for name in names:
            for automation in client.read_automations_by_name(name):
                client.delete_automation(automation.id)


def _content(trigger: Any, actions: list[Any]) -> Any:
    return trigger.model_dump(mode="json", exclude={"id"}), [
        action.model_dump(mode="json") for action in actions
    ]


def _automations(notify: Any | None) -> Iterator[tuple[str, str, Any, list[Any]]]:
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import EventTrigger, Posture
    from prefect.events.schemas.events import ResourceSpecification

    from tasks.events import FAILED, PROMOTED, REFUSED, ROLLED_BACK
    from tasks.heartbeats import EVERY_SECONDS, HEARTBEAT

    endings = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}
    yield (
        "hallmark: mark dead runs as crashed",
        "Marks a flow run as crashed whose process stopped reporting, because it or its machine was killed.",
        EventTrigger(
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            after={HEARTBEAT},
            expect={HEARTBEAT, *endings},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=4 * EVERY_SECONDS),
        ),
        [ChangeFlowRunState(state=StateType.CRASHED, message=ZOMBIE)],
    )
    if notify is None:
        return
    for title, event in (
        ("promotion", PROMOTED),
        ("rollback", ROLLED_BACK),
        ("refusal", REFUSED),
        ("failure", FAILED),
        ("crash", "prefect.flow-run.Crashed"),
    ):
        # of a crash, the flow run that was asked for, not those inside of it
        related = ResourceSpecification({"prefect.resource.role": "deployment"} if title == "crash" else {})
        yield (
            f"hallmark: notify of a {title}",
            f"Posts a message to HALLMARK_NOTIFY_URL at every event {event}.",
            EventTrigger(
                match_related=related,
                expect={event},
                posture=Posture.Reactive,
                threshold=1,
                within=timedelta(0),
            ),
            [notify],
        )


def _notification(notify_url: str | None) -> Any | None:
    if not notify_url:
        return None
    from prefect.blocks.notifications import CustomWebhookNotificationBlock
    from prefect.events.actions import SendNotification

    block = CustomWebhookNotificationBlock(
        name="Hallmark",
        url="{{url}}",  # from the secrets, so that the page of the block shows no token
        json_data={"text": "{{subject}}\n{{body}}"},  # as expected by Slack, Mattermost and similar
        secrets={"url": notify_url},
    )
    identity = block.save(NOTIFY_BLOCK, overwrite=True)
    return SendNotification(
        block_document_id=identity,
        subject="{{ event.payload.subject or 'Hallmark: a flow run crashed' }}",
        body="{{ event.payload.message or event.resource['prefect.resource.name'] }}",
    )
