"""Rows of text files: JSONL, JSON, CSV and TSV, in the encodings that Excel and PowerShell write."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import PIECE_BYTES, open_for_reading, unique_keys
from core.progress import MB, quiet_meter
from golden.importing.rows import Row, Table, WrittenFloat, refuse_repeated

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
OTHER_ENCODINGS = (
    "gb18030", "big5", "shift_jis", "euc-kr", "cp1251", "koi8-r", "cp1253", "cp1250", "cp1254", "mac-roman",
)  # fmt: skip
"""What else texts are often written in: of these, those are named in which a file makes sense."""
ODD_SHARE = 0.2
"""Of the words beyond ASCII so many may look like those of another encoding."""
LETTER = r"[^\W\d_ªº¹²³¼½¾]"
WORD = r"(?:[^\W\d_]|[^\x00-\x7f\w\s\u2010-\u203a\u20ac\u3000-\u303f\uff00-\uff20·«»])+"
"""Letters, and the signs beyond ASCII that do not stand between words."""
DELIMITERS = ",;\t|"
SAMPLE = 1 << 16
"""Characters from which the delimiter is found."""
MAX_CHARACTERS = 1 << 26
"""Longest line that is read."""
EVERY = 1000
"""Rows between two reports of progress."""
EMPTY = "is empty; a file to import has at least one row"
_BOM = "\ufeff"


def text_table(path: Path, encoding: str | None = None, split: str | None = None) -> Table:
    """A text file as a table, by its name's ending and its beginning.

    Args:
        path: the file.
        encoding: of its text; None to find it.
        split: which array of a JSON object, where it has several.

    Raises:
        InputError: it is empty, no text, or has no rows.
    """
    found = encoding or encoding_of(path)
    with _opened(path, found) as file:
        beginning = _sample(file, path, found).lstrip()
    if not beginning:
        raise InputError(f"{path}: {EMPTY}.")
    said = "" if found == "utf-8" else f", {'utf-8' if found == 'utf-8-sig' else found}"
    if path.suffix.lower() in (".json", ".jsonl", ".ndjson"):
        if _is_jsonl(beginning, cut=len(beginning) > SAMPLE // 2, named=path.suffix.lower() != ".json"):
            return Table(path, f"JSONL{said}", "line", [], lambda: _jsonl(path, found))
        return Table(path, f"JSON{said}", "row", [], lambda: _json(path, found, split))
    return _csv_table(path, found, said)


def encoding_of(path: Path) -> str:
    """The encoding of a text: by its byte order mark; else UTF-8 where it is that, UTF-16 where every second
    byte is NUL, or cp1252, which Windows writes, where the first letter beyond ASCII cannot be UTF-8.

    Raises:
        InputError: it is no text, or a damaged one.
    """
    with open_for_reading(path) as file:
        head = file.read(PIECE_BYTES)
        for mark, name in BYTE_ORDER_MARKS:
            if head.startswith(mark):
                return name
        if b"\0" in head:
            even, odd = head[:SAMPLE:2].count(0), head[1:SAMPLE:2].count(0)
            half = len(head[:SAMPLE]) // 2
            if max(even, odd) < 0.4 * half or min(even, odd) > 0.2 * half:
                wide = [name for name in ("utf-16-le", "utf-16-be") if _makes_sense_wide(head, name)]
                hint = f" Or is it UTF-16? Name it, as in --encoding {' or '.join(wide)}." if wide else ""
                raise InputError(f"{path}: is no text: NUL at byte {head.index(0)}.{hint}")
            return "utf-16-le" if odd > even else "utf-16-be"
        decoder, offset, foreign = codecs.getincrementaldecoder("utf-8")(), 0, False
        piece = head
        while True:
            try:
                foreign = foreign or not decoder.decode(piece, final=not piece).isascii()
            except UnicodeDecodeError as error:
                at = offset + len(piece) - len(error.object) + error.start
                return _not_utf8(path, at, foreign or not error.object[: error.start].isascii())
            if not piece:
                return "utf-8"
            offset += len(piece)
            piece = file.read(PIECE_BYTES)


def _makes_sense_wide(head: bytes, encoding: str) -> bool:
    """Whether the beginning of a file is a text in two bytes for each character."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return False
    known = sum(each in "\r\n\t" or unicodedata.category(each)[0] != "C" for each in text)
    return known == len(text) and any(each in text for each in "\n{,\t;")


def _not_utf8(path: Path, at: int, foreign: bool) -> str:
    if foreign:
        raise InputError(
            f"{path}: not UTF-8 at byte {at}, though what comes before it is. Repair it there, or name the "
            "file's encoding (--encoding)."
        )
    decoder, controls, size, beginning = codecs.getincrementaldecoder("cp1252")(), 0, 0, ""
    with open_for_reading(path) as file:
        try:
            while piece := file.read(PIECE_BYTES):
                text = decoder.decode(piece)
                controls += len(re.findall(r"[\x00-\x08\x0e-\x1f\x7f]", text))
                size += len(text)
                if len(beginning) < PIECE_BYTES:  # from the first letter beyond ASCII on
                    beginning += text if beginning or not text.isascii() else ""
        except UnicodeDecodeError:
            controls, size = 1, 0
    if controls * 1000 > size:
        raise InputError(
            f"{path}: is no text, or in an encoding that is not known: neither UTF-8 (byte {at}) nor cp1252. "
            "Name it (--encoding)."
        )
    _refuse_foreign(path, beginning)
    return "cp1252"


