"""What must not go into a model or come out of it: token ids that it has no embedding for, and NaN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.errors import InputError


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
