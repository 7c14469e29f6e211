"""Hugging Face transformers: the default engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Any

from golden.schema import Item
from inference.asking import Asking
from inference.batching import (
    Company,
    Prompt,
    find_company,
    is_routed,
    keeps_everything,
    positions_depend_on_rows,
    probed,
)
from inference.choosing import STEADY, SURE, Choosing, usual_distance
from inference.contract import EngineUsed, PredictSpec
from inference.decoding import generation_config
from inference.engines.base import Note, Request
from inference.generating import Generating
from inference.loading import embedding_rows, load
from inference.partial import Row


class TransformersEngine:
    """Where every layer of a model keeps the keys and values of all tokens, requests join and leave while
    others are answered (`inference.refill`); other families go through `generate` in batches.

    In float32 a token follows from its request alone. That is not promised in bfloat16, of models that route
    tokens to experts, and of models whose logits company moves by more than is usual.

    Args:
        spec: the job.
    """

    def __init__(self, spec: PredictSpec) -> None:
        tokenizer, self.model, self.device = load(spec)
        self.spec = spec
        self.asking = Asking(spec, tokenizer, self.model.config, embedding_rows(self.model))
        self.config = generation_config(self.asking.ends, self.asking.pad, spec.generation.longest)
        self.model.generation_config = self.config
        self.choosing = Choosing(self.model, spec.generation)
        self.company = Company("single")
        self.promised = True
        self.answering = self._generating()

    def prompts(self, items: Sequence[Item]) -> list[Prompt]:
        """See `Engine`."""
        return self.asking.prompts(items)

    def begin(self, shortest: Prompt, longest: Prompt) -> None:
        """Find out which prompts may go together, and how near to each other logits are decided alone."""
        from inference.refill import Refilling, moved_by_company

        written = self.spec.generation.longest
        moved = None
        if keeps_everything(self.model) and not positions_depend_on_rows(
            self.model, len(longest.tokens) + written
        ):
            moved = moved_by_company(self.model, probed(shortest), probed(longest), self.asking.pad)
        if moved is not None:
            self.company = Company("padded", moved)
            self.answering = Refilling(
                self.model,
                self.choosing,
                self.asking.writing,
                pad=self.asking.pad,
                longest=written,
                batch_size=self.spec.generation.batch_size,
            )
        else:
            self.company = find_company(self.model, shortest, longest, self.asking.pad, written)
            self.answering = self._generating()
        if self.company.batching != "single":
            sure = SURE * usual_distance(self.model)
            steady = self.company.moved * STEADY <= sure and not is_routed(self.model)
            self.promised = steady and self.spec.generation.dtype == "float32"
            self.choosing.sure = sure if self.promised else None

    def _generating(self) -> Generating:
        return Generating(
            self.model,
            self.choosing,
            self.asking.writing,
            config=self.config,
            batching=self.company.batching,
            batch_size=self.spec.generation.batch_size,
        )

    def complete(self, requests: Sequence[Request], note: Note) -> Iterator[list[Row]]:
        """See `Engine`."""
        return self.answering.complete(requests, note)

    def about(self, items: Sequence[Item]) -> dict[str, Any]:
        """See `Engine`."""
        names = ("do_sample", "num_beams", "max_new_tokens", "eos_token_id", "pad_token_id")
        return {
            **self.asking.about(items),
            "generation": {name: getattr(self.config, name) for name in names},
            "batching": self.company.batching,
            "device": self.device,
            "batch_size_used": self.answering.batch_size,
            "engine": EngineUsed(
                name="transformers",
                version=metadata.version("transformers"),
                reproducible=self.promised,
                ties=self.choosing.ties if self.promised else None,
            ),
        }
