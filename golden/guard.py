"""The contamination guard: are golden items in the training set? Then a gain would be memory, not skill."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field
from pydantic.dataclasses import dataclass

from core.progress import quiet_meter
from golden.schema import Item, Trace
from golden.stretches import Column, Hashes, Numbers, Table, Texts, distinct, hashes_of, table_of
from golden.words import (
    AFTER,
    BEFORE,
    LINE_END,
    PUNCTUATION,
    borders,
    joined,
    pieces,
    read_otherwise,
)

RULE = "guard@v3"
"""Name of this rule, which recorded results bear; a change that can change a result changes it."""
NGRAM = 8
"""Words in an n-gram; 8 as in PaLM (Chowdhery et al. 2022, arXiv:2204.02311, section 8.4)."""
SHARE = 0.7
"""A training item with this share of a golden prompt's 8-grams holds the prompt; as in PaLM, too."""
BOILERPLATE = 3
"""An n-gram that more than this many golden prompts share is their common instruction, not their content."""
SHORTEST = 2
"""A prompt of fewer tokens, such as `Yes`, is inside so many texts that it means nothing."""
FREE = 3
"""A prompt of fewer words, numbers and signs is looked for inside texts with its punctuation."""
TEMPLATE = 20
"""Within a set, items that resemble each other are worth a look unless so many share an 8-gram."""
BATCH = 1 << 18
"""About how many tokens are compared at a time."""
CANDIDATES = 1 << 20
"""How many places where a golden prompt may be are looked at at a time."""

Kind = Literal["exact", "normalised", "contained", "ngram", "twin"]


@dataclass(frozen=True, slots=True)  # a third of the memory of a model: a large set has many twins
class Overlap:
    """One training item that overlaps with one golden item.

    Attributes:
        train_id: trace_id of the training item.
        golden_id: trace_id of the golden item.
        kind: `exact`: the same prompt; `normalised`: the same words, numbers and signs
            (`golden.words.normalise`); `contained`: the golden prompt, so compared, is whole inside the
            training item's prompt, steps and answer; `ngram`: at least `SHARE` of the golden prompt's 8-grams
            are in there; `twin`: fewer are.
        shared: the prompt, or the longest run of words in common.
        share: how much of the golden prompt's own 8-grams the training item has; 1 where it has the prompt.
    """

    train_id: str
    golden_id: str
    kind: Kind
    shared: str
    share: float = Field(default=1.0, gt=0, le=1)

    @property
    def refuses(self) -> bool:
        """Whether the golden item is in the training set. A twin resembles it, and is shown, no more."""
        return self.kind != "twin"


def find_overlaps(train: Iterable[Item | Trace], golden: Iterable[Item]) -> Iterator[Overlap]:
    """Find training items that hold golden prompts, and those that resemble them.

    Golden prompts are compared with the whole training text (every turn of a conversation, taught or not,
    system text, steps, answers), since a golden question quoted in a worked step leaks just as well. Of a
    golden prompt's 8-grams only those count that at most `BOILERPLATE` golden prompts have. Where most of
    them do not count, the few that are left, at the border of a template, are no evidence: to hold the prompt
    a text must then share at least eight.

    Memory grows with the golden set only, by about 12 bytes for each of its 8-grams, so the training set may
    be of any length.

    Args:
        train: training items, or whatever else a model is shown.
        golden: the items the model will be judged on.

    Yields:
        At most one overlap for each training item, in their order: of the strongest kind, then of the longest
        prompt or the largest share, then of the first golden item.

    Example:
        >>> asked = Item(trace_id="g", prompt="What is 4 + 3?", steps=[], final_answer="7", category="sums")
        >>> learned = asked.model_copy(update={"trace_id": "t", "prompt": "what is  4 + 3?"})
        >>> [(overlap.kind, overlap.golden_id) for overlap in find_overlaps([learned], [asked])]
        [('normalised', 'g')]
    """
    prompts = _GoldenPrompts(golden)
    rest = iter(train)
    while batch := list(_batch(rest)):
        yield from _overlaps(prompts, batch)


