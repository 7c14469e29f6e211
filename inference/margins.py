"""How sure a model was where two of its answers part: `python -m inference.margins`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core.child_process import answering
from core.progress import Listener, Meter
from golden.datasets import read_items
from golden.prompting import ResolvedPrompt
from inference.asking import Asking
from inference.batching import Prompt
from inference.contract import GenerationConfig, PredictSpec
from inference.loading import embedding_rows, load


class Answers(BaseModel):
    """Two answers to one item.

    Attributes:
        trace_id: the item.
        texts: both.
        ended: whether each came to its end, and was not cut off.
    """

    trace_id: str
    texts: tuple[str, str]
    ended: tuple[bool, bool]


class MarginsSpec(BaseModel):
    """What to look at.

    Attributes:
        model: a checked local model directory.
        dataset: the exported dataset.jsonl.
        prompt: how the model was asked.
        generation: what it is computed with; `max_new_tokens` as it was when the answers were made.
        answers: which differ.
    """

    model: Path
    dataset: Path
    prompt: ResolvedPrompt
    generation: GenerationConfig
    answers: list[Answers]


class Margin(BaseModel):
    """Where two answers part, and how sure the model is there.

    Attributes:
        trace_id: the item.
        token: which token of the answer differs first, from 1, as the tokenizer splits the texts; None where
            it splits them alike.
        tokens: both, as text.
        margin: by how much the largest logit there exceeds the second; natural logarithm of the odds.
        likeliest: the token that has it, as text.
    """

    trace_id: str
    token: int | None
    tokens: tuple[str, str] | None = None
    margin: float | None = None
    likeliest: str | None = None


class Margins(BaseModel):
    """One for each pair of answers, in their order."""

    found: list[Margin]


def find_margins(spec: MarginsSpec, listener: Listener) -> Margins:
    """Look at each pair with one forward pass of transformers, each item by itself.

    Args:
        spec: what to look at.
        listener: gets progress in items.

    Raises:
        HallmarkError: the model cannot be loaded or asked.
    """
    job = PredictSpec(
        model=spec.model,
        dataset=spec.dataset,
        output=spec.dataset.parent,
        label="",
        generation=spec.generation,
        prompt=spec.prompt,
    )
    tokenizer, model, _ = load(job)
    asking = Asking(job, tokenizer, model.config, embedding_rows(model))
    wanted = {each.trace_id: each for each in spec.answers}
    items = [item for item in read_items(spec.dataset) if item.trace_id in wanted]
    prompts = {prompt.trace_id: prompt for prompt in asking.prompts(items)}
    meter = Meter("look at first differences", len(spec.answers), "items", listener)

    def each() -> Iterator[Margin]:
        for number, answers in enumerate(spec.answers, 1):
            yield _margin(answers, prompts[answers.trace_id], asking, model)
            meter.update(number)

    return Margins(found=list(each()))


def _margin(answers: Answers, prompt: Prompt, asking: Asking, model: Any) -> Margin:
    import torch

    tokenizer, end = asking.renderer.tokenizer, asking.ends[:1]
    one, other = (
        [*tokenizer.encode(text, add_special_tokens=False), *(end if ended else ())]
        for text, ended in zip(answers.texts, answers.ended, strict=True)
    )
    place = next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    if place is None:  # one goes on where the other was cut off, or they are split alike
        return Margin(trace_id=answers.trace_id, token=None)
    ids = torch.tensor([[*prompt.tokens, *one[:place]]], device=model.device)
    with torch.inference_mode():
        largest = model(input_ids=ids).logits[0, -1].float().topk(2)
    return Margin(
        trace_id=answers.trace_id,
        token=place + 1,
        tokens=(_shown(tokenizer, one[place : place + 1]), _shown(tokenizer, other[place : place + 1])),
        margin=float(largest.values[0] - largest.values[1]),
        likeliest=_shown(tokenizer, largest.indices[:1].tolist()),
    )


def _shown(tokenizer: Any, tokens: Sequence[int]) -> str:
    return str(tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False))


if __name__ == "__main__":
    with answering(MarginsSpec) as job:
        job.answer(find_margins(job.spec, job.listener))
