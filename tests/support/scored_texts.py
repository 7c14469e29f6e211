"""Items of which log-probabilities are asked for: with choices of one token and of many, and without."""

from __future__ import annotations

import json
from pathlib import Path

from inference.contract import GenerationConfig, PredictSpec

ASKED = [
    ("What is 2 + 2?", ["4", "5", "forty-two", "4 "]),
    ("Say yes. ", ["yes", "no"]),
    ("Count:" + " 1 2 3" * 30, ["4", "1 2 3 4 5 6 7 8 9 10"]),
    ("What is 47 + 38?", None),
    ("Reverse abc", ["cba", "Answer: cba"]),
    ("What is a < b > c?\n", ["unclear", "true", "é"]),
]


def asked_of(folder: Path, order: int = 1, copies: int = 1) -> Path:
    """Write a dataset.

    Args:
        folder: where to.
        order: -1: the other way round.
        copies: of the items above.
    """
    lines = [
        {
            "trace_id": f"t{number}",
            "prompt": prompt,
            "final_answer": (choices or ["85 in all"])[0],
            "category": "c",
            **({"choices": choices} if choices else {}),
        }
        for number, (prompt, choices) in enumerate(ASKED * copies)
    ]
    path = folder / "asked-v1.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines[::order]))
    return path


def scoring_job(
    model: Path, folder: Path, *, order: int = 1, copies: int = 1, **settings: object
) -> PredictSpec:
    """A job in a new folder; settings are those of generation."""
    folder.mkdir()
    common = {"output": "log_probs", "max_new_tokens": 1, "device": "cpu"}
    return PredictSpec(
        model=model,
        dataset=asked_of(folder, order, copies),
        output=folder,
        label="predict",
        generation=GenerationConfig.model_validate({**common, **settings}),
    )


def written_by(spec: PredictSpec) -> dict[str, str]:
    """Trace_id -> prediction of a job that is done."""
    rows = map(json.loads, (spec.output / "predictions.jsonl").read_text().splitlines())
    return {row["trace_id"]: row["prediction"] for row in rows}
