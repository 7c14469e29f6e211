"""What every request passes before a page is made, and every answer before it leaves.

A page of somebody else, open in the same browser, can send requests here. So the name that a request is for
must be one of ours (else a foreign name could be pointed at this address: DNS rebinding), a sign-in is asked
for, and only our own pages may ask for a change.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import sys
from collections.abc import Callable, Sequence
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LONGEST_TARGET = 8_000
"""Bytes of path and query."""

LARGEST_BODY = 256_000
"""Bytes of a form."""

SAFE_METHODS = ("GET", "HEAD")

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # not no-referrer, with which browsers send `Origin: null` from our own forms
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

Refuse = Callable[[int, str], Response]


class Guard:
    """Refuses what no page of ours asks for, and answers with a page where ours fail.

    Args:
        app: the pages.
        hosts: the names that this server answers to, without port.
        sign_in: "user:password"; None asks for none.
        refuse: makes the page of a refusal, from a status and a sentence.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str], sign_in: str | None, refuse: Refuse) -> None:
        self.app = app
        self.hosts = frozenset(hosts)
        self.sign_in = sign_in
        self.refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # a websocket, which no page of ours opens
            await send({"type": "websocket.close", "code": 1008})
            return
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        try:
            answer = self._refusal(scope) or self.app
            await answer(scope, _limited(receive), guarded)
        except _TooLarge:
            await self.refuse(413, f"A form has at most {LARGEST_BODY:,} bytes.")(scope, receive, guarded)
        except Exception as error:
            # the text of an error may quote somebody else's: it goes to the terminal, not to the page
            print(f"{scope['method']} {scope['path']!r}: {type(error).__name__}: {error!r}", file=sys.stderr)  # noqa: T201
            if started:
                raise
            sentence = "This page failed, which is a defect of Hallmark. The terminal says where."
            await self.refuse(500, sentence)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        target = bytes(scope.get("raw_path") or b"") + bytes(scope["query_string"])
        if len(target) > LONGEST_TARGET:
            return self.refuse(414, f"The address is longer than {LONGEST_TARGET:,} bytes.")
        if _name(headers.get("host", "")) not in self.hosts:
            return self.refuse(
                400, "This server does not answer to that name. `hallmark ui --name NAME` adds one."
            )
        if not self._is_signed_in(headers.get("authorization", "")):
            refused = self.refuse(401, "Sign in with the user and password of this home's Prefect server.")
            refused.headers["WWW-Authenticate"] = 'Basic realm="Hallmark", charset="UTF-8"'
            return refused
        if b"%00" in target or b"\0" in target:
            return self.refuse(400, "The address holds the character NUL.")
        if scope["method"] not in SAFE_METHODS and not is_same_origin(headers):
            return self.refuse(403, "This was not asked for by a page of this server.")
        return None

    def _is_signed_in(self, authorization: str) -> bool:
        if self.sign_in is None:
            return True
        scheme, _, given = authorization.partition(" ")
        try:
            said = base64.b64decode(given, validate=True)
        except (binascii.Error, ValueError):
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(said, self.sign_in.encode())


def is_same_origin(headers: Headers) -> bool:
    """Whether a page of ours made a request, as its browser says; False where it says nothing.

    Example:
        >>> is_same_origin(Headers({"host": "localhost:4201", "origin": "http://evil.example"}))
        False
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is not None:
        return origin.partition("://")[2] == headers.get("host")
    return site == "same-origin"


def _name(host: str) -> str:
    """The name in a Host header, without its port. The port may be that of a tunnel."""
    if host.startswith("["):
        return host.partition("]")[0].removeprefix("[").lower()
    return host.rpartition(":")[0].lower() if host.count(":") == 1 else host.lower()


class _TooLarge(Exception):
    """A body is longer than any form of ours."""


def _limited(receive: Receive) -> Receive:
    """What arrives, up to the largest body."""
    size = 0

    async def limited() -> Message:
        nonlocal size
        message: dict[str, Any] = dict(await receive())
        size += len(message.get("body", b""))
        if size > LARGEST_BODY:
            raise _TooLarge
        return message

    return limited
