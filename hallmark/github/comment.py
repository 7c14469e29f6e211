"""One comment on a pull request, which is updated and never doubled.

It is found again by its first line, which nobody sees, and by its author: anybody could write that line.
Sources: https://docs.github.com/rest/issues/comments,
https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api (limits).
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from core.errors import InputError, ResourceError
from core.text import cut, visible

if TYPE_CHECKING:
    import httpx

TOKENS = ("GITHUB_TOKEN", "GH_TOKEN")
PAGE = 100
"""Comments that are asked for at once; GitHub allows no more."""
ATTEMPTS = 5
LONGEST_WAIT = 180.0
"""Seconds that are waited in all when GitHub asks to wait."""
TIMEOUT = 30.0
NO_HINT = 60.0
"""Seconds to wait where GitHub does not say how long."""
AUTHORED = "query($ids:[ID!]!){nodes(ids:$ids){...on IssueComment{viewerDidAuthor}}}"


class NotPosted(ResourceError):
    """There is no comment, and why."""


@dataclass(frozen=True)
class PullRequest:
    """Where a comment goes.

    Attributes:
        repository: OWNER/NAME.
        number: of the pull request.
        api: base URL of the REST API, as in https://api.github.com or https://HOST/api/v3.
        graphql: URL of the GraphQL API.
        token: may write comments.
    """

    repository: str
    number: int
    api: str
    graphql: str
    token: str = field(repr=False)

    @classmethod
    def of_job(cls, number: int) -> PullRequest:
        """A pull request of the repository that this job belongs to.

        Raises:
            InputError: a variable of the environment is missing.
        """
        token = next((value for name in TOKENS if (value := os.environ.get(name))), None)
        if token is None:
            raise InputError(
                "--comment: GITHUB_TOKEN is not set. In a workflow: env: GITHUB_TOKEN: ${{ github.token }}"
            )
        repository = os.environ.get("GITHUB_REPOSITORY", "")
        if repository.count("/") != 1:
            raise InputError(f"--comment: GITHUB_REPOSITORY must be OWNER/NAME; got {repository!r}")
        api = os.environ.get("GITHUB_API_URL", "https://api.github.com").rstrip("/")
        graphql = os.environ.get("GITHUB_GRAPHQL_URL") or f"{api.removesuffix('/v3')}/graphql"
        return cls(repository, number, api, graphql, token)


def put_comment(where: PullRequest, marker: str, body: str) -> str:
    """Update our comment, or make it where there is none. Of several, as two jobs at once make, the first
    stays.

    Args:
        where: the pull request.
        marker: first line of the body, by which the comment is found again.
        body: Markdown.

    Returns:
        The comment's URL.

    Raises:
        NotPosted: GitHub refused, or cannot be reached.
    """
    try:
        with _GitHub(where) as github:
            made, url = None, ""
            if not (ours := github.ours(marker)):
                made, url = github.make(body)
                ours = sorted({made, *github.ours(marker)})
            if ours[0] != made:
                url = github.update(ours[0], body)
            for other in ours[1:]:
                github.delete(other)
            return url
    except (KeyError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        raise NotPosted(f"{where.api} does not answer as GitHub's API does ({what}).") from None


class _GitHub:
    """The calls that are needed, which wait where GitHub asks to."""

    def __init__(self, where: PullRequest) -> None:
        import httpx

        self.where = where
        self.comments = f"{where.api}/repos/{where.repository}/issues/comments"
        self.of_request = f"{where.api}/repos/{where.repository}/issues/{where.number}/comments"
        self.waited = 0.0
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {where.token}",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        self.client = httpx.Client(headers=headers, timeout=TIMEOUT, follow_redirects=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()

    def ours(self, marker: str) -> list[int]:
        """Ids of the comments with this first line that were written with this token, oldest first."""
        marked: dict[str, int] = {}
        page, more = 1, True
        while more:
            answer = self._ask("GET", self.of_request, params={"per_page": PAGE, "page": page})
            marked |= {
                each["node_id"]: each["id"]
                for each in answer.json()
                if (each["body"] or "").startswith(marker)
            }
            page, more = page + 1, "next" in answer.links
        return sorted(marked[node] for node in self._authored(list(marked)))

    def _authored(self, nodes: Sequence[str]) -> list[str]:
        """Those of some comments that were written with this token. Only GraphQL says so of every token."""
        found = []
        for place in range(0, len(nodes), PAGE):
            some = nodes[place : place + PAGE]
            query = {"query": AUTHORED, "variables": {"ids": some}}
            answer = self._ask("POST", self.where.graphql, json=query).json()
            said = (answer.get("data") or {}).get("nodes")
            if said is None:
                raise NotPosted(f"{_said(answer.get('errors'))}. That was when asked who wrote a comment.")
            found += [
                node for node, each in zip(some, said, strict=True) if each and each.get("viewerDidAuthor")
            ]
        return found

    def make(self, body: str) -> tuple[int, str]:
        """The id and the URL of a new comment."""
        made = self._ask("POST", self.of_request, json={"body": body}).json()
        return int(made["id"]), str(made["html_url"])

    def update(self, comment: int, body: str) -> str:
        """The URL of the comment."""
        return str(self._ask("PATCH", f"{self.comments}/{comment}", json={"body": body}).json()["html_url"])

    def delete(self, comment: int) -> None:
        """Remove a comment that another job may have removed already."""
        self._ask("DELETE", f"{self.comments}/{comment}", gone=True)

    def _ask(self, method: str, url: str, gone: bool = False, **parts: Any) -> httpx.Response:
        import httpx

        why = ""
        for attempt in range(ATTEMPTS):
            try:
                answer = self.client.request(method, url, **parts)
            except httpx.HTTPError as error:
                seconds, why = 2.0**attempt, f"{self.where.api} cannot be reached: {error}"
            else:
                if answer.is_success or (gone and answer.status_code == httpx.codes.NOT_FOUND):
                    return answer
                why = f"{_said(_json(answer), answer.status_code)}. {_remedy(answer)}"
                if (asked := _seconds(answer, attempt)) is None:
                    break
                seconds = asked
            self.waited += seconds
            if self.waited > LONGEST_WAIT:
                break
            time.sleep(seconds)
        raise NotPosted(why.strip())


def _said(document: Any, status: int | None = None) -> str:
    """What GitHub gave as its reason."""
    first = document[0] if isinstance(document, list) and document else document
    message = first.get("message") if isinstance(first, dict) else None
    code = f" ({status})" if status else ""
    return f"GitHub refused{code}: {visible(cut(str(message or 'without a reason'), 300)).rstrip('.')}"


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def _seconds(answer: httpx.Response, attempt: int) -> float | None:
    """How long to wait before asking again; None where that is of no use."""
    headers = answer.headers
    if answer.status_code >= 500:
        return 2.0**attempt
    limited = "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0"
    slow = answer.status_code == 403 and (limited or "rate limit" in answer.text.lower())
    if answer.status_code != 429 and not slow:
        return None
    if (after := headers.get("retry-after", "")).isdigit():
        return float(after)
    if (reset := headers.get("x-ratelimit-reset", "")).isdigit() and headers.get(
        "x-ratelimit-remaining"
    ) == "0":
        return max(0.0, float(reset) - time.time())
    return NO_HINT


def _remedy(answer: httpx.Response) -> str:
    if answer.status_code == 403 and "not accessible" in answer.text:
        return (
            "The job needs `permissions: pull-requests: write`, which a pull request from a fork never has."
        )
    return {
        401: "The token is not valid.",
        404: "Is this the number of a pull request of GITHUB_REPOSITORY, and may the token read it?",
    }.get(answer.status_code, "")
