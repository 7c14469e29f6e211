"""Which token comes next, decided by a row alone where its company could decide it."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from inference.contract import GenerationConfig
from inference.finite import not_finite
from inference.partial import Key
from inference.requests import Request
from inference.sampling import draw, uniform

SURE = 1e-4
"""How far apart the two largest logits have to be, as a share of the model's usual distance between the
largest logit and the median. What else is in a batch moves float32 logits by up to 1e-6 of that distance for
the built-in tiny base and 3e-6 for SmolLM2-135M, on a CPU; about one token in 1,500 of the latter is nearer.
"""
STEADY = 8
"""A model whose logits are moved by more than this part of what SURE asks for is not steady enough."""
BLOCKS = 64
"""Into how many parts a row of logits is cut where its two largest are looked for."""


class Choosing:
    """Greedy or drawn, and the same whatever else is in a batch.

    Company moves logits by rounding: other shapes are summed in another order. Where that could change a
    token, as where the two largest logits are nearly equal, the row's tokens so far go through the model
    alone, without padding and without a cache, and these logits decide: they follow from the tokens and
    nothing else.

    Args:
        model: of transformers, in evaluation mode.
        settings: say how tokens are chosen.

    Attributes:
        sure: a larger margin than this, in units of a logit, decides at once; None where nothing is promised
            and each margin does.
        ties: how many tokens were decided alone.
        tied: how many of them of each completion that is under way.
    """

    def __init__(self, model: Any, settings: GenerationConfig) -> None:
        self.model = model
        self.settings = settings
        self.sure: float | None = None
        self.ties = 0
        self.tied = Counter[Key]()

    def choose(
        self,
        logits: Any,
        requests: Sequence[Request],
        steps: Callable[[], list[int]],
        sequence: Callable[[int], list[int]],
    ) -> Any:
        """The next token of each row.

        Args:
            logits: float32 [rows, vocabulary]; overwritten.
            requests: whose rows they are.
            steps: gives for each row which token of its answer is wanted, from 0.
            sequence: gives all tokens of a row, those of its prompt first.

        Returns:
            int64 [rows].

        Raises:
            InputError: the largest logit is NaN or infinite; names the item.
        """
        tokens, margins = self._choose(logits, requests, steps)
        # Where a margin is NaN, a logit was: the row decides alone, and is refused there.
        unsure = ~(margins > (-1.0 if self.sure is None else self.sure))
        if bool(unsure.any()):
            for row in unsure.nonzero().flatten().tolist():
                tokens[row] = self._alone(requests[row], sequence(row))
        return tokens

    def _alone(self, request: Request, sequence: list[int]) -> Any:
        step = len(sequence) - len(request.prompt.tokens)
        tokens, margins = self._choose(alone(self.model, sequence), [request], lambda: [step])
        if bool(margins.isnan()):
            raise not_finite(request.prompt.trace_id, self.settings.dtype, step + 1)
        self.ties += 1
        self.tied[request.key] += 1
        return tokens[0]

    def take_ties(self, request: Request) -> int:
        """How many tokens of a completion were decided alone, once it has ended or begins again."""
        return self.tied.pop(request.key, 0)

    def _choose(
        self, logits: Any, requests: Sequence[Request], steps: Callable[[], list[int]]
    ) -> tuple[Any, Any]:
        """Tokens, int64 [rows], and their margins, float [rows]: by how much two logits may move apart before
        another token is chosen. NaN where the largest logit is NaN or infinite.
        """
        if self.settings.temperature == 0:
            return _largest(logits)
        import torch

        uniforms = [
            uniform(self.settings.seed, *each.key, step) for each, step in zip(requests, steps(), strict=True)
        ]
        largest = logits.amax(-1)
        tokens, margins = draw(
            logits.nan_to_num(nan=0.0, posinf=0.0, neginf=-torch.inf),
            torch.tensor(uniforms, dtype=torch.float64, device=logits.device),
            self.settings.temperature,
            self.settings.top_p,
            self.sure or 0.0,
        )
        return tokens, margins + 0 * largest


def _largest(logits: Any) -> tuple[Any, Any]:
    """The first of the largest logits, int64 [rows], and by how much each is larger than the second, float32
    [rows]: NaN where it is NaN or infinite. Twice the largest is four times as fast as the two largest.

    Args:
        logits: float32 [rows, vocabulary]; overwritten.
    """
    import torch

    largest, tokens = logits.max(-1)
    second = logits.scatter_(1, tokens[:, None], -torch.inf).amax(-1)
    return tokens, largest - second + 0 * largest


def extremes(logits: Any) -> tuple[Any, Any, Any]:
    """The smallest, the largest and the second largest of each row. Found block by block: over rows as long
    as a vocabulary torch is ten times slower on a CPU.

    Args:
        logits: float32 [rows, vocabulary].

    Returns:
        float32 [rows] each; the largest of a row is NaN where any of it is.
    """
    import torch

    width = logits.shape[1] // BLOCKS
    cut = BLOCKS * width if width > 1 else 0
    blocks, rest = logits[:, :cut].unflatten(1, (-1, max(width, 1))), logits[:, cut:]
    low = torch.cat([blocks.amin(-1), rest], 1).amin(-1)
    best, where = torch.cat([blocks.amax(-1), rest], 1).topk(2)
    high, second = best.unbind(-1)
    if cut:
        beside = blocks[torch.arange(len(logits)), where[:, 0].clamp(max=BLOCKS - 1)].topk(2).values[:, 1]
        second = torch.where(where[:, 0] < BLOCKS, torch.maximum(second, beside), second)
    return low, high, second


def alone(model: Any, sequence: Sequence[int]) -> Any:
    """The logits behind a sequence, float32 [1, vocabulary]: a function of its tokens.

    Args:
        model: of transformers, in evaluation mode.
        sequence: token ids.
    """
    import torch

    ids = torch.tensor([sequence], device=model.device)
    return model(input_ids=ids, use_cache=False, **last_logits(model)).logits[:, -1].float().to(model.device)


def last_logits(model: Any, count: int = 1) -> dict[str, int]:
    """What tells a model to compute the logits of the last tokens only, where it can."""
    return (
        {"logits_to_keep": count} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
    )


def usual_distance(model: Any) -> float:
    """The distance between the largest logit and the median, on average over a few tokens: the scale by which
    a difference of logits is large or small.

    Args:
        model: of transformers, in evaluation mode.
    """
    import torch

    rows = model.get_input_embeddings().weight.shape[0]
    ids = torch.arange(min(16, rows), device=model.device)[None]
    with torch.inference_mode():
        logits = model(input_ids=ids, use_cache=False).logits[0].float()
    return float((logits.amax(-1) - logits.median(-1).values).nanmean())
