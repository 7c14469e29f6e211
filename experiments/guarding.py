"""The contamination guard for people: what a training set holds of a golden one, and a copy without it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from core.config import Record
from core.errors import InputError
from core.files import atomic_writer, count_lines, open_for_reading, read_jsonl
from core.progress import quiet_meter
from golden.datasets import Dataset, load_dataset, parse_name
from golden.guard import Overlap, find_overlaps
from golden.manifest import manifest_path
from golden.prompting import ResolvedPrompt
from golden.schema import Item, Trace


class GuardReport(Record):
    """What a training set holds of a golden dataset.

    Attributes:
        train: name of the training set.
        golden: name of the golden dataset.
        items: how many items the training set has.
        leaks: training items that hold golden ones, in file order.
        twins: those that only resemble golden ones, the most alike first.
        written: the clean copy, where one was asked for.
    """

    train: str
    golden: str
    items: int
    leaks: list[Overlap]
    twins: list[Overlap]
    written: Path | None = None


def guard(train: str | Path, golden: str | Path = "golden-v1") -> GuardReport:
    """Look for golden items in a training set.

    Args:
        train: a built-in name or the path of a `KEY-vN.jsonl` file.
        golden: the same, of the golden dataset.

    Raises:
        InputError: a dataset is not there or has a bad line.

    Example:
        >>> report = guard("train-v1", "golden-v1")
        >>> report.items, report.leaks, report.twins
        (9600, [], [])
    """
    learned, asked = load_dataset(train), load_dataset(golden)
    traces = _Watched(learned)
    found = list(find_overlaps(traces, asked.items()))
    return GuardReport(
        train=learned.name,
        golden=asked.name,
        items=traces.count,
        leaks=[overlap for overlap in found if overlap.refuses],
        twins=sorted((overlap for overlap in found if not overlap.refuses), key=lambda twin: -twin.share),
    )


class _Watched:
    """The traces of a training set, counted as they are read, so that whoever waits sees how far it is."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.count = 0

    def __iter__(self) -> Iterator[Trace]:
        meter = quiet_meter("guard", count_lines(self.dataset.path), "items")
        for trace in self.dataset.traces():
            yield trace
            self.count += 1
            meter.update(self.count)


def check_prompt(prompt: ResolvedPrompt, golden: Dataset) -> None:
    """Refuse a prompt that shows the model golden items: in its few-shot examples, system text or
    instruction.

    Args:
        prompt: how the model is asked.
        golden: what it is judged on.

    Raises:
        InputError: it does; names the items.
    """
    texts = {"prompt.system": prompt.config.system, "prompt.instruction": prompt.config.instruction}
    shown: list[Item | Trace] = [
        Trace(trace_id=name, prompt=text, completion=text) for name, text in texts.items() if text is not None
    ]
    found = find_overlaps([*shown, *prompt.examples], golden.items()) if shown or prompt.examples else ()
    for overlap in found:
        if overlap.refuses:
            where = (
                overlap.train_id if overlap.train_id in texts else f"prompt.few_shot: item {overlap.train_id}"
            )
            raise InputError(
                f"{where} holds item {overlap.golden_id} of {golden.name} ({overlap.kind}): "
                f"{overlap.shared[:80]}\nThe model would be shown what it is judged on. Show other examples."
            )


def check_clean_copy(path: Path, force: bool = False) -> None:
    """Refuse a place for a clean copy before anything is computed.

    Args:
        path: where it is to be written.
        force: whether a file that is there may be replaced.

    Raises:
        InputError: its name is not that of a dataset, or it is there or frozen already.
    """
    if path.suffix != ".jsonl":
        raise InputError(f"{path}: expected the name of a dataset, KEY-vN.jsonl, as in train-v2.jsonl")
    parse_name(path.stem, path)
    if manifest_path(path).exists():
        raise InputError(f"{path}: is frozen by {manifest_path(path).name}. Give the copy another version.")
    if path.exists() and not force:
        raise InputError(f"{path}: is there already. Give the copy another name, or --force replaces it.")


def write_clean(train: str | Path, leaks: Iterable[Overlap], path: Path) -> int:
    """Write a training set without the items that hold golden ones; the other lines keep their bytes.

    Args:
        train: the training set.
        leaks: what `guard` found in it.
        path: see `check_clean_copy`. Written atomically.

    Returns:
        How many items it has.

    Raises:
        InputError: no item would be left.
        ResourceError: it cannot be written.
    """
    source = load_dataset(train).path
    leaking = {overlap.train_id for overlap in leaks}
    kept = 0
    with atomic_writer(path) as copy, open_for_reading(source) as lines:
        for line, (_, value) in zip(lines, read_jsonl(source), strict=True):
            if value["trace_id"] not in leaking:
                copy.write(line)
                kept += 1
        if not kept:
            raise InputError(
                f"{source}: every item holds a golden one, so nothing would be left to train on."
            )
    return kept
