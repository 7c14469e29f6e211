"""What the items of a run are found by, held in memory: which got better, were cut off, are of a category.

A finished run does not change, and neither does its dataset, so each is read once. The texts stay where they
are; where an item begins in the dataset's file is known, so that a few are read without those before them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from core.config import Record
from core.errors import InputError, IntegrityError
from golden.lines import parse_line
from golden.prompting import ResolvedPrompt, recorded_prompt
from golden.rendering import NO_SETTINGS, shown_examples
from golden.schema import Item
from inference.contract import CUT_OFF
from registry import Registry, Run
from registry.pages import answers_with, scores_and_rungs

Places = np.ndarray
"""Positions of items in their dataset, ascending, int64."""

ALL = "all"
"""What `ItemFilter.show` calls items of every outcome."""

NONE = "none"
"""What the rung of an answer is called that was found nowhere."""


@dataclass(frozen=True)
class Labels:
    """A label for each item.

    Attributes:
        names: the labels, sorted.
        codes: place in `names`, for each item; int32.
    """

    names: list[str]
    codes: np.ndarray

    @classmethod
    def of(cls, values: Iterable[str]) -> Labels:
        """The labels of items in their order."""
        known: dict[str, int] = {}
        codes = np.fromiter((known.setdefault(value, len(known)) for value in values), np.int32)
        names = sorted(known)
        place = np.empty(len(names), np.int32)
        for new, name in enumerate(names):
            place[known[name]] = new
        return cls(names, place[codes] if len(codes) else codes)

    def are(self, name: str) -> np.ndarray:
        """Which items have a label, bool of shape (items,)."""
        code = self.names.index(name) if name in self.names else -1
        return np.asarray(self.codes == code)

    def counts(self) -> dict[str, int]:
        """Label -> how many items have it."""
        found = np.bincount(self.codes, minlength=len(self.names))
        return {name: int(count) for name, count in zip(self.names, found, strict=True)}


@dataclass(frozen=True)
class DatasetIndex:
    """The items of a dataset's file.

    Attributes:
        path: the file.
        trace_ids: of the items, in their order.
        categories: of each.
        offsets: where each begins, in bytes; int64 of shape (items,).
    """

    path: Path
    trace_ids: list[str]
    categories: Labels
    offsets: np.ndarray

    @classmethod
    def read(cls, path: Path) -> DatasetIndex:
        """The index of a file whose items were checked when it was frozen or judged."""
        trace_ids, categories, offsets = list[str](), list[str](), list[int]()
        offset = 0
        with path.open("rb") as file:
            for line in file:
                value = json.loads(line)
                trace_ids.append(value["trace_id"])
                categories.append(value["category"])
                offsets.append(offset)
                offset += len(line)
        return cls(path, trace_ids, Labels.of(categories), np.array(offsets, np.int64))

    def items(self, places: Iterable[int]) -> list[Item]:
        """Some items.

        Args:
            places: their positions.

        Raises:
            IntegrityError: the file was changed or removed since it was read.
        """
        found = []
        try:
            with self.path.open("rb") as file:
                for place in places:
                    file.seek(int(self.offsets[place]))
                    value = json.loads(file.readline())
                    found.append(parse_line(value, f"{self.path}:{place + 1}", Item))
        except (OSError, ValueError, InputError) as error:
            raise IntegrityError(
                f"{self.path}: was changed or removed while it was shown ({error})."
            ) from error
        return found

    def with_text(self, text: str, prompt: ResolvedPrompt = NO_SETTINGS) -> Places:
        """The items whose id, turns as the model got them, or right answers contain a text, in whatever case.

        Args:
            text: what is looked for.
            prompt: what the model was shown beside the item: system text, examples, instruction.
        """
        wanted = text.lower()
        instruction, system = (each or "" for each in (prompt.config.instruction, prompt.config.system))
        examples = [turn["content"] for turn in shown_examples(prompt)]
        if any(wanted in each.lower() for each in (instruction, *examples)):  # every item has these
            return np.arange(len(self.trace_ids), dtype=np.int64)
        in_system, found = wanted in system.lower(), []
        with self.path.open("rb") as file:
            for place, line in enumerate(file):
                plain = line.decode()
                # an escape may hide it
                if not in_system and wanted not in plain.lower() and "\\" not in plain:
                    continue
                if any(wanted in each.lower() for each in _texts(json.loads(plain), system)):
                    found.append(place)
        return np.array(found, np.int64)


def _texts(item: Mapping[str, Any], system: str) -> Iterator[str]:
    """What a person would look for in a line of a dataset; `system` is of items without a system text."""
    answers, turns = item["final_answer"], item.get("messages") or ()
    yield item["trace_id"]
    yield item.get("prompt") or ""
    yield item.get("system") or ("" if turns and turns[0]["role"] == "system" else system)
    yield from (turn["content"] for turn in turns)
    yield from [answers] if isinstance(answers, str) else answers


@dataclass(frozen=True)
class AnswerIndex:
    """The answers of a finished run.

    Attributes:
        run: its row, with documents.
        scores: float64 of shape (items,).
        rungs: where in its text each answer was found.
        cut: which were cut off; bool of shape (items,).
        bands: the difficulty of each; None where the dataset has no bands.
    """

    run: Run
    scores: np.ndarray
    rungs: Labels
    cut: np.ndarray
    bands: Labels | None

    @classmethod
    def read(cls, run: Run, dataset: DatasetIndex, registry: Registry) -> AnswerIndex:
        """The index of a finished run."""
        rows = list(scores_and_rungs(registry.database, run.run_id))
        gone = frozenset((run.predictions_meta or {}).get(CUT_OFF, ()))
        bands: dict[str, str] = (run.manifest.get("dataset") or {}).get("bands") or {}
        return cls(
            run=run,
            scores=np.array([score for score, _ in rows], np.float64),
            rungs=Labels.of(rung or NONE for _, rung in rows),
            cut=np.array([trace_id in gone for trace_id in dataset.trace_ids], np.bool_),
            bands=Labels.of(bands.get(trace_id, NONE) for trace_id in dataset.trace_ids) if bands else None,
        )

    @property
    def prompt(self) -> ResolvedPrompt:
        """What the model was shown beside each item."""
        return recorded_prompt(self.run.manifest)

    def with_text(self, text: str, registry: Registry) -> Places:
        """The items whose answer contains a text, in whatever case."""
        return np.array(answers_with(registry.database, self.run.run_id, text), np.int64)


class ItemFilter(Record):
    """Which items are looked for; empty stands for any.

    Attributes:
        show: with two runs better, worse or same; with one right or wrong; all is any, too.
        category: of the item.
        band: its difficulty.
        before: rung of the baseline's answer.
        after: rung of the candidate's, or of the one run's.
        cut: whose answer was cut off: yes for any of them, the baseline's, the candidate's; or no.
        text: what item or answers contain.
    """

    show: Literal["", "all", "better", "worse", "same", "right", "wrong"] = ""
    category: str = ""
    band: str = ""
    before: str = ""
    after: str = ""
    cut: Literal["", "yes", "baseline", "candidate", "no"] = ""
    text: str = ""

    def fits(self, dataset: DatasetIndex, answers: Sequence[AnswerIndex]) -> np.ndarray:
        """Which items fit all but the text, bool of shape (items,).

        Args:
            dataset: of the items.
            answers: of the baseline and the candidate, or of one run.
        """
        first, last = answers[0], answers[-1]
        found = _shown(self.show, first, last)
        if self.category:
            found &= dataset.categories.are(self.category)
        if self.band:
            found &= last.bands.are(self.band) if last.bands else False
        if self.before:
            found &= first.rungs.are(self.before)
        if self.after:
            found &= last.rungs.are(self.after)
        if self.cut:
            either = first.cut | last.cut
            found &= {"yes": either, "no": ~either, "baseline": first.cut, "candidate": last.cut}[self.cut]
        return found


def _shown(show: str, first: AnswerIndex, last: AnswerIndex) -> np.ndarray:
    change = last.scores - first.scores
    found: dict[str, np.ndarray] = {
        **dict.fromkeys(("", ALL), np.ones(len(last.scores), np.bool_)),
        "better": change > 0,
        "worse": change < 0,
        "same": change == 0,
        "right": last.scores >= 1,
        "wrong": last.scores < 1,
    }
    return found[show]


def outcomes(first: AnswerIndex, last: AnswerIndex) -> dict[str, int]:
    """How many items each value of `ItemFilter.show` finds."""
    names = ("worse", "better", "same") if first is not last else ("wrong", "right")
    return {name: int(_shown(name, first, last).sum()) for name in (*names, ALL)}
