"""What an unfinished run resumes from, with hashes that tell damage from a kill.

Whole files are sealed by a list as `sha256sum` writes it, so that `sha256sum -c` reads it too. Its last
line, a comment there, is the hash of the others. Files that grow have a hash in each line, over all lines
before it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import UnreadableError
from core.files import (
    HASHING_THREADS,
    atomic_writer,
    canonical_json,
    parse_json,
    raise_for_os_error,
    sha256_bytes,
    sha256_file,
    sha256_json,
)
from core.progress import byte_meter

SUMS = "SHA256SUMS"
"""The list of a folder that is sealed as a whole."""

_OWN = "# sha256 of the lines above: "
_HASH = 64
"""Characters of a sha256; in the list two spaces follow, and then the name."""


def sha256_files(paths: Sequence[Path], stage: str = "hash") -> list[str | None]:
    """The sha256 of each file, hashed side by side, with progress; None for one that is not there, and an
    empty text for one that cannot be read.

    Args:
        paths: the files.
        stage: what the progress is called.
    """
    with (
        byte_meter(stage, sum(map(file_size, paths))) as count,
        ThreadPoolExecutor(HASHING_THREADS) as threads,
    ):

        def digest(path: Path) -> str | None:
            try:
                return sha256_file(path, count) if path.is_file() else None
            except FileNotFoundError:
                return None
            except (UnreadableError, OSError):
                return ""

        return list(threads.map(digest, paths))


def file_size(path: Path) -> int:
    """The size of a file in bytes; 0 where there is none."""
    try:
        return path.stat().st_size
    except (OSError, ValueError):  # a name that no file can have
        return 0


def seal(sums: Path, files: Iterable[Path]) -> None:
    """Write down the sha256 of finished files, atomically.

    Args:
        sums: the list.
        files: in its folder, or below it; of a folder all files that are in it.

    Raises:
        ResourceError: the disk is full, or the place cannot be written.
    """
    paths = sorted(found for path in files for found in _files(path) if found != sums)
    names = [path.relative_to(sums.parent).as_posix() for path in paths]
    lines = b"".join(
        f"{sha256}  {name}\n".encode() for sha256, name in zip(sha256_files(paths), names, strict=True)
    )
    with atomic_writer(sums) as file:
        file.write(lines + f"{_OWN}{sha256_bytes(lines)}\n".encode())


def _files(path: Path) -> list[Path]:
    return [found for found in path.rglob("*") if found.is_file()] if path.is_dir() else [path]


def damage(sums: Path, files: Iterable[Path] = ()) -> str | None:
    """What is wrong with the files of a list, as the beginning of a sentence; None where they are intact.

    Args:
        sums: the list.
        files: those that it has to name; a list of others was put in its place.

    Example:
        >>> damage(Path("checkpoints/latest/4/SHA256SUMS"))  # doctest: +SKIP
        '.../checkpoints/latest/4/arrays/d/0: changed since it was written'
    """
    try:
        *lines, own = sums.read_bytes().splitlines(keepends=True)
        if own != f"{_OWN}{sha256_bytes(b''.join(lines))}\n".encode():
            return f"{sums}: changed since it was written"
    except FileNotFoundError:
        return f"{sums}: missing"
    except (OSError, ValueError):
        return f"{sums}: not readable as a list of files"
    texts = [line.decode().removesuffix("\n") for line in lines]
    paths = [sums.parent / text[_HASH + 2 :] for text in texts]
    if not set(files) <= set(paths):
        return f"{sums}: the list of other files"
    for path, text, found in zip(paths, texts, sha256_files(paths), strict=True):
        if found != text[:_HASH]:
            return f"{path}: {'missing' if found is None else 'changed since it was written'}"
    return None


class SealedLines:
    """A file that grows line by line. The hash in each line covers all before it, the first included, which
    says whom the file belongs to. So a line that was changed, lost, doubled or moved is found, and what was
    whole before it is kept. No more than a line is in memory, however many there are.

    Args:
        path: the file, as JSONL; each line has `value` and `sha256`.
        owner: what the first line has to say, as JSON; the file of another owner is begun again.
    """

    def __init__(self, path: Path, owner: Any) -> None:
        self.path = path
        self.owner = owner
        self._last = ""

    def resume(self) -> tuple[int, str | None]:
        """How many values the whole lines hold, and what is wrong with the line behind them; None where
        nothing is, or where a kill cut it short. Only whole lines are left in the file.

        Raises:
            ResourceError: the file cannot be read or written.
        """
        found = intact_lines(self.path)
        if not found.lines or found.owner != self.owner:
            self._last = ""
            self._write("wb", [self.owner])
            return 0, found.problem
        self._last = found.last
        try:
            with self.path.open("r+b") as file:
                file.truncate(found.size)
                os.fsync(file.fileno())
        except OSError as error:
            raise_for_os_error(error, self.path)
        return found.lines - 1, found.problem

    def values(self) -> Iterator[Any]:
        """The values that `resume` found whole, and those that were added, one by one.

        Raises:
            ResourceError: the file cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                file.readline()
                for line in file:
                    yield parse_json(line.decode())["value"]
        except OSError as error:
            raise_for_os_error(error, self.path)

    def append(self, values: Iterable[Any]) -> None:
        """Add values and make them durable.

        Raises:
            ResourceError: the disk is full, or the file cannot be written.
        """
        self._write("ab", values)

    def _write(self, mode: str, values: Iterable[Any]) -> None:
        data, last = b"", self._last
        for value in values:
            last = sha256_json([last, value])
            data += canonical_json({"sha256": last, "value": value}).encode() + b"\n"
        try:
            with self.path.open(mode) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise_for_os_error(error, self.path, len(data))
        self._last = last


class IntactLines(NamedTuple):
    """The beginning of such a file, up to its first bad line.

    Attributes:
        lines: how many there are, that of the owner included.
        size: how many bytes they are.
        last: the hash in the last of them.
        owner: the value of the first.
        problem: what is wrong with the line behind them; None where nothing is, or where it was cut short.
    """

    lines: int = 0
    size: int = 0
    last: str = ""
    owner: Any = None
    problem: str | None = None


def intact_lines(path: Path) -> IntactLines:
    """Check such a file line by line, with progress.

    Raises:
        ResourceError: the file is there and cannot be read.
    """
    found = IntactLines()
    try:
        with path.open("rb") as file, byte_meter("check", file_size(path)) as count:
            for line in file:
                if not line.endswith(b"\n"):
                    break  # torn
                try:
                    row = parse_json(line.decode())
                    value, claimed = row["value"], row["sha256"]
                    last = sha256_json([found.last, value])
                except (ValueError, TypeError, KeyError):
                    claimed, last = None, ""
                if claimed != last:
                    return found._replace(problem=f"{path}:{found.lines + 1}: changed since it was written")
                owner = found.owner if found.lines else value
                found = IntactLines(found.lines + 1, found.size + len(line), last, owner)
                count(len(line))
    except FileNotFoundError:
        return found
    except OSError as error:
        raise_for_os_error(error, path)
    return found
