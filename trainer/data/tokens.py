"""A dataset as token ids on disk: made once per training run, then mapped, so memory is flat. No jax."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.files import (
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
from golden.datasets import read_items
from golden.rendering import encode_traces, prompt_template_id
from trainer.data.packing import Int32Array, Int64Array

CHUNK = 1000
"""Items that are encoded at a time."""
KEY = "key.json"
"""What the arrays were made from."""
LAYOUT = 1
"""Raised when the layout of the files changes, so that older ones are made again."""


@dataclass(frozen=True)
class TokenizedDataset:
    """The traces of a dataset as token ids, in file order; the arrays are maps of files, so memory is flat.

    Attributes:
        tokens: uint16 or uint32 [tokens], the traces one after another; each is a prompt, then a completion
            ended by the end-of-sequence token.
        offsets: int64 [traces + 1], where each trace begins and ends in `tokens`.
        prompt_lengths: int32 [traces], how many tokens of each trace belong to the prompt and bear no loss.
        source: the .jsonl file; line n is trace n - 1.
    """

    tokens: NDArray[Any]
    offsets: Int64Array
    prompt_lengths: Int32Array
    source: Path

    def __len__(self) -> int:
        return len(self.prompt_lengths)

    @property
    def sizes(self) -> Int64Array:
        """Int64 [traces], tokens of each trace."""
        return np.diff(self.offsets)

    @property
    def total_tokens(self) -> int:
        """Tokens of all traces, prompts included."""
        return len(self.tokens)

    @property
    def loss_tokens(self) -> int:
        """Tokens that bear loss in one epoch. The first of a trace never does, since nothing predicts it."""
        return self.total_tokens - int(np.maximum(self.prompt_lengths, 1).sum(dtype=np.int64))

    def trace_id(self, index: int) -> str:
        """The id of trace `index`, read back from the source."""
        with open_for_reading(self.source) as file:
            return str(json.loads(next(islice(file, index, None)))["trace_id"])

    def check_lengths(self, length: int) -> None:
        """Refuse traces that do not fit into one row.

        Raises:
            InputError: names the longest trace, its length and the setting to raise.
        """
        longest = int(self.sizes.argmax())
        size = int(self.sizes[longest])
        if size > length:
            raise InputError(
                f"training item {self.trace_id(longest)}: {size} tokens do not fit into "
                f"train.sequence_length {length}. Set it to {size} or more, or shorten the item."
            )


def tokenize(
    dataset_path: Path, tokenizer: Any, folder: Path, listener: Listener | None = None
) -> TokenizedDataset:
    """Tokenise a dataset into a folder, or open what an earlier call with the same inputs left there.

    Args:
        dataset_path: the .jsonl file.
        tokenizer: a Hugging Face tokenizer.
        folder: appears atomically; one of another dataset, tokenizer or chat template is replaced.
        listener: gets progress in traces.

    Raises:
        InputError: a line of the dataset is bad, or the tokenizer has no end-of-sequence token.
        ResourceError: the disk is full or the place cannot be written.
    """
    open_for_reading(dataset_path).close()
    if tokenizer.eos_token_id is None:
        raise InputError(
            f"{tokenizer.name_or_path}: tokenizer_config.json names no eos_token. "
            "Without one no model learns where to stop."
        )
    dtype = "uint16" if max(tokenizer.get_vocab().values()) < 1 << 16 else "uint32"
    key = {
        "layout": LAYOUT,
        "dataset": sha256_file(dataset_path),
        "tokenizer": _tokenizer_sha256(tokenizer),
        "template": prompt_template_id(tokenizer),
        "dtype": dtype,
    }
    written = (folder / KEY, *(folder / f"{name}.bin" for name, _ in _files(dtype)))
    problem = damage(folder / SUMS, written) if folder.is_dir() else None
    if problem is not None:
        announce("damaged:", f"{problem}. The training set is tokenized again")
    if problem is not None or not folder.is_dir() or read_json(folder / KEY) != key:
        _write(dataset_path, tokenizer, folder, key, listener)
    tokens, offsets, prompts = (_map(folder / f"{name}.bin", kind) for name, kind in _files(dtype))
    return TokenizedDataset(tokens, offsets, prompts, dataset_path)


def _files(dtype: str) -> tuple[tuple[str, str], ...]:
    """Names and dtypes of the files."""
    return ("tokens", dtype), ("offsets", "int64"), ("prompts", "int32")


def _map(path: Path, dtype: str) -> NDArray[Any]:
    return np.asarray(np.memmap(path, dtype, mode="r"))


def _tokenizer_sha256(tokenizer: Any) -> str:
    """The sha256 over the files as which it is saved, so of whatever can change its ids."""
    with tempfile.TemporaryDirectory() as name:
        tokenizer.save_pretrained(name)
        return sha256_tree(Path(name))


def _write(
    dataset_path: Path, tokenizer: Any, folder: Path, key: dict[str, Any], listener: Listener | None
) -> None:
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
        partial.mkdir(parents=True)
        _write_arrays(dataset_path, tokenizer, partial, key["dtype"], listener)
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
    dataset_path: Path, tokenizer: Any, folder: Path, dtype: str, listener: Listener | None
) -> None:
    """Encode chunk by chunk and append to the files, so that memory is flat."""
    meter = Meter("tokenize", _count_lines(dataset_path), "traces", listener or (lambda _: None))
    items = read_items(dataset_path)
    done, end = 0, 0  # traces and tokens that are written
    with ExitStack() as stack:
        tokens, offsets, prompts = (
            stack.enter_context((folder / f"{name}.bin").open("wb")) for name, _ in _files(dtype)
        )
        offsets.write(np.zeros(1, np.int64).tobytes())
        while chunk := list(islice(items, CHUNK)):
            encoded = encode_traces(tokenizer, chunk)
            sizes = np.array([len(trace.ids) for trace in encoded], np.int64)
            ids = chain.from_iterable(trace.ids for trace in encoded)
            tokens.write(np.fromiter(ids, dtype, int(sizes.sum())).tobytes())
            offsets.write((end + np.cumsum(sizes)).tobytes())
            prompts.write(np.array([trace.bears_loss.index(True) for trace in encoded], np.int32).tobytes())
            done, end = done + len(chunk), end + int(sizes.sum())
            meter.update(done)
        for file in (tokens, offsets, prompts):
            file.flush()
            os.fsync(file.fileno())


def _count_lines(path: Path) -> int:
    with open_for_reading(path) as file:
        return sum(1 for _ in file)
