"""The deployments of prefect.yaml on a Prefect server."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.errors import HallmarkError, InputError
from hallmark.workstation.prefect_environment import own_temporary_folder
from hallmark.workstation.services import beside_python

PROJECT = Path(__file__).parents[2]
NIGHTLY = "nightly"
"""Slug of the schedules in prefect.yaml that HALLMARK_NIGHTLY_CRON and the time zone apply to."""
RENAMED, OURS = "gpu", "hallmark"
"""What every deployment was called before each was named after its flow, and the tag that they all have."""


def deployments(home: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """The content of prefect.yaml with what this machine adds: folders, the code's version, the nightly
    schedule.

    Args:
        home: HALLMARK_HOME, absolute.
        environment: HALLMARK_PROJECT, HALLMARK_NIGHTLY_CRON and HALLMARK_TIMEZONE are read.

    Raises:
        InputError: HALLMARK_TIMEZONE is not a time zone.
    """
    import yaml

    from experiments.environment import code_version

    zone = environment.get("HALLMARK_TIMEZONE") or local_time_zone()
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(
            f"HALLMARK_TIMEZONE={zone}: no such time zone. Use a name such as Europe/Berlin."
        ) from None
    document: dict[str, Any] = yaml.safe_load((PROJECT / "prefect.yaml").read_text(encoding="utf-8"))
    folder = environment.get("HALLMARK_PROJECT") or str(PROJECT)
    document["pull"] = [{"prefect.deployments.steps.set_working_directory": {"directory": folder}}]
    code = code_version()
    dirty = "-dirty" if code["git_dirty"] else ""
    version = f"{code['git_commit'][:12]}{dirty}" if code["git_commit"] else code["hallmark"]
    for deployment in document["deployments"]:
        deployment["version"] = version
        # YAML's anchor makes one pool of all: the variable is set once, in each of them
        deployment["work_pool"]["job_variables"]["env"]["HALLMARK_HOME"] = str(home)
        for schedule in deployment.get("schedules", []):
            if schedule["slug"] == NIGHTLY:
                schedule |= {
                    "cron": environment.get("HALLMARK_NIGHTLY_CRON") or schedule["cron"],
                    "timezone": zone,
                }
    return document


def local_time_zone() -> str:
    """The machine's time zone by its name; UTC when it has none."""
    name = os.environ.get("TZ", "").removeprefix(":")
    if not name:
        target = os.path.realpath("/etc/localtime")
        name = target.partition("/zoneinfo/")[2]
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "UTC"


def deploy(home: Path, environment: dict[str, str]) -> str:
    """Deploy what `deployments` gives; says what was done.

    Args:
        home: HALLMARK_HOME, absolute.
        environment: of a client, with PREFECT_API_URL.

    Raises:
        HallmarkError: Prefect refuses; with what it printed.
    """
    import yaml

    document = deployments(home, environment)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=own_temporary_folder(home)) as file:
        yaml.safe_dump(document, file, sort_keys=False)
        file.flush()
        command = [beside_python("prefect"), "--no-prompt", "deploy", "--all", "--prefect-file", file.name]
        done = subprocess.run(  # noqa: S603 - no shell
            command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise HallmarkError(
            f"prefect deploy --all failed in {PROJECT}:\n{(done.stdout + done.stderr)[-3000:]}"
        )
    found = document["deployments"]
    [schedule] = next(each["schedules"] for each in found if each["name"] == "nightly-smoke")
    when = f"nightly-smoke at {schedule['cron']!r} ({schedule['timezone']})"
    return f"deployments: {len(found)}, of code {found[0]['version']}; {when}"


def remove_renamed() -> Iterator[str]:
    """Remove our deployments that have other names now; says which. One with a schedule of somebody's stays,
    since it would end with it.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter

    ours = DeploymentFilter.model_validate({"name": {"any_": [RENAMED]}, "tags": {"all_": [OURS]}})
    with get_client(sync_client=True) as client:
        found = client.read_deployments(deployment_filter=ours)
        scheduled = [each for each in found if each.schedules]
        for deployment in found:
            if deployment not in scheduled:
                client.delete_deployment(deployment.id)
    if removed := len(found) - len(scheduled):
        yield f"deployments: {removed} by the old name {RENAMED} removed; each has its flow's name now"
    for deployment in scheduled:
        yield (
            f"deployment {RENAMED} ({', '.join(deployment.tags)}): has its flow's name now, and is left "
            "because of its schedule. Move the schedule, then delete it"
        )
