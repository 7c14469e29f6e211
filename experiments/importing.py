"""From a file as people have it to a frozen dataset: first everything that there is to say of it, then it is
written.
"""

from __future__ import annotations

import re
import shlex
import shutil
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from core.config import Record
from core.errors import InputError
from core.files import MAX_LINE_BYTES, atomic_writer, canonical_json, read_jsonl, sha256_bytes, sha256_file
from core.tabular import Row as TableRow
from core.tabular import Tabular
from core.text import counted
from experiments.lint_rules import Finding, Lines, same_prompts, unanswerable
from experiments.linting import can_show
from golden.datasets import Dataset, load_dataset, parse_name, read_items, read_traces
from golden.guard import Overlap, find_overlaps
from golden.importing.choices import AnswerIs, known_answer_is
from golden.importing.formats import FormatName, known_format
from golden.importing.reading import Reading, reading
from golden.importing.rows import Places, Row, Values
from golden.importing.sources import HUB_PREFIX, Source, open_source
from golden.importing.values import Asked, Notes, RowError
from golden.lines import line_or_problems
from golden.manifest import IMPORTED_JUDGE, Manifest, Origin, manifest_path, write_manifest
from golden.schema import TRACE_ID_PATTERN, Item, Trace, trace_id_for
from judges import Judge, judge_reference, load_judge

FIRST_ROWS = 200
"""From so many the format is found."""
PREVIEW = 3
LISTED = 1000
"""So many refused rows and duplicates are listed; all are counted."""
LONG = 20
"""Words of an answer, above which it may be the wrong column."""
UNKNOWN = "unknown"

JUDGES = {"multiple_choice": "choice@v1"}
"""Formats whose items have a judge of their own."""


class Refusal(Record):
    """A row that is not taken.

    Attributes:
        where: its place in the file, as in `line 12`.
        reason: why, in words.
    """

    where: str
    reason: str


class Mapped(Record):
    """What was read from where.

    Attributes:
        field: of the dataset.
        column: of the file.
    """

    field: str
    column: str


class ImportReport(Tabular, Record):
    """What an import takes, and what it does not.

    Attributes:
        source: the file, directory or hub dataset, with its commit.
        source_sha256: of the file; of several, over their names, sizes and contents.
        shape: what the file is, in words: `CSV, separated by ';', cp1252`.
        format: how its columns are read.
        detected: whether the format was found, not given.
        columns: which column is read as what.
        metadata: columns that are kept as metadata.
        answer_is: of multiple choice: what an answer is: the label of a choice, its text, or its number.
        rows: how many the file has.
        refused: how many rows make no item, or none that may be used.
        refusals: the first of them.
        duplicates: how many rows repeat an earlier one; each is taken once.
        repeated: the first of them.
        contradictions: prompts with contradicting answers, all of whose rows are refused. Of a training set:
            prompts with several answers, which are taken.
        overlaps: rows that are refused because the training set holds them, or that hold golden items.
        twins: those that only resemble one another.
        notes: what was changed or left out, with how many rows it concerns.
        taken: how many items the dataset has.
        sample: how many items were drawn of those that could be taken; None where all were.
        seed: of the sample.
        categories: category -> items.
        preview: the first items as they will be written.
        skip_bad: whether refused rows are left out; else they stop the import.
        name: key and version.
        path: the dataset's file.
        sha256: of the dataset's file.
        judge: NAME@vN by which each accepted answer was proved; None for training sets.
        licence: as the manifest says it.
        can_show: in words, how large a gain must be to be found with the set.
        written: whether it was written now.
        was_there: whether a file of the same content was there already.
        next: the command to run next.
    """

    source: str
    source_sha256: str
    shape: str
    format: FormatName
    detected: bool
    columns: list[Mapped]
    metadata: list[str]
    answer_is: AnswerIs | None = None
    rows: int
    refused: int
    refusals: list[Refusal]
    duplicates: int
    repeated: list[Refusal]
    contradictions: int
    overlaps: int
    twins: int
    notes: dict[str, int]
    taken: int
    sample: int | None
    seed: int | None
    categories: dict[str, int]
    preview: list[dict[str, Any]]
    skip_bad: bool
    name: str
    path: Path
    sha256: str
    judge: str | None
    licence: str
    can_show: list[str]
    written: bool = False
    was_there: bool = False
    next: str

    def table_caption(self) -> str:
        """What was made of what."""
        left_out = f", {self.refused:,} of {self.rows:,} rows refused" if self.refused else ""
        return f"{self.name}: {counted(self.taken, 'item')} of {self.source}{left_out}"

    def table_rows(self) -> list[TableRow]:
        """The first items."""
        traces = [Trace.model_validate(item) for item in self.preview]
        return [
            {
                "trace_id": trace.trace_id,
                "category": trace.category,
                "question": trace.question,
                "answer": " | ".join(_taught(trace)),
            }
            for trace in traces
        ]

    @property
    def blocked(self) -> bool:
        """Whether nothing is written: rows are refused and may not be left out, or nothing is left."""
        return (self.refused > 0 and not self.skip_bad) or self.taken == 0

    def why_blocked(self) -> str:
        """The first refused rows, and what to do, in words."""
        shown = "".join(f"\n  {each.where}: {each.reason}" for each in self.refusals[:5])
        more = f"\n  and {self.refused - 5:,} more" if self.refused > 5 else ""
        verb = "is" if self.refused == 1 else "are"
        refused = f"{self.refused:,} of {counted(self.rows, 'row')} {verb} refused"
        return f"{self.source}: {refused}:{shown}{more}\n{self.remedy()}"

    def remedy(self) -> str:
        """What to do about what blocks it."""
        if self.taken == 0:
            return "Nothing was written: no row is left. Map other columns (--map), or repair the file."
        return "Nothing was written. Repair the refused rows, or leave them out (--skip-bad)."


