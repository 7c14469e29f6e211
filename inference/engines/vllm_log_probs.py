"""How likely a model finds given texts, by vLLM: `inference.log_probs` with another engine. Needs vllm."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from inference.batching import Prompt
from inference.contract import GenerationConfig
from inference.engines.base import Note
from inference.finite import not_finite
from inference.log_probs import AT_ONCE, scored_row
from inference.partial import Row

MOST = 128
"""Of so many tokens at a time vLLM says how likely they come next."""


class Asked(Protocol):
    """Something that the engine is asked.

    Attributes:
        trace_id: the item.
    """

    @property
    def trace_id(self) -> str: ...


@dataclass(frozen=True)
class Reading:
    """What the model reads at a time: texts behind a prompt that differ in their last tokens alone. These are
    not read, so nothing is read that is beyond the context.

    Attributes:
        prompt: behind which the texts are.
        tokens: ids of a text, without the last.
        last: the last ids.
    """

    prompt: Prompt
    tokens: tuple[int, ...]
    last: list[int]

    @property
    def trace_id(self) -> str:
        """The item."""
        return self.prompt.trace_id


Step = Callable[[Mapping[int, Asked]], list[Any]]
"""Lets the engine go on, with what is under way by its number; gives what has ended."""
Found = dict[tuple[str, tuple[int, ...]], tuple[float, bool]]
"""An item's id and the tokens of a text -> log-probability, and whether greedy decoding would write it."""


def score_all(
    engine: Any, step: Step, prompts: Sequence[Prompt], settings: GenerationConfig, note: Note
) -> Iterator[list[Row]]:
    """The log-probabilities of each prompt's continuations, in order, some items at a time.

    Args:
        engine: of vLLM, which reads one text at a time.
        step: of that engine.
        prompts: with continuations.
        settings: of the job.
        note: is told which item is computed.

    Raises:
        InputError: the model computes NaN or infinity as a logit; names the item.
    """
    left = iter(prompts)
    while some := list(islice(left, AT_ONCE)):
        under_way = dict(enumerate(reading for prompt in some for reading in _readings(prompt)))
        for number, reading in under_way.items():
            ids = [*reading.prompt.tokens, *reading.tokens]
            engine.add_request(str(number), {"prompt_token_ids": ids}, _wanted(reading))
        found: Found = {}
        while under_way:
            for output in step(under_way):
                reading = under_way.pop(int(output.request_id))
                note(f"item {reading.trace_id}")
                found |= _read(reading, output, settings.dtype)
        yield [
            scored_row(prompt, [found[prompt.trace_id, tuple(each.tokens)] for each in prompt.continuations])
            for prompt in some
        ]


def _readings(prompt: Prompt) -> Iterator[Reading]:
    endings: dict[tuple[int, ...], dict[int, None]] = {}
    for each in prompt.continuations:
        endings.setdefault(tuple(each.tokens[:-1]), {})[each.tokens[-1]] = None
    for tokens, ids in endings.items():
        last = list(ids)
        for start in range(0, len(last), MOST):
            yield Reading(prompt, tokens, last[start : start + MOST])


def _wanted(reading: Reading) -> Any:
    from vllm import SamplingParams

    return SamplingParams(
        temperature=0.0,
        max_tokens=1,
        ignore_eos=True,
        detokenize=False,
        prompt_logprobs=0 if reading.tokens else None,  # of the tokens that are read
        logprob_token_ids=reading.last,
    )


def _read(reading: Reading, output: Any, dtype: str) -> Found:
    """What vLLM says of a reading. A token that is read is the likeliest where its rank is 1, and a last one
    where it is what was written.
    """
    read = (output.prompt_logprobs or [])[len(reading.prompt.tokens) :]
    said = [place[token] for token, place in zip(reading.tokens, read, strict=True)]
    total = sum(each.logprob for each in said)
    greedy = all(each.rank == 1 for each in said)
    [written] = output.outputs[0].token_ids
    [last] = output.outputs[0].logprobs
    found: Found = {}
    for token in reading.last:
        value = total + last[token].logprob
        if math.isnan(value):
            raise not_finite(reading.trace_id, dtype)
        found[reading.trace_id, (*reading.tokens, token)] = value, greedy and token == written
    return found
