"""An endpoint that speaks OpenAI's API: vLLM's and llama.cpp's servers, Ollama, and others."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, Field, ValidationError

from core.errors import HallmarkError, InputError, ResourceError
from core.progress import announce
from golden.prompting import DEFAULT_DATE
from golden.rendering import conversation
from golden.schema import Item
from inference.batching import Prompt
from inference.contract import UNKNOWN, EngineUsed, PredictSpec
from inference.endpoint import (
    CHAT,
    CONNECT_SECONDS,
    LONGEST_ANSWER,
    RETRIED,
    Access,
    Heard,
    find_served,
    request_seed,
)
from inference.engines.base import Note, Request
from inference.partial import Row

ANSWER_SECONDS = 1800.0
"""How long one answer may take, the time included in which the server works on others
and in which it is sent.
"""
PATIENCE_SECONDS = 600.0
"""For how long a server that is overloaded or away is asked again, for each answer."""
AWAY = frozenset({429, 502, 503, 504, 529})
"""How a server says that it is; another failure is its own, and is tried `TRIES` times."""
TRIES = 6
TRIES_OF_NO_API = 2
"""How often a success that is no JSON is seen before it is taken for a page, and not for an accident."""
SHOWN_OF_A_PAGE = 200
LONGEST_WAIT_SAID = 7 * 86_400.0
"""Seconds. A server that wants to be left alone for longer made a mistake."""
MOST_TOKENS = 2**40
LONGEST_WAIT_SECONDS = 60.0
LIMIT, NEWER_LIMIT = "max_tokens", "max_completion_tokens"
"""What the longest answer is called; newer models of OpenAI refuse the first name and say the second."""
COMPLETE, CUT_OFF = ("stop", "eos"), "length"
"""How servers say that an answer ended by itself, and that it reached max_tokens."""


@dataclass(frozen=True)
class Conversation(Prompt):
    """A prompt that the server makes token ids of.

    Attributes:
        messages: what is said, as role and content.
    """

    messages: list[dict[str, str]] = field(default_factory=list)


class Trouble(NamedTuple):
    """An attempt that failed, where another one may not.

    Attributes:
        problem: what to say where there is no other.
        away: whether the server is overloaded or not there; else it failed at this request.
        wait: for how many seconds it wants to be left alone; None where it does not say.
        tries: how many failures there may be.
        again: whether it is asked again at once, in another way.
    """

    problem: HallmarkError
    away: bool = False
    wait: float | None = None
    tries: int = TRIES
    again: bool = False


Text = str | list[Any] | None
"""What is said, or its parts."""
Count = Annotated[int, Field(ge=0, le=MOST_TOKENS)]


class Message(BaseModel):
    """What a server answers with. `reasoning_content` and `reasoning` are the thinking that it keeps apart:
    vLLM and llama.cpp by the first name, Ollama and newer vLLM by the second.
    """

    content: Text = None
    reasoning_content: Text = None
    reasoning: Text = None
    refusal: str | None = None
    tool_calls: list[Any] | None = None


class Choice(BaseModel):
    """One completion."""

    message: Message | None = None
    finish_reason: str | None = None


class Usage(BaseModel):
    """What it took, in tokens."""

    completion_tokens: Count | None = None
    prompt_tokens: Count | None = None


class Completion(BaseModel):
    """An answer, as far as it is looked at."""

    choices: list[Choice] = Field(min_length=1)
    usage: Usage | None = None
    model: str | None = None
    system_fingerprint: str | None = None


class OpenAIEngine:
    """Sends every request by itself, `batch_size` at once. Which tokens a conversation becomes, and what is
    left out where it is longer than the context, the server decides.

    Args:
        spec: the job.
        patience: see `PATIENCE_SECONDS`.
    """

    def __init__(self, spec: PredictSpec, patience: float = PATIENCE_SECONDS) -> None:
        endpoint, name = spec.generation.endpoint, spec.served
        if endpoint is None or name is None:
            raise InputError("engine openai: needs generation.endpoint and the name of a model there")
        self.spec, self.name, self.patience = spec, name, patience
        self.access = Access.of(endpoint, spec.sign_in)
        self.served = find_served(self.access, name)
        self.note: Note = lambda _: None
        self.limit = LIMIT
        self.answered_as: set[str] = set()
        self.fingerprints: set[str] = set()
        if spec.prompt.config.date != DEFAULT_DATE:
            announce("prompt:", "date changes nothing: the server's own template says which day it is")

    def prompts(self, items: Sequence[Item]) -> list[Prompt]:
        """See `Engine`."""
        return [
            Conversation(item.trace_id, [], truncated=False, messages=conversation(item, self.spec.prompt))
            for item in items
        ]

    def begin(self, shortest: Prompt, longest: Prompt) -> None:
        """Nothing can be found out about a server's batches."""

    def complete(self, requests: Sequence[Request], note: Note) -> Iterator[list[Row]]:
        """See `Engine`."""
        import httpx

        self.note = note
        at_once = self.spec.generation.batch_size
        client = httpx.AsyncClient(
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once),
            **self.access.options(),
        )
        waiting, working = iter(requests), set[asyncio.Task[Row]]()
        with asyncio.Runner() as runner:  # it cancels what is still asked when the block ends
            try:
                while True:
                    done, working = runner.run(self._some(client, working, waiting))
                    if not done:
                        return
                    if rows := [task.result() for task in done if task.exception() is None]:
                        yield rows
                    for task in done:
                        task.result()
            finally:
                runner.run(client.aclose())

    async def _some(
        self, client: Any, working: set[asyncio.Task[Row]], waiting: Iterator[Request]
    ) -> tuple[set[asyncio.Task[Row]], set[asyncio.Task[Row]]]:
        """Keep `batch_size` requests going until some are answered: those, and the others."""
        more = islice(waiting, self.spec.generation.batch_size - len(working))
        working = working | {asyncio.create_task(self._ask(client, each)) for each in more}
        if not working:
            return set(), set()
        return await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)

    async def _ask(self, client: Any, request: Request) -> Row:
        body = self._body(request)
        try:
            answer = await self._answer(client, body)
        except HallmarkError as error:
            raise type(error)(f"item {request.prompt.trace_id}: {error}") from error
        return self._row(request, answer)

    def _body(self, request: Request) -> dict[str, Any]:
        """What is sent: each request asks for one completion. Temperature and top-p are always said, so that
        no server's default decides them.
        """
        assert isinstance(request.prompt, Conversation)  # noqa: S101 - `prompts` made it
        settings, prompt = self.spec.generation, self.spec.prompt.config
        body: dict[str, Any] = {
            "model": self.name,
            "messages": request.prompt.messages,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "stream": False,
        }
        if settings.temperature > 0:
            body["seed"] = request_seed(settings.seed, request.prompt.trace_id, request.sample)
        if prompt.stop:
            body["stop"] = prompt.stop
        if prompt.template_args:
            body["chat_template_kwargs"] = prompt.template_args
        return body

    async def _answer(self, client: Any, body: Mapping[str, Any]) -> Completion:
        """One answer of the server, asked for again while it is overloaded or away.

        Raises:
            InputError: it refuses, or answers as no such server does.
            ResourceError: it stays away, fails again and again, or takes too long.
        """
        began, wait, failures = 0.0, 0.5, 0
        while isinstance(found := await self._attempt(client, body), Trouble):
            if found.again:
                continue
            began, wait = began or time.monotonic(), min(wait * 2, LONGEST_WAIT_SECONDS)
            failures += not found.away
            pause = wait * random.uniform(0.5, 1) if found.wait is None else found.wait  # noqa: S311
            if failures >= found.tries or time.monotonic() - began + pause > self.patience:
                raise found.problem
            self.note(f"asking again in {pause:,.0f} s: {found.problem}")
            await asyncio.sleep(pause)
        return found

    async def _attempt(self, client: Any, body: Mapping[str, Any]) -> Completion | Trouble:
        """What comes of asking once."""
        import httpx

        limit = self.limit
        try:
            answer = await self._heard(client, {**body, limit: self.spec.generation.longest})
        except (TimeoutError, httpx.ReadTimeout) as error:
            raise ResourceError(
                f"{self.access.endpoint}: gave no answer within {ANSWER_SECONDS:,.0f} s. Ask it for fewer at "
                "once by generation.batch_size, or for shorter ones by generation.max_new_tokens."
            ) from error
        except httpx.TransportError as error:
            return Trouble(self.access.unreachable(error), away=True)
        except httpx.HTTPError as error:  # a body that is not compressed as it says
            said = self.access.without_secrets(str(error))
            return Trouble(ResourceError(f"{self.access.endpoint}: its answer cannot be read: {said}"))
        if answer.status_code == 200:
            return self._completion(answer)
        if answer.status_code == 400 and limit == LIMIT and NEWER_LIMIT in answer.text:
            self.limit = NEWER_LIMIT
            return Trouble(self.access.refused(answer), again=True)
        if answer.status_code < 500 and answer.status_code not in RETRIED:
            raise await asyncio.to_thread(self.access.refused, answer, self.name)
        away = answer.status_code in AWAY
        return Trouble(self.access.refused(answer), away=away, wait=retry_after(answer.headers))

    async def _heard(self, client: Any, body: Mapping[str, Any]) -> Heard:
        """All that is answered, within the limits of time and size."""
        said = bytearray()
        place = self.access.endpoint.place(CHAT)
        async with asyncio.timeout(ANSWER_SECONDS), client.stream("POST", place, json=body) as answer:
            async for piece in answer.aiter_bytes():
                said += piece
                if len(said) > LONGEST_ANSWER:
                    raise self.access.too_long()
            return Heard(answer.status_code, answer.headers, bytes(said))

    def _completion(self, answer: Heard) -> Completion | Trouble:
        """A chat completion. Anything else, an error inside of a success included, may pass; one with a field
        that is wrong will not.

        Raises:
            InputError: names what is wrong.
        """
        found = answer.json()
        if found is None:
            said = self.access.without_secrets(answer.text[: 2 * SHOWN_OF_A_PAGE])[:SHOWN_OF_A_PAGE]
            problem = f"{self.access.endpoint}: gave an answer that is no JSON, so no chat completion: {said}"
            return Trouble(InputError(problem), tries=TRIES_OF_NO_API)
        if not isinstance(found, dict) or not found.get("choices"):
            said = self.access.words(answer)
            no_completion = f"{self.access.endpoint}: gave an answer that is no chat completion: {said}"
            return Trouble(ResourceError(no_completion))
        try:
            completion = Completion.model_validate(found)
        except ValidationError as error:
            wrong = error.errors(include_url=False)[0]
            field = ".".join(map(str, wrong["loc"]))
            said = self.access.without_secrets(f"{field}: {wrong['msg']}, got {wrong['input']!r}")
            raise InputError(f"{self.access.endpoint}: its answer is no chat completion: {said}") from None
        if (count := len(completion.choices)) != 1:
            raise InputError(f"{self.access.endpoint}: choices: has {count}; one is expected")
        return completion

    def _row(self, request: Request, answer: Completion) -> Row:
        """An answer as a prediction. Thinking that the server took out of it is put back before the mark that
        ends it, where the settings name one; else only what the server calls the answer counts. A refusal is
        what the model wrote instead of an answer.
        """
        [choice] = answer.choices
        message = choice.message or Message()
        said = _text(message.content)
        thought = _text(message.reasoning_content) or _text(message.reasoning)
        mark, cut_off = self.spec.prompt.config.thinking_end, choice.finish_reason == CUT_OFF
        ended = self.access.without_secrets(choice.finish_reason or "not said")
        if not said and message.refusal:
            said, ended = message.refusal, "refusal"
        elif not said and message.tool_calls:
            ended = "tool_calls"
        if mark and thought and mark not in said:
            said = thought if cut_off and not said else f"{thought}{mark}{said}"
        if answer.model:
            self.answered_as.add(self.access.without_secrets(answer.model))
        if answer.system_fingerprint:
            self.fingerprints.add(self.access.without_secrets(answer.system_fingerprint))
        usage = answer.usage or Usage()
        return Row(
            trace_id=request.prompt.trace_id,
            sample=request.sample,
            prediction=before_stop(self.access.of_model(said), self.spec.prompt.config.stop),
            tokens=usage.completion_tokens or 0,
            prompt_tokens=usage.prompt_tokens or 0,
            cut_off=cut_off,
            ended=None if cut_off or ended in COMPLETE else ended,
        )

    def about(self) -> dict[str, Any]:
        """See `Engine`. What only the server knows is said to be unknown."""
        settings = self.spec.generation
        switches = {"endpoint": str(self.access.endpoint), "model": self.name}
        for name, found in (("answered_as", self.answered_as), ("system_fingerprint", self.fingerprints)):
            if found:
                switches[name] = ", ".join(sorted(found))
        return {
            "tokenizer_sha256": UNKNOWN,
            "prompt_template": UNKNOWN,
            "stop": self.spec.prompt.config.stop,
            "generation": {"max_new_tokens": settings.longest},
            "batching": "engine",
            "device": UNKNOWN,
            "dtype": UNKNOWN,
            "batch_size_used": settings.batch_size,
            "unknown": ["truncated_prompts"],
            "engine": EngineUsed(
                name="openai", version=self.served.software, switches=switches, reproducible=False
            ),
        }


def before_stop(text: str, stop: Sequence[str]) -> str:
    """A text up to the first stop string, which some servers leave in.

    Example:
        >>> before_stop("4 END and more", ["END"])
        '4 '
    """
    return text[: min((text.index(each) for each in stop if each in text), default=len(text))]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """For how many seconds a server wants to be left alone; None where it does not say.

    Example:
        >>> retry_after({"retry-after": "3"})
        3.0
    """
    said = headers.get("retry-after", "").strip()
    try:
        seconds = float(said)
    except ValueError:
        try:
            when = parsedate_to_datetime(said)
            when = when if when.tzinfo else when.replace(tzinfo=UTC)
            seconds = (when - datetime.now(UTC)).total_seconds()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) and seconds <= LONGEST_WAIT_SAID else None


def _text(content: Any) -> str:
    """What is said, also where it comes in parts."""
    if isinstance(content, list):
        return "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
