"""Hugging Face transformers: the default engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from importlib import metadata
from typing import TYPE_CHECKING, Any, Protocol

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
from inference.log_probs import score_all
from inference.memory import fitting_batch_size, memory_when_loaded
from inference.partial import Row

if TYPE_CHECKING:
    from inference.packed_linear import PackedLinears


class Answering(Protocol):
    """A way of answering requests.

    Attributes:
        batch_size: the most that are answered at a time.
    """

    batch_size: int

    def complete(self, requests: Sequence[Request], note: Note) -> Iterator[list[Row]]:
        """See `Engine`."""
        ...


class TransformersEngine:
    """Where every layer of a model keeps the keys and values of all tokens, requests join and leave while
    others are answered (`inference.refill`); other families go through `generate` in batches.

    In float32 a token follows from its request alone. That is not promised in bfloat16, of models that send
    tokens to experts, and of models whose logits are moved by company more than is usual.

    Args:
        spec: the job.
    """

    def __init__(self, spec: PredictSpec) -> None:
        tokenizer, self.model, self.device = load(spec)
        self.spec = spec
        self.batch_size = spec.generation.batch_size
        self.asking = Asking(spec, tokenizer, self.model.config, embedding_rows(self.model))
        self.config = generation_config(self.asking.ends, self.asking.pad, spec.generation.longest)
        self.model.generation_config = self.config
        self.choosing = Choosing(self.model, spec.generation)
        self.company = Company("single")
        self.promised = True
        self.packed: PackedLinears | None = None
        self.answering: Answering = self._generating()

    def prompts(self, items: Sequence[Item]) -> list[Prompt]:
        """See `Engine`."""
        return self.asking.prompts(items)

    def begin(self, shortest: Prompt, longest: Prompt) -> None:
        """Find out which prompts may go together, and how near to each other logits are decided alone."""
        if self.spec.generation.output == "log_probs":
            return
        self.batch_size = fitting_batch_size(
            self.spec.directory, self.spec.generation, len(longest.tokens), self.device
        )
        moved = self._moved(shortest, longest)
        if moved is None:
            written = self.spec.generation.longest
            self.company = find_company(self.model, shortest, longest, self.asking.pad, written)
            self.answering = self._generating()
        else:
            self.company = Company("padded", moved)
            self.answering = self._refilling()
        if self.company.batching != "single":
            steady = self._is_steady(self.company.moved) and not is_routed(self.model)
            self.promised = steady and self.spec.generation.dtype == "float32"
            self.choosing.sure = self.sure if self.promised else None

    @cached_property
    def sure(self) -> float:
        """By how much the largest logit must exceed the second to decide at once."""
        return SURE * usual_distance(self.model)

    def _is_steady(self, moved: float) -> bool:
        return moved * STEADY <= self.sure

    def _moved(self, shortest: Prompt, longest: Prompt) -> float | None:
        """By how much requests that join and leave move logits; None where they cannot."""
        from inference.refill import moved_by_company

        most = len(longest.tokens) + self.spec.generation.longest
        if not keeps_everything(self.model) or positions_depend_on_rows(self.model, most):
            return None
        probe = partial(moved_by_company, self.model, probed(shortest), probed(longest), self.asking.pad)
        if packed := self._packed(longest):
            moved = probe(packed)
            if moved is not None and self._is_steady(moved):
                self.packed = packed
                return moved
            packed.remove()  # else a token could depend on which way is faster here
        return probe()

    def _packed(self, longest: Prompt) -> PackedLinears | None:
        """The linear layers laid out once more for a CPU, where tokens follow from their requests alone."""
        from inference.packed_linear import PackedLinears

        settings, directory = self.spec.generation, self.spec.directory
        spread = settings.device_map != "none"
        if self.device != "cpu" or settings.dtype != "float32" or spread or is_routed(self.model):
            return None
        needed = memory_when_loaded(directory, settings, len(longest.tokens), self.device)
        packed = PackedLinears(self.model, self.batch_size, needed.spare)
        return packed if packed.layers else None

    def _refilling(self) -> Answering:
        from inference.refill import Refilling

        settings = self.spec.generation
        return Refilling(
            self.model,
            self.choosing,
            self.asking.writing,
            pad=self.asking.pad,
            longest=settings.longest,
            batch_size=self.batch_size,
            packed=self.packed,
        )

    def _generating(self) -> Answering:
        return Generating(
            self.model,
            self.choosing,
            self.asking.writing,
            config=self.config,
            batching=self.company.batching,
            batch_size=self.batch_size,
        )

    def complete(self, requests: Sequence[Request], note: Note) -> Iterator[list[Row]]:
        """See `Engine`."""
        if self.spec.generation.output == "log_probs":
            return score_all(self.model, [each.prompt for each in requests], self.asking.pad, note)
        return self.answering.complete(requests, note)

    def about(self) -> dict[str, Any]:
        """See `Engine`."""
        names = ("do_sample", "num_beams", "max_new_tokens", "eos_token_id", "pad_token_id")
        used = {name: getattr(self.config, name) for name in names}
        if self.spec.generation.temperature > 0:
            drawn = self.spec.generation.model_dump(include={"temperature", "top_p", "seed"})
            used |= {"do_sample": True, **drawn}
        return {
            **self.asking.about(),
            "generation": used,
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
