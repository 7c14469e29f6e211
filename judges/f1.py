"""`f1@v1`: how many words does the answer share with the right one?

Frozen, with the modules of this package that it imports: a change of what they do is another version.

The measure of SQuAD (Rajpurkar et al., 2016, https://arxiv.org/abs/1606.05250, section 6.1 and its evaluation
script): both texts are lower-cased, punctuation and the articles a, an, the are removed; precision and recall
of the words, each as often as it occurs; their harmonic mean. Two texts without words are equal.

Beyond the script: punctuation is what Unicode calls so, Unicode is folded by NFKC, and each Chinese, Japanese
kana or Thai character is a word, since those scripts have no spaces. The answer is all text behind the last
`Answer:`, up to another question; without one it is the whole text.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from golden.schema import Item
from judges.answer_ladder import last_marker, until_another_question
from judges.base import Score

ARTICLES = {"a", "an", "the"}
UNSPACED = re.compile("([\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")
ALL_LINES = 1_000_000


class F1V1:
    """Scores the share of words in common with the right answer. Reasons: correct, partial, wrong, empty."""

    name = "f1"
    version = "v1"

    def score(self, item: Item, prediction: str) -> Score:
        """Score one prediction.

        Args:
            item: the question and its right answer.
            prediction: what the model wrote, unchanged.
        """
        text = until_another_question(prediction)
        marker, _ = last_marker(text, ALL_LINES)
        text = text if marker is None else marker.text
        given, wanted = words(text), words(item.reference)
        if not given and not text.strip():
            return Score(trace_id=item.trace_id, score=0.0, extracted=None, reason="empty")
        score = f1(given, wanted)
        reason = "correct" if score == 1 else "partial" if score else "wrong"
        shown = " ".join(given)[:400].encode("utf-8", "replace").decode()
        return Score(trace_id=item.trace_id, score=score, extracted=shown, reason=reason)


def words(text: str) -> list[str]:
    """The words of a text, without punctuation and articles."""
    folded = UNSPACED.sub(r" \1 ", unicodedata.normalize("NFKC", text).lower())
    kept = "".join(each for each in folded if not unicodedata.category(each).startswith("P"))
    return [word for word in kept.split() if word not in ARTICLES]


def f1(given: list[str], wanted: list[str]) -> float:
    """Twice the shared words over all words of both, each word as often as it occurs.

    Example:
        >>> f1(["the", "red", "cat"], ["red", "cat"])
        0.8
    """
    if not given or not wanted:
        return float(given == wanted)
    shared = (Counter(given) & Counter(wanted)).total()
    return 2 * shared / (len(given) + len(wanted))
