"""What transformers, tokenizers, safetensors and torch say when a model does not load, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import HallmarkError, InputError, IntegrityError, ResourceError
from core.model_files import read_object

SHOWN = 300
"""Characters of a library's own message that are kept."""


@contextmanager
def explained(path: Path, file: str = "") -> Iterator[None]:
    """Turn whatever a library raises while it loads a model into an error that says what to do.

    Args:
        path: the model directory.
        file: what of it is being read, where that is known.

    Raises:
        InputError: the library refuses the model; names the file.
        IntegrityError: a safetensors file is damaged.
        ResourceError: there is too little memory.
    """
    from safetensors import SafetensorError

    try:
        yield
    except HallmarkError:
        raise
    except SafetensorError as error:
        raise IntegrityError(
            f"{path}: damaged safetensors file: {error}. Fetch or export the model again."
        ) from error
    except Exception as error:  # of a broken config or tokenizer a library says whatever comes first
        if isinstance(error, MemoryError) or "out of memory" in str(error) or "allocate memory" in str(error):
            raise ResourceError(
                f"{path}: too little memory to load the model. Use a machine or a GPU with more, a smaller "
                'model, or generation.dtype = "bfloat16".'
            ) from error
        raise InputError(_why(path, file, error)) from error


def _why(path: Path, file: str, error: Exception) -> str:
    said = " ".join(str(error).split())[:SHOWN]
    reason = (
        said if isinstance(error, ValueError | OSError | RuntimeError) else f"{type(error).__name__}: {said}"
    )
    config = read_object(path / "config.json")
    model_type = config["model_type"]
    if "trust_remote_code" in said or "auto_map" in config:
        code = sorted(file.name for file in path.glob("*.py"))
        return (
            f"{path / 'config.json'}: auto_map: {model_type} needs Python code that comes with the model "
            f"({', '.join(code) or config.get('auto_map')}), which is never run. Take a version of the model "
            f"for a family that transformers itself has. transformers says: {reason}"
        )
    if "does not recognize this architecture" in said:
        return (
            f"{path / 'config.json'}: model_type: {model_type!r} is not known to the installed transformers. "
            "Is it spelled right? For a newer family: pip install --upgrade transformers"
        )
    if "untagged enum" in said:
        return (
            f"{path / file}: the installed tokenizers library cannot read it ({reason}). Upgrade it, or take "
            "the file from the model's source again."
        )
    return (
        f"{path / file}: transformers cannot load this model: {reason.rstrip('.')}. Compare config.json and "
        "the tokenizer's files with those of the model's source."
    )
