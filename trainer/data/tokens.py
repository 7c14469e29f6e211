"""A dataset as token ids on disk: made once per training run, then mapped, so memory is flat. No jax."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.files import (
    count_lines,
    fsync_directory,
    open_for_reading,
    raise_for_os_error,
    read_json,
    sha256_file,
    sha256_tree,
    write_json,
)
from core.progress import Listener, Meter, announce
from core.sealed import SUMS, damage, seal
from golden.datasets import read_traces
from golden.prompting import ResolvedPrompt
from golden.rendering import NO_SETTINGS, EncodedTrace, Renderer
from golden.schema import Trace
from trainer.contract import OnTooLong
from trainer.data.packing import BoolArray, Int64Array

CHUNK = 1000
"""Traces that are encoded at a time."""
KEY = "key.json"
"""What the arrays were made from."""
LAYOUT = 3
"""Raised when the layout of the files or what is taught changes, so that older ones are made again."""


@dataclass(frozen=True)
class TokenizedDataset:
    """The traces of a dataset as token ids. The tokens are maps of files, so memory is flat.

    Attributes:
        tokens: uint16 or uint32 [tokens], the traces one after another.
        bears_loss: bool [tokens], which of them the model is taught to write.
        begins: int64 [traces], where each trace begins in `tokens`.
        sizes: int64 [traces], how many tokens it has.
        lines: int64 [traces], its line in the source, from 0.
        source: the .jsonl file.
    """

    tokens: NDArray[Any]
    bears_loss: BoolArray
    begins: Int64Array
    sizes: Int64Array
    lines: Int64Array
    source: Path

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def total_tokens(self) -> int:
        """Tokens of all traces, prompts included."""
        return int(self.sizes.sum())

    @property
    def loss_tokens(self) -> int:
        """Tokens that bear loss in one epoch. The first of a trace never does, since nothing predicts it."""
        return sum(self.loss_tokens_of(index) for index in range(len(self)))

    def loss_tokens_of(self, index: int) -> int:
        """The same for trace `index`."""
        begin = int(self.begins[index])
        return int(np.count_nonzero(self.bears_loss[begin + 1 : begin + int(self.sizes[index])]))

    def trace_id(self, index: int) -> str:
        """The id of trace `index`, read back from the source."""
        with open_for_reading(self.source) as file:
            return str(json.loads(next(islice(file, int(self.lines[index]), None)))["trace_id"])

    def check_lengths(self, length: int, context: int | None = None) -> None:
        """Refuse traces that do not fit into one row, or not into the model.

        Args:
            length: tokens per row.
            context: the model's longest sequence, in tokens; None for any.

        Raises:
            InputError: says how many there are, names the longest, and what each remedy would do.
        """
        limit = length if context is None else min(length, context)
        too_long = int(np.count_nonzero(self.sizes > limit))
        if not too_long:
            return
        longest = int(self.sizes.argmax())
        size = int(self.sizes[longest])
        name = (
            f"train.sequence_length = {length:,}" if limit == length else f"the model's context of {limit:,}"
        )
        wanted = rounded_up(size) if context is None else min(rounded_up(size), context)
        longer = f"train.sequence_length = {wanted} holds all of them; " if size <= wanted else ""
        raise InputError(
            f"{self.source}: {too_long:,} of {len(self):,} traces have more tokens than {name}: the longest "
            f'is {self.trace_id(longest)} with {size:,}. {longer}train.on_too_long = "drop" leaves out '
            f'{too_long:,}; "truncate" cuts their ends off, the end token included.'
        )

    def take(self, chosen: Int64Array | BoolArray) -> TokenizedDataset:
        """Some of the traces.

        Args:
            chosen: their indices, or bool [traces].
        """
        return replace(self, begins=self.begins[chosen], sizes=self.sizes[chosen], lines=self.lines[chosen])


@dataclass(frozen=True)
class Fitted:
    """Traces none of which is longer than a row.

    Attributes:
        dataset: the traces.
        dropped: how many were left out, because they were too long, or nothing that bears loss was left.
        truncated: how many lost their end.
    """

    dataset: TokenizedDataset
    dropped: int = 0
    truncated: int = 0


def fit(dataset: TokenizedDataset, length: int, on_too_long: OnTooLong, context: int | None = None) -> Fitted:
    """Do what the settings say about traces that are longer than a row, or than the model can see.

    Args:
        dataset: the traces.
        length: tokens per row.
        on_too_long: refuse the dataset, drop those traces, or cut their ends off.
        context: the model's longest sequence, in tokens; None for any.

    Raises:
        InputError: there are such traces and the setting is to refuse them, or no trace is left.
    """
    limit = length if context is None else min(length, context)
    too_long = dataset.sizes > limit
    if not too_long.any():
        return Fitted(dataset)
    if on_too_long == "refuse":
        dataset.check_lengths(length, context)
    cut = replace(dataset, sizes=np.minimum(dataset.sizes, limit))
    kept = ~too_long
    if on_too_long == "truncate":
        kept[[index for index in np.flatnonzero(too_long).tolist() if cut.loss_tokens_of(index)]] = True
    if not kept.any():
        raise InputError(
            f"{dataset.source}: no trace is left to train on: all {len(dataset):,} have more tokens than "
            f"{limit:,}, and nothing of what they teach is before that."
        )
    return Fitted(cut.take(kept), int(np.count_nonzero(~kept)), int(np.count_nonzero(kept & too_long)))


def rounded_up(size: int, multiple: int = 64) -> int:
    """The next multiple: what lengths are rounded to.

    Example:
        >>> rounded_up(371)
        384
    """
    return -(-size // multiple) * multiple


def check_ids(dataset: TokenizedDataset, tokenizer: Any, rows: int) -> None:
    """Refuse token ids that the model has no embedding for.

    Args:
        dataset: the traces.
        tokenizer: names the token.
        rows: of the embedding.

    Raises:
        InputError: names the token, its id, a trace that has it, and the rows.
    """
    beyond = int(dataset.tokens.argmax()) if len(dataset.tokens) else 0
    if (token := int(dataset.tokens[beyond])) >= rows:
        index = int(np.searchsorted(dataset.begins, beyond, side="right")) - 1
        raise InputError(
            f"{dataset.source}: trace {dataset.trace_id(index)} has token "
            f"{tokenizer.convert_ids_to_tokens(token)!r} with id {token}, but the model's embedding has "
            f"{rows} rows: this tokenizer is another model's, or tokens were added to it without "
            "resizing the model (resize_token_embeddings)."
        )


def tokenize(
    dataset_path: Path,
    tokenizer: Any,
    folder: Path,
    prompt: ResolvedPrompt = NO_SETTINGS,
    listener: Listener | None = None,
) -> TokenizedDataset:
    """Tokenise a dataset into a folder, or open what an earlier call with the same inputs left there.

    Args:
        dataset_path: the .jsonl file.
        tokenizer: a Hugging Face tokenizer.
        folder: appears atomically; one of another dataset, tokenizer, chat template or prompt is replaced.
        prompt: how the model is asked.
        listener: gets progress in traces.

    Raises:
        InputError: a line of the dataset is bad or has nothing that bears loss, or nothing says where an
            answer ends.
        ResourceError: the disk is full or the place cannot be written.
    """
    open_for_reading(dataset_path).close()
    renderer = Renderer(tokenizer, prompt)
    dtype = "uint16" if max(tokenizer.get_vocab().values()) < 1 << 16 else "uint32"
    key = {
        "layout": LAYOUT,
        "dataset": sha256_file(dataset_path),
        "tokenizer": _tokenizer_sha256(tokenizer),
        "template": renderer.template.id,
        "ends": renderer.ends,
        "prompt": prompt.recorded(),
        "dtype": dtype,
    }
    written = (folder / KEY, *(folder / f"{name}.bin" for name, _ in _files(dtype)))
    problem = damage(folder / SUMS, written) if folder.is_dir() else None
    if problem is not None:
        announce("damaged:", f"{problem}. The training set is tokenized again")
    if problem is not None or not folder.is_dir() or read_json(folder / KEY) != key:
        _write(dataset_path, renderer, folder, key, listener)
        for note in renderer.training_notes():
            announce("prompt:", note)
    tokens, bears_loss, offsets = (_map(folder / f"{name}.bin", kind) for name, kind in _files(dtype))
    return TokenizedDataset(
        tokens, bears_loss, offsets[:-1], np.diff(offsets), np.arange(len(offsets) - 1), dataset_path
    )


def _files(dtype: str) -> tuple[tuple[str, str], ...]:
    """Names and dtypes of the files."""
    return ("tokens", dtype), ("bears_loss", "bool"), ("offsets", "int64")


def _map(path: Path, dtype: str) -> NDArray[Any]:
    return np.asarray(np.memmap(path, dtype, mode="r"))


def _tokenizer_sha256(tokenizer: Any) -> str:
    """The sha256 over the files as which it is saved, so of whatever can change its ids."""
    with tempfile.TemporaryDirectory() as name:
        tokenizer.save_pretrained(name)
        return sha256_tree(Path(name))


def _write(
    dataset_path: Path,
    renderer: Renderer,
    folder: Path,
    key: dict[str, Any],
    listener: Listener | None,
) -> None:
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
        partial.mkdir(parents=True)
        _write_arrays(dataset_path, renderer, partial, key["dtype"], listener)
        write_json(partial / KEY, key)
        seal(partial / SUMS, [partial])
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)
        fsync_directory(folder.parent)
    except OSError as error:
        raise_for_os_error(error, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_arrays(
    dataset_path: Path,
    renderer: Renderer,
    folder: Path,
    dtype: str,
    listener: Listener | None,
) -> None:
    """Encode chunk by chunk and append to the files, so that memory is flat."""
    meter = Meter("tokenize", count_lines(dataset_path), "traces", listener or (lambda _: None))
    traces = read_traces(dataset_path)
    done, end = 0, 0  # traces and tokens that are written
    with ExitStack() as stack:
        tokens, bears_loss, offsets = (
            stack.enter_context((folder / f"{name}.bin").open("wb")) for name, _ in _files(dtype)
        )
        offsets.write(np.zeros(1, np.int64).tobytes())
        while chunk := list(islice(traces, CHUNK)):
            encoded = renderer.traces(chunk)
            _check_teaches(chunk, encoded, dataset_path)
            sizes = np.array([len(trace.ids) for trace in encoded], np.int64)
            total = int(sizes.sum())
            tokens.write(np.fromiter(chain.from_iterable(t.ids for t in encoded), dtype, total).tobytes())
            marks = chain.from_iterable(trace.bears_loss for trace in encoded)
            bears_loss.write(np.fromiter(marks, np.bool_, total).tobytes())
            offsets.write((end + np.cumsum(sizes)).tobytes())
            done, end = done + len(chunk), end + total
            meter.update(done)
        for file in (tokens, bears_loss, offsets):
            file.flush()
            os.fsync(file.fileno())


def _check_teaches(traces: Sequence[Trace], encoded: Sequence[EncodedTrace], source: Path) -> None:
    for trace, tokens in zip(traces, encoded, strict=True):
        if not any(tokens.bears_loss[1:]):
            raise InputError(
                f"{source}: trace {trace.trace_id}: none of its tokens bears loss, so it teaches nothing. "
                "Remove it, or give it an assistant's turn that the chat template writes."
            )
