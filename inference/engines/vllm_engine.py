"""vLLM, in an environment of its own: `make vllm` makes it. Needs vllm, in whose process this runs."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from core.errors import InputError
from core.progress import announce
from core.tensors import nonfinite_tensors, refuse_nonfinite
from golden.schema import Item
from golden.tokenizer import load_tokenizer
from inference.asking import Asking
from inference.batching import Prompt, is_routed, keeps_everything, positions_depend_on_rows, probed
from inference.contract import EngineUsed, PredictSpec
from inference.engines.base import Note, Request
from inference.engines.vllm_builds import step_failed
from inference.engines.vllm_loading import check_gpu, installed_build, load_vllm, set_variables
from inference.engines.vllm_log_probs import Asked, score_all
from inference.finite import not_finite
from inference.loading import embedding_rows, load_layout, nonfinite_weights
from inference.memory import available_bytes, refuse_weights
from inference.model_directory import check_model_directory
from inference.partial import Row

DRAWN = {"temperature", "top_p", "seed"}
PROBED_STEPS = 3


@dataclass
class Answer:
    """A request that is being answered.

    Attributes:
        request: what is asked.
        tokens: token ids that were written so far.
        given: how many of them the engine was given the last time.
        unsure: the places of those that its company could have decided.
        ties: how many were decided alone.
    """

    request: Request
    tokens: list[int] = field(default_factory=list)
    given: int = 0
    unsure: list[int] = field(default_factory=list)
    ties: int = 0

    @property
    def trace_id(self) -> str:
        """The item."""
        return self.request.prompt.trace_id

    @property
    def sequence(self) -> list[int]:
        """Everything that the model sees."""
        return [*self.request.prompt.tokens, *self.tokens]


class VllmEngine:
    """Prompts, ends and what is made of the tokens are the same as with transformers; vLLM gives tokens for
    tokens.

    On a CPU, in float32, a token is decided by its request alone: where the rows beside it could decide, as
    between two logits that are nearly tied, the model is asked again without them. On a GPU vLLM's
    batch-invariant kernels see to it. A log-probability is computed with nothing beside it.

    Args:
        spec: the job.

    Raises:
        HallmarkError: the model or the GPU cannot be used; says what to do.
    """

    def __init__(self, spec: PredictSpec) -> None:
        check_model_directory(spec.directory)
        self.spec = spec
        self.build = installed_build()
        self.on_cpu = self.build.on_cpu
        self.build.refuse_device(spec.generation.device)
        if not self.on_cpu:
            check_gpu(self.build)
        set_variables(self.build)
        self.device = "cpu" if self.on_cpu else "cuda"
        available = available_bytes(spec.generation, self.device)
        refuse_weights(spec.directory, spec.generation, device=self.device, available=available)
        tokenizer = load_tokenizer(spec.directory)
        self.layout = load_layout(spec.directory)
        self.asking = Asking(spec, tokenizer, self.layout.config, embedding_rows(self.layout))
        self.writing = self.asking.writing
        self.scores = spec.generation.output == "log_probs"
        exact = self.scores or (spec.generation.dtype == "float32" and not is_routed(self.layout))
        self.exact = self.on_cpu and exact
        self.ties = 0
        self.engine: Any = None
        self.watched: Any = None

    def prompts(self, items: Sequence[Item]) -> list[Prompt]:
        """See `Engine`."""
        return self.asking.prompts(items)

    def begin(self, shortest: Prompt, longest: Prompt) -> None:
        """Load the model, for prompts up to the longest."""
        settings, context = self.spec.generation, self.asking.context
        length = longest.length + (0 if self.scores else settings.longest)
        if context and positions_depend_on_rows(self.layout, context + 1):
            length = max(length, context)  # vLLM scales positions by the longest that it is told of
        processors = []
        if self.on_cpu and not self.scores:
            from inference.engines.vllm_watch import Watched, watching

            self.watched = Watched()
            processors = [watching(self.watched, settings)]
        shares = not self.scores and keeps_everything(self.layout)
        self.engine = load_vllm(self.spec, self.build, length, shares=shares, processors=processors)
        if found := self.engine.apply_model(nonfinite_weights)[0]:
            refuse_nonfinite(self.spec.directory, nonfinite_tensors(self.spec.directory) or found)
        if self.exact and not self.scores and not self._is_steady(probed(shortest), probed(longest)):
            announce("batching:", "this model's tokens depend on what is in a batch by more than rounding")
            self.exact = False

    def _is_steady(self, one: list[int], other: list[int]) -> bool:
        """Whether a second prompt, and what was read before, move the logits of a first one by rounding
        alone.
        """
        from inference.engines.vllm_watch import NOISE, STEADY, moved

        alone = self._logits([one], afresh=True)
        beside = self._logits([one, other], afresh=True), self._logits([one, other])
        return max(moved(alone, each) for each in beside) * STEADY <= NOISE

    def _logits(self, prompts: Sequence[list[int]], *, afresh: bool = False) -> list[Any]:
        """The logits of the first tokens behind the first of some prompts, float32 [vocabulary] each."""
        self.watched.kept = []
        longest = min(PROBED_STEPS, self.spec.generation.longest)
        for number, tokens in enumerate(prompts):
            self._ask(number, Answer(Request(Prompt("", tokens, truncated=False))), longest, afresh)
        while self.engine.has_unfinished_requests():
            self.engine.step()
        kept: list[Any] = self.watched.kept
        self.watched.clear()
        return kept

    def complete(self, requests: Sequence[Request], note: Note) -> Iterator[list[Row]]:
        """See `Engine`."""
        if self.scores:
            prompts = [each.prompt for each in requests]
            yield from score_all(self.engine, self._step, prompts, self.spec.generation, note)
            return
        waiting = deque(Answer(each) for each in requests)
        while waiting:
            unsure = list[Answer]()
            for ended in self._together(waiting, note):
                unsure += [each for each in ended if each.unsure]
                if rows := [self._row(each) for each in ended if not each.unsure]:
                    yield rows
            for each in unsure:
                note(f"{len(unsure)} answers have nearly tied tokens, which are decided alone")
                if self._decide(each):
                    yield [self._row(each)]
                else:
                    waiting.append(each)

    def _row(self, answer: Answer) -> Row:
        return self.writing.row(answer.request.prompt, answer.tokens, answer.request.sample, answer.ties)

    def _together(self, waiting: deque[Answer], note: Note) -> Iterator[list[Answer]]:
        """Answer all that wait, as many at a time as fit; gives them as they end."""
        under_way: dict[int, Answer] = {}
        number = 0
        while waiting or under_way:
            while waiting and len(under_way) < self.spec.generation.batch_size:
                under_way[number] = waiting.popleft()
                self._ask(number, under_way[number], self.spec.generation.longest)
                number += 1
            ended = [self._ended(under_way, each) for each in self._step(under_way)]
            note(f"{len(under_way):,} answers under way")
            if found := [each for each in ended if each is not None]:
                yield found

    def _ask(self, number: int, answer: Answer, longest: int, afresh: bool = False) -> None:
        """Give the engine a request: to go on behind what was written, up to so many tokens in all; reading
        everything afresh, or what is not read yet.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        settings, request = self.spec.generation, answer.request
        answer.given = len(answer.tokens)
        kind = RequestOutputKind.CUMULATIVE if self.writing.stop else RequestOutputKind.FINAL_ONLY
        drawn: dict[str, Any] = {"temperature": 0.0}
        if settings.temperature and not self.on_cpu:  # there the one who watches draws
            seed = _seed(settings.seed, request)
            drawn = {"temperature": settings.temperature, "top_p": settings.top_p, "seed": seed}
        params = SamplingParams(
            **drawn,
            max_tokens=longest - answer.given,
            stop_token_ids=[end for end in self.asking.ends if end < self.asking.rows],
            ignore_eos=True,  # ours are among the above
            detokenize=False,
            output_kind=kind,
            skip_reading_prefix_cache=afresh,
            extra_args={"number": number, "key": request.key, "given": answer.given},
        )
        self.engine.add_request(str(number), {"prompt_token_ids": answer.sequence}, params)

    def _step(self, under_way: Mapping[int, Asked]) -> list[Any]:
        """One token for each request that is under way."""
        try:
            outputs: list[Any] = self.engine.step()
        except RuntimeError as error:
            if found := re.search(r"NaNs detected in logits: \{'(\d+)", str(error)):
                raise self._not_finite(under_way[int(found[1])]) from error
            if failed := step_failed(len(under_way), str(error)):
                raise failed from error
            raise
        if self.watched is not None and self.watched.bad:
            number, place = min(self.watched.bad.items())
            raise self._not_finite(under_way[number], place)
        return outputs

    def _not_finite(self, asked: Asked, place: int | None = None) -> InputError:
        token = None if place is None else place + 1
        return not_finite(asked.trace_id, self.spec.generation.dtype, token)

    def _ended(self, under_way: dict[int, Answer], output: Any) -> Answer | None:
        """The answer that an output ends; None where it goes on."""
        number, written = int(output.request_id), list(output.outputs[0].token_ids)
        answer = under_way[number]
        if not output.finished:
            if not self.writing.stopped([*answer.tokens, *written]):
                return None
            self.engine.abort_request([output.request_id])
        answer.tokens = [*answer.tokens, *written]
        places = self.watched.take(number) if self.exact else []
        answer.unsure = [place for place in places if place < len(answer.tokens)]
        return under_way.pop(number)

    def _decide(self, answer: Answer) -> bool:
        """Ask for each token that is not sure again, alone. One that comes out differently makes what was
        written behind it void.

        Returns:
            whether the answer is at its end.
        """
        written, answer.tokens = answer.tokens, []
        places, answer.unsure = answer.unsure, []
        for place in places:
            answer.tokens = written[:place]
            token = self._alone(answer)
            self.ties += 1
            answer.ties += 1
            if token != written[place]:
                answer.tokens.append(token)
                return self._is_at_end(answer.tokens)
        answer.tokens = written
        return True

    def _is_at_end(self, tokens: Sequence[int]) -> bool:
        longest = self.spec.generation.longest
        return tokens[-1] in self.writing.ends or len(tokens) >= longest or self.writing.stopped(tokens)

    def _alone(self, answer: Answer) -> int:
        """The next token, by the model with nothing beside it."""
        self._ask(0, answer, len(answer.tokens) + 1, afresh=True)
        while not (outputs := self._step({0: answer})):
            pass
        self.watched.take(0)
        return int(outputs[0].outputs[0].token_ids[0])

    def about(self) -> dict[str, Any]:
        """See `Engine`."""
        settings, ends = self.spec.generation, self.asking.ends
        return {
            **self.asking.about(),
            "generation": {
                "do_sample": settings.temperature > 0,
                "max_new_tokens": settings.longest,
                "eos_token_id": ends[0] if len(ends) == 1 else sorted(ends),
                **(settings.model_dump(include=DRAWN) if settings.temperature else {}),
            },
            "batching": "engine",
            "device": self.device,
            "batch_size_used": settings.batch_size,
            "engine": EngineUsed(
                name="vllm",
                version=self.build.version,
                switches=self.build.switches,
                reproducible=self.exact or not self.on_cpu,
                ties=self.ties if self.exact else None,
            ),
        }


def _seed(seed: int, request: Request) -> int:
    """A number of each completion's own, from 0 to 2**63."""
    trace_id, sample = request.key
    digest = sha256(f"{seed} {sample} {trace_id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1