def find_near_copies(items: Sequence[Item]) -> Iterator[Overlap]:
    """Find items of one dataset whose prompts nearly repeat other ones: at least `SHARE` of the 8-grams of
    either prompt are in the other one, or one of fewer than eight words, which has no 8-grams, is whole
    inside the other one. Equal prompts are left out, and those that are inside more than `TEMPLATE` others.

    Args:
        items: a dataset.

    Yields:
        At most one overlap for each item, as `train_id`; `golden_id` is the earlier one (`ngram`), or the
        one inside it, wherever that stands (`contained`).
    """
    held_in = Counter[str]()
    found = list(_near_copies(items))
    held_in.update(overlap.golden_id for overlap in found if overlap.kind == "contained")
    yield from (each for each in found if each.kind == "ngram" or held_in[each.golden_id] <= TEMPLATE)


def _near_copies(items: Sequence[Item]) -> Iterator[Overlap]:
    prompts = _GoldenPrompts(items, most=TEMPLATE)
    rest = iter(items)
    first = 0
    meter = quiet_meter("look for copies", len(items), "items")
    while batch := list(_batch(rest, prompts_only=True)):
        texts = _Batch(batch)
        found = {text: overlap for text, overlap in _resembling(prompts, texts, first) if overlap.refuses}
        for text, overlap in _contained(prompts, texts, within=True):
            found.setdefault(text, overlap)
        yield from (found[text] for text in sorted(found))
        first += len(batch)
        meter.update(first)


class _Text(NamedTuple):
    """An item and the tokens of its text, of which the first `asked` are its prompt's."""

    item: Item | Trace
    tokens: list[str]
    asked: int


def _batch(items: Iterator[Any], prompts_only: bool = False) -> Iterator[_Text]:
    size = 0
    while size < BATCH and (item := next(items, None)) is not None:
        question = item.question
        prompt = pieces(question)
        found = prompt
        if not prompts_only:
            text = "\n".join(_beside_the_question(item))
            found = [*prompt, LINE_END, *pieces(text)]
            for other in read_otherwise(f"{question}\n{text}"):
                found += [LINE_END, *pieces(other)]
        size += len(found) + 1
        yield _Text(item, found, len(prompt))


def _beside_the_question(item: Item | Trace) -> Iterator[str]:
    """Everything that an item says beside its question."""
    yield from item.steps
    yield from item.accepted
    if isinstance(item, Trace) and item.completion is not None:
        yield item.completion
    if item.messages and item.messages[-1].role == "assistant":
        yield item.messages[-1].content
    if (system := item.system_text) is not None:
        yield system


class _Batch:
    """Some texts, as they are compared.

    Attributes:
        texts: what they are made of.
        content: their words, numbers and signs.
    """

    def __init__(self, texts: list[_Text]) -> None:
        self.texts = texts
        every = Texts([text.tokens for text in texts])
        self.content = every.without(_known(PUNCTUATION))
        self._every = every

    @cached_property
    def strict(self) -> Texts:
        """With their punctuation, too."""
        return self._every.without(_known(frozenset({LINE_END})))

    @cached_property
    def prompts(self) -> _Prompts:
        """What they ask."""
        asked = np.fromiter((text.asked for text in self.texts), np.int64, len(self.texts))
        return _Prompts(self._every.beginnings(asked))

    def shown(self, texts: Texts, text: int, first: int, size: int) -> str:
        """Some tokens of a text, as a person reads them.

        Args:
            texts: `content` or `strict`.
            text: its number.
            first: the place there of the first token.
            size: how many.
        """
        places = texts.places[first : first + size] - self._every.starts[text]
        return joined([self.texts[text].tokens[place] for place in places.tolist()])

    def borders(self, text: int) -> tuple[list[bool], list[bool]]:
        """Where an expression may begin and end in the content of a text."""
        if text not in self._borders:
            self._borders[text] = borders(self.texts[text].tokens)
        return self._borders[text]

    @cached_property
    def _borders(self) -> dict[int, tuple[list[bool], list[bool]]]:
        return {}


