"""What a model is shown, token by token, before anything is predicted: `python -m inference.preview`. No
torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from statistics import quantiles
from typing import Any

from pydantic import BaseModel

from core.child_process import answering
from golden.datasets import read_items, read_traces
from golden.prompting import ResolvedPrompt
from golden.rendering import EncodedTrace, Renderer, fit_max_new_tokens
from golden.tokenizer import load_tokenizer
from inference.contract import GenerationConfig
from inference.loading import context_length, load_config
from inference.memory import InferenceMemory, available_bytes, inference_memory, planned_device

TRACES = 10_000
"""How many traces are measured at most."""


class PreviewSpec(BaseModel):
    """What is to be shown.

    Attributes:
        model: a checked local model directory.
        dataset: a golden .jsonl file.
        train_dataset: a training .jsonl file; None for none.
        prompt: how the model is asked.
        max_new_tokens: the longest completion; None for one that suits the references.
        generation: the other settings, of which some decide what memory is needed.
    """

    model: Path
    dataset: Path
    train_dataset: Path | None = None
    prompt: ResolvedPrompt = ResolvedPrompt()
    max_new_tokens: int | None = None
    generation: GenerationConfig = GenerationConfig()


class PreviewToken(BaseModel):
    """A token as the model sees it.

    Attributes:
        id: its id.
        text: what it says; the tokenizer's own spelling where it is a part of a character.
        bears_loss: whether the model is taught to write it.
    """

    id: int
    text: str
    bears_loss: bool = False


class PreviewLine(BaseModel):
    """An item or a trace as the model sees it.

    Attributes:
        trace_id: which.
        text: its prompt; with the completion where it is a trace.
        tokens: all of them.
    """

    trace_id: str
    text: str
    tokens: list[PreviewToken]


class Lengths(BaseModel):
    """Tokens of many prompts or traces.

    Attributes:
        count: how many there are.
        shortest: tokens of the shortest.
        median: of them all.
        most: 95 of 100 are no longer.
        longest: tokens of the longest.
    """

    count: int
    shortest: int
    median: int
    most: int
    longest: int


class Preview(BaseModel):
    """How a model is asked.

    Attributes:
        template: `plain@v1`, or the sha256 of the chat template.
        template_name: `default` where the tokenizer has several by name.
        template_file: where it is written.
        date: what the template is told that today is; None where it does not ask.
        ends: ids of all tokens that end an answer, the one that training teaches first, and their spelling.
        stop: strings that end an answer too.
        thinking_end: the mark after which an answer is judged; None where all of it is.
        thinking_closed: the prompts themselves end with that mark.
        context: tokens that the model can see; None without a limit.
        max_new_tokens: the longest answer.
        prompts: how long they are.
        shortened: how many of them leave no room for the longest answer, and are shortened.
        traces: how long the training examples are; None without any.
        notes: settings that change nothing.
        memory: what inference needs, and what there is.
        item: the first one.
        trace: the first one; None without any.
    """

    template: str
    template_name: str | None
    template_file: str
    date: str | None
    ends: list[PreviewToken]
    stop: list[str]
    thinking_end: str | None
    thinking_closed: bool
    context: int | None
    max_new_tokens: int
    prompts: Lengths
    shortened: int
    traces: Lengths | None
    notes: list[str]
    memory: InferenceMemory
    item: PreviewLine
    trace: PreviewLine | None


def preview(spec: PreviewSpec) -> Preview:
    """Render a dataset as inference would, and a training set as training would.

    Args:
        spec: model, datasets and prompt.

    Raises:
        InputError: the tokenizer cannot be loaded, or a line is bad or cannot be rendered.
    """
    config = load_config(spec.model)
    renderer = Renderer(load_tokenizer(spec.model), spec.prompt)
    items = list(read_items(spec.dataset))
    context = context_length(config)
    longest = spec.max_new_tokens or fit_max_new_tokens(renderer, items, context)
    prompts = renderer.prompts(items)
    traces = list(islice(read_traces(spec.train_dataset), TRACES)) if spec.train_dataset else []
    encoded = renderer.traces(traces)
    first = EncodedTrace(prompts[0], [False] * len(prompts[0]))
    settings = spec.prompt.config
    return Preview(
        template=renderer.template.id,
        template_name=renderer.template.name,
        template_file=renderer.template.file,
        date=str(renderer.template.date) if renderer.template.prints_date else None,
        ends=_tokens(renderer.tokenizer, renderer.ends, [False] * len(renderer.ends)),
        stop=settings.stop,
        thinking_end=settings.thinking_end,
        thinking_closed=all(map(renderer.closes_thinking, items)),
        context=context,
        max_new_tokens=longest,
        prompts=_lengths([len(ids) for ids in prompts]),
        shortened=0 if context is None else sum(len(ids) > context - longest for ids in prompts),
        traces=_lengths([len(trace.ids) for trace in encoded]) if encoded else None,
        notes=renderer.notes(),
        memory=_memory(spec, longest, max(map(len, prompts))),
        item=_line(renderer, items[0].trace_id, first),
        trace=_line(renderer, traces[0].trace_id, encoded[0]) if encoded else None,
    )


def _memory(spec: PreviewSpec, longest: int, prompt_tokens: int) -> InferenceMemory:
    generation = spec.generation.model_copy(update={"max_new_tokens": longest})
    device = planned_device(generation)
    available = available_bytes(generation, device)
    return inference_memory(spec.model, generation, prompt_tokens, device=device, available=available)


def _line(renderer: Renderer, trace_id: str, encoded: EncodedTrace) -> PreviewLine:
    text = renderer.tokenizer.decode(
        encoded.ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    tokens = _tokens(renderer.tokenizer, encoded.ids, encoded.bears_loss)
    return PreviewLine(trace_id=trace_id, text=text, tokens=tokens)


def _tokens(tokenizer: Any, ids: Sequence[int], bears_loss: Sequence[bool]) -> list[PreviewToken]:
    pieces = tokenizer.convert_ids_to_tokens(list(ids))
    texts = [
        tokenizer.decode([id_], skip_special_tokens=False, clean_up_tokenization_spaces=False) for id_ in ids
    ]
    return [
        PreviewToken(id=id_, text=str(piece) if not text or "\ufffd" in text else text, bears_loss=bears)
        for id_, piece, text, bears in zip(ids, pieces, texts, bears_loss, strict=True)
    ]


def _lengths(lengths: Sequence[int]) -> Lengths:
    parts = quantiles(lengths, n=20, method="inclusive") if len(lengths) > 1 else [float(lengths[0])] * 19
    return Lengths(
        count=len(lengths),
        shortest=min(lengths),
        median=round(parts[9]),
        most=round(parts[18]),
        longest=max(lengths),
    )


if __name__ == "__main__":
    with answering(PreviewSpec) as job:
        job.answer(preview(job.spec))
