"""Decoding with rows that come and go: who has ended leaves, and others take the places. Needs torch.

On two cores, golden-v1 by the built-in tiny base takes 1.5 s of processor time this way, 2.5 s in batches by
`generate`, and 16 s by `generate_batch`, transformers' own continuous batching.
"""

from __future__ import annotations

import inspect
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch

from inference.batching import PROBED_STEPS, Prompt, difference, left_padded, refuse_single
from inference.choosing import Choosing, alone, last_logits
from inference.decode_attention import decode_attention
from inference.decoding import Writing
from inference.kv_cache import Window, window_cache
from inference.packed_linear import PackedLinears
from inference.partial import Row
from inference.requests import Note, Request
from inference.shared_prefix import Prefix, read_prefix, shared_tokens

SLACK = 64
"""Columns that the buffers have left when they are made, or an eighth of what they hold if that is more."""
AT_ONCE = 1024
"""Tokens of prompts that a pass reads on a CPU, whose caches hold what is computed of so many: 64 prompts of
150 tokens take half the time that they take in one pass.
"""
SHARE = 8
"""Others join when one of so many places is free: a pass for few prompts costs as much as one for many."""
EVERY = 0.2
"""Seconds between two lots of answers: each is written to the disk and made durable."""


class Flight:
    """The requests that are being answered, a row each.

    Rows are aligned on the right: all write their next token into one column, and each begins wherever its
    prompt asks for. A prompt joins with its last token in the column before. Columns that no row uses any
    more are out of the window.

    Args:
        model: of transformers, in evaluation mode, all of whose layers see everything before a token.
        pad: the padding id.
        size: the most rows.
        prefix: what the model has read of prompts that begin with it.
        packed: its linear layers, where they are there twice.
    """

    def __init__(
        self,
        model: Any,
        pad: int,
        size: int,
        prefix: Prefix | None = None,
        packed: PackedLinears | None = None,
    ) -> None:
        self.model = model
        self.packed = packed
        self.prefix = prefix
        self.pad = pad
        self.size = size
        self.requests: list[Request] = []
        self.firsts: list[int] = []
        self.ahead = 0
        self.window = Window(slice(0, 0), first=0, end=0, size=size, columns=0)
        self.cache = window_cache(self.window, layers=len(prefix.layers) if prefix else 0)
        self.told = last_logits(model)
        self.takes_positions = "position_ids" in inspect.signature(model.forward).parameters
        self._new_columns(0)
        self.positions = torch.zeros((size, 1), dtype=torch.int64, device=model.device)
        self.begins = torch.zeros(size, dtype=torch.int64, device=model.device)

    def _new_columns(self, columns: int) -> None:
        """tokens: int64 [size, columns], what each row says. mask: bool [size, columns], False before a row
        begins.
        """
        self.window.columns = columns
        shape = (self.size, columns)
        self.tokens = torch.full(shape, self.pad, dtype=torch.int64, device=self.model.device)
        self.mask = torch.ones(shape, dtype=torch.bool, device=self.model.device)

    def __len__(self) -> int:
        return len(self.requests)

    @property
    def room(self) -> int:
        """How many more requests may join."""
        return self.size - len(self)

    @property
    def end(self) -> int:
        """The column behind the last token; its keys and values may be yet to come."""
        return self.window.end + self.ahead

    def sequence(self, row: int) -> list[int]:
        """All tokens of a row, those of its prompt first."""
        found: list[int] = self.tokens[row, self.firsts[row] : self.end].tolist()
        return found

    def written(self, row: int) -> list[int]:
        """The tokens of a row's answer."""
        return self.sequence(row)[len(self.requests[row].prompt.tokens) :]

    def join(self, requests: Sequence[Request]) -> Any:
        """Begin with requests, none of whose prompts is longer than the rows that are there already. What the
        model has read already, and a prompt of which several samples are wanted, is not read again.

        Returns:
            float32 [requests, vocabulary], the logits of their first tokens.
        """
        low = len(self)
        self.requests += requests  # first, so that whoever finds too little memory knows all of them
        prompts = [each.prompt.tokens for each in requests]
        width = max(map(len, prompts))
        if not low:
            self.window.first = self.window.end = 0
            self._make_room(width)
            self.window.end = width
        end = self.window.end
        self.firsts += [end - len(prompt) for prompt in prompts]
        unlike, source = _unlike(requests)
        logits = self._read_all(low, [prompts[number] for number in unlike])
        high = low + len(requests)
        if len(unlike) < len(requests):
            which = torch.tensor(source, device=self.model.device)
            for layer in self.cache.layers:
                layer.repeat_rows(low, which)
            for each in (self.tokens, self.mask, self.positions):
                each[low:high] = each[low:][which]
            logits = logits[which]
        self.begins[low:high] = end
        self.window.rows, self.window.first = slice(0, high), min(self.firsts)
        self.ahead = 0
        return logits

    def _read_all(self, low: int, prompts: Sequence[list[int]]) -> Any:
        """Let the model read prompts that end with the window, in rows from `low` on; float32 [prompts,
        vocabulary], the logits of what comes next. The window is theirs then.
        """
        made = [self._read(low + lot.start, prompts[lot]) for lot in self._lots(prompts)]
        self.window.first = self.window.end - max(map(len, prompts))
        return torch.cat(made)

    def _lots(self, prompts: Sequence[list[int]]) -> Iterator[slice]:
        """Which prompts are read together: on a GPU all, on a CPU those that follow one another and have few
        enough tokens.
        """
        if self.model.device.type != "cpu":
            yield slice(0, len(prompts))
            return
        begin = width = 0
        for end, prompt in enumerate(prompts):
            width = max(width, self._unread([prompt]))
            if begin < end and (end + 1 - begin) * width > AT_ONCE:
                yield slice(begin, end)
                begin, width = end, self._unread([prompt])
        yield slice(begin, len(prompts))

    def _read(self, low: int, prompts: Sequence[list[int]]) -> Any:
        """The same for those of one pass."""
        end, rows = self.window.end, slice(low, low + len(prompts))
        ids, mask = (each.to(self.model.device) for each in left_padded(prompts, self.pad))
        first = end - ids.shape[1]
        self.tokens[rows, first:end] = ids
        self.mask[rows, :first] = False
        self.mask[rows, first:] = True
        self.mask[rows, first:end] = mask.bool()
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        self.positions[rows] = positions[:, -1:]
        known = ids.shape[1] - self._unread(prompts)
        self.window.rows, self.window.first, self.window.end = rows, first, first + known
        if known and self.prefix is not None:
            for layer, (keys, values) in zip(self.cache.layers, self.prefix.layers, strict=True):
                layer.begin_with(keys, values, positions[:, :known].clamp(max=len(self.prefix.tokens) - 1))
        logits = self._forward(ids[:, known:], self.mask[rows, first:end], positions[:, known:])
        self.window.end = end
        return logits

    def _unread(self, prompts: Sequence[list[int]]) -> int:
        """How many of the last columns the model has to read, of all prompts together."""
        if self.prefix is None:
            return max(map(len, prompts))
        read = len(self.prefix.tokens)
        return max(len(each) - (read if self.prefix.begins(each) else 0) for each in prompts)

    def write(self, low: int, tokens: Any) -> None:
        """Write the tokens that were chosen, int64 [rows], into the next column, from row `low` on."""
        self._make_room(self.window.end + 1)
        self.tokens[low : len(self), self.window.end] = tokens
        self.ahead = 1

    def step(self) -> Any:
        """Read the column that was written.

        Returns:
            float32 [rows, vocabulary], the logits of each row's next token.
        """
        rows, first, end = slice(0, len(self)), self.window.first, self.window.end
        self.positions[rows] += 1
        with decode_attention(self.model):
            logits = self._forward(
                self.tokens[rows, end : end + 1], self.mask[rows, first : end + 1], self.positions[rows]
            )
        self.window.end += 1
        self.ahead = 0
        return logits

    def _forward(self, ids: Any, mask: Any, positions: Any) -> Any:
        named = {"position_ids": positions} if self.takes_positions else {}
        with self.packed.used() if self.packed else nullcontext():
            output = self.model(
                input_ids=ids,
                attention_mask=mask,
                past_key_values=self.cache,
                use_cache=True,
                **self.told,
                **named,
            )
        return output.logits[:, -1].float().to(self.model.device)

    def leave(self, ended: Sequence[int]) -> None:
        """Rows have ended: the last ones take their places.

        Args:
            ended: their numbers.
        """
        gone = set(ended)
        left = len(self) - len(gone)
        to = [row for row in ended if row < left]
        source = [row for row in range(left, len(self)) if row not in gone]
        for place, row in zip(to, source, strict=True):
            for layer in self.cache.layers:
                layer.move_row(place, row)
            for each in (self.tokens, self.mask, self.positions, self.begins):
                each[place] = each[row]
            self.requests[place], self.firsts[place] = self.requests[row], self.firsts[row]
        del self.requests[left:], self.firsts[left:]
        self.window.rows = slice(0, left)
        self.window.first = min(self.firsts, default=self.window.end)

    def _make_room(self, columns: int) -> None:
        """See to it that the buffers have so many columns: drop those that no row uses, and make new ones."""
        if columns <= self.window.columns:
            return
        first, end, rows = self.window.first, self.window.end, len(self)
        tokens, mask = self.tokens[:, first:end], self.mask[:, first:end]
        width = columns - first
        self._new_columns(width + max(SLACK, width // 8))
        self.tokens[:, : tokens.shape[1]] = tokens
        self.mask[:, : mask.shape[1]] = mask
        for layer in self.cache.layers:
            layer.move_columns(rows, first, end)
        self.window.first, self.window.end = 0, end - first
        self.firsts = [each - first for each in self.firsts]
        self.begins -= first


class Refilling:
    """Answers requests, the longest prompts first, as many at a time as there is memory for.

    Args:
        model: of transformers, in evaluation mode, all of whose layers see everything before a token.
        choosing: says which token comes next.
        writing: knows where an answer ends.
        pad: the padding id.
        longest: tokens of the longest answer.
        batch_size: the most requests at a time.
        packed: the model's linear layers, where they are there twice.

    Attributes:
        batch_size: smaller than it was where the GPU has too little memory.
    """

    def __init__(
        self,
        model: Any,
        choosing: Choosing,
        writing: Writing,
        *,
        pad: int,
        longest: int,
        batch_size: int,
        packed: PackedLinears | None = None,
    ) -> None:
        self.model = model
        self.choosing = choosing
        self.writing = writing
        self.pad = pad
        self.longest = longest
        self.batch_size = batch_size
        self.packed = packed
        self.ends = torch.tensor(sorted(writing.ends), dtype=torch.int64, device=model.device)

    def complete(self, requests: Sequence[Request], note: Note) -> Iterator[list[Row]]:
        """See `Engine`. Where memory is too little, all that is under way begins again, half as many at a
        time.
        """
        waiting = deque(sorted(requests, key=Request.order))
        given = time.monotonic()
        prefix = self._prefix(requests)
        while waiting:
            size = min(self.batch_size, len(waiting))
            flight = Flight(self.model, self.pad, size, prefix, self.packed)
            ended: list[Row] = []
            try:
                while waiting or len(flight):
                    ended += self._advance(flight, waiting)
                    if time.monotonic() - given > EVERY:
                        yield ended
                        ended, given = [], time.monotonic()
                        note(self._note(flight))
            except torch.cuda.OutOfMemoryError as error:
                refuse_single([each.prompt for each in flight.requests], error)
            # Not in the handler above: there the traceback still holds what the failed attempt allocated.
            yield ended
            if lost := sorted(flight.requests, key=Request.order, reverse=True):
                for each in lost:
                    self.choosing.take_ties(each)
                del flight
                torch.cuda.empty_cache()
                waiting.extendleft(lost)
                self.batch_size = min(self.batch_size, len(lost) // 2)

    def _prefix(self, requests: Sequence[Request]) -> Prefix | None:
        """What the prompts have in common; those that were shortened have lost it."""
        whole = {id(each.prompt): each.prompt.tokens for each in requests if not each.prompt.truncated}
        tokens = shared_tokens(list(whole.values()))
        try:
            return read_prefix(self.model, tokens) if tokens else None
        except torch.cuda.OutOfMemoryError:
            return None  # a whole prompt will not fit either, which is said where it is read

    def _advance(self, flight: Flight, waiting: deque[Request]) -> list[Row]:
        """Let requests join where enough have left, or else write one more token of each; gives those that
        ended.
        """
        low, joining = len(flight), list[Request]()
        if waiting and (not low or flight.room >= max(1, flight.size // SHARE)):
            joining = [waiting.popleft() for _ in range(min(flight.room, len(waiting)))]
        with torch.inference_mode():
            if joining:
                return self._settle(flight, low, flight.join(joining))
            return self._settle(flight, 0, flight.step())

    def _settle(self, flight: Flight, low: int, logits: Any) -> list[Row]:
        """Choose a token for each row from `low` on, and part with those that end."""
        tokens = self.choosing.choose(
            logits,
            flight.requests[low:],
            lambda: (flight.end - flight.begins[low : len(flight)]).tolist(),
            lambda row: flight.sequence(low + row),
        )
        flight.write(low, tokens)
        ended = torch.isin(tokens, self.ends) | (
            flight.begins[low : len(flight)] <= flight.end - self.longest
        )
        rows = {low + row for row in ended.nonzero().flatten().tolist()}
        if self.writing.stop:
            rows |= self._at_stop(flight, low)
        made = [self._row(flight, row) for row in sorted(rows)]
        if rows:
            flight.leave(sorted(rows))
        return made

    def _at_stop(self, flight: Flight, low: int) -> set[int]:
        """Rows, from `low` on, in whose answers there is a stop string."""
        tails = flight.tokens[low : len(flight), max(0, flight.end - self.writing.tail) : flight.end].tolist()
        lengths = (flight.end - flight.begins[low : len(flight)]).tolist()
        return {
            low + number
            for number, (tail, length) in enumerate(zip(tails, lengths, strict=True))
            if self.writing.stopped(tail[-length:]) and self.writing.stopped(flight.written(low + number))
        }

    def _row(self, flight: Flight, row: int) -> Row:
        request = flight.requests[row]
        ties = self.choosing.take_ties(request)
        return self.writing.row(request.prompt, flight.written(row), request.sample, ties)

    def _note(self, flight: Flight) -> str:
        if not len(flight):
            return ""
        written = flight.end - int(flight.begins[: len(flight)].min())
        return f"{len(flight):,} at a time, the longest has {written:,} of at most {self.longest:,} tokens"


def _unlike(requests: Sequence[Request]) -> tuple[list[int], list[int]]:
    """The numbers of the first request for each prompt, and for each request the place among these that its
    prompt has.
    """
    first: list[int] = []
    places: dict[int, int] = {}
    for number, each in enumerate(requests):
        if places.setdefault(id(each.prompt), len(first)) == len(first):
            first.append(number)
    return first, [places[id(each.prompt)] for each in requests]


def moved_by_company(
    model: Any, one: list[int], other: list[int], pad: int, packed: PackedLinears | None = None
) -> float | None:
    """By how much logits differ alone and in a flight, which the one prompt joins after the other, when half
    of it was read before.

    Args:
        model: of transformers, in evaluation mode.
        one: a prompt.
        other: one that is not shorter.
        pad: the padding id.
        packed: its linear layers, where they are there twice.

    Returns:
        None where that is more than rounding explains, or where both do not fit into memory.
    """

    def pairs() -> Iterator[tuple[Any, Any]]:
        known = one[: len(one) // 2]
        flight = Flight(model, pad, 2, read_prefix(model, known) if known else None, packed)
        first, second = (Request(Prompt("", tokens, truncated=False)) for tokens in (other, one))
        flight.write(0, flight.join([first]).argmax(-1))
        flight.write(0, flight.step().argmax(-1))
        logits = flight.join([second])
        low = 1
        for _ in range(PROBED_STEPS):
            yield alone(model, flight.sequence(1))[0], logits[-1]
            flight.write(low, logits.argmax(-1))
            logits, low = flight.step(), 0

    try:
        with torch.inference_mode():
            return difference(model, pairs())
    except torch.cuda.OutOfMemoryError:
        return None
