"""Models that a server answers for: how they are named, and what the server says of itself. Without torch."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from core.errors import HallmarkError, InputError, ResourceError
from core.files import sha256_json
from core.text import visible, whole_characters

ENDPOINT_PREFIX = "endpoint:"
"""How the reference of a served model begins: endpoint:NAME."""
KEY = "OPENAI_API_KEY"
"""Where a key is taken from. It is recorded nowhere."""
CHAT, MODELS = "chat/completions", "models"
EXAMPLE = "http://localhost:8000/v1"
CONNECT_SECONDS = 10.0
SHOWN_MODELS = 12
SHOWN_CHARACTERS = 400
LONGEST_ANSWER = 64 * 2**20
"""The most bytes that an answer may have: no chat completion comes near it."""
LOOK_SECONDS = 30.0
"""How long a server may take to say what it is, in all."""
SHORTEST_SECRET = 8
"""Characters of a key that is taken out of predictions too. Shorter ones are words that stand for no key, as
EMPTY, and a prediction may well contain them.
"""


class Endpoint(str):
    """Base URL of an API as OpenAI has it. A sign-in that stands in the URL is not part of the text, so that
    nothing records or shows it.

    Attributes:
        sign_in: user and password; None without.

    Raises:
        ValueError: not such a URL.

    Example:
        >>> found = Endpoint("http://me:secret@localhost:8000/v1/")
        >>> found, found.sign_in
        ('http://localhost:8000/v1', ('me', 'secret'))
    """

    sign_in: tuple[str, str] | None

    def __new__(cls, url: str) -> Endpoint:
        """Check the URL and take the sign-in out of it."""
        parts = _parts(url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = f":{parts.port}" if parts.port else ""
        found = super().__new__(cls, f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}")
        named = parts.username is not None
        found.sign_in = (unquote(parts.username or ""), unquote(parts.password or "")) if named else None
        return found

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Text, in JSON and in forms."""
        del source, handler
        return core_schema.no_info_wrap_validator_function(
            lambda value, inner: value if isinstance(value, cls) else cls(inner(value)),
            core_schema.str_schema(strip_whitespace=True),
        )

    def place(self, path: str) -> str:
        """The URL of a resource.

        Example:
            >>> Endpoint("http://localhost:8000/v1").place("models")
            'http://localhost:8000/v1/models'
        """
        return f"{self}/{path}"

    @property
    def root(self) -> str:
        """The URL without the version of the API, where servers say what they are."""
        return self.removesuffix("/v1")


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        good = False
    # the text itself may hold a password, so it is not shown
    if not good:
        raise ValueError(f"generation.endpoint: expected the base URL of an API, as in {EXAMPLE}")
    if parts.query or parts.fragment:
        raise ValueError(f"generation.endpoint: expected a base URL without ? and #, as in {EXAMPLE}")
    if parts.path.rstrip("/").endswith(CHAT):
        raise ValueError(f"generation.endpoint: expected the base URL, without /{CHAT}, as in {EXAMPLE}")
    return parts


def served_name(reference: str) -> str | None:
    """The name under which a server has a model; None for a reference of another kind.

    Example:
        >>> served_name("endpoint:llama3"), served_name("tiny-base")
        ('llama3', None)
    """
    return reference.removeprefix(ENDPOINT_PREFIX) if reference.startswith(ENDPOINT_PREFIX) else None


def fingerprint(endpoint: Endpoint, name: str) -> str:
    """What stands for a served model where others have the sha256 of their weights: where it is, and its
    name. Nobody knows its weights.

    Args:
        endpoint: where it is served.
        name: under which.
    """
    return sha256_json({"endpoint": str(endpoint), "model": name})


def request_seed(seed: int, trace_id: str, sample: int) -> int:
    """The seed of one completion, in 31 bits, which every server takes.

    Args:
        seed: of the settings.
        trace_id: the item.
        sample: which of the item's completions.
    """
    digest = hashlib.sha256(f"{seed}\0{trace_id}\0{sample}".encode()).digest()
    return int.from_bytes(digest[:4]) >> 1


