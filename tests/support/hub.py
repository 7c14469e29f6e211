"""A hub on this machine, which the hub's own client talks to."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def small_hub(repository: str, files: Mapping[str, bytes], *, kind: str = "datasets") -> Iterator[str]:
    """The address of a hub that has one repository, of which `main` and `v1.0` are one commit.

    Args:
        repository: ORG/NAME.
        files: name -> content.
        kind: datasets or models.
    """

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            place = repository if kind == "models" else f"{kind}/{repository}"
            info, resolve = f"/api/{kind}/{repository}", f"/{place}/resolve/"
            if path in {info, *(f"{info}/revision/{name}" for name in ("main", "v1.0", COMMIT))}:
                siblings = [{"rfilename": name} for name in files]
                about = {"id": repository, "sha": COMMIT, "siblings": siblings, "tags": []}
                self.reply(200, json.dumps(about).encode(), with_body)
            elif path.startswith(f"{info}/tree/"):
                listed = [
                    {"type": "file", "path": name, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}
                    for name, body in files.items()
                ]
                self.reply(200, json.dumps(listed).encode(), with_body)
            elif path.startswith(resolve) and (name := path[len(resolve) :].partition("/")[2]) in files:
                self.reply(200, files[name], with_body)
            else:
                missing = "Revision" if path.startswith(f"{info}/revision/") else "Repo"
                self.reply(404, b"{}", with_body, **{"X-Error-Code": f"{missing}NotFound"})

        def reply(self, status: int, body: bytes, with_body: bool, **headers: str) -> None:
            self.send_response(status)
            etag = hashlib.sha256(body).hexdigest()
            about = {
                "Content-Length": str(len(body)),
                "ETag": f'"{etag}"',
                "X-Repo-Commit": COMMIT,
                **headers,
            }
            for name, value in about.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
