"""What must not go into a model or come out of it: token ids that it has no embedding for, and NaN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.errors import InputError


class FiniteLogits:
    """Refuses logits of which the largest is NaN or infinite: the next token would be an accident.

    Called by transformers for every token of a batch. A logit of minus infinity is a token that the model
    forbids, and passes.

    Args:
        config: the generation config; what a completion has after its end does not matter.
        dtype: what is computed in, for the message.
    """

    def __init__(self, config: Any, dtype: str) -> None:
        ends = config.eos_token_id
        self.ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
        self.dtype = dtype
        self.trace_ids: Sequence[str] = ()
        self.prompt_length = 0

    def begin(self, trace_ids: Sequence[str], prompt_length: int) -> None:
        """A batch begins.

        Args:
            trace_ids: of its items.
            prompt_length: of its prompts, padding included, in tokens.
        """
        self.trace_ids = trace_ids
        self.prompt_length = prompt_length

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return float [batch, vocabulary] scores as they are.

        Args:
            input_ids: int64 [batch, time], prompts and what was written so far.
            scores: the logits of the next token.

        Raises:
            InputError: names the item.
        """
        import torch

        bad = ~torch.isfinite(scores.amax(-1))
        if bool(bad.any()):
            written = input_ids[:, self.prompt_length :]
            ended = torch.isin(written, torch.tensor(self.ends, device=written.device, dtype=written.dtype))
            rows = (bad & ~ended.any(-1)).nonzero().flatten().tolist()
            if rows:
                raise not_finite(self.trace_ids[rows[0]], self.dtype, written.shape[1] + 1)
        return scores


def not_finite(trace_id: str, dtype: str, token: int | None = None) -> InputError:
    """What to say where a model computes NaN or infinity.

    Args:
        trace_id: the item.
        dtype: what is computed in.
        token: which of its answer's tokens, from 1, where that is known.
    """
    remedy = (
        "Set generation.dtype to float32."
        if dtype != "float32"
        else "Its weights are finite but not those of a working model: take an earlier checkpoint."
    )
    place = "" if token is None else f", for token {token} of its answer"
    return InputError(f"item {trace_id}: the model computed NaN or infinity, in {dtype}{place}. {remedy}")


def refuse_unknown_ids(ids: Sequence[int], rows: int, tokenizer: Any, where: str) -> None:
    """Refuse token ids that a model has no embedding for.

    Args:
        ids: of a prompt.
        rows: of the embeddings.
        tokenizer: knows the token's name.
        where: whose prompt it is.

    Raises:
        InputError: names the token, its id and the rows.
    """
    highest = max(ids, default=0)
    if highest >= rows:
        raise InputError(
            f"{where}: token {tokenizer.convert_ids_to_tokens(highest)!r} has id {highest}, but the model's "
            f"embeddings have {rows} rows. Take the tokenizer that the model was trained with, or give it "
            "the rows with model.resize_token_embeddings(len(tokenizer)) and train them."
        )
