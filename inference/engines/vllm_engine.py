"""vLLM, in an environment of its own: `make vllm` makes it. Needs vllm, in whose process this runs."""

from __future__ import annotations

import os
import re
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

from core.errors import InputError, ResourceError
from core.imports import collection_paused
from core.progress import announce
from core.tensors import INDEX, nonfinite_tensors, refuse_nonfinite, weight_files
from golden.schema import Item
from golden.tokenizer import load_tokenizer
from inference.asking import Asking
from inference.batching import Prompt, is_routed, positions_depend_on_rows, probed
from inference.contract import EngineUsed, GenerationConfig, PredictSpec
from inference.engines.base import Note, Request
from inference.engines.vllm_builds import BUILDS, INSTALL, Build, find_build, not_loaded
from inference.finite import not_finite
from inference.loading import embedding_rows, load_layout, nonfinite_weights
from inference.memory import available_bytes, inference_memory, refuse_weights
from inference.model_directory import check_model_directory
from inference.partial import Row

CAPABILITY = (8, 0)
"""The compute capability from which on vLLM's batch-invariant kernels work."""
KEPT = ("VLLM_CACHE_ROOT", "VLLM_CONFIG_ROOT", "VLLM_LOGGING_LEVEL")
"""Variables of vLLM that are left as they are: they change no prediction. All others are ours to set."""
DRAWN = {"temperature", "top_p", "seed"}
PROBED_STEPS = 3
STEP_TOKENS = 4096
"""Tokens of prompts that go through the model together on a CPU; more where one prompt is longer."""
BLOCK = 128
"""Tokens for which keys and values are kept together."""
SHARE_OF_GPU = 0.9
"""Of the memory that is free on the GPU."""
CPU_MEMORY = 4 << 30
"""Bytes for keys and values on a CPU, where the model does not say how many they need."""


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
    def sequence(self) -> list[int]:
        """Everything that the model sees."""
        return [*self.request.prompt.tokens, *self.tokens]


