"""Recorded runs without a model, and judges that come in packages of their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from core.files import sha256_file, write_json, write_jsonl
from experiments.config import EvaluateConfig, TrainRunConfig
from experiments.phases import export_dataset, judge_run, record_run
from experiments.plan import RunPlan, plan_evaluation, plan_training
from experiments.runs import RunRef, begin_run, owned
from experiments.workspace import Workspace
from golden.datasets import read_items
from golden.schema import Item
from tests.registry_support import make_weights

Answering = Callable[[int, Item], str]


def right_or_wrong(place: int, item: Item) -> str:
    """Every third answer is wrong."""
    return f"Answer: {item.final_answer}" if place % 3 else "Answer: no idea"


def recorded_run(
    workspace: Workspace, answer: Answering = right_or_wrong, cut: Iterable[int] = (), trained: bool = False, **settings: Any
) -> RunRef:
    """A finished run whose predictions a function wrote instead of a model; all else is as in production.

    Args:
        workspace: where it is recorded.
        answer: writes the prediction for place and item.
        cut: places of the items whose completion was cut.
        trained: a trained run, whose weights are some file.
        settings: of the run's configuration.
    """
    plan = plan_of(workspace, trained, **settings)
    run = begin_run(plan, workspace.registry, workspace.runs)
    with owned(run, workspace.registry):
        export_dataset(run, plan)
        write_predictions(run, plan, answer, cut)
        if trained:
            make_weights(run.directory, "weights").rename(run.files.model)
        record_run(run, plan, judge_run(run, plan), workspace.registry)
    return run


def plan_of(workspace: Workspace, trained: bool = False, **settings: Any) -> RunPlan:
    """The plan of a run."""
    if trained:
        return plan_training(TrainRunConfig(**settings), workspace)
    return plan_evaluation(EvaluateConfig(**settings), workspace)


def write_predictions(run: RunRef, plan: RunPlan, answer: Answering, cut: Iterable[int] = ()) -> None:
    """predictions.jsonl and predictions_meta.json, as inference writes them."""
    items = list(read_items(run.files.dataset))
    write_jsonl(run.files.predictions, ({"trace_id": item.trace_id, "prediction": answer(n, item)} for n, item in enumerate(items)))
    meta = {
        "generation": plan.generation.model_dump(),
        "prompt_template": "plain@v1",
        "tokenizer_sha256": "t",
        "device": "cpu",
        "dtype": "float32",
        "threads": 2,
        "items": len(items),
        "prompt_tokens": 1,
        "completion_tokens": 1,
        "truncated_prompts": [],
        "reached_max_new_tokens": [items[place].trace_id for place in cut],
        "batch_size_used": 64,
        "predictions_sha256": sha256_file(run.files.predictions),
        "timing": {"seconds": 1.0},
    }
    write_json(run.files.predictions_meta, meta)


def small_dataset(folder: Path, answers: Iterable[str] = ("1", "2", "3", "4")) -> Path:
    """A dataset with items t0, t1 and so on."""
    path = folder / "small-v1.jsonl"
    rows = [
        {"trace_id": f"t{n}", "prompt": f"Question {n}?", "steps": [], "final_answer": answer, "category": "c"}
        for n, answer in enumerate(answers)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


PLUGIN = '''"""A judge of somebody else's."""

from judges.base import Score
from acme_judges.helping import agrees


class Generous:
    """Says yes whenever the right answer occurs."""

    name = "generous"
    version = "v1"

    def score(self, item, prediction):
        """Look for the right answer."""
        right = agrees(item.final_answer, prediction)
        return Score(trace_id=item.trace_id, score=float(right), extracted=None, reason="correct" if right else "wrong")
'''
HELPER = "def agrees(answer, prediction):\n    return answer in prediction\n"


def install_plugin(folder: Path, source: str = PLUGIN, helper: str = HELPER, point: str = "acme_judges.main:Generous") -> dict[str, str]:
    """Install the package acme-judges into a folder, as pip does, and give the environment in which Python finds it."""
    package, info = folder / "acme_judges", folder / "acme_judges-1.0.dist-info"
    for directory in (package, info):
        directory.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("")
    (package / "main.py").write_text(source)
    (package / "helping.py").write_text(helper)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-judges\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[hallmark.judges]\ngenerous@v1 = {point}\n")
    return {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
