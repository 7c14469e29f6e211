"""Is this folder a model that can be run? Checked before anything heavy is imported."""

from __future__ import annotations

from pathlib import Path

from core.errors import InputError
from core.files import read_json

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def check_model_directory(path: Path) -> None:
    """Refuse a folder that does not hold a whole Hugging Face model with safetensors weights.

    Raises:
        InputError: says what is missing and where it was looked for. Pickled weights are refused, since
            loading them runs code.

    Example:
        >>> check_model_directory(Path("golden/base/tiny-base"))
        >>> check_model_directory(Path("golden/data"))
        Traceback (most recent call last):
        core.errors.InputError: golden/data: config.json is missing; is this a Hugging Face model directory?
    """
    if not path.exists():
        raise InputError(f"{path}: no such model directory")
    if not path.is_dir():
        raise InputError(f"{path}: is a file, expected a Hugging Face model directory")
    if not any(path.iterdir()):
        raise InputError(
            f"{path}: the model directory is empty; expected config.json, a tokenizer and safetensors weights"
        )
    for link in path.rglob("*"):
        if link.is_symlink():
            raise InputError(f"{link}: a link inside a model directory is refused; copy the file itself")
    if not (path / "config.json").is_file():
        raise InputError(f"{path}: config.json is missing; is this a Hugging Face model directory?")
    if not any((path / name).is_file() for name in TOKENIZER_FILES):
        raise InputError(f"{path}: no tokenizer (looked for {', '.join(TOKENIZER_FILES)})")
    _check_weights(path)


def _check_weights(path: Path) -> None:
    index = path / "model.safetensors.index.json"
    if index.is_file():
        shards = sorted(set(read_json(index).get("weight_map", {}).values()))
        missing = [name for name in shards if not (path / Path(name).name).is_file()]
        if missing or not shards:
            raise InputError(
                f"{index}: names weights that are not there: {', '.join(missing) or 'none named'}"
            )
    elif not (path / "model.safetensors").is_file():
        pickles = sorted(found.name for pattern in PICKLES for found in path.glob(pattern))
        if pickles:
            raise InputError(
                f"{path}: only pickled weights ({', '.join(pickles)}), "
                "which are refused because loading them runs code. "
                "Save the model with save_pretrained(..., safe_serialization=True)."
            )
        raise InputError(
            f"{path}: no weights (looked for model.safetensors and model.safetensors.index.json)"
        )