class VllmEngine:
    """Prompts, ends and what is made of the tokens are the same as with transformers; vLLM gives tokens for
    tokens.

    On a CPU, in float32, a token is decided by its request alone: where the rows beside it could decide, as
    between two logits that are nearly tied, the model is asked again without them. On a GPU vLLM's
    batch-invariant kernels see to it.

    Args:
        spec: the job.

    Raises:
        HallmarkError: the model or the GPU cannot be used; says what to do.
    """

    def __init__(self, spec: PredictSpec) -> None:
        check_model_directory(spec.directory)
        self.spec = spec
        self.build = _installed()
        self.on_cpu = self.build.on_cpu
        self.build.refuse_device(spec.generation.device)
        if not self.on_cpu:
            _check_gpu(self.build)
        _set_variables(self.build)
        self.device = "cpu" if self.on_cpu else "cuda"
        available = available_bytes(spec.generation, self.device)
        refuse_weights(spec.directory, spec.generation, device=self.device, available=available)
        tokenizer = load_tokenizer(spec.directory)
        self.layout = load_layout(spec.directory)
        self.asking = Asking(spec, tokenizer, self.layout.config, embedding_rows(self.layout))
        self.writing = self.asking.writing
        in_float32 = self.on_cpu and spec.generation.dtype == "float32"
        self.exact = in_float32 and not is_routed(self.layout)
        self.ties = 0
        self.engine: Any = None
        self.watched: Any = None

    def prompts(self, items: Sequence[Item]) -> list[Prompt]:
        """See `Engine`."""
        return self.asking.prompts(items)

    def begin(self, shortest: Prompt, longest: Prompt) -> None:
        """Load the model, for prompts up to the longest."""
        length = len(longest.tokens) + self.spec.generation.longest
        if self.asking.context and positions_depend_on_rows(self.layout, self.asking.context + 1):
            length = self.asking.context  # vLLM scales positions by the longest that it is told of
        self.engine, self.watched = self._load(length)
        if found := self.engine.apply_model(nonfinite_weights)[0]:
            refuse_nonfinite(self.spec.directory, nonfinite_tensors(self.spec.directory) or found)
        if self.exact and not self._is_steady(probed(shortest), probed(longest)):
            announce("batching:", "this model's tokens depend on what is in a batch by more than rounding")
            self.exact = False

    def _is_steady(self, one: list[int], other: list[int]) -> bool:
        """Whether a second prompt moves the logits of a first one by rounding alone."""
        from inference.engines.vllm_watch import NOISE, STEADY, moved

        alone, beside = (self._logits(prompts) for prompts in ([one], [one, other]))
        return moved(alone, beside) * STEADY <= NOISE

    def _logits(self, prompts: Sequence[list[int]]) -> list[Any]:
        """The logits of the first tokens behind the first of some prompts, float32 [vocabulary] each."""
        self.watched.kept = []
        longest = min(PROBED_STEPS, self.spec.generation.longest)
        for number, tokens in enumerate(prompts):
            self._ask(number, Answer(Request(Prompt("", tokens, truncated=False))), longest)
        while self.engine.has_unfinished_requests():
            self.engine.step()
        kept: list[Any] = self.watched.kept
        self.watched.clear()
        return kept

    def _load(self, length: int) -> tuple[Any, Any]:
        """The engine, and what watches its logits on a CPU.

        Args:
            length: tokens of the longest prompt with its answer.
        """
        try:
            import_vllm()
            from vllm.engine.arg_utils import EngineArgs
            from vllm.usage.usage_lib import UsageContext
            from vllm.v1.engine.llm_engine import LLMEngine
        except ImportError as error:
            raise ResourceError(f"vllm cannot be imported: {error}. {INSTALL}") from error
        settings = self.spec.generation
        arguments: dict[str, Any] = {
            "skip_tokenizer_init": True,
            "generation_config": "vllm",  # not the model's: penalties are not ours
            "config_format": "hf",
            "load_format": "safetensors",
            "dtype": settings.dtype,
            "max_model_len": length,
            "max_num_seqs": settings.batch_size,
            "enable_prefix_caching": False,
            "disable_log_stats": True,
            "seed": 0,
        }
        watched = None
        if self.on_cpu:
            from inference.engines.vllm_watch import Watched, watching

            watched = Watched()
            arguments |= {
                "enforce_eager": True,
                "async_scheduling": False,
                "enable_chunked_prefill": False,
                "max_num_batched_tokens": max(STEP_TOKENS, length),
                "kv_cache_memory_bytes": self._cache_bytes(length),
                "logits_processors": [watching(watched, settings)],
            }
        else:
            arguments["gpu_memory_utilization"] = _share_of_gpu(settings)
        with tempfile.TemporaryDirectory(prefix="hallmark-vllm-") as folder:
            _link_model(self.spec.directory, Path(folder))
            try:
                made = LLMEngine.from_engine_args(
                    EngineArgs(model=folder, **arguments), usage_context=UsageContext.LLM_CLASS
                )
            except Exception as error:  # whatever vLLM and the libraries below it say
                said = str(error).replace(folder, str(self.spec.directory))
                raise not_loaded(self.spec.directory, self.build, said) from error
        return made, watched

    def _cache_bytes(self, length: int) -> int:
        """How much memory keys and values get on a CPU: enough for full batches of the longest answers, and
        at most half of what is free, but always enough for one.
        """
        settings = self.spec.generation
        prompt = length - settings.longest
        needed = inference_memory(self.spec.directory, settings, prompt, device="cpu", available=None)
        free = available_bytes(settings, "cpu") or CPU_MEMORY
        if needed.cache is None:
            return min(CPU_MEMORY, free // 2)
        row = needed.cache * BLOCK * (-(-length // BLOCK) + 1) // length
        return max(2 * row, min(row * (settings.batch_size + 1), free // 2))

    def complete(self, requests: Sequence[Request], note: Note) -> Iterator[list[Row]]:
        """See `Engine`."""
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

    def _ask(self, number: int, answer: Answer, longest: int) -> None:
        """Give the engine a request: to go on behind what was written, up to so many tokens in all."""
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
            extra_args={"number": number, "key": request.key, "given": answer.given},
        )
        self.engine.add_request(str(number), {"prompt_token_ids": answer.sequence}, params)

    def _step(self, under_way: Mapping[int, Answer]) -> list[Any]:
        """One token for each request that is under way."""
        try:
            outputs: list[Any] = self.engine.step()
        except RuntimeError as error:
            if found := re.search(r"NaNs detected in logits: \{'(\d+)", str(error)):
                raise self._not_finite(under_way[int(found[1])]) from error
            if "memory" in str(error):
                raise ResourceError(
                    f"the model ran out of memory with {len(under_way)} answers at a time: {error} Lower "
                    "generation.batch_size."
                ) from error
            raise
        if self.watched is not None and self.watched.bad:
            number, place = min(self.watched.bad.items())
            raise self._not_finite(under_way[number], place)
        return outputs

    def _not_finite(self, answer: Answer, place: int | None = None) -> InputError:
        token = None if place is None else place + 1
        return not_finite(answer.request.prompt.trace_id, self.spec.generation.dtype, token)

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
        self._ask(0, answer, len(answer.tokens) + 1)
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


def import_vllm() -> None:
    """Import what every model needs. Nothing is loaded, and no GPU is touched."""
    build = _installed()
    _set_variables(build)
    with collection_paused():
        if build.on_cpu:
            import vllm.v1.worker.cpu_worker
        import vllm.v1.engine.llm_engine  # noqa: F401


def _installed() -> Build:
    """The vLLM of this environment.

    Raises:
        ResourceError: there is none.
    """
    found = {}
    for name in BUILDS:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    build = find_build(found)
    if build is None:
        raise ResourceError(f"generation.engine is vllm, which is not installed. {INSTALL}")
    return build


def _check_gpu(build: Build) -> None:
    """Refuse to begin without a GPU on which predictions do not depend on their company.

    Raises:
        ResourceError: there is none.
    """
    import torch

    if not torch.cuda.is_available():
        raise ResourceError(
            f"generation.engine is vllm, and {build.name} {build.version} needs a GPU, but torch finds none "
            "here. Check the driver with nvidia-smi, or make the environment again for CPUs: "
            "make vllm VLLM=cpu"
        )
    if (found := torch.cuda.get_device_capability()) < CAPABILITY:
        raise ResourceError(
            f"generation.engine is vllm, whose predictions would depend on the batch on this GPU: "
            f"{torch.cuda.get_device_name()} has compute capability {found[0]}.{found[1]}, and the kernels "
            f"that see to it need {CAPABILITY[0]}.{CAPABILITY[1]} or more. Set generation.engine to "
            "transformers."
        )


def _set_variables(build: Build) -> None:
    """Tell vLLM what it reads from the environment, before it is imported, and nothing else than that."""
    for name in [each for each in os.environ if each.startswith("VLLM_") and each not in KEPT]:
        del os.environ[name]
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ |= {
        "DO_NOT_TRACK": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_PLUGINS": "",
        **build.switches,
    }
    if build.on_cpu:
        os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"  # two jobs would share the first cores
    else:
        os.environ["VLLM_RAISE_ON_LOGIT_NANS"] = "1"


def _share_of_gpu(settings: GenerationConfig) -> float:
    """What vLLM may use of the GPU's memory: nearly all that is free, or that it was given."""
    import torch

    free, total = torch.cuda.mem_get_info()
    return SHARE_OF_GPU * min(available_bytes(settings, "cuda") or free, free) / total


def _link_model(model: Path, folder: Path) -> None:
    """Show vLLM what makes the model, and nothing that may stand beside it."""
    names = ["config.json", *(path.name for path in weight_files(model))]
    for name in [*names, *([INDEX] if (model / INDEX).is_file() else [])]:
        (folder / name).symlink_to((model / name).resolve())


def _seed(seed: int, request: Request) -> int:
    """A number of each completion's own, from 0 to 2**63."""
    trace_id, sample = request.key
    digest = sha256(f"{seed} {sample} {trace_id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1