@dataclass
class Prepared:
    """An import that was looked at and not written yet.

    Attributes:
        report: what there is to say.
    """

    report: ImportReport
    _lines: Path
    _manifest: Manifest

    def write(self) -> ImportReport:
        """Write the dataset, atomically, and its manifest, which freezes it.

        Raises:
            InputError: rows are refused.
            ResourceError: it cannot be written.
        """
        report = self.report
        if report.blocked:
            raise InputError(report.why_blocked())
        if not report.was_there:
            with atomic_writer(report.path) as file, self._lines.open("rb") as lines:
                shutil.copyfileobj(lines, file)
        if not manifest_path(report.path).exists():
            write_manifest(report.path, self._manifest)
        return report.model_copy(update={"written": not report.was_there})


@contextmanager
def import_prepared(
    source: str | Path,
    name: str,
    *,
    format: str | None = None,  # noqa: A002 - what the option is called
    columns: Mapping[str, str] | None = None,
    train: bool = False,
    out: Path = Path(),
    split: str | None = None,
    encoding: str | None = None,
    sample: int | None = None,
    seed: int = 0,
    against: Sequence[str | Path] = (),
    licence: str | None = None,
    made_by: str | None = None,
    judge: str | None = None,
    answer_is: str | None = None,
    skip_bad: bool = False,
) -> Iterator[Prepared]:
    """Look at everything that an import would take and refuse. Nothing is written outside of a temporary
    folder, which is gone after the block, until `Prepared.write` is called in it.

    Args:
        source: a file, a dataset directory, or `hf:ORG/NAME@REVISION:SPLIT`.
        name: key of the dataset; its version is 1, or the next one that is free. With a version, as in
            support-v2, that one.
        format: None to find it.
        columns: our field -> column, which wins over what the format says.
        train: make a training set, not a golden one.
        out: folder of the dataset.
        split: which part of a directory or of a JSON object.
        encoding: of a text file; None to find it.
        sample: take only so many items, drawn by `seed`.
        seed: decides the sample.
        against: training sets that must not hold the golden items; with `train`, golden sets of which the
            training set must hold nothing.
        licence: SPDX identifier of the data's licence.
        made_by: how the items were made.
        judge: NAME@vN that a golden set is meant for; its answers are proved by it. Default: what suits the
            format, see `judge_for`.
        answer_is: of multiple choice: whether an answer is the `label` of a choice, its `text`, or its number
            `from-0` or `from-1`; None to find it.
        skip_bad: leave refused rows out; else they stop the import.

    Raises:
        InputError: the source cannot be read, or no format fits.
        ResourceError: the hub or a package is missing.
    """
    key, version = _key(name)
    if judge is not None and not train:
        load_judge(judge)  # before anything is read
    known, named = known_format(format), known_answer_is(answer_is)
    others = [load_dataset(other) for other in against]
    opened = open_source(str(source), encoding, split)
    first = [row for table in opened.tables for row in islice(table.read(), FIRST_ROWS)]
    read = _settle(opened, first, train, known, columns)
    try:
        read.settle_answers(_rows_of(opened), named)
    except InputError as error:
        raise InputError(f"{opened.name}: {error}") from None
    used = None if train else load_judge(judge or judge_for(read.format))
    with tempfile.TemporaryDirectory(prefix="hallmark-import-") as folder:
        work = _Work(Path(folder), opened, read, train, key)
        work.read()
        if used is not None:
            work.prove(used)
        work.compare(others)
        if sample is not None:
            work.draw(sample, seed)
        lines = work.finish()
        sha256 = sha256_file(lines)
        path, was_there = _place(out, key, version, sha256)
        origin = Origin(
            source=opened.name if opened.name.startswith(HUB_PREFIX) else Path(opened.name).name,
            sha256=opened.sha256,
            format=read.format,
            map=read.mapped,
            answer_is=read.answer_is,
            rows=work.rows,
            refused=work.refused,
            duplicates=work.duplicates,
            sample=sample,
            seed=None if sample is None else seed,
        )
        categories = dict(sorted(work.categories.items()))
        report = ImportReport(
            source=opened.name,
            source_sha256=opened.sha256,
            shape=opened.shape,
            format=read.format,
            detected=read.detected,
            columns=[
                Mapped(field=ours, column=theirs) for ours, theirs in {**read.columns, **read.mapped}.items()
            ],
            metadata=read.rest,
            answer_is=read.answer_is,
            rows=work.rows,
            refused=work.refused,
            refusals=work.refusals,
            duplicates=work.duplicates,
            repeated=work.repeated,
            contradictions=work.contradictions,
            overlaps=work.overlaps,
            twins=work.twins,
            notes=work.notes.counts,
            taken=work.taken,
            sample=sample,
            seed=None if sample is None else seed,
            categories=categories,
            preview=work.preview,
            skip_bad=skip_bad,
            name=path.stem,
            path=path,
            sha256=sha256,
            judge=used and judge_reference(used),
            licence=licence or UNKNOWN,
            can_show=[] if train else can_show(path.stem, work.kept_items()),
            was_there=was_there,
            next=_next(path, train),
        )
        manifest = Manifest(
            name=path.stem,
            items=max(work.taken, 1),
            sha256=sha256,
            categories=categories,
            licence=licence or UNKNOWN,
            made_by=made_by or f"hallmark golden import {origin.source}",
            judge=used and judge_reference(used),
            purpose="training" if train else "golden",
            origin=origin,
        )
        yield Prepared(report, lines, manifest)


