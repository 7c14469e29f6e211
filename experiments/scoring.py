"""One answer judged, outside of any run: for scorers of other programs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from core.errors import IntegrityError
from golden.lines import parse_line
from golden.schema import Item
from judges import Judge, Score, check_output, judge_fingerprint, load_judge
from judges.judging import best_score
from judges.samples import texts_of
from judges.thinking import answer_of, unfinished_named


def score_answer(
    item: Mapping[str, Any], answer: str, judge: str, fingerprint: str | None, thinking_end: str | None
) -> Score:
    """The score of one answer, as a run would have it.

    Args:
        item: as a line of a dataset has it.
        answer: what a model wrote.
        judge: as NAME@vN.
        fingerprint: that the judge must have; None for any.
        thinking_end: the mark that ends thinking; None where all that is written is the answer.

    Raises:
        InputError: it is no item, or the judge is unusable.
        IntegrityError: the judge has another fingerprint.
    """
    asked, judged_by = parse_line(dict(item), "item", Item), _judge(judge, fingerprint)
    [said] = texts_of(answer_of(answer, thinking_end, closed=False))
    return unfinished_named(best_score(judged_by, asked, said), answer, thinking_end, closed=False)


@lru_cache(maxsize=16)
def _judge(reference: str, fingerprint: str | None) -> Judge:
    judge = load_judge(reference)
    check_output(judge, "text")
    if fingerprint is not None and (found := judge_fingerprint(judge)) != fingerprint:
        raise IntegrityError(
            f"judge {reference}: fingerprint {fingerprint} is meant, and {found} is installed. Install the "
            "version of Hallmark that wrote this task, or write the task again."
        )
    return judge
