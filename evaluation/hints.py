"""What to look at first where a score is low: hints that follow from counts, by fixed rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.text import counted
from evaluation.form import GUESSED

LOW = 0.1
"""A score below this is looked at more closely: then `SOME` of the completions are enough for a hint."""
MOST = 0.5
SOME = 0.1


@dataclass(frozen=True)
class AnswerCounts:
    """How a run's completions fared.

    Attributes:
        n: all of them.
        right: those with the full score.
        found: those in which the judge found an answer.
        empty: those without any text.
        cut: those that were cut off at max_new_tokens and are not right; None where that was not recorded.
        max_new_tokens: where they were cut off; None where that is not known.
        rungs: rung -> how many answers were found there, right ones and others; empty where the judge does
            not say.
        served: whether an endpoint wrote them, so that nobody knows with which tokens.
    """

    n: int
    right: int
    found: int
    empty: int
    cut: int | None = None
    max_new_tokens: int | None = None
    rungs: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    served: bool = False


def hints(counts: AnswerCounts) -> list[str]:
    """What most of the completions that are not right have in common, and what to do, in whole sentences.

    A hint needs more than half of all completions; where fewer than a tenth are right, more than a tenth.
    Completions count as cut off, as without an answer, or as guessed at only where they are not right.

    Args:
        counts: of a finished run.

    Example:
        >>> hints(AnswerCounts(n=40, right=0, found=0, empty=0, cut=37, max_new_tokens=128))[0]
        '37 of 40 completions were cut off at 128 tokens: raise generation.max_new_tokens.'
        >>> hints(AnswerCounts(n=40, right=20, found=40, empty=0, cut=0))
        []
    """
    if not counts.n:
        return []
    least = (SOME if counts.right < LOW * counts.n else MOST) * counts.n
    all_of_them = f"of {counted(counts.n, 'completion')}"
    found = []
    if (counts.cut or 0) > least:
        where = "" if counts.max_new_tokens is None else f" at {counts.max_new_tokens:,} tokens"
        remedy = "raise generation.max_new_tokens"
        found.append(f"{counts.cut:,} {all_of_them} were cut off{where}: {remedy}.")
    if counts.empty > least:
        cause = (
            "ended_otherwise in predictions_meta.json says how the server ended them, where it was unusual."
            if counts.served
            else "the first token that the model wrote ended its turn. "
            "`hallmark doctor --model MODEL --dataset DATASET` shows how it is asked."
        )
        found.append(f"{counts.empty:,} {all_of_them} are empty: {cause}")
    if counts.n - counts.found - counts.empty > least:
        found.append(
            f"An answer was found in {counts.found:,} {all_of_them}. Does the prompt say how to end the "
            "answer? (--instruction)"
        )
    for rung in GUESSED:
        right, others = counts.rungs.get(rung, (0, 0))
        if others - (counts.cut or 0) > least:  # a completion that was cut off had no time to mark it
            all_found = f"{right + others:,} of {counted(counts.found, 'answer')} were found as {rung}"
            found.append(
                f"{all_found}, {right:,} of them right: the model does not mark its answer. Does the prompt "
                "say how? (--instruction)"
            )
    return found