def judge_for(format: FormatName) -> str:  # noqa: A002 - what it is called everywhere
    """The judge that imported items are meant for where nobody names one.

    Args:
        format: how the columns were read.

    Example:
        >>> judge_for("multiple_choice"), judge_for("gsm8k")
        ('choice@v1', 'answer_correctness@v2')
    """
    return JUDGES.get(format, IMPORTED_JUDGE)


def _key(name: str) -> tuple[str, str | None]:
    """Key and version; the version is None where only the key was given."""
    try:
        return parse_name(name, name)
    except InputError:
        pass
    try:
        return parse_name(f"{name}-v1", name)[0], None
    except InputError:
        raise InputError(
            f"--name {name[:80]}: expected a key of a-z, 0-9, - and _, as in support; or with a version, as "
            "in support-v2"
        ) from None


def _settle(
    source: Source,
    first: list[Row],
    train: bool,
    format: FormatName | None,  # noqa: A002
    columns: Mapping[str, str] | None,
) -> Reading:
    rows = [row.values for row in first if isinstance(row.values, dict)]
    if not rows:
        bad = next((row for row in first if isinstance(row.values, InputError)), None)
        if bad is not None:
            unit = source.tables[0].unit
            raise InputError(
                f"{source.name}: {unit} {bad.number}: {bad.values}; nor is any row after it one."
            )
        raise InputError(f"{source.name}: has no rows.")
    header = list(dict.fromkeys(name for table in source.tables for name in table.columns))
    try:
        return reading(rows, header, train, format, columns)
    except InputError as error:
        raise InputError(f"{source.name}: {error}") from None


