"""Log-probabilities of real models: in agreement with lm-evaluation-harness, and of one item alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError
from core.files import canonical_json
from experiments.references import TINY_BASE_DIRECTORY
from golden.datasets import load_dataset
from golden.rendering import Renderer
from golden.schema import Item
from golden.tokenizer import load_tokenizer
from inference.batching import Continuation, Prompt
from inference.contract import GenerationConfig, PredictionMeta, PredictSpec
from judges import judge_items, load_judge
from tests.support.scored_texts import asked_of, scoring_job, written_by
from tests.support.small_models import make_model

pytestmark = pytest.mark.model


def found(model: Path, folder: Path, **settings: Any) -> dict[str, str]:
    """Trace_id -> prediction, by a job of its own."""
    from inference.generate import predict

    spec = scoring_job(model, folder, **settings)
    predict(spec, lambda _: None)
    return written_by(spec)


def by_lm_eval(model: Path, items: list[Item]) -> list[list[tuple[float, bool]]]:
    """What lm-evaluation-harness says of the same texts behind the same prompts."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    peer = HFLM(pretrained=str(model), device="cpu", dtype="float32", batch_size=4)
    renderer = Renderer(load_tokenizer(model))
    texts = [item.offered or [item.reference] for item in items]
    asked = [
        Instance("loglikelihood", {}, (renderer.text(item), text), 0)
        for item, offered in zip(items, texts, strict=True)
        for text in offered
    ]
    answers = iter(peer.loglikelihood(asked, disable_tqdm=True))
    return [[next(answers) for _ in offered] for offered in texts]


@pytest.mark.parametrize("kind", ["tiny-base", "gemma2"])  # gemma2 does not keep everything it read
def test_log_probabilities_agree_with_lm_evaluation_harness(kind: str, tmp_path: Path) -> None:
    model = TINY_BASE_DIRECTORY if kind == "tiny-base" else make_model(kind, tmp_path / "model")
    ours = found(model, tmp_path / "ours")
    items = [Item.model_validate_json(line) for line in asked_of(tmp_path).read_text().splitlines()]
    for item, theirs in zip(items, by_lm_eval(model, items), strict=True):
        said = json.loads(ours[item.trace_id])
        rows = said["choices"] if item.choices else [said]
        for row, (log_prob, greedy) in zip(rows, theirs, strict=True):
            assert row["log_prob"] == pytest.approx(log_prob, abs=1e-4)
            assert row["greedy"] == greedy
        assert [row["bytes"] for row in rows] == [
            len(text.encode()) for text in item.choices or [item.reference]
        ]


@pytest.mark.parametrize("family", ["llama", "mamba"])
def test_batch_size_and_order_change_no_byte(family: str, tmp_path: Path) -> None:
    model = make_model(family, tmp_path / "model")
    one = found(model, tmp_path / "one", batch_size=1)
    assert found(model, tmp_path / "many", batch_size=64) == one
    assert found(model, tmp_path / "other", batch_size=7, order=-1) == one
    meta = PredictionMeta.model_validate_json((tmp_path / "one" / "predictions_meta.json").read_text())
    assert (meta.batching, meta.reached_max_new_tokens, meta.truncated_prompts) == ("single", [], [])


def test_the_prompt_of_an_items_texts_is_read_once(tmp_path: Path) -> None:
    from inference.loading import load
    from inference.log_probs import log_probs

    settings = GenerationConfig(output="log_probs", max_new_tokens=1, device="cpu")
    spec = PredictSpec(
        model=TINY_BASE_DIRECTORY, dataset=tmp_path, output=tmp_path, label="", generation=settings
    )
    _, model, _ = load(spec)
    read: list[tuple[int, ...]] = []
    model.get_input_embeddings().register_forward_pre_hook(
        lambda _, given: read.append(tuple(given[0].shape))
    )
    prompt = list(range(10, 60))

    def texts(*rows: list[int]) -> list[float]:
        read.clear()
        given = tuple(Continuation(row, 1) for row in rows)
        return [value for value, _ in log_probs(model, Prompt("t", prompt, False, given), 0)]

    letters = texts([20], [21], [22], [23])
    assert read == [(1, 50)]
    longer = texts([20], [21, 22, 23], [22, 24])
    assert read == [(1, 50), (2, 2)]
    assert longer[0] == letters[0]
    assert longer[1] == pytest.approx(texts([21, 22, 23])[0], abs=1e-4)
    assert read == [(1, 52)]