class _Prompts:
    """Some prompts, as `normalise` has them.

    Args:
        every: all their tokens.

    Attributes:
        content: their words, numbers and signs.
        strict: with their punctuation, too.
        first: where in `content` what is compared of each begins.
        size: how many tokens that has.
    """

    def __init__(self, every: Texts) -> None:
        self.content = every.without(_known(PUNCTUATION))
        self.strict = every.without(_known(frozenset({LINE_END})))
        self.first, self.size = self.content.starts.copy(), self.content.sizes.copy()
        self._trim(BEFORE, lambda: self.first, forward=1)
        self._trim(AFTER, lambda: self.first + self.size - 1, forward=0)

    def _trim(self, signs: frozenset[str], place: Callable[[], Numbers], forward: int) -> None:
        known = _known(signs).keys
        while True:
            # at least one token is left of each, so that every place is one
            cut = (self.size > 0) & np.isin(self.content.hashes[np.maximum(place(), 0)], known)
            if not cut.any():
                return
            self.size -= cut
            self.first += forward * cut

    def compared(self) -> Hashes:
        """The hash of each as it is compared."""
        content = self.content.stretches(self.first, self.size)
        every = self.strict.stretches(self.strict.starts, self.strict.sizes)
        return np.where(self.size > 0, content, every)


def _as_written(batch: list[_Text]) -> Hashes:
    """The hash of each prompt, character for character."""
    return hashes_of([text.item.question for text in batch])


@cache
def _known(signs: frozenset[str]) -> Table:
    return table_of(hashes_of(list(signs)), np.arange(len(signs)))


class _Whole(NamedTuple):
    """What is looked for as a whole: by the first tokens of each prompt, up to 8 of them, how many tokens the
    prompts have that begin so; and the number of each prompt by all its tokens.
    """

    beginnings: dict[int, Table]
    prompts: Table


class _GoldenPrompts:
    """What is looked up in training texts: golden prompts as they are written and as they are compared, what
    is whole inside others, and their 8-grams. A golden item's number is its place in the dataset.

    Attributes:
        ids: trace ids by number.
        all_ngrams: how many different 8-grams each prompt has.
        own_ngrams: how many of them are nobody's boilerplate.
    """

    def __init__(self, golden: Iterable[Item], most: int = BOILERPLATE) -> None:
        self.ids: list[str] = []
        columns: dict[str, Column] = {}
        rest = iter(golden)
        batch = None
        while batch != []:  # the empty batch after the last one gives its columns, too
            batch = list(_batch(rest, prompts_only=True))
            for name, column in self._read(batch).items():
                columns.setdefault(name, Column(column.dtype)).extend(column)

        def whole(name: str) -> npt.NDArray[Any]:
            return columns.pop(name).whole()

        self.written = table_of(whole("written"), np.arange(len(self.ids)))
        compared = whole("compared")
        first = np.zeros(len(self.ids), bool)  # of equal prompts the first one stands for all
        first[np.unique(compared, return_index=True)[1]] = True
        self.compared = table_of(compared[first], np.flatnonzero(first))
        size = whole("size")
        free = size >= FREE
        self.content = _Whole(dict(_by_beginning(whole("beginning")[free], size[free])), self.compared)
        written = whole("strict")  # of short prompts, those that differ in punctuation alone are two
        short = np.flatnonzero(~free)
        short = short[np.sort(np.unique(written[short], return_index=True)[1])]
        self.strict = _Whole(
            dict(_by_beginning(whole("strict_beginning")[short], whole("strict_size")[short])),
            table_of(written[short], short),
        )
        self.all_ngrams: Numbers = whole("ngrams")
        kept = first[columns["owner"].whole()]
        self.ngrams = table_of(whole("ngram")[kept], whole("owner")[kept], most=most)
        self.own_ngrams: Numbers = np.bincount(self.ngrams.values, minlength=len(self.ids))

    def _read(self, batch: list[_Text]) -> dict[str, npt.NDArray[Any]]:
        prompts = _Prompts(Texts([text.tokens for text in batch]))
        content, strict = prompts.content, prompts.strict
        ngrams = content.windows(NGRAM)
        owners = content.text_of(np.arange(len(ngrams)))
        inside = np.arange(len(ngrams)) + NGRAM <= content.starts[owners] + content.sizes[owners]
        ngrams, owners = ngrams[inside], owners[inside]
        order = np.lexsort((ngrams, owners))
        ngrams, owners = ngrams[order], owners[order]
        new = distinct(owners, ngrams)
        first = len(self.ids)
        self.ids += [text.item.trace_id for text in batch]
        return {
            "written": _as_written(batch),
            "compared": prompts.compared(),
            "beginning": content.stretches(prompts.first, np.minimum(prompts.size, NGRAM)),
            "size": prompts.size,
            "strict": strict.stretches(strict.starts, strict.sizes),
            "strict_beginning": strict.stretches(strict.starts, np.minimum(strict.sizes, NGRAM)),
            "strict_size": strict.sizes,
            "ngrams": np.bincount(owners[new], minlength=len(batch)),
            "ngram": ngrams[new],
            "owner": (owners[new] + first).astype(np.int32),
        }


