"""Servers that speak OpenAI's API: one that says what a test wants, and a real one with a real model."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from experiments.references import TINY_BASE_DIRECTORY

PLAIN = (
    "{% for turn in messages %}{{ turn['content'] }}"
    "{{ '\n' if turn['role'] == 'user' else '\n\n' }}{% endfor %}"
)
"""The plain way of writing a conversation, as a chat template."""
ANSWER = {"start_anchor": "\n", "fields": {"content": {"close_pattern": "<eos>", "content": "text"}}}
"""Where the tiny base's answer is in what it writes."""


@dataclass(frozen=True)
class Reply:
    """What the server says: JSON, other text, or nothing at all before it hangs up; at once, or byte by byte,
    slowly.
    """

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs_up: bool = False
    drips: bool = False


@dataclass
class ChatServer:
    """A server on this machine that a test speaks through.

    Attributes:
        url: base URL of its API.
        reply: called with what is asked, and how often the very same was asked before.
        asked: the bodies that were sent, in the order of their arrival.
        headers: what came with them.
        models: what it lists; None where it does not.
    """

    url: str
    reply: Callable[[dict[str, Any], int], Reply]
    models: Sequence[str] | None
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def questions(self) -> list[str]:
        """What the user said last, in each request."""
        return [body["messages"][-1]["content"] for body in self.asked]


def completion(content: Any, ended: str = "stop", **message: Any) -> Reply:
    """A chat completion of seven tokens."""
    return Reply(
        {
            "model": "small",
            "choices": [{"message": {"content": content, **message}, "finish_reason": ended}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 7},
        }
    )


@contextmanager
def chat_server(
    reply: Callable[[dict[str, Any], int], Reply],
    models: Sequence[str] | None = ("small",),
    version: Any = None,
    software: str = "small-server/1",
) -> Iterator[ChatServer]:
    """Serve until the block ends.

    Args:
        reply: see `ChatServer`.
        models: likewise.
        version: what it says at /version; None where there is nothing.
        software: its header `Server`.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version, sys_version = software, ""

        def do_GET(self) -> None:
            if self.path == "/version" and version is not None:
                self.say(Reply(version))
            elif self.path != "/v1/models" or served.models is None:
                self.say(Reply({"detail": "Not Found"}, 404))
            else:
                self.say(Reply({"data": [{"id": name} for name in served.models]}))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                before = served.asked.count(body)
                served.asked.append(body)
                served.headers.append({name.lower(): value for name, value in self.headers.items()})
            self.say(served.reply(body, before))

        def say(self, said: Reply) -> None:
            if said.hangs_up:
                self.close_connection = True
                return
            text = said.body if isinstance(said.body, str) else json.dumps(said.body)
            self.send_response(said.status)
            for name, value in {**said.headers, "content-length": str(len(text.encode()))}.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):  # whoever asked had enough
                for place in range(0, len(text.encode()), step := 1 if said.drips else 1 << 30):
                    self.wfile.write(text.encode()[place : place + step])
                    time.sleep(0.05 if said.drips else 0)

        def log_message(self, *_: object) -> None:
            pass

    lock = threading.Lock()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = ChatServer(f"http://127.0.0.1:{server.server_address[1]}/v1", reply, models)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield served
    server.shutdown()
    server.server_close()


def chat_model(folder: Path) -> Path:
    """The tiny base with a chat template, as a server needs one; the model and its prompts are the same."""
    shutil.copytree(TINY_BASE_DIRECTORY, folder)
    (folder / "chat_template.jinja").write_text(PLAIN)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "response_template": ANSWER}))
    return folder


@contextmanager
def transformers_server(model: Path, folder: Path) -> Iterator[str]:
    """`transformers serve` with one model, until the block ends; gives the base URL of its API.

    Args:
        model: directory with a chat template.
        folder: for its cache and its log.
    """
    (folder / "hub").mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(model)]
    arguments = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    quiet = {"HF_HOME": str(folder), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with (folder / "log.txt").open("wb") as log:
        server = subprocess.Popen([*command, *arguments], stdout=log, stderr=log, env={**os.environ, **quiet})
        try:
            wait_for(port, server, folder / "log.txt")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            server.wait()


def wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until something listens."""
    deadline = time.monotonic() + 120
    while True:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
