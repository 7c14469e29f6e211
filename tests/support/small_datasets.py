"""Datasets of a few items: as files, and tokenised without a tokenizer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from core.files import write_jsonl
from golden.schema import Item
from trainer.data.stream import TokenizedDataset


def tokenized(traces: Sequence[tuple[list[int], int]], source: Path = Path("none.jsonl")) -> TokenizedDataset:
    """Traces, given as token ids and the length of the prompt, as a dataset."""
    return marked(
        [(tokens, [place >= prompt for place in range(len(tokens))]) for tokens, prompt in traces], source
    )


def marked(
    traces: Sequence[tuple[list[int], list[bool]]], source: Path = Path("none.jsonl")
) -> TokenizedDataset:
    """Traces, given as token ids and which of them bear loss, as a dataset."""
    sizes = np.array([len(tokens) for tokens, _ in traces], np.int64)
    return TokenizedDataset(
        tokens=np.concatenate([np.array(tokens, np.uint32) for tokens, _ in traces]),
        bears_loss=np.concatenate([np.array(bears, np.bool_) for _, bears in traces]),
        begins=np.cumsum(sizes) - sizes,
        sizes=sizes,
        lines=np.arange(len(traces)),
        source=source,
    )


def small_dataset(folder: Path, answers: Iterable[str] = ("1", "2", "3", "4")) -> Path:
    """A dataset with items t0, t1 and so on."""
    path = folder / "small-v1.jsonl"
    rows = [
        {
            "trace_id": f"t{n}",
            "prompt": f"Question {n}?",
            "steps": [],
            "final_answer": answer,
            "category": "c",
        }
        for n, answer in enumerate(answers)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_items(path: Path, items: Iterable[Item]) -> Path:
    """A dataset file with these items."""
    write_jsonl(path, (item.model_dump() for item in items))
    return path
