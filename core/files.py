"""Reading and writing the files of a run: hashed, atomic, and strict about what they contain."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn

from core.errors import InputError, ResourceError, UnreadableError
from core.progress import Count, byte_meter, uncounted
from core.suggestions import nearest

MAX_LINE_BYTES = 1 << 20
"""Longest JSONL line that is read, in bytes. A longer one is almost always a file that is not JSONL."""

HASHING_THREADS = min(8, os.cpu_count() or 1)
"""Files that are hashed at the same time; hashlib lets go of Python's lock."""

PIECE_BYTES = 1 << 20
"""How much of a file is read at a time."""

TEMPORARY = ".tmp"
"""How the names of files end that are still being written; they begin with a dot."""

_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def canonical_json(value: Any) -> str:
    """One-line JSON with sorted keys, UTF-8 text and no NaN: the same value is always the same bytes."""
    return _CANONICAL.encode(value)


def sha256_bytes(data: bytes) -> str:
    """The sha256 of some bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_json(value: Any) -> str:
    """The sha256 of a value's canonical JSON, in hexadecimal."""
    return sha256_bytes(canonical_json(value).encode())


def sha256_file(path: Path, count: Count = uncounted) -> str:
    """The sha256 of a file's content, in hexadecimal. Reads it in pieces, and reports each to `count`.

    Raises:
        FileNotFoundError: there is none.
        UnreadableError: it cannot be read.
    """
    try:
        with path.open("rb", buffering=0) as file:
            return sha256_stream(file, count)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise_for_reading(error, path)


def sha256_stream(file: io.RawIOBase, count: Count = uncounted, copy: IO[bytes] | None = None) -> str:
    """The same for what is left in an open file, which is also written to `copy`."""
    digest, buffer = hashlib.sha256(), bytearray(PIECE_BYTES)
    view = memoryview(buffer)
    while size := file.readinto(buffer):
        digest.update(view[:size])
        if copy is not None:
            copy.write(view[:size])
        count(size)
    return digest.hexdigest()


def tree_files(directory: Path) -> dict[str, Path]:
    """Every regular file below a directory by its relative name, in name order.

    Raises:
        InputError: the tree holds a symbolic link or a special file, which could point outside it.
    """
    found = {}
    for path in directory.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise InputError(
                f"{path}: a link or special file inside a model directory is refused; copy the file itself"
            )
        if path.is_file():
            found[path.relative_to(directory).as_posix()] = path
    return dict(sorted(found.items()))


def tree_line(name: str, size: int, sha256: str) -> bytes:
    """What one file adds to the hash of its tree. `size` is in bytes."""
    return canonical_json([name, size, sha256]).encode() + b"\n"


def sha256_tree(directory: Path) -> str:
    """The sha256 of a directory: every regular file's relative name, length and content hash, in name order.

    Names and lengths are part of what is hashed, so that no two different trees collide.

    Raises:
        InputError: the tree holds a symbolic link or a special file, which could point outside it.
    """
    return sha256_entries(tree_entries(directory))


def sha256_entries(entries: Iterable[tuple[str, int, str]]) -> str:
    """The sha256 of a tree, from each file's name, size and sha256, in name order."""
    return sha256_bytes(b"".join(tree_line(*entry) for entry in entries))


def tree_entries(directory: Path) -> list[tuple[str, int, str]]:
    """Name, size in bytes and sha256 of every file of a directory, in name order; hashed side by side.

    Raises:
        InputError: the tree holds a symbolic link or a special file, which could point outside it.
    """
    return file_entries(tree_files(directory))


def file_entries(files: Mapping[str, Path]) -> list[tuple[str, int, str]]:
    """The same for some files by their names."""
    sizes = [path.stat().st_size for path in files.values()]
    with byte_meter("hash", sum(sizes)) as count, ThreadPoolExecutor(HASHING_THREADS) as threads:
        hashes = threads.map(lambda path: sha256_file(path, count), files.values())
        return list(zip(files, sizes, hashes, strict=True))


