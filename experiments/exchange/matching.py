"""Which row answers which item. Every item exactly once, or nothing is taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from core.config import Record
from core.text import cut, visible
from experiments.exchange.rows import Answered
from golden.chat_template import plain_text
from golden.prompting import ResolvedPrompt
from golden.rendering import conversation
from golden.schema import Item

By = Literal["trace_id", "prompt", "order"]
Proof = Literal["text", "turns"]
SHOWN = 60
"""Characters of an id or a prompt that a reason quotes."""


class Refusal(Record):
    """A row or an item that keeps a file from being taken.

    Attributes:
        where: the row, as in `line 12`; or the item.
        reason: why, in words.
    """

    where: str
    reason: str


@dataclass
class Matched:
    """What was found about the rows of a file.

    Attributes:
        by: how rows were matched to items.
        samples: how many texts each item should have.
        taken: trace_id -> its row, in dataset order; one of several rows where each is a sample.
        missing: items without a row.
        uneven: items with another number of texts.
        doubled: rows of items that an earlier row answers.
        unknown: rows of no item.
        bad: rows without a prediction.
    """

    by: By
    samples: int = 1
    taken: dict[str, Answered] = field(default_factory=dict)
    missing: list[Refusal] = field(default_factory=list)
    uneven: list[Refusal] = field(default_factory=list)
    doubled: list[Refusal] = field(default_factory=list)
    unknown: list[Refusal] = field(default_factory=list)
    bad: list[Refusal] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether every item has as many predictions as all others, each once, and there is nothing else."""
        return not (self.missing or self.uneven or self.doubled or self.unknown or self.bad)


Find = Callable[[int, Answered], str | None]
"""From a row and its number to the item that it answers."""
Rows = dict[int | None, Answered]
"""The rows of an item, by the numbers of their samples."""


def match(
    rows: Sequence[Answered],
    items: Sequence[Item],
    instruction: str | None = None,
    samples: int | None = None,
) -> Matched:
    """Match rows to items: by trace_id; else by equal prompts; else by their order, where there are as many
    rows as items and each row holds its item's question. Rows of one item that are numbered as its samples
    become one.

    Args:
        rows: of the file.
        items: the dataset.
        instruction: what was appended to each prompt.
        samples: how many texts of each item were asked for; None where nobody says it, and each has to have
            as many as most.
    """
    ways: dict[By, Callable[[], Find | None]] = {
        "trace_id": lambda: _by_id(items),
        "prompt": lambda: _by_prompt(items, instruction),
        "order": lambda: _by_order(rows, items),
    }
    found: list[Matched] = []
    for by, way in ways.items():
        if (find := way()) is not None:
            found.append(_matched(by, find, rows, items, samples))
            if found[-1].is_whole:
                return found[-1]
    return max(found, key=lambda each: len(each.taken))  # the first of equals


def _matched(
    by: By, find: Find, rows: Sequence[Answered], items: Sequence[Item], samples: int | None
) -> Matched:
    made = Matched(by)
    claimed: dict[str, Rows] = {}
    spoilt: set[str | None] = set()  # items of rows that are bad; nothing more is said of them
    known = {item.trace_id: item for item in items}
    for number, row in enumerate(rows):
        trace_id = find(number, row)
        problem, twin = row.problem, None
        if trace_id is not None:
            first, twin = _before(row, claimed.get(trace_id, {}))
            problem = problem or _asked_otherwise(row, known[trace_id], None if twin else first)
        if problem is not None:
            of = f" (item {trace_id})" if trace_id else ""
            made.bad.append(Refusal(where=row.where + of, reason=problem))
            spoilt.add(trace_id)
        elif trace_id is None:
            made.unknown.append(Refusal(where=row.where, reason=_why_unknown(by, row)))
        elif twin is not None:
            reason = f"answers item {trace_id}, as {twin.where} does"
            made.doubled.append(Refusal(where=row.where, reason=reason))
        else:
            claimed.setdefault(trace_id, {})[row.sample] = row
    for place, item in enumerate(items, start=1):
        if item.trace_id in spoilt:
            continue
        if item.trace_id in claimed:
            made.taken[item.trace_id] = _joined(claimed[item.trace_id])
        else:
            reason = f"number {place} of the dataset has no row"
            made.missing.append(Refusal(where=f"item {item.trace_id}", reason=reason))
    _count_samples(made, claimed, samples)
    return made