def _by_beginning(beginnings: Hashes, sizes: Numbers) -> Iterator[tuple[int, Table]]:
    """For each number of tokens up to 8: the sizes of the prompts that begin with so many given ones."""
    order = np.lexsort((sizes, beginnings))
    beginnings, sizes = beginnings[order], sizes[order]
    new = distinct(beginnings, sizes) & (sizes >= SHORTEST)
    beginnings, sizes = beginnings[new], sizes[new]
    for length in range(SHORTEST, NGRAM + 1):
        here = np.minimum(sizes, NGRAM) == length
        if here.any():
            yield length, table_of(beginnings[here], sizes[here])


def _overlaps(golden: _GoldenPrompts, texts: list[_Text]) -> Iterator[Overlap]:
    """The strongest overlap of each text, in their order."""
    batch = _Batch(texts)
    found: dict[int, Overlap] = {}
    for way in (_equal, _contained, _resembling):
        for text, overlap in way(golden, batch):
            found.setdefault(text, overlap)
    for text in sorted(found):
        yield found[text]


Ways = Iterator[tuple[int, Overlap]]
"""Overlaps by the number of the text in its batch."""


def _equal(golden: _GoldenPrompts, batch: _Batch) -> Ways:
    ways: tuple[tuple[Kind, Table, Hashes], ...] = (
        ("exact", golden.written, _as_written(batch.texts)),
        ("normalised", golden.compared, batch.prompts.compared()),
    )
    for kind, table, hashes in ways:
        for place, number in zip(*table.find(hashes), strict=True):
            text = batch.texts[place]
            yield int(place), _overlap(golden, text, number, kind, text.item.question)


def _contained(golden: _GoldenPrompts, batch: _Batch, within: bool = False) -> Ways:
    """With `within`, the texts are the prompts themselves: only those without 8-grams are looked for, in
    others.
    """
    own = np.full((len(batch.texts), 2), -1)
    if within:
        strict = batch.prompts.strict
        every = strict.stretches(strict.starts, strict.sizes)
        known = (golden.compared, batch.prompts.compared()), (golden.strict.prompts, every)
        for column, (prompts, hashes) in enumerate(known):
            places, numbers = prompts.find(hashes)
            own[places, column] = numbers
    for length, beginnings in reversed(golden.content.beginnings.items()):
        if within and length == NGRAM:
            continue
        windows = batch.content.windows(length)
        rows = [_empty(), *_wholes(golden.content, batch.content, windows, beginnings, own, batch)]
        yield from _told(golden, batch, np.concatenate(rows), strict=False)
    for length, beginnings in reversed(golden.strict.beginnings.items()):
        windows = batch.strict.windows(length)
        rows = [_empty(), *_wholes(golden.strict, batch.strict, windows, beginnings, own)]
        yield from _told(golden, batch, np.concatenate(rows), strict=True)


def _empty() -> Numbers:
    return np.empty((0, 4), np.int64)


def _told(golden: _GoldenPrompts, batch: _Batch, rows: Numbers, strict: bool) -> Ways:
    owners, places, sizes, numbers = rows.T
    texts = batch.strict if strict else batch.content
    for row in _best(owners, -sizes, numbers):
        shared = batch.shown(texts, int(owners[row]), int(places[row]), int(sizes[row]))
        text = batch.texts[owners[row]]
        yield int(owners[row]), _overlap(golden, text, numbers[row], "contained", shared)


