"""GSM8K (Cobbe et al. 2021, arXiv:2110.14168) as items, where its files are at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from golden.schema import Item

SHARED = Path(os.environ.get("HALLMARK_SHARED", Path(__file__).parents[3] / "shared"))


def gsm8k(half: str) -> list[Item]:
    """The official `train` or `test` half; the test that asks for it is skipped where the file is absent."""
    path = SHARED / "data" / "gsm8k" / f"{half}.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is not here; HALLMARK_SHARED names the folder that holds data/gsm8k")
    items = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        row = json.loads(line)
        worked, _, answer = row["answer"].rpartition("####")
        items.append(
            Item(
                trace_id=f"{half}-{number}",
                prompt=row["question"],
                steps=[step for step in worked.splitlines() if step.strip()],
                final_answer=answer.strip(),
                category="gsm8k",
            )
        )
    return items