def _before(row: Answered, rows: Rows) -> tuple[Answered | None, Answered | None]:
    """The first row of an item, and the one that answers what this one does: numbers tell samples apart, and
    a list of them is all.
    """
    first = next(iter(rows.values()), None)
    if first is None:
        return None, None
    numbered = all(each.sample is not None and len(each.predictions) < 2 for each in (first, row))
    return first, rows.get(row.sample) if numbered else first


def _numbers(rows: Rows) -> list[int]:
    return sorted(number for number in rows if number is not None)


def _joined(rows: Rows) -> Answered:
    """The rows of an item as one, with its samples in the order of their numbers."""
    first, *others = rows.values()
    if not others:
        return first
    in_order = [rows[number] for number in _numbers(rows)]
    return replace(
        first,
        sample=None,
        predictions=tuple(text for row in in_order for text in row.predictions),
        cut_off=tuple(cut for row in in_order for cut in row.cut_off),
    )


def _count_samples(made: Matched, claimed: Mapping[str, Rows], wanted: int | None) -> None:
    """Note how many texts each item should have, and which items have others."""
    counts = Counter(len(row.predictions) for row in made.taken.values())
    most = counts.most_common(1)[0][0] if counts else 1
    made.samples = most if wanted is None else wanted
    start = 0 if any(0 in rows for rows in claimed.values()) else 1
    numbers = list(range(start, start + made.samples))
    for trace_id, row in made.taken.items():
        rows, count, problem = claimed[trace_id], len(row.predictions), None
        if count != made.samples:
            why = "most items have" if wanted is None else "was asked for"
            problem = f"has {count} sample{'s' if count > 1 else ''}, not {made.samples} as {why}"
        elif len(rows) > 1 and (found := _numbers(rows)) != numbers:
            shown = cut(", ".join(map(str, found)), SHOWN)
            problem = f"has the samples {shown}, not {start} to {numbers[-1]}"
        if problem is not None:
            made.uneven.append(Refusal(where=f"item {trace_id}", reason=problem))


def _why_unknown(by: By, row: Answered) -> str:
    if by == "trace_id":
        if row.id is None:
            return "has no id"
        return f"{visible(cut(row.id, SHOWN))} is no item of the dataset"
    return "its prompt is that of no item"


def _by_id(items: Sequence[Item]) -> Find:
    known = {item.trace_id for item in items}
    return lambda _, row: row.id if row.id in known else None


def _by_prompt(items: Sequence[Item], instruction: str | None) -> Find:
    questions = [_question(item) for item in items]
    often = Counter(questions)
    unique = {
        question: item.trace_id
        for question, item in zip(questions, items, strict=True)
        if often[question] == 1
    }
    sizes = sorted({len(question) for question in unique}, reverse=True)

    def find(_: int, row: Answered) -> str | None:
        for text in _asked(row, instruction):
            for size in sizes:  # the longest question that it ends with, on a line of its own
                begins = size == len(text) or text[-size - 1 : -size] == "\n"
                if begins and size <= len(text) and (trace_id := unique.get(text[-size:])) is not None:
                    return trace_id
        return next((unique[text.strip()] for text in row.texts if text.strip() in unique), None)

    return find


