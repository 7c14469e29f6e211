"""Traces to packed batches: whole traces laid side by side in rows, each seeing only itself. NumPy only, no jax."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hallmark.errors import InputError

IntArray = np.ndarray


@dataclass(frozen=True)
class Example:
    """One trace as token ids.

    Attributes:
        trace_id: whose it is.
        tokens: prompt and completion, the completion ended by the end-of-sequence token.
        prompt_length: how many of them belong to the prompt and bear no loss.
    """

    trace_id: str
    tokens: list[int]
    prompt_length: int


@dataclass(frozen=True)
class PackedBatch:
    """Arrays int32 [batch, time]; `targets` is the next token, or -1 where there is no loss."""

    tokens: IntArray
    positions: IntArray
    segments: IntArray
    targets: IntArray


def check_lengths(examples: Sequence[Example], length: int) -> None:
    """Refuse traces that do not fit into one row.

    Raises:
        InputError: names the longest trace, its length and the setting to raise.
    """
    longest = max(examples, key=lambda example: len(example.tokens))
    if len(longest.tokens) > length:
        raise InputError(
            f"training item {longest.trace_id}: {len(longest.tokens)} tokens do not fit into train.sequence_length {length}. "
            f"Set it to {len(longest.tokens)} or more, or shorten the item."
        )


def batches(examples: Sequence[Example], *, batch: int, length: int, seed: int) -> Iterator[PackedBatch]:
    """An endless stream of packed batches; every epoch is a new order decided by the seed.

    Args:
        examples: the traces, each at most `length` tokens.
        batch: rows in a batch.
        length: tokens in a row.
        seed: decides the order.
    """
    rows = _rows(examples, length, seed)
    while True:
        yield _lay_out([next(rows) for _ in range(batch)], length)


def _rows(examples: Sequence[Example], length: int, seed: int) -> Iterator[list[Example]]:
    """Next-fit packing: a row is closed by the first trace that no longer fits."""
    order = np.random.default_rng(seed)
    row: list[Example] = []
    used = 0
    while True:
        for index in order.permutation(len(examples)):
            example = examples[index]
            if used + len(example.tokens) > length:
                yield row
                row, used = [], 0
            row.append(example)
            used += len(example.tokens)


def _lay_out(rows: list[list[Example]], length: int) -> PackedBatch:
    shape = (len(rows), length)
    tokens, positions, segments = (np.zeros(shape, np.int32) for _ in range(3))
    targets = np.full(shape, -1, np.int32)
    for number, row in enumerate(rows):
        start = 0
        for segment, example in enumerate(row, start=1):
            size = len(example.tokens)
            end = start + size
            tokens[number, start:end] = example.tokens
            positions[number, start:end] = np.arange(size)
            segments[number, start:end] = segment
            first = max(example.prompt_length, 1)
            targets[number, start + first - 1 : end - 1] = example.tokens[first:]
            start = end
    return PackedBatch(tokens, positions, segments, targets)
