"""What a person or a model wrote stays text: `</s>` in a prompt or an answer never becomes an end token."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from core.errors import InputError

_BEGIN, _END = "\U0010fff0", "\U0010fff1"
"""Stand around the spelling of a control token in what is only text. Nobody's text holds them: they are for
private use, at the very end of Unicode."""
_MARKS = re.compile(f"[{_BEGIN}{_END}]")


class ControlTokens:
    """Tells the control tokens that a template writes from text that only looks like them.

    Args:
        tokenizer: a Hugging Face tokenizer.
        template: its chat template; None without one.
        ends: ids at which a completion ends.
        thinking_end: the mark that ends thinking, of one or more tokens. An assistant writes it, and the one
            that begins thinking.
    """

    def __init__(
        self, tokenizer: Any, template: str | None, ends: Iterable[int], thinking_end: str | None
    ) -> None:
        self.tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder
        known = set(ends)
        special = {str(token) for id_, token in added.items() if token.special or id_ in known}
        names = {str(token) for token in added.values()} - special
        named = {
            name for name in names if name in (template or "") and not (name.isspace() or name.isalnum())
        }
        marks = (thinking_end or "", (thinking_end or "").replace("/", ""))
        written = {name for name in special if not any(name in mark for mark in marks)}
        self._asked, self._written = _any_of(special | named), _any_of(written)
        self._marked = re.compile(f"{_BEGIN}({_any_of(special | named).pattern}){_END}|{_MARKS.pattern}")

    def mark(self, text: str, role: str) -> str:
        """Mark what looks like a control token in something that was said.

        Args:
            text: what was said.
            role: who says it. An assistant's turn may hold marks of thinking and of tools that are no special
                tokens; in all others everything that the template writes is text.
        """
        pattern = self._written if role == "assistant" else self._asked
        return pattern.sub(rf"{_BEGIN}\g<0>{_END}", text)

    def spelled(self, text: str) -> set[str]:
        """The special tokens that something an assistant says spells, and that it is not meant to write."""
        return set(self._written.findall(text))

    def shown(self, text: str) -> str:
        """A marked text as a person reads it."""
        return _MARKS.sub("", text)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts, some of which may hold marks; without the special tokens that a tokenizer adds.

        Raises:
            InputError: the tokenizer cannot spell a control token as text.
        """
        if not texts:
            return []
        plain = iter(self._encode([text for text in texts if not _MARKS.search(text)]))
        return [self._with_marks(text) if _MARKS.search(text) else next(plain) for text in texts]

    def continued(self, text: str) -> list[int]:
        """Token ids of a text that continues another: without the space that SentencePiece begins with."""
        return self._with_marks(text, begins=False)

    def _encode(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        encoded = self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)
        ids: list[list[int]] = encoded["input_ids"]
        return ids

    def _with_marks(self, text: str, begins: bool = True) -> list[int]:
        first, *others = self._marked.split(text)  # text, control token or None, text, ...
        ids = self._encode([first])[0] if begins else self._piece(first)
        for number, piece in enumerate(others):
            ids += self._spelled(piece) if number % 2 == 0 else self._piece(piece)
        return ids

    def _piece(self, text: str | None, **how: Any) -> list[int]:
        """Token ids of a text from the middle of another."""
        if not text:
            return []

        def encode(each: str) -> list[int]:
            ids: list[int] = self.tokenizer.encode(each, add_special_tokens=False, verbose=False, **how)
            return ids

        before, whole = encode("\n"), encode("\n" + text)
        return whole[len(before) :] if whole[: len(before)] == before else encode(text)

    def _spelled(self, token: str | None) -> list[int]:
        """A control token as text; letter by letter where that is the only way."""
        if not token:
            return []
        control = self.tokenizer.convert_tokens_to_ids(token)
        ids = self._piece(token, split_special_tokens=True)
        if control in ids:
            ids = list(chain.from_iterable(map(self._piece, token)))
        if control in ids:
            raise InputError(
                f"{self.tokenizer.name_or_path}: the tokenizer cannot write {token!r} as text, only as the "
                "control token. Remove it from prompts and answers, or write it in another way."
            )
        return ids


def _any_of(tokens: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(tokens, key=lambda token: (-len(token), token))
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