def test_what_the_tiny_base_knows_is_likelier_than_what_nobody_would_say(tmp_path: Path) -> None:
    from inference.loading import load
    from inference.log_probs import log_probs, make_continued, score_all

    items = list(load_dataset("golden-v1").items())[:40]
    offered = [
        item.model_copy(update={"choices": [f"Answer: {item.final_answer}", "Answer: no idea"]})
        for item in items
    ]
    settings = GenerationConfig(output="log_probs", max_new_tokens=1, device="cpu")
    spec = PredictSpec(
        model=TINY_BASE_DIRECTORY, dataset=tmp_path, output=tmp_path, label="", generation=settings
    )
    tokenizer, model, _ = load(spec)
    prompts = make_continued(offered, Renderer(tokenizer), settings, context=None, rows=1 << 20)
    made = [row for rows in score_all(model, prompts, 0, lambda _: None) for row in rows]
    assert [row.trace_id for row in made] == [item.trace_id for item in items]
    judged = [item.model_copy(update={"final_answer": f"Answer: {item.final_answer}"}) for item in offered]
    written = {row.trace_id: row.prediction for row in made}
    scores = [each.score for each in judge_items(judged, written, load_judge("log_prob_choice@v1"))]
    assert sum(scores) > 0.8 * len(scores)
    both = log_probs(model, prompts[0], 0)
    assert canonical_json(json.loads(made[0].prediction)) == made[0].prediction
    assert [each["log_prob"] for each in json.loads(made[0].prediction)["choices"]] == [
        round(value, 6) for value, _ in both
    ]


def test_what_is_beyond_the_context_is_left_out_at_the_beginning(tmp_path: Path) -> None:
    from inference.log_probs import make_continued

    renderer = Renderer(load_tokenizer(TINY_BASE_DIRECTORY))
    item = Item(trace_id="t", prompt="a" * 50, final_answer="bcd", category="c")
    settings = GenerationConfig(output="log_probs", max_new_tokens=1)
    [whole] = make_continued([item], renderer, settings, context=None, rows=1 << 20)
    [cut] = make_continued([item], renderer, settings, context=20, rows=1 << 20)
    assert not whole.truncated
    assert cut.truncated
    assert len(cut.tokens) + len(cut.continuations[0].tokens) == 21
    assert whole.tokens[-len(cut.tokens) :] == cut.tokens
    refusing = settings.model_copy(update={"on_truncation": "refuse"})
    with pytest.raises(InputError, match="item t: its prompt is longer than the context"):
        make_continued([item], renderer, refusing, context=20, rows=1 << 20)
    with pytest.raises(InputError, match="more than the model's context of 3"):
        make_continued([item], renderer, settings, context=3, rows=1 << 20)


def test_a_text_without_any_probability_is_the_least_likely_and_stops_nothing() -> None:
    import torch

    from inference.log_probs import IMPOSSIBLE, _log_prob, scored_row

    logits = torch.tensor([[0.0, 1.0, float("-inf")], [0.0, 0.0, 0.0]])
    none = _log_prob(logits, [2, 0], "t0")
    prompt = Prompt("t0", [1], truncated=False, continuations=(Continuation([2, 0], 2),))
    said = json.loads(scored_row(prompt, [none]).prediction)
    assert said == {"bytes": 2, "greedy": False, "log_prob": IMPOSSIBLE, "tokens": 2}
    value, greedy = _log_prob(logits, [1, 0], "t0")
    assert (value > -3, greedy) == (True, True)
    for bad in (float("nan"), float("inf")):
        logits[1, 2] = bad
        with pytest.raises(InputError, match="item t0: the model computed NaN or infinity"):
            _log_prob(logits, [1, 0], "t0")
