"""What an engine is: it makes prompts of items and completions of prompts. The job around it is the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from golden.schema import Item
from inference.batching import Prompt
from inference.partial import Row
from inference.requests import Note, Request

__all__ = ["Engine", "Note", "Request"]


class Engine(Protocol):
    """A loaded model that answers.

    What it writes for a request depends on the request alone: not on its company, its place, or an
    interruption. What cannot promise that says so in `about`.
    """

    def prompts(self, items: Sequence[Item]) -> list[Prompt]:
        """What the model is asked, an item each, in their order. All prompts of a dataset are made before the
        first is answered, so that one that cannot be made is met at once; and those of a window are made
        again when it is their turn, so that a large dataset's are never in memory together.

        Args:
            items: of one window of the dataset.

        Raises:
            InputError: one cannot be made; names the item.
        """
        ...

    def begin(self, shortest: Prompt, longest: Prompt) -> None:
        """Before the first completion: find out what the model can promise.

        Args:
            shortest: of all prompts that will be asked.
            longest: likewise.
        """
        ...

    def complete(self, requests: Sequence[Request], note: Note) -> Iterator[list[Row]]:
        """Answer requests, in any order. An answer is given as soon as it is done, with whatever others are.

        Args:
            requests: of one window of the dataset.
            note: is told how far a long batch is.

        Raises:
            InputError: the model computes NaN; names the item.
            ResourceError: too little memory for a single prompt.
        """
        ...

    def about(self) -> dict[str, Any]:
        """The fields of `PredictionMeta` that the engine knows, after the last completion."""
        ...
