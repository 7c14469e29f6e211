"""What a golden dataset is looked at for: each rule takes its items and names those that are wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Generic, Literal

from core.config import Record
from core.errors import InputError
from core.files import canonical_json, read_every_line
from core.progress import quiet_meter
from evaluation.gate import GateConfig
from evaluation.groups import group_of, independent
from evaluation.statistics import holm, mcnemar_exact
from golden.guard import find_near_copies
from golden.lines import Line, line_or_problems
from golden.rendering import render_completion
from golden.schema import Item
from golden.words import normalise
from judges import Judge
from judges.judging import JudgeError, judge_items
from judges.log_prob_choice import right_place

Rule = Literal[
    "not_an_item",
    "repeated_id",
    "unanswerable",
    "contradiction",
    "cut_answer",
    "copy",
    "near_copy",
    "cut_steps",
    "small_category",
]
ERRORS = frozenset[Rule]({"not_an_item", "repeated_id", "unanswerable", "contradiction", "cut_answer"})

AT_ONCE = 1000
"""How many texts are tokenized at a time."""
SHOWN = 60
"""Characters of a text that are shown."""

TokenCounter = Callable[[Sequence[str]], list[int]]


class Finding(Record):
    """One thing that is wrong with a dataset, or worth a look.

    Attributes:
        rule: what kind of thing.
        lines: of the file, from 1.
        ids: the trace_id of each of these lines; empty where they have none.
        problem: in words.
    """

    rule: Rule
    lines: list[int]
    ids: list[str]
    problem: str

    @property
    def is_error(self) -> bool:
        """Whether decisions would be wrong; else they may be weaker than they look."""
        return self.rule in ERRORS

    def where(self, shown: int = 4) -> str:
        """The lines and their ids, as in `line 4 (q-4)`; of many the first few."""
        names = [f" ({trace_id})" for trace_id in self.ids] or [""] * len(self.lines)
        places = [f"{line}{name}" for line, name in zip(self.lines, names, strict=True)]
        more = f" and {len(places) - shown} more" if len(places) > shown else ""
        return f"line{'s' if len(places) > 1 else ''} {', '.join(places[:shown])}{more}" if places else ""


@dataclass
class Lines(Generic[Line]):
    """The lines of a dataset that are items, or traces of a training set.

    Attributes:
        items: the items.
        numbers: the line of each, from 1.
    """

    items: list[Line] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    def finding(self, rule: Rule, places: Iterable[int], problem: str) -> Finding:
        """A finding about the items at these places in `items`."""
        known = list(places)
        lines, ids = [self.numbers[place] for place in known], [self.items[place].trace_id for place in known]
        return Finding(rule=rule, lines=lines, ids=ids, problem=problem)


def read_lines(path: Path, kind: type[Line]) -> tuple[Lines[Line], list[Finding]]:
    """The lines that are items, and everything that is wrong with each other one; a problem that many lines
    have is one finding.

    Args:
        path: the dataset's file.
        kind: `Item`, or `Trace` for a training set.

    Raises:
        InputError: the file cannot be read.
    """
    lines, findings = Lines[Line](), list[Finding]()
    used: dict[str, int] = {}
    unusable: dict[str, list[int]] = defaultdict(list)
    for number, value in read_every_line(path):
        if isinstance(value, InputError):
            item: Line | list[str] = [str(value).removeprefix(f"{path}:{number}: ")]
        else:
            item = line_or_problems(value, kind)
        if isinstance(item, list):
            for problem in item:
                unusable[problem].append(number)
        elif (line := used.setdefault(item.trace_id, number)) != number:
            problem = f"trace_id: {item.trace_id} was already used on line {line}"
            findings.append(Finding(rule="repeated_id", lines=[number], ids=[item.trace_id], problem=problem))
        else:
            lines.items.append(item)
            lines.numbers.append(number)
    if not used and not unusable:
        unusable["no items. A dataset has at least one."] = []
    return lines, [
        *(
            Finding(rule="not_an_item", lines=places, ids=[], problem=problem)
            for problem, places in unusable.items()
        ),
        *findings,
    ]


def said_right(item: Item, answer: str, judge: Judge) -> str:
    """What a model that knows an accepted answer would say: the completion; or for a judge that reads
    log-probabilities, that this answer is certain.
    """
    if getattr(judge, "reads", "text") == "text":
        return render_completion(item.steps, answer)
    right = right_place(item.model_copy(update={"final_answer": answer}))
    certain = {"log_prob": 0.0, "tokens": 1, "bytes": len(answer.encode()), "greedy": True}
    impossible = {**certain, "log_prob": -1e6, "greedy": False}
    places = range(len(item.offered))
    return canonical_json(
        {"choices": [certain if n == right else impossible for n in places]} if places else certain
    )


def unanswerable(lines: Lines[Item], judge: Judge) -> Iterator[Finding]:
    """Items with an accepted answer that, as the completion that a model should write, does not score 1."""
    answers = [(place, answer) for place, item in enumerate(lines.items) for answer in item.accepted]
    items = [
        lines.items[place].model_copy(update={"trace_id": f"{number}"})
        for number, (place, _) in enumerate(answers)
    ]
    written = {
        item.trace_id: said_right(item, answer, judge)
        for item, (_, answer) in zip(items, answers, strict=True)
    }
    try:
        for score in judge_items(items, written, judge):
            if score.score < 1:
                place, answer = answers[int(score.trace_id)]
                seen = (
                    "finds no answer in it" if score.extracted is None else f"reads {quoted(score.extracted)}"
                )
                scored = f"{quoted(answer)}, written out, scores {score.score:g}"
                problem = f"{scored}: the judge {seen} ({score.reason})"
                yield lines.finding("unanswerable", [place], problem)
    except JudgeError as error:
        for number, problem in error.failures.items():
            place, answer = answers[int(number)]
            yield lines.finding(
                "unanswerable", [place], f"{quoted(answer)}: the judge fails on it: {problem}"
            )


def same_prompts(lines: Lines[Item], judge: Judge) -> Iterator[Finding]:
    """Equal prompts under equal system text: a contradiction where the judge would take no accepted answer of
    one for one of the other, else copies.
    """
    asked: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, item in enumerate(lines.items):
        asked[normalise(item.question), normalise(item.system_text or "")].append(place)
    for places in asked.values():
        if len(places) == 1:
            continue
        different = list({tuple(lines.items[place].accepted): place for place in reversed(places)}.values())
        contradicting: tuple[int, ...] = next(
            (
                (one, other)
                for one, other in combinations(reversed(different), 2)
                if not _agree(lines.items[one], lines.items[other], judge)
            ),
            (),
        )
        question = quoted(lines.items[places[0]].question)
        if not contradicting:
            yield lines.finding("copy", places, question)
        else:
            answers = " and ".join(quoted(lines.items[place].reference) for place in contradicting)
            order = [*contradicting, *(place for place in places if place not in contradicting)]
            yield lines.finding("contradiction", order, f"{question} is answered {answers}")


def _agree(first: Item, second: Item, judge: Judge) -> bool:
    if not set(first.accepted).isdisjoint(second.accepted):
        return True
    items = [first.model_copy(update={"trace_id": f"{number}"}) for number in range(len(second.accepted))]
    answers = {
        f"{number}": said_right(second, answer, judge) for number, answer in enumerate(second.accepted)
    }
    try:
        return any(score.score == 1 for score in judge_items(items, answers, judge))
    except JudgeError:
        return False


def near_copies(lines: Lines[Item]) -> Iterator[Finding]:
    """Prompts that nearly repeat other ones of no common group. See `find_near_copies`."""
    place = {item.trace_id: number for number, item in enumerate(lines.items)}
    for overlap in find_near_copies(lines.items):
        earlier, later = place[overlap.golden_id], place[overlap.train_id]
        group = lines.items[earlier].group
        if group is None or group != lines.items[later].group:
            if overlap.kind == "contained":
                problem = f"{quoted(lines.items[earlier].question)} is whole inside the other one"
            else:
                problem = f"{100 * overlap.share:.0f} % of the 8-grams are the same: {quoted(overlap.shared)}"
            yield lines.finding("near_copy", sorted((earlier, later)), problem)


def too_long(lines: Lines[Item], count: TokenCounter, longest: int) -> Iterator[Finding]:
    """References of more tokens than a model may write: with their steps, or even the answer alone.

    Args:
        lines: the items.
        count: tokens of each text, the end-of-sequence token not counted.
        longest: max_new_tokens.
    """
    meter = quiet_meter("count tokens", len(lines.items), "items")
    for start in range(0, len(lines.items), AT_ONCE):
        items = lines.items[start : start + AT_ONCE]
        whole = count([render_completion(item.steps, item.reference) for item in items])
        cut = [place for place, tokens in enumerate(whole) if tokens + 1 > longest]
        answers = count([render_completion([], items[place].reference) for place in cut])
        for place, answer in zip(cut, answers, strict=True):
            if answer + 1 > longest:
                yield lines.finding("cut_answer", [start + place], f"{answer + 1} tokens without any step")
            else:
                yield lines.finding("cut_steps", [start + place], f"{whole[place] + 1} tokens")
        meter.update(start + len(items))


def small_categories(lines: Lines[Item], level: float | None = None) -> Iterator[Finding]:
    """Categories in which not even a fall of every item would be significant, by the rule of the gate.

    Args:
        lines: the items.
        level: of the rule; by default the gate's.
    """
    level = GateConfig().category_alpha if level is None else level
    groups = group_of(lines.items)
    places: dict[str, list[int]] = defaultdict(list)
    for place, item in enumerate(lines.items):
        places[item.category].append(place)
    needed = 1
    while holm([mcnemar_exact(gained=0, lost=needed), *[1.0] * (len(places) - 1)])[0] >= level:
        needed += 1
    for category, here in sorted(places.items()):
        count = independent([lines.items[place].trace_id for place in here], groups)
        if count < needed:
            problem = f"{category}: has {count} independent items, needs {needed}"
            yield lines.finding("small_category", here, problem)


def quoted(text: str) -> str:
    """A text in quotation marks on one line; of a long one the beginning."""
    line = " ".join(text.split()) if "\n" not in text.strip() else text.replace("\n", "\\n")
    return f'"{line[:SHOWN]}{"..." if len(line) > SHOWN else ""}"'
