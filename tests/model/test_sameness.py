"""What a model writes for a request depends on the request alone, to the byte."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from core.progress import Meter, Progress
from inference.contract import GenerationConfig, PredictionMeta, PredictSpec
from inference.engines.base import Engine, Request
from inference.engines.load import load_engine
from inference.generate import predict
from tests.support.small_models import make_model

pytestmark = pytest.mark.model

LLAMA = {"rope_scaling": None, "tie_word_embeddings": False}
STEPS = 8


@pytest.fixture(scope="module")
def nearly_tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose tokens come in pairs of equal likelihood but for rounding."""
    from safetensors.torch import load_file, save_file

    model = make_model("llama", tmp_path_factory.mktemp("tied") / "model", **LLAMA)
    weights = load_file(model / "model.safetensors")
    weights["lm_head.weight"][3::2] = weights["lm_head.weight"][2:-1:2] * (1 + 2e-7)
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    return model


def engine(
    model: Path, folder: Path, count: int = 24, beginning: str = "", **generation: Any
) -> tuple[Engine, list[Request]]:
    """A model that has begun, and what it is to be asked: prompts of many lengths."""
    chance = random.Random(0)
    texts = [
        beginning + "".join(chance.choices("0123456789abc +?", k=chance.randint(1, 60))) for _ in range(count)
    ]
    rows = [
        {"trace_id": f"t{number}", "prompt": text, "final_answer": "x", "category": "c"}
        for number, text in enumerate(texts)
    ]
    dataset = folder / "many-v1.jsonl"
    dataset.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"max_new_tokens": STEPS, "device": "cpu", **generation}
    spec = PredictSpec(
        model=model,
        dataset=dataset,
        output=folder,
        label="predict",
        generation=GenerationConfig.model_validate(settings),
    )
    from golden.datasets import read_items

    found = load_engine(spec)
    prompts = found.prompts(list(read_items(dataset)))
    found.begin(*(choose(prompts, key=lambda each: len(each.tokens)) for choose in (min, max)))
    samples = range(spec.generation.samples)
    return found, [Request(prompt, sample) for prompt in prompts for sample in samples]


def said(asked: Engine, *parts: Sequence[Request]) -> dict[Any, str]:
    """What is answered to requests that are asked part by part."""
    rows = [row for part in parts for made in asked.complete(part, lambda _: None) for row in made]
    found = {row.key: row.prediction for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.mark.parametrize("beginning", ["", "12 + 34 = 46. " * 6], ids=["unlike", "begin alike"])
def test_near_ties_are_decided_by_the_request_alone_and_counted(
    nearly_tied: Path, tmp_path: Path, beginning: str
) -> None:
    answers, ties = list[dict[Any, str]](), list[int]()
    for size in (1, 7, 64):
        asked, requests = engine(nearly_tied, tmp_path, beginning=beginning, batch_size=size)
        shuffled = random.Random(size).sample(requests, len(requests))
        for parts in ([requests], [shuffled], [shuffled[:11], shuffled[11:]]):
            before = asked.about()["engine"].ties
            answers.append(said(asked, *parts))
            ties.append(asked.about()["engine"].ties - before)
        assert asked.about()["engine"].reproducible
    assert all(each == answers[0] for each in answers)
    assert len(set(answers[0].values())) > 15, "the model says different things"
    assert min(ties) > len(requests), "most tokens of each answer are nearly tied"


def tokens_read(asked: Engine, requests: Sequence[Request]) -> tuple[dict[Any, str], int]:
    """What is answered, and how many tokens went through the model, padding included, until then."""
    read = 0

    def count(_: Any, inputs: Any) -> None:
        nonlocal read
        read += inputs[0].numel()

    hook = asked.model.get_input_embeddings().register_forward_pre_hook(count)  # type: ignore[attr-defined]
    try:
        return said(asked, requests), read
    finally:
        hook.remove()


@pytest.mark.parametrize("shortened", [0, 2])
def test_what_prompts_have_in_common_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shortened: int
) -> None:
    monkeypatch.setattr("inference.refill.AT_ONCE", 1 << 30)  # so that both have the same padding
    beginning = "12 + 34 = 46. " * 8
    asked, requests = engine(make_model("llama", tmp_path / "model", **LLAMA), tmp_path, beginning=beginning)
    requests = [
        replace(each, prompt=replace(each.prompt, tokens=each.prompt.tokens[3:], truncated=True))
        if number < shortened
        else each
        for number, each in enumerate(requests)
    ]
    answers, read = tokens_read(asked, requests)
    with monkeypatch.context() as patch:
        patch.setattr("inference.refill.shared_tokens", lambda _: [])
        each_by_itself, all_read = tokens_read(asked, requests)
    assert answers == each_by_itself
    assert len(set(answers.values())) > 5
    if not shortened:  # those go first, all in one batch, and have to be read whole
        assert read < all_read - (len(requests) - 2) * len(beginning)


