"""Greedy decoding up to an end: an end token, a stop string, or the longest that a completion may be."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from inference.batching import Prompt
from inference.partial import Row


def generation_config(ends: Sequence[int], pad: int, max_new_tokens: int) -> Any:
    """Plain greedy decoding. Of the model's own defaults only the end tokens are kept; penalties are not.

    Args:
        ends: every id at which a completion ends.
        pad: the padding id.
        max_new_tokens: the longest completion, in tokens.
    """
    from transformers import GenerationConfig

    return GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=max_new_tokens,
        eos_token_id=ends[0] if len(ends) == 1 else sorted(ends),
        pad_token_id=pad,
    )


def pad_token(tokenizer: Any, ends: Sequence[int], rows: int) -> int:
    """The padding id: the tokenizer's, or an end, or 0; one that has an embedding. It is masked, so that any
    of them gives the same predictions.

    Args:
        tokenizer: a Hugging Face tokenizer.
        ends: ids at which a completion ends.
        rows: of the embedding.
    """
    usual = (tokenizer.pad_token_id, *ends)
    return next((int(id_) for id_ in usual if id_ is not None and 0 <= id_ < rows), 0)


class Writing:
    """Turns what a model generated into text, and knows where a completion ends.

    A prediction is what the model wrote, character by character, up to its end: no spaces are tidied, and
    special tokens that are no end and no padding, such as marks of thinking or of a tool call, are spelled
    out.

    Args:
        tokenizer: a Hugging Face tokenizer.
        ends: every id at which a completion ends.
        stop: strings at which a completion ends too; it does not contain them.
    """

    def __init__(self, tokenizer: Any, ends: Sequence[int], stop: Sequence[str] = ()) -> None:
        self.tokenizer = tokenizer
        self.ends = frozenset(ends)
        self.stop = tuple(stop)

    def text(self, tokens: Sequence[int]) -> str:
        """What these tokens say."""
        pad = self.tokenizer.pad_token_id  # asked for once: each time takes longer than all comparisons
        kept = [token for token in tokens if token != pad]
        text = self.tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return str(text)

    def stopped(self, tokens: Sequence[int]) -> bool:
        """Whether a stop string is in what these tokens say. The last tokens are looked at first: no token is
        shorter than a byte, and so a string that has just been completed is among as many as it has bytes.
        """
        return bool(self.stop) and self._finds_stop(tokens[-self.tail :]) and self._finds_stop(tokens)

    @property
    def tail(self) -> int:
        """How many of the last tokens may hold a stop string that has just been completed."""
        return max((len(stop.encode()) + 8 for stop in self.stop), default=0)

    def _finds_stop(self, tokens: Sequence[int]) -> bool:
        text = self.text(tokens)
        return any(stop in text for stop in self.stop)

    def row(self, prompt: Prompt, tokens: list[int], sample: int = 0, ties: int = 0) -> Row:
        """What the model wrote, as text, up to its end.

        Args:
            prompt: what was asked.
            tokens: new token ids; what follows an end does not matter.
            sample: which of the item's completions it is.
            ties: how many of its tokens were decided alone.
        """
        end = next((place for place, token in enumerate(tokens) if token in self.ends), None)
        kept = tokens[:end]
        text = self.text(kept)
        count, cut_off = len(kept), end is None
        if places := [text.index(stop) for stop in self.stop if stop in text]:
            text, cut_off = text[: min(places)], False
            count = bisect_left(range(len(kept)), True, key=lambda count: self._finds_stop(kept[:count]))
        return Row(
            trace_id=prompt.trace_id,
            sample=sample,
            prediction=text,
            tokens=count,
            cut_off=cut_off,
            ties=ties,
        )