@dataclass(frozen=True)
class Heard:
    """What a server answered, as a whole.

    Attributes:
        status_code: of HTTP.
        headers: by names of any case.
        body: decompressed.
    """

    status_code: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """The body's value, in whole characters; None where it is no JSON, or is nested too deeply."""
        try:
            return _whole(json.loads(self.body))
        except (ValueError, RecursionError):
            return None


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return whole_characters(value)
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return {name: _whole(each) for name, each in value.items()} if isinstance(value, dict) else value


@dataclass(frozen=True)
class Access:
    """How an endpoint is reached, and how its errors are said without anything secret in them.

    Attributes:
        endpoint: where it is.
        sign_in: user and password of HTTP basic authentication; wins over the key.
        key: sent as a bearer token; None for none.
    """

    endpoint: Endpoint
    sign_in: tuple[str, str] | None = None
    key: str | None = None

    @classmethod
    def of(cls, endpoint: Endpoint, sign_in: tuple[str, str] | None = None) -> Access:
        """With what this process's environment has.

        Args:
            endpoint: where it is.
            sign_in: its own, where it went through JSON since.
        """
        sign_in = sign_in or endpoint.sign_in
        return cls(endpoint, sign_in, None if sign_in else os.environ.get(KEY) or None)

    def options(self) -> dict[str, Any]:
        """What httpx is told about who asks."""
        if self.sign_in:
            return {"auth": self.sign_in}
        return {"headers": {"Authorization": f"Bearer {self.key}"} if self.key else {}}

    def words(self, answer: Heard) -> str:
        """What a server said, in one line, without key and password."""
        return self.without_secrets(_message(answer))

    @property
    def secrets(self) -> list[str]:
        """What nobody but the server may see, in every form in which it is sent."""
        found = [self.key or ""]
        if self.sign_in:
            user, password = self.sign_in
            sent = base64.b64encode(f"{user}:{password}".encode()).decode()
            found = [sent, password, quote(password, safe="")] if password else [sent]
        return [each for each in found if each]

    def without_secrets(self, text: str) -> str:
        """A text in one line, without key and password, in case it repeats them."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        text = visible(text)
        return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."

    def of_model(self, text: str) -> str:
        """What a model wrote, as it is, but without a key and password that the server put into it."""
        for secret in self.secrets:
            text = text.replace(secret, "***") if len(secret) >= SHORTEST_SECRET else text
        return text

    def too_long(self) -> InputError:
        """That an answer has no end."""
        return InputError(f"{self.endpoint}: an answer has more than {LONGEST_ANSWER / 2**20:,.0f} MiB")

    def unreachable(self, error: Exception) -> ResourceError:
        """That nobody answers."""
        return ResourceError(
            f"{self.endpoint}: no answer ({type(error).__name__}: {self.without_secrets(str(error))}). Start "
            f"the server, and check the address: curl {self.endpoint.place(MODELS)}"
        )

    def refused(self, answer: Heard, name: str | None = None) -> HallmarkError:
        """What to say of an answer that is an error, and that trying again would not change.

        Args:
            answer: what the server said.
            name: of the model that was asked, where one was.
        """
        said, code = self.words(answer), answer.status_code
        where = f"{self.endpoint}: HTTP {code}"
        if code in (401, 403):
            if self.sign_in:
                return InputError(f"{where}: the sign-in in the URL is refused: {said}")
            wanted = f"the key in {KEY} is refused" if self.key else f"it asks for a key: set {KEY}"
            return InputError(f"{where}: {wanted}. It says: {said}")
        if code == 404 and name is not None:
            return InputError(f"{where} for the model {name!r}: {said}. {self.what_there_is()}")
        if 300 <= code < 400:
            target = self.without_secrets(str(answer.headers.get("location", "")))
            return InputError(f"{where}: sends on to {target or 'another place'}. Give that address instead.")
        if code >= 500 or code in RETRIED:
            fewer = "Ask it for fewer at once by generation.batch_size. " if "memory" in said.lower() else ""
            return ResourceError(
                f"{where}: {said}. {fewer}Look at the server's log, then run the same command again."
            )
        return InputError(f"{where}: {said}")

    def what_there_is(self) -> str:
        """The models that the server lists, in a sentence."""
        try:
            listed = look(self).models
        except HallmarkError:
            listed = None
        if listed is None:
            return f"It lists no models, so check the base URL, which mostly ends with /v1, as in {EXAMPLE}"
        return f"It serves {_some(listed)}"


RETRIED = frozenset({408, 409, 425, 429})
"""Below 500, what another try may change: too slow, in conflict, too early, too many."""


@dataclass(frozen=True)
class Served:
    """What a server says of itself.

    Attributes:
        models: names of what it serves; None where it does not say.
        software: name and version, as far as it says; None where it does not.
    """

    models: list[str] | None
    software: str | None

    def has(self, name: str) -> bool:
        """Whether it serves a model, as far as it says. Ollama's names may lack `:latest`."""
        return not self.models or name in self.models or f"{name}:latest" in self.models


