"""`regex@v1`: is what a pattern finds in the text the right answer?

Frozen: a change of what this code does is a new version, beside this one.

The pattern is searched in the whole text, by RE2 (https://github.com/google/re2/wiki/Syntax): it has no
lookaround and no back references, and in return no pattern and no text can make it hang. Options are written
in the pattern, as in (?i) for either case, (?m) for ^ and $ at every line, (?s) for a dot that is a line's
end. What the group holds is compared with the right answer; with `compare = "found"` a match is enough.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal, Self

import re2
from pydantic import Field, model_validator

from golden.schema import Item
from judges.base import JudgeParameters, Score
from judges.comparing import COMPARE_HELP, equal


class RegexV1:
    """Scores 1 where what a pattern finds is the right answer. Reasons: correct, wrong, no_match."""

    name = "regex"
    version = "v1"
    libraries = ("google-re2",)

    class Parameters(JudgeParameters):
        """What is searched, and how it is compared."""

        pattern: str = Field(
            min_length=1, description="The pattern, in RE2's syntax, as in 'Total: ([0-9]+)'."
        )
        group: int | str | None = Field(
            default=None,
            description="Number or name of the group that holds the answer; by default the first, or where "
            "there is none the whole match.",
        )
        take: Literal["first", "last"] = Field(
            default="last", description="Which match, where there are several."
        )
        compare: Literal["text", "answer", "found"] = Field(
            default="text",
            description=f"{COMPARE_HELP} found: a match is enough, whatever the right answer is.",
        )

        @model_validator(mode="after")
        def _can_be_searched(self) -> Self:
            self.used_group  # noqa: B018 - raises what is wrong
            return self

        @cached_property
        def compiled(self) -> Any:
            """The pattern as RE2 understands it."""
            options = re2.Options()
            options.log_errors = False
            try:
                return re2.compile(self.pattern, options=options)
            except (re2.error, UnicodeError) as error:
                problem = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
                raise ValueError(
                    f"parameter pattern: {problem}. The syntax is RE2: no lookaround, no back references"
                ) from None

        @cached_property
        def used_group(self) -> int:
            """The number of the group that holds the answer."""
            compiled = self.compiled
            if self.group is None:
                return int(compiled.groups > 0)
            number = compiled.groupindex.get(self.group, -1) if isinstance(self.group, str) else self.group
            if not 0 <= number <= compiled.groups:
                raise ValueError(f"parameter group: the pattern has no group {self.group!r}")
            return int(number)

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters

    def score(self, item: Item, prediction: str) -> Score:
        """Score one prediction; one in which the pattern finds nothing is wrong, with a reason of its own.

        Args:
            item: the question and its right answer.
            prediction: what the model wrote, unchanged.
        """
        given = self._found(prediction.encode("utf-8", "replace").decode())
        if given is None:
            return Score(trace_id=item.trace_id, score=0.0, extracted=None, reason="no_match")
        compare = self.parameters.compare
        right = compare == "found" or equal(item.reference, given, compare)
        return Score(
            trace_id=item.trace_id,
            score=float(right),
            extracted=given[:400],
            reason="correct" if right else "wrong",
        )

    def _found(self, text: str) -> str | None:
        found = None
        for match in self.parameters.compiled.finditer(text):
            if (held := match.group(self.parameters.used_group)) is not None:
                found = held
                if self.parameters.take == "first":
                    break
        return found
