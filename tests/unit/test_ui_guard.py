"""Who may ask `hallmark ui` for what: row 32 of the fault list, and foreign pages."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response
from starlette.testclient import TestClient

from hallmark.ui.app import create_app
from hallmark.ui.forms import TOKEN, Posted
from hallmark.ui.guard import LARGEST_BODY
from tests.support.recorded_runs import workspace_at

pytestmark = pytest.mark.unit

SIGN_IN = "hallmark:secret"
OURS = {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    """The pages of an empty registry, with one form that says back what it was sent."""
    app = create_app(workspace_at(tmp_path / "home"), sign_in=SIGN_IN, patience_s=60)
    router = APIRouter()

    @router.post("/say")
    def say(form: Posted) -> Response:
        return PlainTextResponse(form["word"])

    @router.get("/fail")
    def fail() -> Response:
        raise RuntimeError("<script>alert(1)</script> secret")

    app.include_router(router)
    found = TestClient(app, base_url="http://localhost")
    found.auth = ("hallmark", "secret")
    return found


def token(client: TestClient) -> str:
    return str(client.app.state.csrf_token)  # type: ignore[attr-defined]


def test_nothing_is_shown_without_the_sign_in(client: TestClient) -> None:
    client.auth = None  # type: ignore[assignment]
    for path in ("/", "/runs", "/assets/style.css", "/nothing", "/say"):
        answer = client.get(path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic")
    for wrong in ("Basic", "Basic !!!", "Bearer x", "Basic " + base64.b64encode(b"hallmark:no").decode()):
        assert client.get("/runs", headers={"Authorization": wrong}).status_code == 401
    assert client.get("/runs", auth=("hallmark", "")).status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example", "", "[::2]"])
def test_a_foreign_name_that_points_here_gets_nothing(client: TestClient, host: str) -> None:
    assert client.get("/runs", headers={"Host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9999", "[::1]:4201", "LOCALHOST:1"])
def test_our_own_names_are_answered_whatever_the_port_of_a_tunnel(client: TestClient, host: str) -> None:
    assert client.get("/assets/style.css", headers={"Host": host}).status_code == 200


def test_every_answer_forbids_what_no_page_of_ours_does(client: TestClient) -> None:
    for path in ("/assets/style.css", "/nothing", "/fail", "/?" + "a" * 9000):
        headers = client.get(path).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
    anonymous = client.get("/runs", headers={"Authorization": ""})
    assert "content-security-policy" in anonymous.headers


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/assets/..%2f..%2fpyproject.toml", 404),
        ("/assets/../../../etc/passwd", 404),
        ("/assets/%2e%2e/%2e%2e/etc/passwd", 404),
        ("/../../etc/passwd", 404),
        ("//etc/passwd", 404),
        ("/assets/style.css%00.html", 400),
        ("/runs?text=%00", 400),
        ("/runs?text=" + "a" * 60_000, 414),
        ("/" + "a" * 60_000, 414),
        ("/openapi.json", 404),
        ("/docs", 404),
    ],
)
def test_an_address_that_no_page_has_is_refused_with_a_sentence(
    client: TestClient, path: str, status: int
) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert "Traceback" not in answer.text
    assert "root:" not in answer.text
    assert len(answer.text) < 3_000


def test_a_page_that_fails_shows_neither_trace_nor_what_the_error_quotes(
    client: TestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = client.get("/fail")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "alert" not in answer.text
    assert "RuntimeError" in capsys.readouterr().err


def test_a_form_of_ours_is_taken(client: TestClient) -> None:
    answer = client.post("/say", data={TOKEN: token(client), "word": "ja"}, headers=OURS)
    assert (answer.status_code, answer.text) == (200, "ja")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://localhost:9"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_a_page_of_somebody_else_cannot_ask_for_a_change(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.post("/say", data={TOKEN: token(client), "word": "x"}, headers=headers)
    assert answer.status_code == 403


def test_a_form_without_our_token_is_refused(client: TestClient) -> None:
    for sent in ({}, {TOKEN: ""}, {TOKEN: "ö"}, {TOKEN: token(client)[:-1]}):
        assert client.post("/say", data={**sent, "word": "x"}, headers=OURS).status_code == 403


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        ("word=x", "text/plain", 400),
        ('{"word": "x"}', "application/json", 400),
        ("word=%00", "application/x-www-form-urlencoded", 400),
        ("&".join(f"f{n}=1" for n in range(2000)), "application/x-www-form-urlencoded", 400),
        ("word=%ff", "application/x-www-form-urlencoded", 400),
        ("word=" + "a" * LARGEST_BODY, "application/x-www-form-urlencoded", 413),
    ],
)
def test_what_is_no_form_of_ours_is_refused(client: TestClient, content: str, kind: str, status: int) -> None:
    said = f"{TOKEN}={token(client)}&{content}" if kind.endswith("urlencoded") else content
    answer = client.post("/say", content=said, headers={**OURS, "Content-Type": kind})
    assert answer.status_code == status


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_not_there(client: TestClient, method: str) -> None:
    assert client.request(method, "/runs").status_code == 403
    assert client.request(method, "/", headers=OURS).status_code == 405
