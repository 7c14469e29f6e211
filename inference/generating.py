"""Batches by `generate` of transformers, for families whose layers keep more than keys and values of every
token.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from inference.batching import left_padded, refuse_single
from inference.choosing import Choosing
from inference.contract import Batching
from inference.decoding import Writing
from inference.partial import Row
from inference.requests import Note, Request


class Generating:
    """Answers requests a batch at a time. Batches wait in a queue; one that does not fit into the GPU's
    memory goes back to its front as two halves.

    Args:
        model: of transformers, in evaluation mode.
        choosing: says which token comes next.
        writing: knows where an answer ends.
        config: how `generate` decodes.
        batching: which prompts may go together.
        batch_size: the most requests in a batch.

    Attributes:
        batch_size: smaller than it was where the GPU has too little memory.
    """

    def __init__(
        self,
        model: Any,
        choosing: Choosing,
        writing: Writing,
        *,
        config: Any,
        batching: Batching,
        batch_size: int,
    ) -> None:
        self.model = model
        self.choosing = choosing
        self.writing = writing
        self.config = config
        self.batching = batching
        self.batch_size = batch_size

    def complete(self, requests: Sequence[Request], note: Note) -> Iterator[list[Row]]:
        """See `Engine`."""
        import torch

        waiting = deque(batches(requests, self.batch_size, self.batching))
        while waiting:
            batch = waiting.popleft()
            made: list[Row] | None = None
            try:
                made = self._generate(batch, note)
            except torch.cuda.OutOfMemoryError as error:
                refuse_single([each.prompt for each in batch], error)
            if made is None:
                # Not in the handler above: there the traceback still holds what the failed attempt allocated.
                torch.cuda.empty_cache()
                for each in batch:
                    self.choosing.take_ties(each)
                half = len(batch) // 2
                waiting.extendleft((batch[half:], batch[:half]))  # the first half will be the next batch
                self.batch_size = min(self.batch_size, half)
                continue
            yield made

    def _generate(self, batch: Sequence[Request], note: Note) -> list[Row]:
        import torch
        from transformers import StoppingCriteriaList

        ids, mask = left_padded([each.prompt.tokens for each in batch], self.config.pad_token_id)
        steps = Steps(batch, ids.shape[1], self.choosing, self.writing, note, self.config.max_new_tokens)
        with torch.inference_mode():
            output = self.model.generate(
                input_ids=ids.to(self.model.device),
                attention_mask=mask.to(self.model.device),
                generation_config=self.config,
                stopping_criteria=StoppingCriteriaList([steps.at_stop] if self.writing.stop else []),
                logits_processor=[steps.choose],
            )
        return [
            self.writing.row(request.prompt, written, request.sample, self.choosing.take_ties(request))
            for request, written in zip(batch, output[:, ids.shape[1] :].tolist(), strict=True)
        ]


class Steps:
    """What happens between two tokens of a batch; called by transformers.

    Args:
        batch: the requests.
        width: tokens of each row that were not generated, padding included.
        choosing: says which token comes next.
        writing: knows where an answer ends.
        note: is told how far the batch is.
        longest: tokens of the longest answer.
    """

    def __init__(
        self,
        batch: Sequence[Request],
        width: int,
        choosing: Choosing,
        writing: Writing,
        note: Note,
        longest: int,
    ) -> None:
        self.batch = batch
        self.width = width
        self.choosing = choosing
        self.writing = writing
        self.note = note
        self.longest = longest
        self.started = time.monotonic()
        self.stopped: Any = None

    def choose(self, input_ids: Any, scores: Any) -> Any:
        """A logits processor: leaves of each row that has not ended the token that is chosen, and no other.

        Args:
            input_ids: int64 [batch, time], prompts and what was written so far.
            scores: float [batch, vocabulary], the logits of the next token.
        """
        import torch

        written = input_ids[:, self.width :]
        self._say(written.shape[1])
        ends = torch.tensor(sorted(self.writing.ends), dtype=written.dtype, device=written.device)
        ended = torch.isin(written, ends).any(-1)
        if self.stopped is not None:
            ended |= self.stopped
        rows = (~ended).nonzero().flatten()
        places = rows.tolist()

        def sequence(row: int) -> list[int]:
            length = len(self.batch[places[row]].prompt.tokens) + written.shape[1]
            found: list[int] = input_ids[places[row], -length:].tolist()
            return found

        tokens = self.choosing.choose(
            scores[rows].float(),
            [self.batch[place] for place in places],
            lambda: [written.shape[1]] * len(places),
            sequence,
        )
        chosen = torch.full_like(scores, -torch.inf)
        chosen[:, 0] = 0  # of rows that have ended, which are filled up with padding whatever is chosen
        chosen[rows, 0] = -torch.inf
        chosen[rows, tokens] = 0
        return chosen

    def at_stop(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """A stopping criterion: rows end at a stop string, each by itself; bool [batch].

        Args:
            input_ids: int64 [batch, time].
            scores: not needed.
        """
        import torch

        rows = input_ids[:, self.width :].tolist()
        found = torch.tensor([self.writing.stopped(row) for row in rows], device=input_ids.device)
        self.stopped = found if self.stopped is None else self.stopped | found
        return self.stopped

    def _say(self, written: int) -> None:
        text = f"token {written:,} of at most {self.longest:,}"
        if written:
            left = (time.monotonic() - self.started) / written * (self.longest - written)
            text += f", at most {left:,.0f} s left in this batch"
        self.note(text)


def batches(requests: Sequence[Request], size: int, batching: Batching) -> Iterator[list[Request]]:
    """Batches of prompts of like length, longest first: little padding; too large a batch fails at once.

    Args:
        requests: in any order, which does not matter.
        size: the largest batch.
        batching: which prompts may go together.
    """
    ordered = sorted(requests, key=Request.order)
    groups = [ordered] if batching == "padded" else [list(each) for _, each in groupby(ordered, _length)]
    for group in groups:
        step = 1 if batching == "single" else size
        for start in range(0, len(group), step):
            yield group[start : start + step]


def _length(request: Request) -> int:
    return len(request.prompt.tokens)
