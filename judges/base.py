"""What a judge is, and what it says."""

from __future__ import annotations

from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from golden.schema import Item


class SampleScore(BaseModel):
    """What a judge says of one of several answers to an item.

    Attributes:
        score: 0 (wrong) to 1 (right).
        extracted: the answer that the judge found in the prediction, as it compared it; None when it found
            none.
        reason: a short fixed word, such as correct, wrong or empty.
        rung: where in the text the answer was found, for a judge that looks in several places: marker, boxed,
            last_number; None for others.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, revalidate_instances="always")

    score: float = Field(ge=0, le=1)
    extracted: str | None
    reason: str
    rung: str | None = None


class Score(SampleScore):
    """What a judge says of one prediction; one line of scores.jsonl.

    Of an item with several samples the score is their mean, and the rest is that of the answer that most of
    them give: see `judges.samples.combined`. A judge scores one text at a time, and sets no `samples`.

    Attributes:
        trace_id: the item.
        samples: what the judge says of each sample, in order; None where there is one answer.
    """

    trace_id: str
    samples: tuple[SampleScore, ...] | None = None


class JudgeParameters(BaseModel):
    """Base of a judge's parameters: unknown names, NaN and infinity are refused, types are not guessed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class Judge(Protocol):
    """A pure function from item and prediction to a score. One name and version always means the same code.

    Attributes:
        name: as in answer_correctness.
        version: as in v1.
        libraries: optional; names of the installed packages whose versions decide its scores, for its
            fingerprint to cover.
        reads: optional; `log_probs` for a judge that reads log-probabilities (`judges.log_probs`) where
            others read text.
        check: optional; a function that raises an InputError for an item that it cannot judge, called before
            anything is predicted.
        Parameters: optional; a subclass of `JudgeParameters`. The judge is made with one, and keeps it as
            `parameters`. What differs from the defaults is part of its reference and of its fingerprint.
    """

    name: str
    version: str

    def score(self, item: Item, prediction: str) -> Score:
        """Score one prediction.

        Args:
            item: the question and its right answer.
            prediction: what the model wrote, unchanged.

        Raises:
            Exception: whatever it likes: the item is an error then, never a zero, and the run gets no score.
        """
        ...


def judge_parameters(judge: Judge) -> dict[str, Any]:
    """The parameters of a judge that differ from their defaults; none for a judge without parameters."""
    parameters: BaseModel | None = getattr(judge, "parameters", None)
    return {} if parameters is None else parameters.model_dump(mode="json", exclude_defaults=True)