def _rows_of(source: Source) -> Iterator[Values]:
    for table in source.tables:
        yield from (row.values for row in table.read() if isinstance(row.values, dict))


def _place(out: Path, key: str, version: str | None, sha256: str) -> tuple[Path, bool]:
    """Where the dataset is written, and whether it is there already."""
    folder = out.expanduser()
    there = {path.stem: path for path in folder.glob(f"{key}-v*.jsonl") if _version(path, key)}
    if version is not None:
        path = folder / f"{key}-{version}.jsonl"
        same = path.is_file() and sha256_file(path) == sha256
        if (path.exists() or manifest_path(path).exists()) and not same:
            raise InputError(f"{path}: is there already, with other content. Give another version, or none.")
        return path, same
    for path in sorted(there.values(), key=lambda each: _version(each, key)):
        if sha256_file(path) == sha256:
            return path, True
    number = max((_version(path, key) for path in there.values()), default=0) + 1
    while manifest_path(folder / f"{key}-v{number}.jsonl").exists():  # of a file that was moved away
        number += 1
    return folder / f"{key}-v{number}.jsonl", False


def _version(path: Path, key: str) -> int:
    match = re.fullmatch(rf"{re.escape(key)}-v([1-9]\d*)", path.stem)
    return int(match[1]) if match else 0


def _next(path: Path, train: bool) -> str:
    file = shlex.quote(str(path))
    if train:
        return f"hallmark experiment --base-model MODEL --dataset GOLDEN.jsonl --train-dataset {file}"
    return f"hallmark evaluate MODEL --dataset {file}"


