"""The gate is asked twice in a promotion; it compares again exactly when something about the runs is
different.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evaluation.gate import GateConfig
from experiments.gatekeeper import Gatekeeper
from golden.datasets import load_dataset
from registry import Dataset, Evidence, Pair, Run
from registry.alpha_ledger import Turn
from tests.support.registry_entries import digest

pytestmark = pytest.mark.unit

GOLDEN = load_dataset("golden-v1")
IDS = [item.trace_id for item in GOLDEN.items()]
META = {
    "generation": {"max_new_tokens": 8},
    "prompt_template": "plain@v1",
    "tokenizer_sha256": digest("t"),
    "device": "cpu",
    "dtype": "float32",
    "threads": 1,
    "items": len(IDS),
    "prompt_tokens": 1,
    "completion_tokens": 1,
    "truncated_prompts": [],
    "reached_max_new_tokens": [],
    "batch_size_used": 1,
    "predictions_sha256": digest("p"),
    "timing": {},
}


def run(name: str) -> Run:
    fields: dict[str, Any] = {
        "judge": "j@v1",
        "judge_fingerprint": "f",
        "dataset_id": 1,
        "directory": "/nowhere",
        "predictions_meta": META,
    }
    return Run(run_id=name, manifest={"dataset": {"bands": GOLDEN.bands}}, **fields)


@pytest.fixture
def evidence() -> Evidence:
    dataset = Dataset(id=1, key="golden", version="v1", sha256=GOLDEN.sha256, items=len(IDS), created_at="")
    before, after = dict.fromkeys(IDS, 0.0), dict.fromkeys(IDS, 1.0)
    return Evidence([Pair(run("base"), run("trained"), before, after, dataset, dataset)], [turn(1)])


def turn(number: int) -> Turn:
    return Turn("m", GOLDEN.sha256, digest("c"), number, 0.0, 0.0, None)


def changed(evidence: Evidence, **fields: Any) -> Evidence:
    return replace(evidence, pairs=[replace(evidence.pairs[0], **fields)])


def test_the_same_evidence_is_compared_once_and_decided_alike(evidence: Evidence) -> None:
    gate = Gatekeeper(GateConfig())
    first, comparison = gate(evidence), gate.comparison
    again = changed(evidence, opponent=run("base"), opponent_scores=dict(evidence.pairs[0].opponent_scores))
    assert gate(again) == first
    assert gate.comparison is comparison
    assert first.promote


def test_a_later_number_is_decided_anew_on_the_same_comparison(evidence: Evidence) -> None:
    gate = Gatekeeper(GateConfig())
    first, comparison = gate(evidence), gate.comparison
    assert gate(replace(evidence, turns=[turn(7)])).level < first.level
    assert gate.comparison is comparison


def test_other_scores_another_opponent_or_another_order_are_compared_again(evidence: Evidence) -> None:
    pair = evidence.pairs[0]
    one_less = dict(pair.candidate_scores, **{IDS[0]: 0.0})
    for other in (
        changed(evidence, candidate_scores=one_less),
        changed(evidence, opponent=run("champion")),
        changed(evidence, opponent_scores=dict(reversed(pair.opponent_scores.items()))),
    ):
        gate = Gatekeeper(GateConfig())
        gate(evidence)
        ruling, comparison = gate(other), gate.comparison
        alone = Gatekeeper(GateConfig())
        assert ruling == alone(other)
        assert comparison == alone.comparison
        assert comparison is not None
        assert comparison.candidate_run == "trained"
        assert (comparison.baseline_run, len(comparison.gained)) == (
            other.pairs[0].opponent.run_id,
            len(IDS) - (other.pairs[0].candidate_scores is one_less),
        )