def _refuse_foreign(path: Path, text: str) -> None:
    """Refuse a text that was hardly written in cp1252: most of its words would be garbled.

    Raises:
        InputError: names the encodings in which it makes sense.
    """
    if _share_of_odd(text) <= ODD_SHARE:
        return
    with open_for_reading(path) as file:
        head = file.read(PIECE_BYTES)
    likely = [name for name in OTHER_ENCODINGS if _makes_sense(head, name)]
    raise InputError(
        f"{path}: neither UTF-8 nor, by its words, cp1252. Name its encoding, as in --encoding "
        f"{' or '.join(likely or OTHER_ENCODINGS)}; --encoding cp1252 takes it as that."
    )


def _makes_sense(head: bytes, encoding: str) -> bool:
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return False
    return _share_of_odd(text) <= ODD_SHARE


def _share_of_odd(text: str) -> float:
    """Which share of the words with something beyond ASCII no language that is written in one script has."""
    words = [word for word in re.findall(WORD, text) if not word.isascii() and re.search(LETTER, word)]
    return sum(map(_is_odd, words)) / len(words) if words else 0.0


def _is_odd(word: str) -> bool:
    plain = word.lstrip("¿¡")
    if re.fullmatch(r"[£§°±©®µ]?[A-Za-z]+[²³°®©ªº]?", plain):
        return False
    beyond = sum(not each.isascii() for each in plain)
    latin = [unicodedata.name(each, "").startswith("LATIN") for each in plain if each.isalpha()]
    return (
        not plain.isalpha()
        or (any(latin) and not all(latin))
        or (all(latin) and beyond >= 3 and 2 * beyond > len(plain))
        or any(a.islower() and b.isupper() and not b.isascii() for a, b in pairwise(plain))
        or re.search("[šžŠŽýÝŸðþÐÞªºµƒˆ]", plain) is not None
    )


def _opened(path: Path, encoding: str, newline: str = "") -> io.TextIOWrapper:
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise InputError(
            f"--encoding {encoding}: unknown encoding. Known are utf-8, cp1252, utf-16, ..."
        ) from None
    return io.TextIOWrapper(open_for_reading(path), encoding=encoding, newline=newline)


def _sample(file: io.TextIOWrapper, path: Path, encoding: str) -> str:
    try:
        return file.read(SAMPLE).removeprefix(_BOM)
    except UnicodeDecodeError as error:
        raise _undecodable(path, encoding, error) from None


def _undecodable(path: Path, encoding: str, error: UnicodeDecodeError) -> InputError:
    return InputError(f"{path}: not {encoding} ({error.reason}). Name its encoding (--encoding).")


def _is_jsonl(beginning: str, cut: bool, named: bool) -> bool:
    """Whether each line is an object of its own.

    Args:
        beginning: of the file.
        cut: whether that may not be all of it.
        named: whether its name says that it is JSONL.
    """
    if not beginning.startswith("{"):
        return named and not beginning.startswith("[")
    first, _, rest = beginning.partition("\n")
    if not rest.strip():
        return named or (not cut and _one_row(first))
    return first.rstrip().endswith("}")


def _one_row(line: str) -> bool:
    """Whether the only line of a file is a row, and not an object that holds the rows."""
    try:
        value = _DECODER.decode(line)
    except ValueError:
        return True
    return not any(_is_rows(each) and not {"role", "from"} & each[0].keys() for each in value.values())


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _number(text: str) -> WrittenFloat:
    number = WrittenFloat(text)
    number.text = text
    return number


def _constant(name: str) -> float | None:
    return None if name == "NaN" else float(name)


_DECODER = json.JSONDecoder(object_pairs_hook=unique_keys, parse_float=_number, parse_constant=_constant)
"""As strict as that of datasets, but NaN is a value that is missing, as pandas writes it."""


