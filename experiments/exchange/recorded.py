"""A finished run as other programs see it: its items, what the model wrote, and what the judge said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import core
from core.errors import IntegrityError
from core.progress import quiet_meter
from experiments.datasets import dataset_file
from golden.chat_template import PLAIN_TEMPLATE, plain_text
from golden.datasets import read_items
from golden.prompting import recorded_prompt
from golden.rendering import conversation
from golden.schema import Item
from inference.contract import CUT_OFF, UNKNOWN, UNKNOWN_BEFORE, GenerationConfig, PredictionMeta
from registry import Registry, Run
from registry.tables import Prediction

TRUNCATED = "truncated_prompts"


class Sampled(NamedTuple):
    """One completion of an item.

    Attributes:
        prediction: what the model wrote.
        score: what the judge gave it, in [0, 1].
        extracted: the answer that the judge found.
        reason: the judge's.
        rung: where the answer was found, where the judge says it.
        cut_off: whether it was cut off; None where nobody knows it.
    """

    prediction: str
    score: float
    extracted: str | None
    reason: str
    rung: str | None
    cut_off: bool | None


class Judged(NamedTuple):
    """One item of a run.

    Attributes:
        item: the question.
        asked: the turns that the model got.
        row: what it wrote, and what the judge said of it.
        cut_off: whether it was cut off, of several completions any; None where nobody knows it.
        cut_samples: which of several completions were, from 0; None where nobody knows it.
    """

    item: Item
    asked: list[dict[str, str]]
    row: Prediction
    cut_off: bool | None
    cut_samples: list[int] | None = None

    @property
    def completions(self) -> list[Sampled]:
        """Each completion by itself, in order."""
        row = self.row
        if row.samples is None:
            return [Sampled(row.prediction, row.score, row.extracted, row.reason, row.rung, self.cut_off)]
        cut = self.cut_samples
        return [
            Sampled(**{"rung": None, **each}, cut_off=None if cut is None else number in cut)
            for number, each in enumerate(row.samples)
        ]


@dataclass(frozen=True)
class RecordedRun:
    """A finished run.

    Attributes:
        run: its row.
        registry: holds it.
    """

    run: Run
    registry: Registry

    @cached_property
    def meta(self) -> PredictionMeta:
        """How its predictions were made."""
        return PredictionMeta.model_validate(self.run.predictions_meta)

    @cached_property
    def dataset(self) -> str:
        """Key and version."""
        return self.registry.datasets.get(self.run.dataset_id).name

    @property
    def samples(self) -> int:
        """How many completions each item has."""
        return int((self.run.manifest.get("generation") or {}).get("samples", 1))

    @property
    def metric(self) -> str:
        """The name of its metric, which is the judge's."""
        return self.run.judge.partition("@")[0]

    @cached_property
    def score(self) -> float:
        """Its mean score."""
        return next(each.value for each in self.registry.runs.metrics(self.run.run_id) if not each.category)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What is known of how the predictions were made, by dotted names, as an import of them reads it."""
        prompt = recorded_prompt(self.run.manifest).config.model_dump(mode="json")
        if prompt["few_shot"] is None:
            del prompt["num_fewshot"]
        usual = GenerationConfig().model_dump(mode="json")
        names = ("engine", "output", "max_new_tokens", "temperature", "top_p", "seed")
        generation = {**usual, **(self.run.manifest.get("generation") or {})}
        found = {
            **{f"prompt.{name}": value for name, value in prompt.items()},
            **{f"generation.{name}": generation[name] for name in names},
            "generation.dtype": self.meta.dtype,
        }
        if not self.meta.truncated_prompts:
            found[TRUNCATED] = []
        unsaid = (UNKNOWN, UNKNOWN_BEFORE)
        return {
            name: value
            for name, value in found.items()
            if name not in self.meta.unknown and value not in unsaid
        }

    @cached_property
    def about(self) -> dict[str, Any]:
        """What identifies the run, and its settings."""
        return {
            "version": core.__version__,
            "run": self.run.run_id,
            "model": self.run.base_model,
            "model_sha256": self.run.model_sha256,
            "dataset_sha256": self.registry.datasets.get(self.run.dataset_id).sha256,
            "judge": self.run.judge,
            "judge_fingerprint": self.run.judge_fingerprint,
            "predictions_sha256": self.run.predictions_sha256,
            "settings": self.settings,
        }

    def prompt_text(self, asked: list[dict[str, str]]) -> str | None:
        """The prompt as a text; None where a chat template made it of the turns."""
        return plain_text(asked) if self.meta.prompt_template == PLAIN_TEMPLATE else None

    def judged(self) -> Iterator[Judged]:
        """Its items in dataset order, a page of them in memory at a time.

        Raises:
            InputError: its items are not to be had.
            IntegrityError: they, or its predictions, are not those that were recorded.
        """
        dataset = self.registry.datasets.get(self.run.dataset_id)
        items = read_items(dataset_file(self.run, dataset, self.registry))
        rows = self.registry.runs.each_prediction(self.run.run_id)
        prompt = recorded_prompt(self.run.manifest)
        cut = set(self.meta.reached_max_new_tokens)
        known = CUT_OFF not in self.meta.unknown
        meter = quiet_meter("export", self.meta.items, "items")
        for number, (item, row) in enumerate(zip(items, rows, strict=True), start=1):
            if item.trace_id != row.trace_id:
                raise IntegrityError(f"run {self.run.run_id}: its predictions are not in dataset order.")
            gone = row.trace_id in cut if known else None
            samples = self.meta.cut_samples.get(row.trace_id, None if gone or gone is None else [])
            yield Judged(item, conversation(item, prompt), row, gone, samples)
            meter.update(number)


def recorded(reference: str, registry: Registry) -> RecordedRun:
    """A finished run that can be exported.

    Args:
        reference: run id, or a unique beginning or end of one.
        registry: holds the run.

    Raises:
        InputError: it is unknown or not finished.
    """
    return RecordedRun(registry.runs.finished(reference), registry)
