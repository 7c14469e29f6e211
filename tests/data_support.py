"""Tokenised datasets for tests, made without a tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trainer.data.stream import TokenizedDataset


def tokenized(traces: Sequence[tuple[list[int], int]], source: Path = Path("none.jsonl")) -> TokenizedDataset:
    """Traces, given as token ids and the length of the prompt, as a dataset."""
    ids = [np.array(tokens, np.uint32) for tokens, _ in traces]
    offsets = np.cumsum([0, *map(len, ids)], dtype=np.int64)
    return TokenizedDataset(np.concatenate(ids), offsets, np.array([prompt for _, prompt in traces], np.int32), source)