def raise_for_os_error(error: OSError, path: Path, needed: int | None = None) -> NoReturn:
    """Turn an operating system error met while writing `path` into one that says what to do.

    Args:
        error: the error.
        path: what was written.
        needed: how many bytes there must be room for, where that is known.
    """
    room = "some space" if needed is None else f"{needed:,} bytes"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise ResourceError(
            f"{path}: the disk is full. Free {room} and run the same command again."
        ) from error
    if error.errno == errno.EFBIG:
        size = "" if needed is None else f" for {needed:,} bytes"
        raise ResourceError(
            f"{path}: larger than files may be here; no room{size}. Raise the limit (ulimit -f) or use "
            "another disk."
        ) from error
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        raise ResourceError(
            f"{path}: cannot be written ({error.strerror}). Check its permissions or set HALLMARK_HOME to a "
            "folder you own."
        ) from error
    raise ResourceError(f"{path}: {error.strerror or error}") from error


def raise_for_reading(error: OSError, path: Path) -> NoReturn:
    """The same for an error met while reading `path`."""
    raise UnreadableError(
        f"{path}: cannot be read ({error.strerror or error}). Check what is there, and its permissions."
    ) from error


def make_home(home: Path, to_write: bool = True) -> None:
    """Make the home folder where there is none, for its owner alone, whatever the umask. One that is there
    stays as it is.

    Whatever may be the first to write below the home calls this before.

    Args:
        home: HALLMARK_HOME; what is above it is made as the umask says.
        to_write: refuse one that can only be read.

    Raises:
        ResourceError: it cannot be made, is a file, or is read-only and is to be written.
    """
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        try:
            home.mkdir(mode=0o700)
        except OSError:
            if not home.is_dir():
                raise
        else:
            home.chmod(0o700)  # a strange umask may have taken more
    except OSError as error:
        raise_for_os_error(error, home)
    if to_write and is_closed(home):
        raise read_only(home)


def is_closed(folder: Path) -> bool:
    """Whether nothing can be written into a folder."""
    return not os.access(folder, os.W_OK | os.X_OK)


def read_only(place: object) -> ResourceError:
    """What to say where something has to be written in a home or a registry that can only be read."""
    return ResourceError(
        f"{place}: is read-only, and this has to write there. Set HALLMARK_HOME to a folder you own, which "
        "may be a copy of this one."
    )