def look(access: Access) -> Served:
    """Ask a server what it is and serves.

    Raises:
        InputError: it refuses, or is no such server.
        ResourceError: it does not answer, or is not ready.
    """
    import httpx

    timeout = httpx.Timeout(CONNECT_SECONDS)
    with httpx.Client(timeout=timeout, **access.options()) as client:
        try:
            answer = _get(client, access, access.endpoint.place(MODELS))
            if answer.status_code in (404, 405, 500, 501):  # not every server lists its models
                return Served(None, _software(client, access, answer, {}))
            if answer.status_code != 200:
                raise access.refused(answer)
            listed = answer.json()
            entries = listed.get("data") if isinstance(listed, dict) else listed
            if not isinstance(entries, list):
                raise InputError(
                    f"{access.endpoint}: answers, but not as OpenAI's API does. The base URL mostly ends "
                    f"with /v1, as in {EXAMPLE}"
                )
            found = [entry for entry in entries if isinstance(entry, dict) and "id" in entry]
            owner = found[0] if found else {}
            software = _software(client, access, answer, owner)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise access.unreachable(error) from error
    return Served([access.without_secrets(str(entry["id"])) for entry in found], software)


def find_served(access: Access, name: str) -> Served:
    """The same for one model.

    Raises:
        InputError: also when the server does not list it; says what it lists.
    """
    served = look(access)
    if not served.has(name):
        raise InputError(
            f"{ENDPOINT_PREFIX}{name}: {access.endpoint} does not serve it. It serves "
            f"{_some(served.models or [])}"
        )
    return served


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_MODELS} more" if len(names) > SHOWN_MODELS else ""
    return (", ".join(names[:SHOWN_MODELS]) or "no model") + more


def _get(client: Any, access: Access, url: str) -> Heard:
    """What is there.

    Raises:
        InputError: there is no end to it.
        ResourceError: it comes too slowly.
    """
    began, body = time.monotonic(), bytearray()
    with client.stream("GET", url) as answer:
        for piece in answer.iter_bytes():
            body += piece
            if len(body) > LONGEST_ANSWER:
                raise access.too_long()
            if time.monotonic() - began > LOOK_SECONDS:
                raise ResourceError(f"{access.endpoint}: {url} took more than {LOOK_SECONDS:,.0f} s")
        return Heard(answer.status_code, answer.headers, bytes(body))


def _software(client: Any, access: Access, models: Heard, entry: dict[str, Any]) -> str | None:
    """Name and version of the server: vLLM and Ollama say their version, others what they are.

    Args:
        client: of httpx.
        access: to the server.
        models: its answer about its models.
        entry: the first of them.
    """
    said = str(models.headers.get("server") or "")
    for path in ("version", "api/version"):
        answer = _get(client, access, f"{access.endpoint.root}/{path}")
        found = answer.json() if answer.status_code == 200 else None
        if isinstance(found, dict) and isinstance(version := found.get("version"), str):
            name = "ollama" if path == "api/version" else entry.get("owned_by")
            said = " ".join(each for each in (name, version) if isinstance(each, str) and each)
            break
    return access.without_secrets(said)[:100] or None


def _message(answer: Heard) -> str:
    """What a server says is wrong: as OpenAI, Ollama, FastAPI and older vLLM say it, else its text."""
    found = answer.json()
    if isinstance(found, dict):
        error = found.get("error")
        said = error.get("message") if isinstance(error, dict) else error
        said = said or found.get("message") or found.get("detail")
        if said:
            return str(said)
    return answer.text or "(nothing more)"
