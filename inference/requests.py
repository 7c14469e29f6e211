"""What an engine is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from inference.batching import Prompt
from inference.partial import Key

Note = Callable[[str], None]
"""Called with what is being done within a batch, for whoever watches."""


@dataclass(frozen=True)
class Request:
    """One completion that is wanted.

    Attributes:
        prompt: of the item.
        sample: which of the item's completions this is.
    """

    prompt: Prompt
    sample: int = 0

    @property
    def key(self) -> Key:
        """The completion's name."""
        return self.prompt.trace_id, self.sample

    def order(self) -> tuple[int, str, int]:
        """By which requests are answered, the longest prompts first: little padding, and too many at a time
        fail at once.
        """
        return -len(self.prompt.tokens), *self.key
