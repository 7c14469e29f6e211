"""Hugging Face transformers: the default engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Any

from core.errors import ResourceError
from golden.schema import Item
from inference.asking import Asking
from inference.batching import Prompt, batches, find_batching, left_padded
from inference.contract import Batching, EngineUsed, PredictSpec
from inference.decoding import TokenProgress, generation_config
from inference.engines.base import Note, Request
from inference.finite import FiniteLogits
from inference.loading import embedding_rows, load
from inference.log_probs import score_all
from inference.memory import fitting_batch_size
from inference.partial import Row


class TransformersEngine:
    """Batches wait in a queue. One that does not fit into the GPU's memory goes back to its front as two
    halves.

    Args:
        spec: the job.
    """

    def __init__(self, spec: PredictSpec) -> None:
        tokenizer, self.model, self.device = load(spec)
        self.spec = spec
        self.asking = Asking(spec, tokenizer, self.model.config, embedding_rows(self.model))
        self.writing = self.asking.writing
        self.config = generation_config(self.asking.ends, self.asking.pad, spec.generation.longest)
        self.model.generation_config = self.config
        self.finite = FiniteLogits(self.config, spec.generation.dtype)
        self.batching: Batching = "padded"
        self.batch_size = spec.generation.batch_size

    def prompts(self, items: Sequence[Item]) -> list[Prompt]:
        """See `Engine`."""
        return self.asking.prompts(items)

    def begin(self, shortest: Prompt, longest: Prompt) -> None:
        """Find out which prompts may go together, and how many."""
        self.batch_size = fitting_batch_size(
            self.spec.directory, self.spec.generation, len(longest.tokens), self.device
        )
        if self.spec.generation.output == "log_probs":
            self.batching = "single"
            return
        self.batching = find_batching(
            self.model, [shortest, longest], self.asking.pad, self.spec.generation.longest
        )

    def complete(self, requests: Sequence[Request], note: Note) -> Iterator[list[Row]]:
        """See `Engine`."""
        import torch

        if self.spec.generation.output == "log_probs":
            yield from score_all(self.model, [each.prompt for each in requests], self.asking.pad, note)
            return
        waiting = deque(batches([each.prompt for each in requests], self.batch_size, self.batching))
        while waiting:
            batch = waiting.popleft()
            made: list[Row] | None = None
            try:
                made = self._generate(batch, note)
            except torch.cuda.OutOfMemoryError as error:
                _refuse_single(batch, error)
            if made is None:
                # Not in the handler above: there the traceback still holds what the failed attempt allocated.
                torch.cuda.empty_cache()
                half = len(batch) // 2
                waiting.extendleft((batch[half:], batch[:half]))  # the first half will be the next batch
                self.batch_size = min(self.batch_size, half)
                continue
            yield made

    def _generate(self, batch: Sequence[Prompt], note: Note) -> list[Row]:
        import torch

        rows = [each.tokens for each in batch]
        ids, mask = (each.to(self.device) for each in left_padded(rows, self.asking.pad))
        self.finite.begin([prompt.trace_id for prompt in batch], ids.shape[1])
        with torch.inference_mode():
            output = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                generation_config=self.config,
                stopping_criteria=self.writing.stopping_criteria(ids.shape[1]),
                logits_processor=[
                    self.finite,
                    TokenProgress(note, ids.shape[1], self.spec.generation.longest),
                ],
            )
        return self.writing.completions(batch, output[:, ids.shape[1] :].tolist())

    def about(self) -> dict[str, Any]:
        """See `Engine`."""
        names = ("do_sample", "num_beams", "max_new_tokens", "eos_token_id", "pad_token_id")
        return {
            **self.asking.about(),
            "generation": {name: getattr(self.config, name) for name in names},
            "batching": self.batching,
            "device": self.device,
            "batch_size_used": self.batch_size,
            "engine": EngineUsed(name="transformers", version=metadata.version("transformers")),
        }


def _refuse_single(batch: Sequence[Prompt], error: Exception) -> None:
    """Raises a ResourceError where a batch that does not fit cannot be halved."""
    if len(batch) == 1:
        raise ResourceError(
            f"item {batch[0].trace_id}: the GPU has too little memory for a single prompt: {error}"
        ) from error
