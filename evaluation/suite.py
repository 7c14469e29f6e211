"""A suite: everything that must hold before a model may be promoted, as a person writes it down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from core.config import Config
from core.errors import InputError
from core.judge_reference import JudgeReference

Aim = Literal["better", "not_worse"]
Opponent = Literal["champion", "base"]
Measure = Literal["cut_share", "tokens_per_second", "size"]


class Requirement(Config):
    """What the candidate must show on one golden dataset."""

    dataset: str = Field(
        default="golden-v1",
        description="Golden dataset: a built-in name, or the path of a KEY-vN.jsonl file.",
    )
    judge: JudgeReference | None = Field(
        default=None,
        description="Judge, as NAME@vN, or a table of its name and parameters; without one, the one that the "
        "dataset is meant for.",
    )
    aim: Aim = Field(
        default="better",
        description="better: a significant gain. not_worse: a loss of `margin` or more is excluded.",
    )
    margin: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="The loss in mean score that not_worse must exclude, as in 0.02 for two points.",
    )
    against: Opponent = Field(
        default="champion",
        description="The champion (the base model while there is none), or always the untouched base model.",
    )

    @model_validator(mode="after")
    def _has_its_margin(self) -> Self:
        if self.aim == "not_worse" and self.margin is None:
            raise ValueError("margin is missing: not_worse by how much? As in margin = 0.02")
        if self.aim == "better" and self.margin is not None:
            raise ValueError(
                "margin belongs to aim = 'not_worse'; gate.min_delta is the least gain for 'better'"
            )
        return self

    @property
    def judged_on(self) -> tuple[str, str | None]:
        """Dataset and judge: requirements that have them in common share their runs."""
        return self.dataset, self.judge

    @property
    def is_default(self) -> bool:
        """Whether it is what is asked without a suite: better than the champion."""
        return self.aim == "better" and self.against == "champion"


class Limit(Config):
    """A bound on something that is measured beside the scores."""

    measure: Measure = Field(
        description="cut_share: share of answers cut off at max_new_tokens. tokens_per_second: speed of "
        "generation. size: bytes of the model's weights."
    )
    at_most: float | None = Field(default=None, ge=0, description="The largest value allowed.")
    at_least: float | None = Field(default=None, ge=0, description="The smallest value allowed.")
    relative_to: Opponent | None = Field(
        default=None,
        description="The bounds are multiples of the champion's or the base's value, as in at_most = 0.5.",
    )
    dataset: str | None = Field(
        default=None,
        description="The dataset of a requirement, on whose runs it is measured; without one, on all.",
    )

    @model_validator(mode="after")
    def _has_a_bound(self) -> Self:
        if self.at_most is None and self.at_least is None:
            raise ValueError("at_most or at_least is missing")
        if self.at_most is not None and self.at_least is not None and self.at_least > self.at_most:
            raise ValueError(
                f"at_least {self.at_least:g} is above at_most {self.at_most:g}: nothing can hold"
            )
        return self

    @property
    def is_reason(self) -> bool:
        """Whether it asks for an improvement over the champion: smaller, fewer cut off, or faster."""
        if self.relative_to != "champion":
            return False
        if self.measure == "tokens_per_second":
            return self.at_least is not None and self.at_least > 1
        return self.at_most is not None and self.at_most < 1


class Suite(Config):
    """Requirements and limits, all of which must hold: the content of a suite's TOML file."""

    require: list[Requirement] = Field(min_length=1, description="What must be shown, on which datasets.")
    limit: list[Limit] = Field(default_factory=list, description="Bounds on speed, size and cut-off answers.")

    @model_validator(mode="after")
    def _decides_something(self) -> Self:
        check_suite(self.require, self.limit)
        return self


def check_suite(require: Sequence[Requirement], limit: Sequence[Limit]) -> None:
    """Whether requirements and limits make sense together.

    Raises:
        ValueError: nothing is compared with the champion; nothing is to be gained; a limit names a dataset
            that no requirement has.
    """
    if not any(each.against == "champion" for each in require):
        raise ValueError(
            "require: nothing is compared with the champion, so a worse model could replace it. "
            "Leave out against = 'base' in one of them."
        )
    gains = [each for each in require if each.aim == "better" and each.against == "champion"]
    if not gains and not any(each.is_reason for each in limit):
        raise ValueError(
            "require: nothing is to be gained over the champion. Require aim = 'better' on one dataset, or "
            "give the reason to replace it as a [[limit]] with relative_to = 'champion': a size or cut_share "
            "of at_most less than 1, or tokens_per_second of at_least more than 1."
        )
    for bound in limit:
        if not any(
            bound.dataset in (None, each.dataset) and bound.relative_to in (None, each.against)
            for each in require
        ):
            opponent = f" against the {bound.relative_to}" if bound.relative_to else ""
            raise ValueError(
                f"limit on {bound.measure}: no requirement{opponent} is on dataset "
                f"{bound.dataset or 'of any name'}, so there is nothing to measure it by"
            )


def in_order(require: Sequence[Requirement]) -> list[Requirement]:
    """The requirements, the main one first: the first that asks for a gain over the champion, else the first
    against the champion. Its dataset is the one whose ledger of alpha the decision is entered in.

    Example:
        >>> both = [Requirement(dataset="b-v1", aim="not_worse", margin=0.02), Requirement(dataset="a-v1")]
        >>> [each.dataset for each in in_order(both)]
        ['a-v1', 'b-v1']
    """
    main = next(
        (each for each in require if each.is_default),
        next((each for each in require if each.against == "champion"), None),
    )
    if main is None:
        raise InputError("suite: no requirement is against the champion")
    return [main, *(each for each in require if each is not main)]
