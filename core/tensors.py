"""The tensors of a model directory, read from its safetensors files without torch or jax.

The format: https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core.errors import InputError, IntegrityError
from core.files import (
    HASHING_THREADS,
    PIECE_BYTES,
    canonical_json,
    raise_for_reading,
    read_json,
    sha256_bytes,
)
from core.progress import Count, byte_meter

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
NOT_READ = "consolidated"
"""How the names of safetensors files begin that hold the same weights for another program (Mistral's)."""

ITEM_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1,
    "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip
"""Size of one number of a dtype, in bytes. There are others, of less than a byte."""

_EXPONENTS = {
    "F64": ("<u8", 0x7FF << 52),
    "F32": ("<u4", 0xFF << 23),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
}
"""dtype -> its bits as an integer, and the bits that are all set in NaN and infinities (IEEE 754) alone."""


class Tensor(NamedTuple):
    """A tensor in a safetensors file; `start` and `size` are its bytes there."""

    path: Path
    start: int
    size: int
    name: str
    dtype: str
    shape: list[int]


class NonFinite(NamedTuple):
    """A tensor that holds NaN or infinities.

    Attributes:
        name: the tensor's.
        bad: how many of its numbers are NaN or infinite.
        total: how many numbers it has.
    """

    file: str
    name: str
    bad: int
    total: int

    def __str__(self) -> str:
        return f"{self.file}: tensor {self.name}: {self.bad:,} of {self.total:,} numbers are NaN or infinite"


class Survey(NamedTuple):
    """What reading every tensor of a directory once has found.

    Attributes:
        sha256: see `sha256_tensors`.
        nonfinite: the tensors that hold NaN or infinities, by name.
    """

    sha256: str
    nonfinite: list[NonFinite]


def survey_tensors(directory: Path) -> Survey:
    """Hash a model's tensors and look for NaN and infinities, in one pass over its safetensors files.

    Raises:
        UnreadableError: a file cannot be read.
    """
    files = [path for path in sorted(directory.glob("*.safetensors")) if not path.name.startswith(NOT_READ)]
    parts = [part for path in files for part in _tensors_or_whole(path)]
    with (
        byte_meter("hash", sum(part.size for part in parts)) as count,
        ThreadPoolExecutor(HASHING_THREADS) as threads,
    ):
        found = list(threads.map(lambda part: _read(part, count), parts))
    lines = [
        canonical_json([part.name, part.dtype, part.shape, sha256]).encode() + b"\n"
        for part, (sha256, _) in zip(parts, found, strict=True)
    ]
    nonfinite = [
        NonFinite(part.path.name, part.name, bad, math.prod(part.shape))
        for part, (_, bad) in zip(parts, found, strict=True)
        if bad
    ]
    return Survey(sha256_bytes(b"".join(sorted(lines))), sorted(nonfinite))


def sha256_tensors(directory: Path) -> str:
    """The sha256 of a model's tensors alone: each one's name, dtype, shape and bytes, in name order. Whatever
    the safetensors files of the directory are called, however many there are, and whatever stands beside
    them, the same tensors have the same one. A file that is not of the format counts as one tensor without a
    name.
    """
    return survey_tensors(directory).sha256


def nonfinite_tensors(directory: Path) -> list[NonFinite]:
    """The tensors of a model directory that hold NaN or infinities.

    Example:
        >>> nonfinite_tensors(Path("golden/base/tiny-base"))
        []
    """
    return survey_tensors(directory).nonfinite


def refuse_nonfinite(directory: Path, found: Sequence[NonFinite]) -> None:
    """Refuse a model whose weights hold NaN or infinities.

    Raises:
        InputError: names the first tensor, how many of its numbers are at fault, and how many other tensors.
    """
    if found:
        more = f", and {len(found) - 1} more tensors" if len(found) > 1 else ""
        raise InputError(
            f"{directory}: {found[0]}{more}. Nothing that such a model writes means anything. Its training "
            "diverged, or it was converted to a dtype too narrow for it: take an earlier checkpoint, or "
            "convert it again."
        )


def weight_files(directory: Path) -> list[Path]:
    """The safetensors files of a model directory, in the order of their names.

    Raises:
        InputError: there are none, or the index is broken.

    Example:
        >>> [path.name for path in weight_files(Path("golden/base/tiny-base"))]
        ['model.safetensors']
    """
    if (directory / WEIGHTS).is_file():
        return [directory / WEIGHTS]
    index: Any = read_json(directory / INDEX)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not places or not isinstance(places, dict):
        raise InputError(f"{directory / INDEX}: weight_map: expected an object of tensor names and files")
    return [directory / Path(name).name for name in sorted(set(places.values()))]


def read_tensors(path: Path) -> list[Tensor]:
    """The tensors that a safetensors file's header names. No tensor is read.

    Raises:
        IntegrityError: the file is empty, cut short, or not of the format.
        UnreadableError: it cannot be read.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header: Any = json.loads(file.read(length)) if 8 + length <= size else None
    except OSError as error:
        raise_for_reading(error, path)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(_damaged(path, "its header is not JSON")) from error
    if not isinstance(header, dict):
        raise IntegrityError(_damaged(path, f"it ends inside its header, after {size:,} bytes"))
    try:
        found = [_tensor(path, 8 + length, *item) for item in header.items() if item[0] != "__metadata__"]
    except (ValueError, TypeError, KeyError) as error:
        raise IntegrityError(_damaged(path, "its header does not describe tensors")) from error
    end = 8 + length
    for part in sorted(found, key=lambda part: (part.start, part.size)):
        if part.start != end:
            raise IntegrityError(_damaged(path, f"tensor {part.name} does not begin where another ends"))
        end += part.size
    if end != size:
        raise IntegrityError(_damaged(path, f"it has {size:,} bytes, and its header names {end:,}"))
    return found


def _damaged(path: Path, what: str) -> str:
    return f"{path}: damaged safetensors file: {what}. Fetch or export the model again."


def _tensor(path: Path, begin: int, name: str, entry: Any) -> Tensor:
    first, last = entry["data_offsets"]
    dtype, shape = entry["dtype"], list(entry["shape"])
    size = ITEM_BYTES.get(dtype)
    if not 0 <= first <= last or (size is not None and last - first != size * math.prod(shape)):
        raise ValueError(name)
    return Tensor(path, begin + first, last - first, name, dtype, shape)


def _tensors_or_whole(path: Path) -> list[Tensor]:
    """The tensors of a file; the whole file as one without a name where it is not of the format."""
    try:
        return read_tensors(path)
    except IntegrityError:
        size = path.stat().st_size
        return [Tensor(path, 0, size, "", "", [size])]


def _read(part: Tensor, count: Count) -> tuple[str, int]:
    """The sha256 of a tensor's bytes, and how many of its numbers are NaN or infinite."""
    kind, exponent = _EXPONENTS.get(part.dtype, ("", 0))
    digest, bad, rest = hashlib.sha256(), 0, part.size
    try:
        with part.path.open("rb") as file:
            file.seek(part.start)
            while rest > 0 and (piece := file.read(min(PIECE_BYTES, rest))):
                digest.update(piece)
                if kind:
                    bits = np.frombuffer(piece, kind, count=len(piece) // np.dtype(kind).itemsize)
                    bad += int(np.count_nonzero((bits & exponent) == exponent))
                count(len(piece))
                rest -= len(piece)
    except OSError as error:
        raise_for_reading(error, part.path)
    return digest.hexdigest(), bad