def _by_order(rows: Sequence[Answered], items: Sequence[Item]) -> Find | None:
    """By the number that a row gives, else by its own among those of its sample; None where the prompts do
    not agree.
    """
    numbered = len(rows) > len(items)
    samples = [row.sample if numbered else None for row in rows]
    seen, places = Counter[int | None](), list[int]()
    for sample, row in zip(samples, rows, strict=True):
        places.append(seen[sample] if row.place is None else row.place)
        seen[sample] += 1
    each_once = len(set(zip(samples, places, strict=True))) == len(rows)
    if not each_once or max(places) >= len(items) or any(count != len(items) for count in seen.values()):
        return None
    for place, row in zip(places, rows, strict=True):
        question = _question(items[place])
        if not any(_holds(text, question) for text in (*_asked(row, None), *row.texts)):
            return None
    return lambda number, _: items[places[number]].trace_id


def _question(item: Item) -> str:
    return item.turns[-1].content.strip()


def _holds(text: str, question: str) -> bool:
    """Whether a text holds a question, not as the rest of a longer word; white space counts as one space."""
    text, question = " ".join(text.split()), " ".join(question.split())
    place = text.find(question)
    while question and place >= 0:
        before, after = text[place - 1 : place + 1], text[place + len(question) - 1 :][:2]
        if not (place and before.isalnum()) and not (len(after) == 2 and after.isalnum()):
            return True
        place = text.find(question, place + 1)
    return not question


def _asked_otherwise(row: Answered, item: Item, first: Answered | None) -> str | None:
    """What is wrong with a row's prompt: it does not hold the item's question, or another sample of the item
    has another one. Nothing is where a row has none.
    """
    if first is not None and row.asked != first.asked:
        return f"was asked otherwise than {first.where}"
    if first is not None or row.asked is None:  # whose own was looked at
        return None
    texts = [row.asked] if isinstance(row.asked, str) else [turn["content"] for turn in row.asked]
    holds = any(_holds(text, _question(item)) for text in texts)
    return None if holds else "its prompt does not hold the item's question"


def _asked(row: Answered, instruction: str | None) -> Iterator[str]:
    """What a row's model was asked last, without the instruction behind it."""
    if row.asked is None:
        return
    text = row.asked if isinstance(row.asked, str) else row.asked[-1]["content"]
    text = text.strip()
    yield (text.removesuffix(instruction.strip()).strip() if instruction else text)


def proved(
    taken: Mapping[str, Answered], items: Iterable[Item], prompt: ResolvedPrompt
) -> tuple[Proof | None, str | None]:
    """Whether every prompt of a file is what these settings make of its item: as the text that a model
    without a chat template gets, or as the turns that a template gets.

    Args:
        taken: trace_id -> its row.
        items: the dataset.
        prompt: how the model was asked, as far as it is known.

    Returns:
        What proves it, None where nothing does; and the first item that was asked otherwise: in other turns,
        or in a text that is not these turns with what a template puts around them, which is the same for
        every item.
    """
    proofs: set[Proof | None] = set()
    frames: dict[int, list[str]] = {}
    for item in items:
        asked, turns = taken[item.trace_id].asked, conversation(item, prompt)
        if isinstance(asked, str):
            is_plain = asked == plain_text(turns)
            proofs.add("text" if is_plain else None)
            if not is_plain:
                frame = _around(asked, [turn["content"] for turn in turns])
                if frame is None or frames.setdefault(len(turns), frame) != frame:
                    return None, item.trace_id
        elif asked is None:
            proofs.add(None)
        elif asked == turns:
            proofs.add("turns")
        else:
            return None, item.trace_id
    return (proofs.pop() if len(proofs) == 1 else None), None


def _around(text: str, contents: Sequence[str]) -> list[str] | None:
    """What of a text stands around these, which it holds in this order; None where it does not."""
    found: list[str] = []
    for content in contents:
        before, inside, text = text.partition(content.strip())
        if not inside and content.strip():
            return None
        found.append(before.strip())
    return [*found, text.strip()]
