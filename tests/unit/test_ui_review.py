"""`hallmark ui --review`: what deserves a look, what is said of it, and who may say it."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from experiments.promoting import actor
from experiments.reviewing import add_review
from experiments.runs import RunRef
from experiments.workspace import Workspace
from hallmark.ui.app import create_app
from hallmark.ui.review import own_address
from tests.support.recorded_runs import recorded_run, workspace_at
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.unit

HOSTILE = "<script>alert(1)</script>\x1b[31m \u202e **@team** |"
OURS = {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}


@pytest.fixture
def place(home: Path) -> Workspace:
    return workspace_at(home)


@pytest.fixture
def runs(place: Workspace, tmp_path: Path) -> list[RunRef]:
    """Two runs that answer t1 alike and not as the reference, and t2 with something hostile."""
    said = {0: "Answer: 1", 1: "Answer: 22", 2: f"Answer: {HOSTILE}", 3: "Answer: 4"}
    dataset = str(small_dataset(tmp_path))
    return [
        recorded_run(place, lambda n, _item, last=last: last if n == 3 else said[n], dataset=dataset)
        for last in ("Answer: 5", "Answer: 4")
    ]


def client_of(place: Workspace, review: bool = True) -> TestClient:
    return TestClient(create_app(place, review, patience_s=60), base_url="http://localhost", headers=OURS)


def asked(runs: list[RunRef]) -> str:
    return "&".join(f"run={run.run_id}" for run in runs)


def sent(client: TestClient, runs: list[RunRef], **fields: str) -> dict[str, str]:
    token = str(client.app.state.csrf_token)  # type: ignore[attr-defined]
    return {"csrf_token": token, "runs": " ".join(run.run_id for run in runs), **fields}


def test_the_queue_begins_with_what_all_runs_answer_alike(place: Workspace, runs: list[RunRef]) -> None:
    client = client_of(place)
    page = client.get(f"/review/queue?{asked(runs)}").text
    assert re.findall(r"/review/items/(t\d)\?[^\"]*\">t\d<", page) == ["t1", "t2", "t3"]
    assert page.count("every run is wrong, with the same answer") == 2
    assert "3 items, 0 reviewed." in page
    assert page.count("</a><br>") == 3, "the question of each"
    item = client.get(f"/review/items/t2?{asked(runs)}").text
    assert "<script>alert" not in item
    assert "⟨U+202E⟩" in item
    assert "\x1b" not in item
    assert re.search(r'rel="prev" href="/review/items/t1\?', item)
    assert re.search(r'rel="next" href="/review/items/t3\?', item)


def test_what_is_said_is_recorded_with_who_and_the_next_item_follows(
    place: Workspace, runs: list[RunRef]
) -> None:
    client = client_of(place)
    then = f"/review/items/t2?{asked(runs)}"
    fields = sent(
        client, runs, verdict="reference_wrong", answers="22\r\n\r\n twenty-two ", note=HOSTILE, then=then
    )
    answer = client.post("/review/items/t1", data=fields, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, then)
    [row] = place.registry.reviews.newest(place.registry.datasets.get(1).sha256)
    assert (row.trace_id, row.verdict, row.answers, row.note) == (
        "t1",
        "reference_wrong",
        ["22", "twenty-two"],
        HOSTILE,
    )
    assert (row.reviewer, row.runs) == (actor(), [run.run_id for run in runs])
    page = client.get(f"/review/items/t1?{asked(runs)}").text
    assert 'value="reference_wrong" aria-pressed="true"' in page
    assert "<script>alert" not in page
    assert "3 items, 1 reviewed." in client.get(f"/review/queue?{asked(runs)}").text
    assert "hallmark golden revise small-v1 --from-review" in client.get("/review").text


def test_a_person_says_who_reviews_and_it_is_recorded_as_given(place: Workspace, runs: list[RunRef]) -> None:
    client = client_of(place)
    assert f"reviewing as {actor()}" in client.get("/review").text
    name, item = "Zoë O'Neill; =Ω", f"/review/items/t1?{asked(runs)}"
    [change] = re.findall(r'href="(/review\?then=[^"]*)#who"', client.get(item).text)
    [then] = re.findall(r'name="then" value="([^"]*)"', client.get(unescape(change)).text)
    assert unescape(then) == item, "a person comes back to where they were"
    fields = sent(client, runs, reviewer=f" {name} ", then=item)
    answer = client.post("/review/reviewer", data=fields, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, fields["then"])
    assert "SameSite=strict" in answer.headers["set-cookie"]
    assert f"You review as {name}" in unescape(client.get(fields["then"]).text)
    assert f"reviewing as {name}" in unescape(client.get(f"/runs/{runs[0].run_id}").text)
    client.post("/review/items/t1", data=sent(client, runs, verdict="unclear"))
    [row] = place.registry.reviews.newest(place.registry.datasets.get(1).sha256)
    assert row.reviewer == name
    client.post("/review/reviewer", data=sent(client, runs, reviewer=""))
    assert f"reviewing as {actor()}" in client.get("/review").text


@pytest.mark.parametrize("name", ["x" * 81, "a\u202eb", "two  spaces", "a\x1bb"])
def test_a_name_that_is_none_is_refused_and_one_in_a_cookie_is_not_taken(
    name: str, place: Workspace, runs: list[RunRef]
) -> None:
    client = client_of(place)
    answer = client.post("/review/reviewer", data=sent(client, runs, reviewer=name))
    assert answer.status_code == 400
    assert "reviewer " in answer.text
    client.cookies.set("hallmark_reviewer", quote(name))
    assert f"reviewing as {actor()}" in client.get("/review").text


def test_the_pages_of_a_run_and_of_two_have_the_form_too(place: Workspace, runs: list[RunRef]) -> None:
    before, after = (run.run_id for run in runs)
    pages = [f"/runs/{before}/items/t1", f"/compare/items/t1?baseline={before}&candidate={after}"]
    for page in pages:
        assert 'action="/review/items/t1"' in client_of(place).get(page).text
        assert "/review" not in client_of(place, review=False).get(page).text
    assert f"/review/queue?run={before}&amp;run={after}" in (
        client_of(place).get(f"/compare?baseline={before}&candidate={after}").text
    )


def test_a_conflict_is_shown_where_the_item_is(place: Workspace, runs: list[RunRef]) -> None:
    ids = [run.run_id for run in runs]
    add_review(ids, "t1", "reference_wrong", place, answers=["22"], reviewer="ana")
    add_review(ids, "t1", "fine", place, reviewer="ben")
    client = client_of(place)
    assert "Reviewers disagree on 1:" in client.get("/review").text
    assert "Reviewers disagree." in client.get(f"/review/items/t1?{asked(runs)}").text
    assert "reviewers disagree" in client.get(f"/review/queue?{asked(runs)}").text


@pytest.mark.parametrize(
    ("changes", "headers", "status"),
    [
        ({"csrf_token": "other"}, {}, 403),
        ({}, {"Sec-Fetch-Site": "cross-site"}, 403),
        ({}, {"Origin": "http://evil.example"}, 403),
        ({"verdict": "wrong"}, {}, 400),
        ({"runs": ""}, {}, 400),
        ({"runs": "nothing"}, {}, 400),
        ({"verdict": "unclear", "answers": "7"}, {}, 400),
    ],
)
def test_what_no_form_of_ours_says_is_not_recorded(
    changes: dict[str, str], headers: dict[str, str], status: int, place: Workspace, runs: list[RunRef]
) -> None:
    client = client_of(place)
    fields = sent(client, runs, verdict="reference_wrong", answers="22", note="", then="") | changes
    assert client.post("/review/items/t1", data=fields, headers=headers).status_code == status
    assert place.registry.reviews.datasets() == []


def test_without_review_nothing_can_be_said(place: Workspace, runs: list[RunRef]) -> None:
    client = client_of(place, review=False)
    fields = sent(client, runs, verdict="unclear", answers="", note="", then="")
    assert client.post("/review/items/t1", data=fields).status_code == 404
    assert client.get("/review").status_code == 404


@pytest.mark.parametrize("path", ["/review/queue", "/review/queue?run=nothing", "/review/items/t9?run={run}"])
def test_what_is_not_there_is_said(path: str, place: Workspace, runs: list[RunRef]) -> None:
    answer = client_of(place).get(path.format(run=runs[0].run_id))
    assert answer.status_code in (400, 404)
    assert "<h1>" in answer.text


@pytest.mark.parametrize(
    "address",
    [
        "//evil.example/",
        "///evil.example/",
        "//[",
        "https://evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "",
        "/\n/x",
    ],
)
def test_no_form_leads_away_from_this_server(address: str) -> None:
    assert own_address(address) == "/review"
