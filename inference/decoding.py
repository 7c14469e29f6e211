"""Greedy decoding up to an end: an end token, a stop string, or the longest that a completion may be."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
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


class TokenProgress:
    """Says how far a batch is, whose items are all done at once: on a slow machine that takes minutes.

    Called by transformers for every token of a batch, as a logits processor that changes nothing.

    Args:
        note: is told.
        prompt_length: tokens of each row that were not generated.
        longest: the longest completion, in tokens.
    """

    def __init__(self, note: Callable[[str], None], prompt_length: int, longest: int) -> None:
        self.note = note
        self.prompt_length = prompt_length
        self.longest = longest
        self.started = time.monotonic()

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return float [batch, vocabulary] scores as they are.

        Args:
            input_ids: int64 [batch, time], prompts and what was written so far.
            scores: the logits of the next token.
        """
        written = input_ids.shape[1] - self.prompt_length
        text = f"token {written:,} of at most {self.longest:,}"
        if written:
            left = (time.monotonic() - self.started) / written * (self.longest - written)
            text += f", at most {left:,.0f} s left in this batch"
        self.note(text)
        return scores


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
        kept = [token for token in tokens if token != self.tokenizer.pad_token_id]
        text = self.tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return str(text)

    def stopped(self, tokens: Sequence[int]) -> bool:
        """Whether a stop string is in what these tokens say. The last tokens are looked at first: no token is
        shorter than a byte, and so a string that has just been completed is among as many as it has bytes.
        """
        if not self.stop:
            return False
        last = max(len(stop.encode()) for stop in self.stop) + 8
        return self._finds_stop(tokens[-last:]) and self._finds_stop(tokens)

    def _finds_stop(self, tokens: Sequence[int]) -> bool:
        text = self.text(tokens)
        return any(stop in text for stop in self.stop)

    def completions(self, batch: Sequence[Prompt], written: list[list[int]]) -> list[Row]:
        """What the model wrote, as text, up to its end.

        Args:
            batch: the prompts.
            written: the new token ids of each, all of the same length: what follows an end is padding.
        """
        return [self._row(prompt, tokens) for prompt, tokens in zip(batch, written, strict=True)]

    def _row(self, prompt: Prompt, tokens: list[int]) -> Row:
        end = next((place for place, token in enumerate(tokens) if token in self.ends), None)
        kept = tokens[:end]
        text = self.text(kept)
        if places := [text.index(stop) for stop in self.stop if stop in text]:
            needed = bisect_left(range(len(kept)), True, key=lambda count: self._finds_stop(kept[:count]))
            return Row(trace_id=prompt.trace_id, prediction=text[: min(places)], tokens=needed, cut_off=False)
        return Row(trace_id=prompt.trace_id, prediction=text, tokens=len(kept), cut_off=end is None)

    def stopping_criteria(self, prompt_length: int) -> Any:
        """For `generate`: rows end at a stop string, each by itself.

        Args:
            prompt_length: tokens of each row that were not generated.
        """
        import torch
        from transformers import StoppingCriteriaList

        def at_stop(input_ids: Any, scores: Any, **_: Any) -> Any:
            rows = input_ids[:, prompt_length:].tolist()
            return torch.tensor([self.stopped(row) for row in rows], device=input_ids.device)

        return StoppingCriteriaList([at_stop] if self.stop else [])
