"""A Prefect server that is named and cannot be used is a missing resource, whatever is wrong with it, and so
says every command that needs one.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from core.errors import InputError, ResourceError, TransientError
from evaluation.gate import GateConfig
from experiments.promoting import promote_run
from hallmark.workstation.reaching import Address
from tests.support.recorded_runs import record_baseline, record_trained, right_for, workspace_at
from tests.support.refusals import assert_refused
from tests.support.small_datasets import small_dataset

DEAD = "http://127.0.0.1:9/api"


class Strange(BaseHTTPRequestHandler):
    """Answers with the status that its address begins with, and with a page."""

    def do_GET(self) -> None:
        page = b"<html>welcome</html>"
        self.send_response(int(self.path.split("/")[1]))
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def strange() -> Iterator[int]:
    """The port of a server that is not Prefect's."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Strange) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.unit
@pytest.mark.parametrize(
    ("path", "error", "words"),
    [
        (
            "http://127.0.0.1:{}/401/api",
            ResourceError,
            "sign-in (HTTP 401). Set PREFECT_API_AUTH",
        ),
        ("http://127.0.0.1:{}/403/api", ResourceError, "refuses our sign-in (HTTP 403)"),
        ("http://127.0.0.1:{}/404/api", ResourceError, "no Prefect API (HTTP 404)"),
        ("http://127.0.0.1:{}/200", ResourceError, "ends with /api"),
        ("http://127.0.0.1:{}/503/api", TransientError, "is not well (HTTP 503)"),
        ("https://127.0.0.1:{}/200/api", ResourceError, "PREFECT_API_SSL_CERT_FILE"),
        ("127.0.0.1:{}/api", InputError, "is not the URL"),
        ("http://[::1:{}/api", InputError, "is not the URL"),
    ],
)
def test_what_is_wrong_with_a_server_is_said(
    strange: int, path: str, error: type[Exception], words: str
) -> None:
    problem = Address(path.format(strange), "PREFECT_API_URL").problem()
    assert type(problem) is error
    assert str(problem).startswith("PREFECT_API_URL: ")
    assert words in str(problem)


@pytest.mark.unit
@pytest.mark.parametrize(
    "address",
    [
        "http://user:secret@127.0.0.1:1/api",
        "http://user:se/cr@secret@127.0.0.1:1/api",
        "user:secret@127.0.0.1:1/api",
        "http:/user:secret@127.0.0.1:1/api",
    ],
)
def test_no_message_shows_the_user_and_password_of_an_address(address: str) -> None:
    problem = str(Address(address, "PREFECT_API_URL").problem())
    assert "127.0.0.1:1/api" in problem
    assert "secret" not in problem
    assert "user:" not in problem


@pytest.mark.unit
def test_a_server_that_is_named_and_dead_is_told_by_doctor_and_status(hallmark, home: Path) -> None:
    named = {"PREFECT_API_URL": "http://user:secret@127.0.0.1:1/api"}
    asked, status = hallmark("doctor", **named), hallmark("status", **named)
    assert asked.returncode == 4
    assert "problem  Prefect" in asked.stdout
    assert "PREFECT_API_URL: http://127.0.0.1:1/api: no Prefect server answers" in asked.stdout
    assert "starting" not in asked.stderr
    assert "names another server than this home's: http://127.0.0.1:1/api" in " ".join(status.stderr.split())
    assert "secret" not in asked.stdout + asked.stderr + status.stdout + status.stderr
    assert "no registry yet" in asked.stdout
    assert not (home / "registry.db").exists()


@pytest.mark.unit
def test_a_server_that_says_nothing_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hallmark.workstation.reaching.SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        problem = Address(f"http://127.0.0.1:{silent.getsockname()[1]}/api").problem()
    assert isinstance(problem, TransientError)
    assert "no Prefect server answers (not in time)" in str(problem)


@pytest.mark.model
def test_a_named_prefect_server_that_does_not_answer_is_named_with_the_remedy(hallmark, tmp_path) -> None:
    dataset = str(small_dataset(tmp_path))
    result = hallmark("evaluate", "tiny-base", "--dataset", dataset, PREFECT_API_URL=DEAD)
    assert_refused(result, 4, f"PREFECT_API_URL: {DEAD}: no Prefect server answers", "unset PREFECT_API_URL")
    result = hallmark("evaluate", "tiny-base", "--dataset", dataset, PREFECT_API_URL="http://[::1")
    assert_refused(result, 2, "PREFECT_API_URL", "is not the URL of a Prefect API")


@pytest.mark.model
def test_a_profile_that_names_a_dead_server_is_named(hallmark, tmp_path: Path) -> None:
    prefect = tmp_path / "prefect"
    prefect.mkdir()
    lines = ['active = "work"', "[profiles.work]", f'PREFECT_API_URL = "{DEAD}"']
    (prefect / "profiles.toml").write_text("\n".join(lines))
    dataset = str(small_dataset(tmp_path))
    result = hallmark("evaluate", "tiny-base", "--dataset", dataset, PREFECT_HOME=str(prefect))
    assert_refused(result, 4, f"api.url of Prefect's profile work: {DEAD}", "prefect profile use")


@pytest.mark.unit
def test_nothing_is_promoted_where_nobody_would_hear_of_it_and_a_rollback_goes_on(
    hallmark, home: Path
) -> None:
    workspace = workspace_at(home)
    record_baseline(workspace)
    for share, weights in ((0.6, "first"), (0.9, "second")):
        run = record_trained(workspace, right_for(share), weights)
        if weights == "first":
            promote_run(run.run_id, "tiny-reasoner", GateConfig(), workspace)
    refused = hallmark("promote", run.run_id, PREFECT_API_URL=DEAD)
    assert_refused(refused, 4, "PREFECT_API_URL", "no Prefect server answers")
    assert len(workspace.registry.models.versions("tiny-reasoner")) == 1
    promote_run(run.run_id, "tiny-reasoner", GateConfig(), workspace)
    back = hallmark("rollback", "1", "--reason", "it is slow", PREFECT_API_URL=DEAD)
    assert back.returncode == 0, back.stderr
    assert "no event was sent" in back.stderr
    champion = workspace.registry.models.aliased("tiny-reasoner", "champion")
    assert champion is not None
    assert champion.number == 1