def test_many_prompts_are_read_in_lots_on_a_cpu(
    nearly_tied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, requests = engine(
        nearly_tied, tmp_path, samples=2, temperature=0.8, beginning="12 + 34 = 46. " * 3
    )
    shapes: list[tuple[int, int]] = []
    asked.model.get_input_embeddings().register_forward_pre_hook(  # type: ignore[attr-defined]
        lambda _, inputs: shapes.append(tuple(inputs[0].shape))
    )
    found = []
    for most in (1, 100, 1 << 30):
        monkeypatch.setattr("inference.refill.AT_ONCE", most)
        shapes.clear()
        found.append(said(asked, requests))
        assert all(rows == 1 or rows * tokens <= most for rows, tokens in shapes if tokens > 1)
        assert any(rows > 1 for rows, tokens in shapes if tokens > 1) == (most > 1)
    assert found[0] == found[1] == found[2]


def test_a_prompt_of_several_samples_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"samples": 4, "temperature": 0.8, "max_new_tokens": STEPS}
    asked, requests = engine(make_model("llama", tmp_path / "model", **LLAMA), tmp_path, 12, **settings)
    answers, read = tokens_read(asked, requests)
    with monkeypatch.context() as patch:
        patch.setattr(
            "inference.refill._unlike", lambda given: (list(range(len(given))), list(range(len(given))))
        )
        each_by_itself, all_read = tokens_read(asked, requests)
    assert answers == each_by_itself
    prompts = sum(len(each.prompt.tokens) for each in requests)
    assert read < all_read - prompts * 3 // 4 + len(requests) * 4
    assert [said(asked, [each])[each.key] for each in requests[:9]] == [
        answers[each.key] for each in requests[:9]
    ]


def test_a_resumed_run_reports_the_ties_of_all_its_answers(
    nearly_tied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.refill.EVERY", 0)
    monkeypatch.setattr("inference.generate.Meter", partial(Meter, every=0))
    dataset = tmp_path / "many-v1.jsonl"
    engine(nearly_tied, tmp_path, 12)  # writes it

    class Stopped(Exception):
        """As if the process had been killed."""

    def ties(name: str, stop_at: int | None) -> int | None:
        spec = PredictSpec(
            model=nearly_tied,
            dataset=dataset,
            output=tmp_path / name,
            label="predict",
            generation=GenerationConfig(max_new_tokens=STEPS, device="cpu", batch_size=2),
        )
        spec.output.mkdir(exist_ok=True)

        def stop(progress: Progress) -> None:
            if stop_at is not None and stop_at <= progress.done < progress.total:
                raise Stopped

        if stop_at is not None:
            with pytest.raises(Stopped):
                predict(spec, stop)
        assert (predict(spec, lambda _: None).resumed > 0) == (stop_at is not None)
        meta = PredictionMeta.model_validate_json((spec.output / "predictions_meta.json").read_text())
        return meta.engine.ties

    assert ties("resumed", stop_at=4) == ties("undisturbed", stop_at=None) != 0


def test_the_built_in_model_has_no_near_tie_that_is_not_counted(tmp_path: Path) -> None:
    from experiments.references import TINY_BASE_DIRECTORY

    asked, requests = engine(TINY_BASE_DIRECTORY, tmp_path, batch_size=7, max_new_tokens=40)
    alone, alone_requests = engine(TINY_BASE_DIRECTORY, tmp_path, batch_size=1, max_new_tokens=40)
    assert said(asked, requests) == said(alone, alone_requests)
    assert asked.about()["engine"].ties == alone.about()["engine"].ties


@pytest.mark.parametrize("family", ["llama", "mamba"])
def test_samples_are_the_same_whatever_else_is_asked(family: str, tmp_path: Path) -> None:
    settings = LLAMA if family == "llama" else {}
    model = make_model(family, tmp_path / "model", **settings)
    drawn = {"samples": 3, "temperature": 0.8, "top_p": 0.9, "seed": 5}
    asked, requests = engine(model, tmp_path, 6, batch_size=64, **drawn)
    alone, _ = engine(model, tmp_path, 6, batch_size=1, **drawn)
    found = said(asked, requests)
    assert found == said(alone, requests[::-1][:7], requests[::-1][7:])
    assert len(set(found.values())) > 12, "samples differ"
    other, _ = engine(model, tmp_path, 6, batch_size=64, **{**drawn, "seed": 6})
    assert said(other, requests) != found
    assert asked.about()["generation"].items() >= {"do_sample": True, "temperature": 0.8}.items()


def test_requests_that_join_and_leave_see_what_they_would_see_alone(tmp_path: Path) -> None:
    """At random, for longer than any buffer is at first."""
    import torch
    from transformers import AutoModelForCausalLM

    from inference.batching import Prompt
    from inference.choosing import alone
    from inference.refill import SLACK, Flight

    model = AutoModelForCausalLM.from_pretrained(make_model("llama", tmp_path / "model", **LLAMA)).eval()
    chance = random.Random(1)
    flight, worst, lengths = Flight(model, pad=0, size=5), 0.0, [40, 30, 20, 10, 8]

    def joining(count: int) -> list[Request]:
        shortest = min((len(flight.sequence(row)) for row in range(len(flight))), default=lengths[0])
        prompts = [
            [chance.randrange(2, 99) for _ in range(chance.randint(1, shortest))] for _ in range(count)
        ]
        return [Request(Prompt("t", tokens, truncated=False)) for tokens in prompts]

    with torch.inference_mode():
        for _ in range(2 * SLACK):
            low = len(flight)
            if flight.room and (not low or chance.random() < 0.2):
                logits = flight.join(joining(chance.randint(1, flight.room)))
            else:
                low, logits = 0, flight.step()
            for row, found in enumerate(logits, low):
                worst = max(worst, float((found - alone(model, flight.sequence(row))[0]).abs().max()))
            flight.write(low, torch.randint(2, 99, (len(logits),)))
            if chance.random() < 0.3:
                flight.leave(sorted(chance.sample(range(len(flight)), chance.randint(1, len(flight)))))
    assert worst < 1e-4
