"""Which files of a folder are the model: what loaders read, and what a model says of itself. Download caches,
`.git`, optimizer states and weights in formats that are never read are not.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import file_entries, open_for_reading, sha256_entries
from core.tensors import NOT_READ

TEMPLATES = "additional_chat_templates"
"""The only folder inside a model directory that a loader looks into."""

IGNORED = (
    ".*",  # .git, .gitattributes, .cache, .DS_Store
    "__pycache__",
    # what training leaves to resume from, and what it measured
    "optimizer*",
    "scheduler*",
    "scaler.*",
    "rng_state*",
    "trainer_state.json",
    "training_args.*",
    "all_results.json",
    "train_results.json",
    "eval_results.json",
    "events.out.tfevents.*",
    "zero_to_fp32.py",
    # weights in formats that are never read
    *(f"*.{ending}" for ending in ("bin", "pt", "pth", "ckpt", "pkl", "h5", "msgpack", "ot", "onnx", "gguf")),
    f"{NOT_READ}*",
    # downloads under way
    *(f"*.{ending}" for ending in ("lock", "incomplete", "tmp", "log")),
)
"""Names that are not part of the model. In folders that Hallmark writes there are none of them."""


def model_files(directory: Path) -> dict[str, Path]:
    """The files of a folder that are the model, by their names relative to it, in name order.

    Links are followed where they lead to a regular file inside the folder, or inside the hub's cache when the
    folder is a snapshot of it: `models--ORG--NAME/snapshots/COMMIT/config.json -> ../../blobs/HASH`.

    Raises:
        InputError: it is no folder; a link in it leads elsewhere, to nothing, or to a folder; or there is a
            special file. Names it.

    Example:
        >>> list(model_files(Path("golden/base/tiny-base")))[:3]
        ['README.md', 'config.json', 'generation_config.json']
    """
    if not directory.is_dir():
        raise InputError(f"{directory}: is not a directory")
    within = _may_lead_into(directory)
    found = {}
    for path in directory.iterdir():
        if _is_ignored(path.name):
            continue
        if path.name == TEMPLATES and path.is_dir() and not path.is_symlink():
            for inner in path.iterdir():
                if not _is_ignored(inner.name) and not (inner.is_dir() and not inner.is_symlink()):
                    found[f"{TEMPLATES}/{inner.name}"] = _regular(inner, within)
        elif path.is_symlink() or not path.is_dir():
            found[path.name] = _regular(path, within)
    return dict(sorted(found.items()))


def sha256_model(directory: Path) -> str:
    """The sha256 of a model: of each of its files the name, length and content, in name order. Where a folder
    holds nothing else, the same as `core.files.sha256_tree`.

    Raises:
        InputError: see `model_files`.
        UnreadableError: a file cannot be read.

    Example:
        >>> sha256_model(Path("golden/base/tiny-base"))[:8]
        '561ddc96'
    """
    return sha256_entries(model_entries(directory))


def model_entries(directory: Path) -> list[tuple[str, int, str]]:
    """Name, size in bytes and sha256 of every file of a model, in name order."""
    return file_entries(model_files(directory))


def is_model_file(name: str) -> bool:
    """Whether a file of this name, relative to a model directory and with `/` between its parts, is of the
    model.
    """
    folder, _, last = name.rpartition("/")
    return folder in ("", TEMPLATES) and not _is_ignored(last)


def _is_ignored(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in IGNORED)


def _may_lead_into(directory: Path) -> Path:
    """The folder that links may lead into: the directory, or the hub's cache of the model that it is of."""
    real = directory.resolve()
    snapshots = real.parent
    is_cache = snapshots.name == "snapshots" and snapshots.parent.name.startswith("models--")
    return snapshots.parent if is_cache else real


def _regular(path: Path, within: Path) -> Path:
    if path.is_symlink():
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError):  # RuntimeError: links in a circle, up to Python 3.12
            raise InputError(
                f"{path}: a link to nothing ({path.readlink()}). Put the file itself there, or download the "
                "model again."
            ) from None
        if not target.is_relative_to(within):
            raise InputError(
                f"{path}: a link out of the model directory is refused ({target}); copy the file itself, as "
                f"`cp -rL {path.parent} COPY` does"
            )
    if not path.is_file():
        raise InputError(
            f"{path}: a folder behind a link, or a special file, is refused; copy the file itself"
        )
    return path


def read_object(path: Path) -> dict[str, Any]:
    """One of a model's JSON files, as its loaders read it: `Infinity`, which some hold, passes.

    Raises:
        InputError: it is no JSON object in UTF-8; says what it is instead, and what to do.
    """
    with open_for_reading(path) as file:
        data = file.read()
    again = "Download the model again, or take the file from its source."
    if data.lstrip()[:1] == b"<":
        raise InputError(f"{path}: is a web page, not JSON: the download was refused or redirected. {again}")
    try:
        value = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        what = "is empty" if not data.strip() else f"not valid JSON: {error}"
        raise InputError(f"{path}: {what}. {again}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a JSON object. {again}")
    return value
