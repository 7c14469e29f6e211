"""Predictions for every item of a dataset, by any engine: resumable, in flat memory, and independent of batch
size.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from core.files import count_lines, read_jsonl, sha256_bytes, sha256_file, write_json, write_jsonl
from core.progress import Listener, Meter, quiet_meter
from core.sealed import seal, sha256_files
from core.windows import windows
from golden.datasets import read_items
from golden.rendering import RENDERED
from golden.schema import Item
from inference.asking import weights
from inference.batching import Prompt
from inference.contract import (
    META,
    NO_INPUT,
    PARTIAL,
    PREDICTIONS,
    SUMS,
    PredictionMeta,
    PredictResult,
    PredictSpec,
)
from inference.engines.base import Engine, Request
from inference.engines.load import load_engine
from inference.loading import tokenizer_sha256
from inference.partial import PartialPredictions, Row, Windows
from inference.prompts import Asked

WINDOW = 4096
"""How many completions are asked for together; when all are made, the next items are read."""


def predict(spec: PredictSpec, listener: Listener) -> PredictResult:
    """Write predictions.jsonl and predictions_meta.json for a dataset, or a part of it.

    Args:
        spec: the job.
        listener: gets progress in completions.

    Raises:
        InputError: a prompt cannot be rendered, or is longer than the context and the setting is to refuse
            it; nothing says where an answer ends; a prompt holds a token that the model has no embedding for;
            or the model computes NaN.
        IntegrityError: the weights are damaged.
        ResourceError: no GPU though one was asked for, or too little memory on it for a single prompt.
    """
    engine = load_engine(spec)
    prompts = Prompts(spec, engine)
    asked = prompts.asked
    if asked.shortest is not None and asked.longest is not None:
        engine.begin(asked.shortest, asked.longest)
    partial = PartialPredictions(spec.output / PARTIAL, _identity(spec), prompts.window)
    resumed = partial.resume()
    meter = Meter(spec.label, asked.items * spec.generation.samples, "items", listener)
    meter.update(resumed)
    started, made = time.monotonic(), _Count()
    earlier = Windows(partial.rows())
    for window in prompts.windows():
        requests = [Request(each, sample) for each in window for sample in range(spec.generation.samples)]
        done = earlier.take({each.key for each in requests})
        left = [each for each in requests if each.key not in done]
        for rows in engine.complete(left, lambda note: meter.update(resumed + made.completions, note=note)):
            partial.append(rows)
            made.add(rows)
            meter.update(resumed + made.completions)
    seconds = time.monotonic() - started
    meta = _write(spec, partial, prompts, timing=_timing(seconds, made), **engine.about())
    seal(spec.output / SUMS, [spec.output / PREDICTIONS, spec.output / META])
    partial.remove()
    return PredictResult(
        predictions_sha256=meta.predictions_sha256, items=asked.items, resumed=resumed, seconds=seconds
    )


class Prompts:
    """The prompts of a job. All are made once at first, so that one that cannot be made is met before
    anything is answered, and then again window by window; those of a small dataset are kept instead.

    Args:
        spec: the job.
        engine: makes them.

    Attributes:
        window: how many items a window has.
        asked: what is known of all of them.

    Raises:
        InputError: one cannot be made, or had to be shortened and the setting is to refuse that.
    """

    def __init__(self, spec: PredictSpec, engine: Engine) -> None:
        self.spec = spec
        self.engine = engine
        self.window = max(1, WINDOW // spec.generation.samples)
        self.asked = Asked()
        self._kept: list[Prompt] | None = []
        first, last = spec.part or (0, count_lines(spec.dataset))
        meter = quiet_meter("prompts", last - first, "items")
        for items in windows(self._items(), RENDERED):
            prompts = engine.prompts(items)
            self.asked.add(prompts)
            if self._kept is not None:
                self._kept = self._kept + prompts if self.asked.items <= self.window else None
            meter.update(self.asked.items)
        self.asked.refuse_truncated(spec.generation)

    def windows(self) -> Iterator[Sequence[Prompt]]:
        """The prompts of each window, in dataset order."""
        if self._kept is not None:
            yield self._kept
            return
        for items in windows(self._items(), self.window):
            yield self.engine.prompts(items)

    def ids(self) -> Iterator[list[str]]:
        """The ids of each window's items, in dataset order."""
        rows = islice(read_jsonl(self.spec.dataset), *(self.spec.part or (0, None)))
        return windows((row["trace_id"] for _, row in rows), self.window)

    def _items(self) -> Iterator[Item]:
        return islice(read_items(self.spec.dataset), *(self.spec.part or (0, None)))


