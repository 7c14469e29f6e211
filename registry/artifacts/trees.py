"""A directory as the store keeps it: one line per file. The hash of those lines is the directory's."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from core.errors import InputError, IntegrityError
from core.files import parse_json, sha256_bytes, tree_files, tree_line

SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


class TreeEntry(NamedTuple):
    """One file of a tree.

    Attributes:
        name: relative to the tree, with `/` between its parts.
        size: in bytes.
        sha256: of its content.
    """

    name: str
    size: int
    sha256: str


def manifest(entries: Iterable[TreeEntry]) -> bytes:
    """The tree object: exactly the lines that `core.files.sha256_tree` hashes, so its sha256 is the same."""
    return b"".join(tree_line(*entry) for entry in sorted(entries))


def parse_manifest(data: bytes) -> list[TreeEntry]:
    """The entries of a tree object. Refuses what `manifest` could not have written or could leave the tree.

    Raises:
        IntegrityError: it is not the text of a tree, or names a file outside it.
    """
    entries = [_entry(line) for line in data.splitlines(keepends=True)]
    folders = {folder for entry in entries for folder in _folders(entry.name)}
    names = [entry.name for entry in entries]
    if any(name >= following for name, following in itertools.pairwise(names)) or folders.intersection(names):
        raise IntegrityError(
            "not a tree object: a name is out of order, occurs twice, or is a file and a folder"
        )
    return entries


def _entry(line: bytes) -> TreeEntry:
    try:
        name, size, sha256 = parse_json(line.decode())
        entry = TreeEntry(name, size, sha256)
        canonical = tree_line(*entry) == line
    except (ValueError, TypeError):
        raise IntegrityError(f"not a tree object: line {line[:80]!r}") from None
    if not (
        canonical
        and isinstance(name, str)
        and type(size) is int
        and size >= 0
        and isinstance(sha256, str)
        and SHA256.fullmatch(sha256)
    ):
        raise IntegrityError(f"not a tree object: line {line[:80]!r}")
    if reason := unsafe(name):
        raise IntegrityError(f"file name {name!r} is refused: {reason}")
    return entry


def unsafe(name: str) -> str:
    """Why a file name could leave the tree or mean another file on another system; empty where it is fine."""
    if name.startswith("/"):
        return "it is absolute"
    if "\\" in name or "\0" in name:
        return "it holds a backslash or NUL"
    if any(part in ("", ".", "..") for part in name.split("/")):
        return "a part of it is empty or dots"
    return ""


def safe_tree_files(directory: Path, files: Mapping[str, Path] | None = None) -> Mapping[str, Path]:
    """The files of a directory that is to be stored, by name.

    Args:
        directory: where they are.
        files: which they are; None for all.

    Raises:
        InputError: it is no directory, or holds a link, a special file, or a name that the store refuses.
    """
    if not directory.is_dir():
        raise InputError(f"{directory}: is not a directory")
    if files is None:
        files = tree_files(directory)
    for name, path in files.items():
        if not _is_utf8(name):
            raise InputError(f"{str(path)!r}: a file name that is not UTF-8 is refused; rename it")
        if reason := unsafe(name):
            raise InputError(f"{path}: this file name is refused: {reason}; rename it")
    return files


def looks_like_tree(data: bytes) -> bool:
    """Whether some bytes are a tree object."""
    try:
        return bool(data) and bool(parse_manifest(data))
    except IntegrityError:
        return False


def tree_sha256(entries: Iterable[TreeEntry]) -> str:
    """The hash of a tree, the same as `core.files.sha256_tree` of its directory."""
    return sha256_bytes(manifest(entries))


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _folders(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]