@dataclass
class _Work:
    """The rows of a source on their way to a dataset.

    Attributes:
        folder: for the lines so far.
        dropped: for each line there whether it is refused, or not in the sample; uint8.
        ids: those that the file gives, as long as they can be used.
        items: the lines of a golden set.
        answers: what a training set answers to each prompt, as hashes; empty where there are several.
    """

    folder: Path
    source: Source
    reading: Reading
    train: bool
    key: str
    notes: Notes = field(default_factory=Notes)
    rows: int = 0
    refused: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    duplicates: int = 0
    repeated: list[Refusal] = field(default_factory=list)
    contradictions: int = 0
    overlaps: int = 0
    twins: int = 0
    taken: int = 0
    categories: Counter[str] = field(default_factory=Counter)
    preview: list[dict[str, Any]] = field(default_factory=list)
    dropped: bytearray = field(default_factory=bytearray)
    ids: list[str] | None = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    answers: dict[bytes, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.places = Places(self.source.tables)
        self.file = self.folder / "rows.jsonl"

    def refuse(self, where: str, reason: str) -> None:
        """Count a row that is not taken, and list it among the first."""
        self.refused += 1
        if len(self.refusals) < LISTED:
            self.refusals.append(Refusal(where=where, reason=reason))

    def drop(self, place: int, reason: str) -> None:
        """Refuse a line that was taken so far."""
        if not self.dropped[place]:
            self.dropped[place] = 1
            self.refuse(self.places.where(place), reason)

    def read(self) -> None:
        """Read every row, and write those that make a line, each once."""
        lines: dict[bytes, int] = {}
        asked = Asked(self.train, None if self.train else self.key, self.notes, self.reading.answer_is)
        with self.file.open("wb") as file:
            for table in self.source.tables:
                self.places.next_table()
                for row in table.read():
                    self.rows += 1
                    where = self.places.of(table, row.number)
                    try:
                        line, given = self._line(row, asked)
                        text = _text_of(line)
                    except RowError as error:
                        self.refuse(where, str(error))
                        continue
                    place = len(self.dropped)
                    if (first := lines.setdefault(uuid.UUID(line.trace_id).bytes, place)) != place:
                        self._repeat(where, first)
                        continue
                    file.write(text)
                    self.dropped.append(0)
                    self.places.append(row.number)
                    if given is None:
                        self.ids = None
                    elif self.ids is not None:
                        self.ids.append(given)
                    if self.train:
                        self._learn(line)
        if self.ids is not None and not self._usable(self.ids):
            self.ids = None
        if overlooked := self.reading.overlooked:
            shown = ", ".join(overlooked)
            self.notes.counts[f"not part of the prompt, though its name is one of a context: {shown}"] = (
                self.rows
            )

    def _line(self, row: Row, asked: Asked) -> tuple[Item | Trace, str | None]:
        """The line that a row makes, with an id of its content, and the id that the file gives it.

        Raises:
            RowError: it makes none.
        """
        if isinstance(row.values, InputError):
            raise RowError(str(row.values))
        fields = self.reading.line(row.values, asked)
        given = fields.pop("trace_id", None)
        fields["trace_id"] = "none"
        line: Item | Trace | list[str]
        line = line_or_problems(fields, Trace) if self.train else line_or_problems(fields, Item)
        if isinstance(line, list):
            raise RowError("; ".join(line))
        if not self.train and any(len(answer.split()) > LONG for answer in line.accepted):
            self.notes.add(f"answers have more than {LONG} words: is that the right column?")
        return line.model_copy(update={"trace_id": _content_id(line)}), given

    def _repeat(self, where: str, first: int) -> None:
        self.duplicates += 1
        if len(self.repeated) < LISTED:
            self.repeated.append(Refusal(where=where, reason=f"repeats {self.places.where(first)}"))

    def _learn(self, line: Item | Trace) -> None:
        """Count the prompts of a training set that have several answers."""
        asked = _digest(line.system_text or "", line.question)
        answer = _digest(*(turn.content for turn in line.turns if turn.role == "assistant"), *_taught(line))
        if self.answers.setdefault(asked, answer) not in (answer, b""):
            self.answers[asked] = b""
            self.contradictions += 1

    def _usable(self, ids: list[str]) -> bool:
        """Whether the ids of the file can be those of the dataset; else says why not."""
        column = self.reading.mapped.get("trace_id") or self.reading.columns.get("trace_id")
        if bad := next((each for each in ids if not re.fullmatch(TRACE_ID_PATTERN, each)), None):
            self.notes.add(f"ids are made from the content: `{column}` has {bad[:40]!r}, which cannot be one")
            return False
        if len(set(ids)) < len(ids):
            self.notes.add(f"ids are made from the content: `{column}` has some more than once")
            return False
        return True

    def prove(self, judge: Judge) -> None:
        """Refuse items that cannot be won by the judge, and prompts with contradicting answers."""
        self.items = list(read_items(self.file)) if self.dropped else []
        lines = Lines(self.items, list(range(1, len(self.items) + 1)))
        for finding in unanswerable(lines, judge):
            named = judge_reference(judge)
            self._drop_found(finding, f"by {named} no model can be right: {finding.problem}")
        for finding in same_prompts(lines, judge):
            if finding.is_error:
                self.contradictions += 1
                where = " and ".join(self.places.where(line - 1) for line in finding.lines[:2])
                self._drop_found(finding, f"{finding.problem} ({where})")
            else:
                self.notes.add("prompts occur more than once, with the same answer: they count once")

    def _drop_found(self, finding: Finding, reason: str) -> None:
        for line in finding.lines:
            self.drop(line - 1, reason)

    def compare(self, others: Sequence[Dataset]) -> None:
        """Refuse golden items that the training sets hold, or training examples that hold golden items."""
        for other in others:
            if self.train:
                found = find_overlaps((trace for _, trace in self.kept()), other.items())
                self._drop_overlapping(
                    {
                        each.train_id: f"holds item {each.golden_id} of {other.name} ({each.kind})"
                        for each in self._leaks(found)
                    }
                )
                continue
            again = True
            while again:  # a training example is shown with one golden item, and may hold more
                found = find_overlaps(other.traces(), self.kept_items())
                again = self._drop_overlapping(
                    {
                        each.golden_id: f"{other.name} holds it: item {each.train_id} ({each.kind})"
                        for each in self._leaks(found)
                    }
                )

    def _leaks(self, found: Iterator[Overlap]) -> Iterator[Overlap]:
        self.twins = 0
        for each in found:
            if each.refuses:
                yield each
            else:
                self.twins += 1

    def _drop_overlapping(self, reasons: Mapping[str, str]) -> bool:
        if reasons:
            for place, trace in self.kept():
                if trace.trace_id in reasons:
                    self.overlaps += 1
                    self.drop(place, reasons[trace.trace_id])
        return bool(reasons)

    def draw(self, count: int, seed: int) -> None:
        """Keep a sample: the items whose ids, hashed with the seed, come first. It does not depend on the
        order of the file.
        """
        ranked = sorted(
            (sha256_bytes(f"{seed}:{trace.trace_id}".encode()), place) for place, trace in self.kept()
        )
        if count > len(ranked):
            raise InputError(f"--sample {count}: only {len(ranked)} items can be taken")
        for _, place in ranked[count:]:
            self.dropped[place] = 1

    def kept(self) -> Iterator[tuple[int, Trace]]:
        """The lines that are not dropped, with their places; as traces, which every line is."""
        for place, trace in enumerate(read_traces(self.file) if self.dropped else ()):
            if not self.dropped[place]:
                yield place, trace

    def kept_items(self) -> list[Item]:
        """The items of a golden set that are not dropped."""
        return [item for item, dropped in zip(self.items, self.dropped, strict=True) if not dropped]

    def finish(self) -> Path:
        """Write the lines that are left, as the dataset will have them."""
        path = self.folder / "dataset.jsonl"
        with path.open("wb") as file, self.file.open("rb") as lines:
            for place, line in enumerate(lines):
                if not self.dropped[place]:
                    file.write(line if self.ids is None else _renamed(line, self.ids[place]))
        for _, value in read_jsonl(path):
            self.taken += 1
            if "category" in value:
                self.categories[value["category"]] += 1
            if len(self.preview) < PREVIEW:
                self.preview.append(value)
        return path


def _renamed(line: bytes, trace_id: str) -> bytes:
    """A line with another id, which is the last of its fields, as they are sorted."""
    before, _, _ = line.rpartition(b'"trace_id":')
    return before + f'"trace_id":{canonical_json(trace_id)}}}\n'.encode()


def _taught(line: Item | Trace) -> list[str]:
    """What a line answers: its completion, its accepted answers, or the last turn of its conversation."""
    if isinstance(line, Trace) and line.completion is not None:
        return [line.completion]
    return line.accepted or [line.turns[-1].content]


def _digest(*texts: str) -> bytes:
    return bytes.fromhex(sha256_bytes("\x1f".join(texts).encode()))[:16]


def _text_of(line: Item | Trace) -> bytes:
    """A line as it stands in a dataset's file.

    Raises:
        RowError: it cannot, though its fields are right.
    """
    try:
        text = canonical_json(line.model_dump()).encode() + b"\n"
    except UnicodeEncodeError as error:
        found = str(error.object)[error.start]
        raise RowError(f"holds \\u{ord(found):04x}, half of a character (an unpaired surrogate)") from None
    except ValueError:
        raise RowError("metadata: holds a number that JSON does not have") from None
    if b"\\u0000" in text.replace(b"\\\\", b""):
        raise RowError("holds NUL")
    if len(text) > MAX_LINE_BYTES:
        raise RowError(f"would be a line of {len(text):,} bytes; at most {MAX_LINE_BYTES:,} are read")
    return text


def _content_id(line: Item | Trace) -> str:
    """The UUIDv5 of what a line asks and answers: rows of one content have one id, and are taken once. What a
    golden item is worked out by is none of it, what a training example teaches is.
    """
    plain = line.messages is None and line.system is None
    asked = (
        line.prompt or ""
        if plain
        else canonical_json(line.model_dump(include={"prompt", "messages", "system"}))
    )
    if isinstance(line, Trace):
        answer = line.completion or ""
        if line.final_answer is not None:
            answer = canonical_json([line.steps, line.final_answer])
    else:
        answer = (
            line.final_answer if isinstance(line.final_answer, str) else canonical_json(line.final_answer)
        )
    return trace_id_for(asked, answer, line.category or "")
