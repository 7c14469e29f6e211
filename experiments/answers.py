"""What a model answered: some items of a finished run, with what was asked, found and expected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.config import Record
from core.errors import InputError
from core.suggestions import did_you_mean
from core.tabular import Row, Tabular, TabularList
from core.text import counted, cut, visible
from evaluation.hints import AnswerCounts
from evaluation.metrics import Truncation
from experiments.datasets import dataset_file
from golden.datasets import read_items
from golden.prompting import recorded_prompt
from golden.rendering import conversation
from golden.schema import Item
from inference.contract import CUT_OFF
from registry import Registry, Run
from registry.tables import Prediction

CELL = 200
"""Characters of a text in a cell of a table."""


class Sample(Record):
    """One of several answers to an item. The attributes are those of `Answer`."""

    prediction: str
    score: float
    extracted: str | None
    rung: str | None = None
    reason: str

    @property
    def verdict(self) -> str:
        """What was found where, and what the judge said, in a line."""
        if self.extracted is None:
            return f"{self.reason}: no answer was found"
        where = f" ({self.rung})" if self.rung else ""
        return f"{self.reason}: found {cut(self.extracted, CELL)}{where}"


class Written(Record):
    """What one run wrote for an item, and what its judge said.

    Attributes:
        prediction: what the model wrote; of several samples one.
        score: 0 to 1; of several samples their mean.
        extracted: the answer that the judge found in it, as it compared it; None where it found none.
        rung: where in the text it found it; None where it found none, or does not say.
        reason: the judge's reason.
        cut_off: whether the completion, or that of any sample, reached max_new_tokens.
        samples: all of them, where there are several.
    """

    prediction: str
    score: float
    extracted: str | None
    rung: str | None
    reason: str
    cut_off: bool
    samples: list[Sample] | None = None

    def judged(self, which: str) -> str:
        """What was found where, and what the judge said, in a line.

        Args:
            which: of several samples the prediction is, as in "this one".
        """
        said = Sample.model_validate(self, from_attributes=True).verdict
        if self.samples is None:
            return said
        return f"{self.samples_right}; {which} {said}"

    @property
    def samples_right(self) -> str:
        """How many of several samples are right, in words."""
        samples = self.samples or []
        right = sum(sample.score >= 1 for sample in samples)
        return f"{right} of {len(samples)} samples right"


class Answer(Tabular, Written):
    """What a model answered to one item. Of several samples one is shown: the first without the full score,
    or else the first.

    Attributes:
        asked: the turns as the chat template got them, system text, examples and instruction included: each
            has `role` and `content`.
        accepted: the right answers, the reference first.
    """

    trace_id: str
    category: str
    asked: list[dict[str, str]]
    accepted: list[str]

    @property
    def verdict(self) -> str:
        """What was found where, and what the judge said, in a line.

        Example:
            >>> answer.verdict
            'wrong: found 75 (marker)'
        """
        return self.judged("this one") + (", cut off at max_new_tokens" if self.cut_off else "")

    def table_caption(self) -> str:
        """The item and its verdict."""
        return visible(f"{self.trace_id}, {self.verdict}")

    def table_rows(self) -> list[Row]:
        """One row; texts are in visible characters, and cut where they are long."""
        return [
            {
                "item": self.trace_id,
                "asked": _cell(self.asked[-1]["content"]),
                "right": _cell(" or ".join(self.accepted)),
                "found": None if self.extracted is None else _cell(self.extracted),
                "rung": self.rung,
                "reason": _cell(self.reason),
                "answer": _cell(self.prediction),
            }
        ]


def _cell(text: str) -> str:
    return visible(cut(text, CELL))


class Answers(TabularList[Answer]):
    """Some answers of a run, in dataset order."""

    def table_caption(self) -> str:
        """How many."""
        return counted(len(self), "answer")

    def table_rows(self) -> list[Row]:
        """A row per answer."""
        return [row for answer in self for row in answer.table_rows()]


def answers(
    reference: str, registry: Registry, *, wrong: int = 0, right: int = 0, items: Sequence[str] = ()
) -> Answers:
    """Some answers of a finished run: the first wrong ones, the first right ones, those of some items.

    Args:
        reference: run id, or a unique beginning or end of one.
        registry: holds the run.
        wrong: how many without the full score, at most.
        right: how many with the full score, at most.
        items: trace ids.

    Raises:
        InputError: the run is unknown, or not finished; it has no such item; or its items are not to be had.
        IntegrityError: the items were changed.

    Example:
        >>> answers("20261124-1015", registry, wrong=5)[0].verdict
        'wrong: found 75 (marker)'
    """
    run = registry.runs.finished(reference)
    rows: dict[str, Prediction] = {}
    for count, score_is_full in ((wrong, False), (right, True)):
        rows |= {
            row.trace_id: row for row in registry.runs.some_predictions(run.run_id, score_is_full, count)
        }
    if items:
        named = registry.runs.predictions_of(run.run_id, items)
        if missing := [trace_id for trace_id in items if trace_id not in named]:
            known = list(registry.runs.scores(run.run_id))
            meant = did_you_mean(missing[0], known)
            some = ", ".join(known[:3])
            raise InputError(
                f"run {run.run_id}: has no item {missing[0]}.{meant} Its items begin with {some}."
            )
        rows |= named
    dataset = dataset_file(run, registry.datasets.get(run.dataset_id), registry)
    asked = some_items(dataset, list(rows))
    gone = set((run.predictions_meta or {}).get("reached_max_new_tokens", ()))
    prompt = recorded_prompt(run.manifest)
    return Answers(
        [
            Answer(
                trace_id=row.trace_id,
                category=asked[row.trace_id].category,
                asked=conversation(asked[row.trace_id], prompt),
                accepted=asked[row.trace_id].accepted,
                **_said(row),
                score=row.score,
                cut_off=row.trace_id in gone,
            )
            for row in sorted(rows.values(), key=lambda row: row.position)
        ]
    )


def _said(row: Prediction) -> dict[str, Any]:
    """What was written and found, of several samples by the first without the full score."""
    if row.samples is None:
        fields = ("prediction", "extracted", "rung", "reason")
        return {name: getattr(row, name) for name in fields}
    samples = [Sample.model_validate(each) for each in row.samples]
    shown = next((sample for sample in samples if sample.score < 1), samples[0])
    return {**shown.model_dump(exclude={"score"}), "samples": samples}


def some_items(dataset: Path, trace_ids: Sequence[str]) -> dict[str, Item]:
    """Some items of a dataset, which is read no further than the last of them."""
    missing, found = set(trace_ids), dict[str, Item]()
    if missing:
        for item in read_items(dataset):
            if item.trace_id in missing:
                found[item.trace_id] = item
                missing.remove(item.trace_id)
                if not missing:
                    break
    return found


def count_answers(run: Run, registry: Registry) -> AnswerCounts:
    """How the completions of a finished run fared.

    Args:
        run: with its manifest.
        registry: holds its predictions.
    """
    meta: dict[str, Any] = run.predictions_meta or {}
    rungs: dict[str, tuple[int, int]] = {}
    n = right = found = empty = 0
    for each in registry.runs.counted_answers(run.run_id):
        n += each.number
        right += each.number if each.right else 0
        found += each.number if each.found else 0
        empty += each.number if each.empty else 0
        if each.rung is not None:
            before = rungs.get(each.rung, (0, 0))
            of_these = (each.number, 0) if each.right else (0, each.number)
            rungs[each.rung] = before[0] + of_these[0], before[1] + of_these[1]
    cut_ids = None if CUT_OFF in meta.get("unknown", ()) else meta.get(CUT_OFF)
    scores = registry.runs.scores(run.run_id) if cut_ids else {}
    settings = {**(run.manifest.get("generation") or {}), **(meta.get("generation") or {})}
    return AnswerCounts(
        n=n,
        right=right,
        found=found,
        empty=empty,
        cut=None if cut_ids is None else sum(scores.get(trace_id, 1.0) < 1 for trace_id in cut_ids),
        max_new_tokens=settings.get("max_new_tokens"),
        rungs=rungs,
        served=settings.get("engine") == "openai",
    )


def truncation(run: Run, registry: Registry) -> Truncation | None:
    """How many prompts and completions of a run were cut off; None where that was not recorded.

    Args:
        run: with its documents.
        registry: holds its predictions.
    """
    meta = run.predictions_meta or {}
    known = meta.keys() - set(meta.get("unknown", ()))
    if CUT_OFF not in known:
        return None
    ids, samples = meta[CUT_OFF], meta.get("cut_samples") or {}
    if samples:
        rows = registry.runs.predictions_of(run.run_id, ids)
        completions = [(rows[id_].samples or [])[place]["score"] for id_ in ids for place in samples[id_]]
    else:
        scores = registry.runs.scores(run.run_id) if ids else {}
        completions = [scores.get(id_, 1.0) for id_ in ids]
    return Truncation(
        prompts=len(meta["truncated_prompts"]) if "truncated_prompts" in known else None,
        completions=len(completions),
        completions_below_one=sum(score < 1 for score in completions),
    )
