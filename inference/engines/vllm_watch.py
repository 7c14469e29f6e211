"""Looks at the logits that vLLM computes on a CPU, before it takes the largest. Needs vllm."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor, MoveDirectionality

NOISE = 2.0**-14
"""How much a logit may differ with its company, as a share of the row's largest one in size. Measured in
float32: at most 2**-18, with 1 M and with 135 M parameters. Twice that decides between two logits.
"""


@dataclass
class Watched:
    """What was seen of the requests that are under way, by their numbers.

    Attributes:
        unsure: the places of tokens whose two largest logits are closer than noise.
        bad: the place of the first token whose largest logit is NaN or infinite.
    """

    unsure: dict[int, set[int]] = field(default_factory=dict)
    bad: dict[int, int] = field(default_factory=dict)

    def take(self, number: int) -> list[int]:
        """The places of a request that has ended, in order."""
        return sorted(self.unsure.pop(number, ()))


def watching(watched: Watched) -> type[LogitsProcessor]:
    """A class whose instance vLLM calls for every token of a batch; it changes no logit."""

    class Watching(LogitsProcessor):  # type: ignore[misc] # vllm is not there when types are checked
        def __init__(self, *_: Any) -> None:
            self.rows: dict[int, tuple[int, list[int]]] = {}

        def is_argmax_invariant(self) -> bool:
            return False  # else it would not be called for greedy requests

        def update_state(self, batch_update: BatchUpdate | None) -> None:
            """Follow the requests to their rows: each row's number, and the tokens it has written."""
            if batch_update is None:
                return
            for row in batch_update.removed:
                self.rows.pop(row, None)
            for row, params, _, written in batch_update.added:
                self.rows[row] = (params.extra_args["number"], written)
            for source, to, direction in batch_update.moved:
                moved, other = self.rows.pop(source, None), self.rows.pop(to, None)
                if moved is not None:
                    self.rows[to] = moved
                if other is not None and direction == MoveDirectionality.SWAP:
                    self.rows[source] = other

        def apply(self, logits: Any) -> Any:
            """Return float32 [rows, vocabulary] logits as they are."""
            largest = logits.topk(2).values
            low, high = logits.aminmax(dim=-1)
            noise = NOISE * torch.maximum(high.abs(), low.abs().nan_to_num(posinf=0.0))
            finite = torch.isfinite(high)
            sure = finite & (largest[:, 0] - largest[:, 1] > noise)
            for row in (~sure).nonzero().flatten().tolist():
                number, written = self.rows[row]
                if bool(finite[row]):
                    watched.unsure.setdefault(number, set()).add(len(written))
                else:
                    watched.bad.setdefault(number, len(written))
            return logits

    return Watching
