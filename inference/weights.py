"""Are the weights of a model directory whole? Only headers are read here, no tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from core.errors import InputError, IntegrityError
from core.model_files import read_object
from core.tensors import INDEX, NOT_READ, WEIGHTS, Tensor, read_tensors

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
FOREIGN = {
    "*.gguf": "GGUF",
    "*.h5": "TensorFlow",
    "*.msgpack": "Flax",
    "*.onnx": "ONNX",
    f"{NOT_READ}*": "Mistral",
}
SHARDS = "model-*-of-*.safetensors"
FLOATS = ("F64", "F32", "BF16", "F16")
EMBEDDINGS = (
    "embed_tokens.weight",
    "wte.weight",
    "word_embeddings.weight",
    "embed_in.weight",
    "tok_embeddings.weight",
    "backbone.embeddings.weight",
)
"""How the names of input embeddings end; their first dimension is the vocabulary."""

AGAIN = "Download the model again, or save it with save_pretrained."


def check_weights(path: Path, files: Mapping[str, Path]) -> int | None:
    """Refuse weights that are missing, ambiguous, damaged or quantized.

    Args:
        path: the model directory.
        files: its files by name.

    Returns:
        How many rows the input embeddings have; None where no tensor is known to be them.

    Raises:
        InputError: says what is missing, in which file it was named, and what to do.
        IntegrityError: a file is empty, cut short, or not of the safetensors format.
    """
    index = _index(files)
    names = _weight_files(path, files, index)
    tensors = [tensor for name in names for tensor in read_tensors(files[name])]
    if not tensors:
        raise IntegrityError(f"{files[names[0]]}: holds no tensors. Fetch or export the model again.")
    _check_index(files, index, tensors)
    floats = sum(tensor.dtype in FLOATS for tensor in tensors)
    packed = next((tensor for tensor in tensors if tensor.dtype not in FLOATS and _is_weight(tensor)), None)
    if packed is not None:
        raise InputError(
            f"{packed.path}: tensor {packed.name} is stored as {packed.dtype}: the weights are "
            f"quantized{'' if floats else ', all of them'}. Take the model that they were made from, in "
            "float32, bfloat16 or float16."
        )
    found = [t.shape[0] for t in tensors if t.name.endswith(EMBEDDINGS) and len(t.shape) == 2]
    return max(found, default=None)


def _is_weight(tensor: Tensor) -> bool:
    """Not a buffer, such as a causal mask or positions."""
    return tensor.name.endswith((".weight", ".qweight", ".weight_packed", ".blocks", ".weight_scale"))


def _index(files: Mapping[str, Path]) -> dict[str, str] | None:
    """Tensor names and the files that hold them, as the index says; None where there is no index."""
    if INDEX not in files:
        return None
    places = read_object(files[INDEX]).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise InputError(f"{files[INDEX]}: weight_map: expected an object of tensor names and files")
    for tensor, name in places.items():
        if not isinstance(name, str) or "/" in name or not name.endswith(".safetensors"):
            raise InputError(
                f"{files[INDEX]}: weight_map: {tensor}: {name!r}; expected a safetensors file beside it"
            )
    return places


def _weight_files(path: Path, files: Mapping[str, Path], index: Mapping[str, str] | None) -> list[str]:
    """The names of the safetensors files that loaders read. Refuses a choice between two sets of weights."""
    named = sorted(set(index.values())) if index is not None else []
    shards = sorted(name for name in files if Path(name).match(SHARDS))
    if WEIGHTS in files and (set(named) | set(shards)) - {WEIGHTS}:
        stale = f"{INDEX} and its files" if named else ", ".join(shards[:3])
        raise InputError(
            f"{path}: holds two sets of weights, {WEIGHTS} and {stale}. One of them is stale: remove it."
        )
    if index is not None:
        if missing := [name for name in named if name not in files]:
            raise InputError(
                f"{files[INDEX]}: names weights that are not there: {_listed(missing)}. Download them, or "
                "the model again."
            )
        if surplus := sorted(set(shards) - set(named)):
            raise InputError(
                f"{path}: {_listed(surplus)}: not named by {INDEX}. One of the two is stale: remove it, or "
                "download the model again."
            )
        return named
    if WEIGHTS in files:
        return [WEIGHTS]
    raise InputError(_no_weights(path, shards))


def _no_weights(path: Path, shards: Sequence[str]) -> str:
    if shards:
        return (
            f"{path}: {INDEX} is missing, which says what {_listed(shards)} hold. Download it too, or the "
            "model again."
        )
    if pickles := sorted(found.name for pattern in PICKLES for found in path.glob(pattern)):
        return (
            f"{path}: only pickled weights ({_listed(pickles)}), which are refused because loading them runs "
            "code. Save the model with save_pretrained(..., safe_serialization=True)."
        )
    for pattern, kind in FOREIGN.items():
        if found := sorted(file.name for file in path.glob(pattern)):
            return (
                f"{path}: only weights in the format of {kind} ({found[0]}). Take the model in safetensors, "
                "or load it with transformers and save it with save_pretrained."
            )
    others = sorted(file.name for file in path.glob("*.safetensors"))
    seen = f"; there is {', '.join(others[:3])}" if others else ""
    return f"{path}: no weights (looked for {WEIGHTS} and {INDEX}{seen})"


def _check_index(
    files: Mapping[str, Path], index: Mapping[str, str] | None, tensors: Sequence[Tensor]
) -> None:
    places: dict[str, str] = {}
    for tensor in tensors:
        other = places.setdefault(tensor.name, tensor.path.name)
        if other != tensor.path.name:
            raise InputError(
                f"{tensor.path}: tensor {tensor.name} is in {other} too. One of the two is stale: {AGAIN}"
            )
    wrong = [name for name, file in (index or {}).items() if places.get(name) != file]
    if wrong:
        raise InputError(
            f"{files[INDEX]}: is stale: {len(wrong)} tensors are not where it says, such as {wrong[0]} in "
            f"{(index or {})[wrong[0]]}. {AGAIN}"
        )


def _listed(names: Sequence[str], shown: int = 3) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
