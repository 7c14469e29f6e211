"""A server on this machine that has the comments of a pull request as GitHub's API has them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

LONGEST_BODY = 65_536
REPOSITORY = "owner/models"


@dataclass(frozen=True)
class Answer:
    """What the server says."""

    document: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class GitHub:
    """The comments of every pull request of one repository.

    Attributes:
        url: base URL of the REST API.
        authors: token -> who writes with it.
        readers: tokens that may only read, as that of a pull request from a fork.
        comments: all of them, by id.
        faults: what the next requests are answered with instead.
        asked: method and path of each request, in order.
        page: comments that are given at once at most.
        meanwhile: called with method and path before each request is answered.
    """

    url: str
    authors: dict[str, str] = field(
        default_factory=lambda: {"ours": "github-actions[bot]", "theirs": "mallory"}
    )
    readers: set[str] = field(default_factory=set)
    comments: dict[int, dict[str, Any]] = field(default_factory=dict)
    faults: list[Answer] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    page: int = 100
    meanwhile: Callable[[str, str], None] = lambda method, path: None
    lock: threading.Lock = field(default_factory=threading.Lock)
    last: int = 3_000_000_000  # ids are larger than 32 bits hold

    def write(self, body: str, token: str, number: int = 7) -> dict[str, Any]:
        """A comment that is there."""
        self.last += 1
        comment = {
            "id": self.last,
            "node_id": f"IC_{self.last}",
            "number": number,
            "body": body,
            "user": {"login": self.authors[token]},
            "html_url": f"https://github.example/{REPOSITORY}/pull/{number}#issuecomment-{self.last}",
        }
        self.comments[self.last] = comment
        return comment

    def bodies(self) -> list[str]:
        """Of all comments, oldest first."""
        return [comment["body"] for _, comment in sorted(self.comments.items())]

    def answer(self, method: str, target: str, token: str, sent: Any) -> Answer:
        """What GitHub says."""
        path = urlsplit(target).path
        self.meanwhile(method, path)
        with self.lock:
            self.asked.append((method, path))
            if self.faults:
                return self.faults.pop(0)
            if token not in self.authors:
                return Answer({"message": "Bad credentials"}, 401)
            if path == "/graphql":
                return self._authored(sent["variables"]["ids"], token)
            if token in self.readers and method != "GET":
                return Answer({"message": "Resource not accessible by integration"}, 403)
            if sent is not None and len(sent["body"]) > LONGEST_BODY:
                return Answer(
                    {"message": "Validation Failed: body is too long (maximum is 65536 characters)"}, 422
                )
            if match := re.fullmatch(rf"/api/v3/repos/{REPOSITORY}/issues/(\d+)/comments", path):
                number = int(match[1])
                return (
                    self._list(target, number)
                    if method == "GET"
                    else Answer(self.write(sent["body"], token, number), 201)
                )
            if match := re.fullmatch(rf"/api/v3/repos/{REPOSITORY}/issues/comments/(\d+)", path):
                return self._one(method, int(match[1]), sent)
            return Answer({"message": "Not Found"}, 404)

    def _authored(self, nodes: list[str], token: str) -> Answer:
        found = {comment["node_id"]: comment["user"]["login"] for comment in self.comments.values()}
        said = [
            {"viewerDidAuthor": found[node] == self.authors[token]} if node in found else None
            for node in nodes
        ]
        return Answer({"data": {"nodes": said}})

    def _list(self, target: str, number: int) -> Answer:
        query = parse_qs(urlsplit(target).query)
        size, page = min(self.page, int(query["per_page"][0])), int(query["page"][0])
        found = [comment for _, comment in sorted(self.comments.items()) if comment["number"] == number]
        more = len(found) > size * page
        link = {"Link": f'<https://elsewhere.example/?page={page + 1}>; rel="next"'} if more else {}
        return Answer(found[size * (page - 1) : size * page], headers=link)

    def _one(self, method: str, comment: int, sent: Any) -> Answer:
        if comment not in self.comments:
            return Answer({"message": "Not Found"}, 404)
        if method == "DELETE":
            del self.comments[comment]
            return Answer(status=204)
        self.comments[comment]["body"] = sent["body"]
        return Answer(self.comments[comment])


@contextmanager
def github_api() -> Iterator[GitHub]:
    """Serve until the block ends, as GitHub Enterprise does: REST below /api/v3, GraphQL at /api/graphql."""
    github = GitHub("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            path = self.path.replace("/api/graphql", "/graphql")
            said = github.answer(self.command, path, token, json.loads(sent) if sent else None)
            text = b"" if said.document is None else json.dumps(said.document).encode()
            self.send_response(said.status)
            for name, value in {**said.headers, "Content-Length": str(len(text))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
            del format, arguments

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    github.url = f"http://127.0.0.1:{server.server_address[1]}/api/v3"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield github
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
