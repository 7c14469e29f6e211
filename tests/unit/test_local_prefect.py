"""Prefect's environment on this machine: signed in, closed to others, nothing sent; and a nightly hour that
happens once a night.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import pytest
import yaml

from core.errors import InputError
from core.locks import acquire
from hallmark.workstation import deploying
from hallmark.workstation.prefect_environment import (
    client_environment,
    kept_sign_in,
    server_environment,
    sign_in_file,
)
from hallmark.workstation.ready import variables
from hallmark.workstation.services import SERVER

pytestmark = pytest.mark.unit

PROJECT = Path(__file__).parents[2]
[NIGHTLY_CRON] = {
    schedule["cron"]
    for deployment in yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]
    for schedule in deployment.get("schedules", [])
}


def test_the_server_is_closed_by_default(tmp_path: Path) -> None:
    environment = server_environment(tmp_path, "127.0.0.1", 4300, {})
    assert environment["PREFECT_SERVER_API_AUTH_STRING"] == kept_sign_in(tmp_path)
    assert environment["PREFECT_SERVER_CSRF_PROTECTION_ENABLED"] == "true"
    assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert environment["PREFECT_SERVER_UI_V2_ENABLED"] == "false"
    assert environment["PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT"] == "false"
    assert environment["DO_NOT_TRACK"] == "1"
    assert environment["PREFECT_UI_API_URL"] == "http://127.0.0.1:4300/api"
    assert Path(environment["PREFECT_HOME"]).is_relative_to(tmp_path)
    assert Path(environment["TMPDIR"]).is_relative_to(tmp_path)


def test_what_the_environment_says_wins(tmp_path: Path) -> None:
    given = {
        "PREFECT_SERVER_API_AUTH_STRING": "me:mine",
        "PREFECT_UI_API_URL": "https://prefect.example/api",
        "PREFECT_SERVER_UI_V2_ENABLED": "true",
    }
    environment = server_environment(tmp_path, "0.0.0.0", 4200, given)
    assert environment["PREFECT_SERVER_API_AUTH_STRING"] == "me:mine"
    assert environment["PREFECT_UI_API_URL"] == "https://prefect.example/api"
    assert environment["PREFECT_SERVER_UI_V2_ENABLED"] == "true"
    assert environment["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"
    assert not sign_in_file(tmp_path).exists()


def test_the_sign_in_is_made_once_and_is_its_owner_s_only(tmp_path: Path) -> None:
    first = kept_sign_in(tmp_path)
    assert kept_sign_in(tmp_path) == first
    assert len(first.split(":", 1)[1]) >= 20
    assert sign_in_file(tmp_path).stat().st_mode & 0o777 == 0o600
    assert kept_sign_in(tmp_path / "other") != first


def test_a_damaged_sign_in_is_named(tmp_path: Path) -> None:
    sign_in_file(tmp_path).parent.mkdir()
    sign_in_file(tmp_path).write_text("nothing")
    with pytest.raises(InputError, match="sign-in: expected USER:PASSWORD"):
        kept_sign_in(tmp_path)


def test_a_client_finds_the_server_of_its_home_unless_it_was_given_another(tmp_path: Path) -> None:
    assert "PREFECT_API_URL" not in client_environment(tmp_path, {})
    lock = acquire(SERVER.lock(tmp_path), "the server", "http://127.0.0.1:4300/api")
    assert lock is not None
    try:
        found = client_environment(tmp_path, {})
        assert (found["PREFECT_API_URL"], found["PREFECT_API_AUTH_STRING"]) == (
            "http://127.0.0.1:4300/api",
            kept_sign_in(tmp_path),
        )
        given = client_environment(tmp_path, {"PREFECT_API_URL": "http://elsewhere/api"})
        assert given["PREFECT_API_URL"] == "http://elsewhere/api"
        assert "PREFECT_API_AUTH_STRING" not in given
    finally:
        os.close(lock)


def test_a_time_zone_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="HALLMARK_TIMEZONE=Mars/Olympus: no such time zone"):
        deploying.deployments(tmp_path, {"HALLMARK_TIMEZONE": "Mars/Olympus"})


def test_the_nightly_hour_happens_exactly_once_a_night_in_every_time_zone() -> None:
    """Two years of nights, clock changes included (the row "time zone change at night")."""
    from prefect.server.schemas.schedules import CronSchedule

    start = datetime(2026, 1, 1, tzinfo=UTC)
    seen = set()
    for name in sorted(available_timezones() - {"localtime", "Factory"}):
        zone = ZoneInfo(name)
        offsets = tuple(
            (start + timedelta(days=day)).astimezone(zone).utcoffset() for day in range(0, 800, 7)
        )
        if offsets in seen:  # the same clock under another name
            continue
        seen.add(offsets)
        schedule = CronSchedule(cron=NIGHTLY_CRON, timezone=name)
        dates = asyncio.run(schedule.get_dates(n=760, start=start))
        nights = Counter(date.astimezone(zone).date() for date in dates)
        assert set(nights.values()) == {1}, name
        assert (max(nights) - min(nights)).days == len(nights) - 1, f"{name}: a night was left out"
    assert len(seen) > 50


def test_every_flow_is_deployed_with_its_version_and_a_night_is_no_try_at_the_champion(
    tmp_path: Path,
) -> None:
    from experiments.config import ExperimentConfig

    document = deploying.deployments(tmp_path, {"HALLMARK_TIMEZONE": "Europe/Berlin"})
    flows = {path.stem for path in (PROJECT / "flows").glob("*.py")} - {
        "__init__",
        "common",
        "form",
        "naming",
        "words",
    }
    assert {found["entrypoint"].partition(":")[2] for found in document["deployments"]} == flows | {
        "baseline"
    }
    [version] = {found["version"] for found in document["deployments"]}
    assert version
    [nightly] = [found for found in document["deployments"] if found["name"] == "nightly-smoke"]
    config = ExperimentConfig.model_validate(nightly["parameters"]["config"])
    assert not config.promote
    assert config.model_name != ExperimentConfig().model_name
    [schedule] = nightly["schedules"]
    assert (schedule["cron"], schedule["timezone"]) == (NIGHTLY_CRON, "Europe/Berlin")
    moved = deploying.deployments(
        tmp_path, {"HALLMARK_NIGHTLY_CRON": "30 5 * * 1-5", "HALLMARK_TIMEZONE": "UTC"}
    )
    [schedule] = next(each["schedules"] for each in moved["deployments"] if each["name"] == "nightly-smoke")
    assert (schedule["cron"], schedule["timezone"]) == ("30 5 * * 1-5", "UTC")


def test_prefect_yaml_needs_no_variable_of_ours() -> None:
    text = (PROJECT / "prefect.yaml").read_text()
    assert re.findall(r"{{.*?}}", text) == ["{{ $PWD }}"], (
        "a shell sets PWD; anything else would be an empty string"
    )


def test_the_environment_is_put_back_when_the_last_of_several_calls_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", "theirs")
    before, wanted = (
        dict(os.environ),
        {"PREFECT_API_URL": "http://127.0.0.1:4300/api", "PREFECT_HOME": "ours"},
    )
    first, second = ExitStack(), ExitStack()
    first.enter_context(variables(wanted))
    second.enter_context(variables({**os.environ, **wanted}))
    first.close()
    assert {name: os.environ.get(name) for name in wanted} == wanted
    second.close()
    assert dict(os.environ) == before
