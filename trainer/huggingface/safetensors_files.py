"""The safetensors files of a model directory, one or sharded, read and written one tensor at a time.

The format: https://github.com/huggingface/safetensors#format. It is written here, because the library wants
all tensors of a file in memory at once, in the dtype in which they are stored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from core.errors import InputError, IntegrityError
from core.files import atomic_writer
from core.tensors import weight_files
from trainer.huggingface.tensor_names import DTYPES

CODES = {name: code for code, name in DTYPES.items()}


@dataclass(frozen=True)
class Stored:
    """A tensor to be written.

    Attributes:
        name: as Hugging Face calls it.
        dtype: what it is stored as: "float32", "bfloat16" or "float16".
        shape: as it is stored.
        value: called when it is written; gives an array of this shape and any float dtype.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    value: Callable[[], np.ndarray]

    @property
    def size(self) -> int:
        """Bytes it takes."""
        return math.prod(self.shape) * jnp.dtype(self.dtype).itemsize


def open_tensors(directory: Path) -> dict[str, Callable[[], jax.Array]]:
    """All tensors of a model directory by name, in the dtype they are stored in; each is read when called.

    Raises:
        InputError: a file is missing, or a tensor has a dtype that cannot be trained.
        IntegrityError: a file is damaged; names it.
    """
    tensors: dict[str, Callable[[], jax.Array]] = {}
    for path in weight_files(directory):
        file = _open(path)
        tensors.update({name: partial(file.get_tensor, name) for name in stored_tensors(path)})
    return tensors


def stored_tensors(path: Path) -> dict[str, str]:
    """Names and dtypes of a safetensors file's tensors.

    Raises:
        InputError: it is missing, or a tensor has a dtype that cannot be trained, as in a quantised model.
        IntegrityError: it is damaged.
    """
    with _open(path) as file:
        names = list(file.keys())
        codes = {name: file.get_slice(name).get_dtype() for name in names}
    for name, code in codes.items():
        if code not in DTYPES:
            raise InputError(
                f"{path}: tensor {name}: dtype {code} cannot be trained; supported: {', '.join(DTYPES)}."
            )
    return {name: DTYPES[code] for name, code in codes.items()}


def _open(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="flax")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (SafetensorError, ValueError) as error:
        raise IntegrityError(
            f"{path}: damaged safetensors file: {error}. Fetch or export the model again."
        ) from error


def write_tensors(path: Path, tensors: Sequence[Stored]) -> int:
    """Write a safetensors file, laid out as the library does: wider dtypes first, then by name.

    Returns:
        The size of its tensors, in bytes.

    Raises:
        ResourceError: the disk is full or the place cannot be written.
    """
    ordered = sorted(
        tensors, key=lambda tensor: (-jnp.dtype(tensor.dtype).itemsize, CODES[tensor.dtype], tensor.name)
    )
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in ordered:
        start, end = end, end + tensor.size
        header[tensor.name] = {
            "dtype": CODES[tensor.dtype],
            "shape": tensor.shape,
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with atomic_writer(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in ordered:
            file.write(np.ascontiguousarray(tensor.value(), dtype=jnp.dtype(tensor.dtype)).tobytes())
    return end