@contextmanager
def atomic_writer(path: Path, mode: int = 0o666) -> Iterator[IO[bytes]]:
    """Write a file so that it appears whole or not at all: temporary file, fsync, rename.

    Args:
        path: where the file will be; parents are made.
        mode: its permissions, of which the umask takes some.

    Raises:
        ResourceError: the disk is full or the place cannot be written.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        name = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY}")
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        temporary = name
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        fsync_directory(path.parent)
    except OSError as error:
        raise_for_os_error(error, path)
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def remove_unfinished(directory: Path) -> None:
    """Remove what writers left behind that were killed, from a folder in which nobody else is writing now."""
    for path in directory.glob(f".*{TEMPORARY}"):
        path.unlink(missing_ok=True)


def fsync_directory(directory: Path) -> None:
    """Make a rename inside `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON with sorted keys, atomically."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=2) + "\n"
    with atomic_writer(path) as file:
        file.write(text.encode())


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """Write one canonical JSON value a line, atomically."""
    with atomic_writer(path) as file:
        for row in rows:
            file.write(canonical_json(row).encode() + b"\n")


def read_json(path: Path) -> Any:
    """Read one JSON file.

    Raises:
        InputError: it is missing, is not a file, or is not valid UTF-8 JSON.
    """
    with open_for_reading(path) as file:
        data = file.read()
    try:
        return parse_json(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}") from error
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON: {error}") from error


def open_for_reading(path: Path) -> IO[bytes]:
    """Open a file in binary mode.

    Raises:
        InputError: it is missing, is a directory, or may not be read. The message names the path.
    """
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file. {no_such_file(path)}") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a directory, expected a file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


NEAR_NAMES = 3


def no_such_file(path: Path) -> str:
    """Where a file was looked for that is not there, and which files there have a name like it.

    Example:
        >>> no_such_file(Path("/tmp/nowhere/a.jsonl"))
        'Looked for /tmp/nowhere/a.jsonl; there is no folder /tmp/nowhere.'
    """
    whole = path.expanduser().absolute()
    parents = list(whole.parents)
    missing = [folder for folder in parents if not folder.is_dir()]
    if missing:
        return f"Looked for {whole}; there is no folder {missing[-1]}."
    try:
        names = [each.name for each in whole.parent.iterdir()]
    except OSError:
        return f"Looked for {whole}."
    alike = nearest(whole.name, names)
    beside = sorted(name for name in names if name.endswith(whole.suffix or "/") and name not in alike)
    near = [*alike, *beside][:NEAR_NAMES]
    there = f"; that folder has {', '.join(near)}" if near else ""
    return f"Looked for {whole}{there}."


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of a JSON text, for its decoder; raises a ValueError where a field occurs twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise ValueError(f"field {next(key for key in counts if counts[key] > 1)!r} occurs twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_SUSPECT = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)")
"""An escape for half of a character, or for NUL."""
_DECODER = json.JSONDecoder(object_pairs_hook=unique_keys, parse_constant=_no_constant)


def parse_json(text: str) -> Any:
    """Parse strict JSON: no duplicate keys, no NaN or Infinity, no nesting beyond Python's limit.

    Raises:
        ValueError: with what is wrong and where in the text.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_jsonl(path: Path, any_text: bool = False) -> Iterator[tuple[int, Any]]:
    """Read a JSONL file line by line, in flat memory, stopping at the first bad line.

    The rule: UTF-8 without a byte order mark, lines ended by a single line feed (the last one may lack it),
    one JSON value a line, no empty lines, no NUL and no unpaired surrogate anywhere, at most `MAX_LINE_BYTES`
    a line.

    Args:
        path: the file.
        any_text: take NUL as an escape, and lines of any length: for files that we write ourselves of what a
            model wrote.

    Yields:
        The line's number, from 1, and its parsed value.

    Raises:
        InputError: `file:line: problem`, with the byte offset in the file where bytes are at fault.
    """
    for number, value in read_every_line(path, any_text):
        if isinstance(value, InputError):
            raise value
        yield number, value


def read_every_line(path: Path, any_text: bool = False) -> Iterator[tuple[int, Any]]:
    """The same, going on behind a bad line.

    Yields:
        The line's number, from 1, and its parsed value, or the InputError that says what is wrong with it.

    Raises:
        InputError: the file itself cannot be read.
    """
    with open_for_reading(path) as file:
        offset, number = 0, 0
        while line := file.readline(-1 if any_text else MAX_LINE_BYTES + 1):
            number += 1
            try:
                value = _parse_line(path, number, offset, line, any_text)
            except InputError as error:
                value = error
            yield number, value
            offset += len(line)
            while not line.endswith(b"\n") and (line := file.readline(MAX_LINE_BYTES)):
                offset += len(line)  # the rest of a line that is too long


def count_lines(path: Path) -> int:
    """How many lines a file has, the last one with or without a line feed at its end."""
    count, end = 0, b"\n"
    with open_for_reading(path) as file:
        for piece in iter(lambda: file.read(PIECE_BYTES), b""):
            count, end = count + piece.count(b"\n"), piece[-1:]
    return count + (end != b"\n")


def _parse_line(path: Path, number: int, offset: int, line: bytes, any_text: bool) -> Any:
    where = f"{path}:{number}"
    if len(line) > MAX_LINE_BYTES and not any_text:
        raise InputError(
            f"{where}: line longer than {MAX_LINE_BYTES} bytes, from byte {offset}. Is this a JSONL file?"
        )
    if number == 1 and line.startswith(b"\xef\xbb\xbf"):
        raise InputError(f"{where}: byte order mark at byte 0. Save the file as UTF-8 without BOM.")
    body = line.removesuffix(b"\n")
    if (position := body.find(b"\r")) >= 0:
        raise InputError(
            f"{where}: carriage return at byte {offset + position}. Lines end with a line feed alone "
            "(dos2unix converts)."
        )
    if (position := body.find(b"\0")) >= 0:
        raise InputError(f"{where}: NUL at byte {offset + position}. Remove it.")
    if not body.strip():
        raise InputError(f"{where}: empty line at byte {offset}. Remove it.")
    try:
        value = parse_json(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where}: not UTF-8 at byte {offset + error.start}. Convert the file to UTF-8."
        ) from error
    except ValueError as error:
        raise InputError(f"{where}: not valid JSON: {error}") from error
    if _SUSPECT.search(body):
        _refuse_bad_escapes(where, offset, value, any_text)
    return value


def _refuse_bad_escapes(where: str, offset: int, value: Any, any_text: bool) -> None:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"{where}: unpaired surrogate \\u{ord(text[error.start]):04x} in the line at byte {offset}. It "
            "is no character."
        ) from error
    # a backslash that is text is doubled; what is left begins an escape
    if not any_text and "\\u0000" in text.replace("\\\\", ""):
        raise InputError(f"{where}: NUL (\\u0000) in the line at byte {offset}. Remove it.")
