"""Looks at the logits that vLLM computes on a CPU, and chooses the tokens. Needs vllm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor, MoveDirectionality

from inference.choosing import extremes
from inference.contract import GenerationConfig
from inference.sampling import draw, uniform

NOISE = 2.0**-14
"""Two logits that are further apart than this share of the row's largest one in size come in the same order
in any company. Measured in float32, with 1 M and with 135 M parameters: company moves a logit by at most
2**-18 of that.
"""
STEADY = 8
"""A model whose logits are moved by more than this part of NOISE is not steady enough."""


class Row(NamedTuple):
    """Of whom a row of logits is.

    Attributes:
        number: of the request.
        key: item and sample.
        given: how many tokens of the answer were in the prompt.
        written: token ids that were written since; vLLM adds to it.
    """

    number: int
    key: tuple[str, int]
    given: int
    written: list[int]


@dataclass
class Watched:
    """What was seen of the requests that are under way, by their numbers.

    Attributes:
        unsure: the places of tokens that noise could have decided.
        bad: the place of the first token whose largest logit is NaN or infinite.
        kept: the logits of request 0, float32 [vocabulary] for each token, where somebody wants them.
    """

    unsure: dict[int, set[int]] = field(default_factory=dict)
    bad: dict[int, int] = field(default_factory=dict)
    kept: list[Any] | None = None

    def clear(self) -> None:
        """Forget everything, and keep no logits."""
        self.unsure, self.bad, self.kept = {}, {}, None

    def take(self, number: int) -> list[int]:
        """The places of a request that has ended, in order."""
        return sorted(self.unsure.pop(number, ()))


def moved(alone: Sequence[Any], beside: Sequence[Any]) -> float:
    """By how much company moves logits, as a share of the largest one in size.

    Args:
        alone: float32 [vocabulary] for each token, as `Watched` keeps them.
        beside: the same request's with another one beside it.
    """
    found = 0.0
    for one, other in zip(alone, beside, strict=True):
        found = max(found, float((one - other).abs().max() / one.abs().max()))
        if one.argmax() != other.argmax():
            break  # a tie, which rounding decides: what follows are other words
    return found


def watching(watched: Watched, settings: GenerationConfig) -> type[LogitsProcessor]:
    """A class whose instance vLLM calls for every token of a batch. Where tokens are drawn, it draws them:
    vLLM takes the largest logit, and it takes away all but one.
    """

    class Watching(LogitsProcessor):  # type: ignore[misc] # vllm is not there when types are checked
        def __init__(self, *_: Any) -> None:
            self.rows: dict[int, Row] = {}

        def is_argmax_invariant(self) -> bool:
            return False  # else it would not be called for greedy requests

        def update_state(self, batch_update: BatchUpdate | None) -> None:
            """Follow the requests to their rows."""
            if batch_update is None:
                return
            for row in batch_update.removed:
                self.rows.pop(row, None)
            for row, params, _, written in batch_update.added:
                self.rows[row] = Row(**params.extra_args, written=written)
            for source, to, direction in batch_update.moved:
                moved, other = self.rows.pop(source, None), self.rows.pop(to, None)
                if moved is not None:
                    self.rows[to] = moved
                if other is not None and direction == MoveDirectionality.SWAP:
                    self.rows[source] = other

        def apply(self, logits: Any) -> Any:
            """Return float32 [rows, vocabulary] logits, of which the largest is to be taken."""
            if watched.kept is not None:
                watched.kept += [
                    logits[number].clone() for number, row in self.rows.items() if row.number == 0
                ]
            low, high, second = extremes(logits)
            noise = NOISE * torch.maximum(high.abs(), low.abs().nan_to_num(posinf=0.0))
            finite = torch.isfinite(high)
            if settings.temperature and bool(finite.all()):
                chosen, margins = self._draw(logits, float(noise.max()))
                logits = torch.full_like(logits, -torch.inf).scatter_(1, chosen[:, None], 0.0)
            else:
                margins = high - second
            for number in (~(finite & (margins > noise))).nonzero().flatten().tolist():
                row = self.rows[number]
                if bool(finite[number]):
                    watched.unsure.setdefault(row.number, set()).add(row.given + len(row.written))
                else:
                    watched.bad.setdefault(row.number, row.given + len(row.written))
            return logits

        def _draw(self, logits: Any, noise: float) -> tuple[Any, Any]:
            rows = [self.rows[number] for number in range(len(logits))]
            numbers = [uniform(settings.seed, *row.key, row.given + len(row.written)) for row in rows]
            uniforms = torch.tensor(numbers, dtype=torch.float64)
            return draw(logits, uniforms, settings.temperature, settings.top_p, noise)

    return Watching
