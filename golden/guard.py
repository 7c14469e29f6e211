"""The contamination guard: are golden items in the training set? Then a gain would be memory, not skill."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import BaseModel

from golden.schema import Item

NGRAM = 8
"""Words in an n-gram; 8 as in PaLM (Chowdhery et al. 2022, arXiv:2204.02311, section 8.4)."""
BOILERPLATE = 3
"""An n-gram that more than this many golden prompts share is their common instruction, not their content."""

_WORD = re.compile(r"\w+")


class Overlap(BaseModel):
    """One training item that overlaps with one golden item.

    Attributes:
        train_id: trace_id of the training item.
        golden_id: trace_id of the golden item.
        kind: `exact`: the same prompt; `normalised`: the same but for case and white space; `ngram`: 8
            consecutive words in common.
        shared: the prompt, or the words.
    """

    train_id: str
    golden_id: str
    kind: Literal["exact", "normalised", "ngram"]
    shared: str


def normalise(text: str) -> str:
    """NFKC, casefolded, single spaces. Signs stay: 9 + 2 and 9 - 2 are different questions."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def words(text: str) -> list[str]:
    """The words and numbers of a text, casefolded."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def ngrams(text: str) -> Iterator[str]:
    """Every 8 consecutive words."""
    found = words(text)
    for start in range(len(found) - NGRAM + 1):
        yield " ".join(found[start : start + NGRAM])


def find_overlaps(train: Iterable[Item], golden: Iterable[Item]) -> Iterator[Overlap]:
    """Find training items that contain golden prompts.

    Golden prompts are compared with the whole training text (prompt, steps, answer), since a golden question
    quoted in a worked step leaks just as well. Memory grows with the golden set only, so the training set may
    be of any length.

    Args:
        train: training items.
        golden: the items the model will be judged on.

    Yields:
        At most one overlap for each training item, of the strongest kind.

    Example:
        >>> asked = Item(trace_id="g", prompt="What is 4 + 3?", steps=[], final_answer="7", category="sums")
        >>> learned = asked.model_copy(update={"trace_id": "t", "prompt": "what is  4 + 3?"})
        >>> [(overlap.kind, overlap.golden_id) for overlap in find_overlaps([learned], [asked])]
        [('normalised', 'g')]
    """
    exact: dict[str, str] = {}
    normal: dict[str, str] = {}
    owners: dict[str, set[str]] = defaultdict(set)
    for item in golden:
        exact[item.prompt] = item.trace_id
        normal[normalise(item.prompt)] = item.trace_id
        for gram in ngrams(item.prompt):
            owners[gram].add(item.trace_id)
    grams = {gram: min(ids) for gram, ids in owners.items() if len(ids) <= BOILERPLATE}
    for item in train:
        if (overlap := _overlap(item, exact, normal, grams)) is not None:
            yield overlap


def _overlap(
    item: Item, exact: dict[str, str], normal: dict[str, str], grams: dict[str, str]
) -> Overlap | None:
    if item.prompt in exact:
        return Overlap(train_id=item.trace_id, golden_id=exact[item.prompt], kind="exact", shared=item.prompt)
    if (plain := normalise(item.prompt)) in normal:
        return Overlap(train_id=item.trace_id, golden_id=normal[plain], kind="normalised", shared=plain)
    for gram in ngrams(" ".join((item.prompt, *item.steps, item.final_answer))):
        if gram in grams:
            return Overlap(train_id=item.trace_id, golden_id=grams[gram], kind="ngram", shared=gram)
    return None