@dataclass
class _Count:
    """Completions, the tokens in them, and those in their prompts where only the engine knows; and how many
    tokens were nearly tied.
    """

    completions: int = 0
    tokens: int = 0
    prompt_tokens: int = 0
    ties: int = 0

    def add(self, rows: Sequence[Row]) -> None:
        """Count some more."""
        self.completions += len(rows)
        self.tokens += sum(row.tokens for row in rows)
        self.ties += sum(row.ties for row in rows)
        self.prompt_tokens += sum(row.prompt_tokens or 0 for row in rows if row.sample == 0)


def _write(spec: PredictSpec, partial: PartialPredictions, prompts: Prompts, **about: Any) -> PredictionMeta:
    """Write predictions.jsonl, in dataset order, and beside it predictions_meta.json.

    Args:
        spec: the job.
        partial: has every answer.
        prompts: what was asked.
        about: the fields of `PredictionMeta` that follow from none of these.
    """
    path, asked = spec.output / PREDICTIONS, prompts.asked
    written, cut_off, ended = _Count(), dict[str, list[int]](), dict[str, str]()
    meter = quiet_meter("write", asked.items, "items")

    def lines() -> Iterator[dict[str, Any]]:
        for number, (trace_id, rows) in enumerate(_answers(spec.generation.samples, partial, prompts), 1):
            written.add(rows)
            if cut := [row.sample for row in rows if row.cut_off]:
                cut_off[trace_id] = cut
            if unusual := [row.ended for row in rows if row.ended is not None]:
                ended[trace_id] = unusual[0]
            yield {"trace_id": trace_id, **_texts([row.prediction for row in rows])}
            meter.update(number)

    write_jsonl(path, lines())
    known = {
        "dtype": spec.generation.dtype,
        "threads": spec.generation.threads,
        "items": asked.items,
        "prompt_tokens": asked.tokens or written.prompt_tokens,
        "completion_tokens": written.tokens,
        "truncated_prompts": asked.truncated,
        "thinking_closed": asked.thinking_closed,
        "reached_max_new_tokens": list(cut_off),
        "cut_samples": cut_off if spec.generation.samples > 1 else {},
        "ended_otherwise": ended,
        "predictions_sha256": sha256_file(path),
    }
    meta = PredictionMeta(**{**known, **about})
    if meta.engine.ties is not None:  # those of an interrupted attempt too
        meta = meta.model_copy(update={"engine": meta.engine.model_copy(update={"ties": written.ties})})
    write_json(spec.output / META, meta.model_dump())
    return meta


def _answers(samples: int, partial: PartialPredictions, prompts: Prompts) -> Iterator[tuple[str, list[Row]]]:
    """Each item's id and completions, in dataset order."""
    rows = Windows(partial.rows())
    for ids in prompts.ids():
        made = rows.take({(trace_id, sample) for trace_id in ids for sample in range(samples)})
        for trace_id in ids:
            yield trace_id, [made[trace_id, sample] for sample in range(samples)]


def _texts(texts: Sequence[str]) -> dict[str, Any]:
    """What a line of predictions.jsonl says beside the id: the text of one sample, or the list of several."""
    return {"prediction": texts[0]} if len(texts) == 1 else {"predictions": texts}


def _identity(spec: PredictSpec) -> str:
    """What must be equal for a partial file to be continued: everything but what changes speed alone."""
    if spec.model is None:
        model: tuple[Any, ...] = (spec.served,)  # its endpoint is one of the settings
    else:
        files = weights(spec.model)
        tensors = list(zip([path.name for path in files], sha256_files(files), strict=True))
        model = (tensors, tokenizer_sha256(spec.model))
    chosen = spec.generation.model_dump(exclude=set(NO_INPUT))
    settings = [*sorted(chosen.items()), spec.prompt.recorded(), spec.part]
    return sha256_bytes(repr((*model, sha256_file(spec.dataset), settings)).encode())


def _timing(seconds: float, made: _Count) -> dict[str, float]:
    return {
        "seconds": round(seconds, 3),
        "items_per_second": round(made.completions / seconds, 2) if seconds else 0.0,
        "tokens_per_second": round(made.tokens / seconds, 1) if seconds else 0.0,
    }
