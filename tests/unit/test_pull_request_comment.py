"""One comment on a pull request: found again, updated, never doubled, and never somebody else's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.errors import InputError
from hallmark.github.comment import NotPosted, PullRequest, put_comment
from tests.support.github_api import REPOSITORY, Answer, GitHub, github_api

pytestmark = pytest.mark.unit

MARKER = "<!-- hallmark report 0123 -->"


@pytest.fixture
def github() -> Iterator[GitHub]:
    with github_api() as serving:
        yield serving


def place(github: GitHub, token: str = "ours") -> PullRequest:
    return PullRequest(REPOSITORY, 7, github.url, github.url.removesuffix("/v3") + "/graphql", token)


def put(github: GitHub, text: str, token: str = "ours") -> str:
    return put_comment(place(github, token), MARKER, f"{MARKER}\n\n{text}")


def test_the_second_report_updates_the_comment_of_the_first(github: GitHub) -> None:
    first = put(github, "one")
    assert put(github, "two") == first
    assert github.bodies() == [f"{MARKER}\n\ntwo"]


def test_it_is_found_among_many_comments(github: GitHub) -> None:
    github.page = 10
    for number in range(25):
        github.write(f"comment {number}", "theirs")
    put(github, "one")
    github.write("a later one", "theirs")
    put(github, "two")
    assert len(github.comments) == 27
    assert [body for body in github.bodies() if body.startswith(MARKER)] == [f"{MARKER}\n\ntwo"]


def test_a_comment_of_somebody_else_with_the_same_first_line_is_left_alone(github: GitHub) -> None:
    github.write(f"{MARKER}\n\nPROMOTED, says Mallory", "theirs")
    put(github, "refused")
    put(github, "refused again")
    assert github.bodies() == [f"{MARKER}\n\nPROMOTED, says Mallory", f"{MARKER}\n\nrefused again"]


def test_another_pull_request_and_another_report_have_comments_of_their_own(github: GitHub) -> None:
    github.write(f"{MARKER}\n\nof another pull request", "ours", number=8)
    github.write("<!-- hallmark report 4567 -->\n\nof another model", "ours")
    put(github, "one")
    assert len(github.comments) == 3


def test_two_jobs_at_once_leave_one_comment(github: GitHub) -> None:
    both = threading.Barrier(2, timeout=30)
    waiting = [True, True]

    def meet(method: str, path: str) -> None:
        if method == "POST" and path.endswith("/comments") and waiting:
            waiting.pop()
            both.wait()  # both have looked and found nothing

    github.meanwhile = meet
    with ThreadPoolExecutor(2) as jobs:
        urls = list(jobs.map(lambda text: put(github, text), ["one", "two"]))
    assert len(github.bodies()) == 1
    assert urls[0] == urls[1]
    assert [method for method, _ in github.asked].count("POST") >= 2


def test_comments_that_were_doubled_before_become_one_again(github: GitHub) -> None:
    github.write(f"{MARKER}\n\none", "ours")
    github.write(f"{MARKER}\n\ntwo", "ours")
    put(github, "three")
    assert github.bodies() == [f"{MARKER}\n\nthree"]


@pytest.mark.parametrize(
    "fault",
    [
        Answer({"message": "Too many requests"}, 429, {"Retry-After": "0"}),
        Answer({"message": "You have exceeded a secondary rate limit"}, 403, {"Retry-After": "0"}),
        Answer(
            {"message": "API rate limit exceeded"},
            403,
            {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"},
        ),
    ],
)
def test_it_waits_as_long_as_github_asks(github: GitHub, fault: Answer) -> None:
    github.faults = [fault, fault]
    put(github, "one")
    assert github.bodies() == [f"{MARKER}\n\none"]


def test_it_does_not_wait_for_an_hour(github: GitHub) -> None:
    github.faults = [Answer({"message": "API rate limit exceeded"}, 403, {"Retry-After": "3600"})]
    with pytest.raises(NotPosted, match=r"GitHub refused \(403\): API rate limit exceeded"):
        put(github, "one")


def test_a_comment_that_was_made_though_the_answer_got_lost_is_not_made_twice(github: GitHub) -> None:
    lost = [True]

    def lose(method: str, path: str) -> None:
        if method == "POST" and path.endswith("/comments") and lost:
            lost.pop()
            github.write(f"{MARKER}\n\none", "ours")
            github.faults = [Answer({"message": "Bad gateway"}, 502)]

    github.meanwhile = lose
    put(github, "one")
    assert github.bodies() == [f"{MARKER}\n\none"]


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (
            "fork",
            r"\(403\): Resource not accessible by integration. The job needs `permissions: pull-requests: ",
        ),
        ("nobody's", r"\(401\): Bad credentials. The token is not valid"),
    ],
)
def test_what_the_token_may_not_do_is_said(github: GitHub, token: str, message: str) -> None:
    github.authors["fork"] = "github-actions[bot]"
    github.readers.add("fork")
    with pytest.raises(NotPosted, match=message):
        put(github, "one", token)


def test_what_github_finds_wrong_is_said(github: GitHub) -> None:
    with pytest.raises(NotPosted, match=r"\(422\): Validation Failed: body is too long"):
        put(github, "x" * 70_000)


def test_an_address_that_is_not_githubs_is_said(github: GitHub) -> None:
    github.faults = [Answer({"hello": "world"})]
    with pytest.raises(NotPosted, match="does not answer as GitHub's API does"):
        put(github, "one")


def test_an_enterprise_server_is_found_by_the_environment(
    github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_GRAPHQL_URL", raising=False)
    monkeypatch.setenv("GITHUB_API_URL", github.url)
    monkeypatch.setenv("GITHUB_REPOSITORY", REPOSITORY)
    monkeypatch.setenv("GITHUB_TOKEN", "ours")
    assert PullRequest.of_job(7) == place(github)
    monkeypatch.setenv("GITHUB_API_URL", "https://api.github.com")
    assert PullRequest.of_job(7).graphql == "https://api.github.com/graphql"
    for name in ("GITHUB_TOKEN", "GH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="GITHUB_TOKEN is not set"):
        PullRequest.of_job(7)