def _wholes(
    known: _Whole,
    texts: Texts,
    windows: Hashes,
    beginnings: Table,
    own: Numbers,
    batch: _Batch | None = None,
) -> Iterator[Numbers]:
    """Golden prompts with these beginnings that are whole in the texts, the best ones of each text: int64
    [found, 4] of text, place, tokens, and the prompt's number.

    Prompts of many lengths may begin alike, so windows are looked up a few at a time.

    Args:
        known: what is looked for.
        texts: where.
        windows: the hashes of the stretches there, as long as the beginnings.
        beginnings: of the prompts.
        own: the prompts that do not count in each text; -1 for none; int64 [texts, 2].
        batch: tells where in the texts an expression begins and ends; None where that does not matter.
    """
    step = max(1, CANDIDATES // beginnings.most)
    for start in range(0, len(windows), step):
        places, sizes = beginnings.find(windows[start : start + step])
        places += start
        owners = texts.text_of(places)
        fits = places + sizes <= texts.starts[owners] + texts.sizes[owners]
        places, sizes, owners = places[fits], sizes[fits], owners[fits]
        found, numbers = known.prompts.find(texts.stretches(places, sizes))
        rows = np.stack([owners[found], places[found], sizes[found], numbers], axis=1)
        rows = rows[(numbers[:, None] != own[rows[:, 0]]).all(axis=1)]
        if batch is not None:
            rows = rows[[_is_whole(batch, texts, *row) for row in rows.tolist()]] if len(rows) else rows
        yield rows[_best(rows[:, 0], -rows[:, 2], rows[:, 3])]


def _is_whole(batch: _Batch, texts: Texts, text: int, place: int, size: int, _: int) -> bool:
    begins, ends = batch.borders(text)
    first = place - int(texts.starts[text])
    return begins[first] and ends[first + size - 1]


def _resembling(golden: _GoldenPrompts, batch: _Batch, own: int | None = None) -> Ways:
    """With `own`, the number of the first text among the prompts, each is held against earlier ones only."""
    texts = batch.content
    ngrams = texts.windows(NGRAM)
    places, numbers = golden.ngrams.find(ngrams)
    owners = texts.text_of(places)
    if own is not None:
        earlier = numbers < owners + own
        places, numbers, owners = places[earlier], numbers[earlier], owners[earlier]
    order = np.lexsort((ngrams[places], numbers, owners))
    places, numbers, owners = places[order], numbers[order], owners[order]
    pair = np.cumsum(distinct(owners, numbers)) - 1
    shared = np.bincount(pair[distinct(pair, ngrams[places])])
    heads = np.flatnonzero(distinct(owners, numbers))
    share = shared / golden.own_ngrams[numbers[heads]]
    enough = np.minimum(NGRAM, SHARE * golden.all_ngrams[numbers[heads]])
    holds = (share >= SHARE) & (shared >= enough)
    if own is not None:
        theirs = golden.own_ngrams[owners[heads] + own]  # none where an equal prompt stands for this one
        holds &= (theirs > 0) & (shared >= SHARE * theirs)
    best = _best(owners[heads], ~holds, -share, numbers[heads])
    first, size = _longest_runs(places, pair, best)
    for row, start, grams in zip(best.tolist(), first.tolist(), size.tolist(), strict=True):
        text = int(owners[heads[row]])
        common = batch.shown(texts, text, start, grams - 1 + NGRAM)
        kind: Kind = "ngram" if holds[row] else "twin"
        told = batch.texts[text]
        yield text, _overlap(golden, told, numbers[heads[row]], kind, common, float(share[row]))


def _overlap(
    golden: _GoldenPrompts, text: _Text, number: int, kind: Kind, shared: str, share: float = 1.0
) -> Overlap:
    return Overlap(
        train_id=text.item.trace_id, golden_id=golden.ids[number], kind=kind, shared=shared, share=share
    )


def _best(texts: Numbers, *rank: npt.NDArray[Any]) -> Numbers:
    """For each text the row that comes first by these columns."""
    order = np.lexsort((*reversed(rank), texts))
    return order[distinct(texts[order])]


def _longest_runs(places: Numbers, pair: Numbers, wanted: Numbers) -> tuple[Numbers, Numbers]:
    """The longest run of consecutive places in some pairs of texts, of equal ones the first.

    Args:
        places: where a text has something in common with a prompt; int64 [places].
        pair: the pair that each belongs to, in order; int64 [places].
        wanted: some pairs, in order; int64 [wanted].

    Returns:
        The place where each of the runs begins, and how long it is; int64 [wanted].
    """
    is_wanted = np.zeros(int(pair[-1]) + 1 if len(pair) else 0, bool)
    is_wanted[wanted] = True
    here = is_wanted[pair]
    places, pair = places[here], pair[here]
    order = np.lexsort((places, pair))
    places, pair = places[order], pair[order]
    heads = np.flatnonzero(distinct(pair, places - np.arange(len(places))))
    sizes = np.diff(np.append(heads, len(places)))
    best = _best(pair[heads], -sizes)
    return places[heads[best]], sizes[best]
