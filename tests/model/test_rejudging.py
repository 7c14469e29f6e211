"""A real run of the tiny model, judged again: what a fresh evaluation by that judge would have been."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.config import EvaluateConfig
from experiments.phases import export_dataset, judge_run, predict_items, record_run
from experiments.plan import plan_evaluation
from experiments.rejudging import rejudge
from experiments.runs import begin_run, find_reusable, owned
from experiments.workspace import open_workspace

pytestmark = pytest.mark.model


def test_a_rejudged_run_is_what_a_fresh_evaluation_gives(
    small_dataset: Callable[[str, int], Path], home: Path
) -> None:
    workspace = open_workspace()
    registry = workspace.registry
    settings = {
        "dataset": str(small_dataset("golden-v1", 6)),
        "generation": {"max_new_tokens": 24, "device": "cpu"},
    }

    def evaluate(judge: str) -> str:
        plan = plan_evaluation(EvaluateConfig(judge=judge, reuse=False, **settings), workspace)
        run = begin_run(plan, registry)
        with owned(run, registry):
            export_dataset(run, plan)
            predict_items(run, plan, lambda _progress: None)
            record_run(run, plan, judge_run(run, plan), registry)
        return run.run_id

    again = rejudge(evaluate("answer_correctness@v1"), "exact_match@v1", workspace)
    plan = plan_evaluation(EvaluateConfig(judge="exact_match@v1", **settings), workspace)
    reused = find_reusable(plan, registry)
    assert reused is not None
    assert reused.run_id == again.run_id
    rejudged, fresh = registry.runs.get(again.run_id), registry.runs.get(evaluate("exact_match@v1"))
    for field in ("evaluation_sha256", "predictions_sha256", "model_sha256", "judge_fingerprint"):
        assert getattr(rejudged, field) == getattr(fresh, field)
    assert registry.runs.scores(rejudged.run_id) == registry.runs.scores(fresh.run_id)