def _parsed(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _jsonl(path: Path, encoding: str) -> Iterator[Row]:
    meter = quiet_meter("read", path.stat().st_size // MB, "MB")
    with _opened(path, encoding, newline="\n") as file:
        number = 0
        while line := _line(file, path, number + 1, encoding):
            number += 1
            # a mark in the middle: files that were put one behind the other
            if not (body := line.strip().removeprefix(_BOM)):
                continue
            try:
                yield Row(number, _row(_parsed(body)))
            except ValueError as error:
                yield Row(number, InputError(f"not valid JSON: {error}"))
            if number % EVERY == 0:
                meter.update(_position(file))
    meter.finish()


def _position(file: io.TextIOWrapper) -> int:
    """How far a file is read, in MB."""
    reader: Any = file.buffer
    return int(reader.tell()) // MB


def _line(file: io.TextIOWrapper, path: Path, number: int, encoding: str) -> str:
    try:
        line = file.readline(MAX_CHARACTERS)
    except UnicodeDecodeError as error:
        raise _undecodable(path, encoding, error) from None
    if len(line) == MAX_CHARACTERS:
        raise InputError(f"{path}:{number}: line longer than {MAX_CHARACTERS} characters. Is this JSONL?")
    return line


def _row(value: Any) -> dict[str, Any] | InputError:
    if isinstance(value, dict):
        return value
    kind = "an array" if isinstance(value, list) else f"{json.dumps(value)[:40]}"
    return InputError(f"expected a JSON object, got {kind}")


def _json(path: Path, encoding: str, split: str | None) -> Iterator[Row]:
    with _opened(path, encoding) as file:
        try:
            value = _parsed(file.read().removeprefix(_BOM))
        except UnicodeDecodeError as error:
            raise _undecodable(path, encoding, error) from None
        except ValueError as error:
            if str(error).startswith("Extra data"):  # one object behind another
                yield from _jsonl(path, encoding)
                return
            raise InputError(f"{path}: not valid JSON: {error}") from None
    for number, each in enumerate(_array(path, value, split), start=1):
        yield Row(number, _row(each))


def _array(path: Path, value: Any, split: str | None) -> list[Any]:
    """The array of rows: the value itself, or the one that an object holds."""
    if isinstance(value, list):
        return value
    arrays = {name: each for name, each in value.items() if _is_rows(each)} if isinstance(value, dict) else {}
    if split is not None and split in arrays:
        return list(arrays[split])
    if len(arrays) == 1:
        return list(next(iter(arrays.values())))
    if arrays:
        raise InputError(
            f"{path}: has several arrays of rows: {', '.join(arrays)}. Name one, as in --split "
            f"{next(iter(arrays))}."
        )
    raise InputError(f"{path}: expected an array of objects, or an object that holds one.")


def _csv_table(path: Path, encoding: str, said: str) -> Table:
    csv.field_size_limit(MAX_CHARACTERS)
    with _opened(path, encoding) as file:
        sample = _sample(file, path, encoding)
    first, named = sample.partition("\n")[0].rstrip("\r"), None
    if match := re.fullmatch(r"sep=(.)", first, re.IGNORECASE):  # Excel's own line
        named = match[1]
    delimiter = named or ("\t" if path.suffix.lower() == ".tsv" else _delimiter(sample))
    with _opened(path, encoding) as file:
        header = next(_records(file, path, delimiter, named is not None, encoding), (0, []))[1]
    columns = [name.strip().removeprefix(_BOM) or f"column {place}" for place, name in enumerate(header, 1)]
    refuse_repeated(columns, path)
    kind = "TSV" if delimiter == "\t" else "CSV"
    separated = f", separated by {delimiter!r}" if delimiter not in ",\t" else ""

    def read() -> Iterator[Row]:
        meter = quiet_meter("read", path.stat().st_size // MB, "MB")
        with _opened(path, encoding) as file:
            records = _records(file, path, delimiter, named is not None, encoding)
            next(records, None)
            for count, (number, cells) in enumerate(records, start=1):
                if not any(cells):  # as spreadsheets leave behind the last row
                    continue
                if len(cells) == len(columns):
                    yield Row(number, dict(zip(columns, cells, strict=True)))
                elif cells:
                    problem = f"has {len(cells)} cells, and the header has {len(columns)}"
                    yield Row(number, InputError(problem))
                if count % EVERY == 0:
                    meter.update(_position(file))
        meter.finish()

    return Table(path, f"{kind}{separated}{said}", "line", columns, read)


def _records(
    file: io.TextIOWrapper, path: Path, delimiter: str, skip_first: bool, encoding: str
) -> Iterator[tuple[int, list[str]]]:
    """The records of a CSV file, each with the line on which it begins."""
    if skip_first:
        file.readline()
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    line = 1 + skip_first
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1 + skip_first
    except csv.Error as error:
        raise InputError(
            f"{path}:{line}: not valid CSV: {error}. Quotation marks inside a cell are doubled, and the cell "
            "is in quotation marks."
        ) from None
    except UnicodeDecodeError as error:
        raise _undecodable(path, encoding, error) from None


def _delimiter(sample: str) -> str:
    """The character that parts the cells: the one by which the records of a sample have equally many cells,
    and the most.
    """

    def fits(delimiter: str) -> tuple[float, int]:
        try:
            records = list(csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter))
        except csv.Error:
            return 0.0, 0
        # the last record may be cut
        sizes = [len(cells) for cells in records[:-1] or records if cells]
        if not sizes or sizes[0] < 2:
            return 0.0, 0
        return sizes.count(sizes[0]) / len(sizes), sizes[0]

    return max(DELIMITERS, key=fits)
