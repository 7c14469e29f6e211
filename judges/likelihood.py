"""`likelihood@v1`: how likely does the model find the right answer?

Frozen, with log_probs.py: a change of what they do is another version.

The score is the geometric mean of the probabilities that the model gives the tokens of the reference behind
the prompt: exp(log-probability / tokens), which is one by the perplexity. The answer that is shown as found
is that perplexity. A run's metrics have the perplexity and the bits per byte of all references together.
"""

from __future__ import annotations

import math

from core.errors import InputError
from golden.schema import Item
from judges.base import Score
from judges.log_probs import LogProb, read_log_probs

LARGEST = 700.0
"""Natural logarithm of the largest perplexity that is shown."""


class LikelihoodV1:
    """Scores the mean probability of the reference's tokens, 1 by the perplexity. Reason: scored."""

    name = "likelihood"
    version = "v1"
    reads = "log_probs"

    def check(self, item: Item) -> None:
        """Refuse an item that cannot be judged, before anything is computed.

        Raises:
            InputError: it offers choices.
        """
        if item.offered:
            raise InputError("it offers choices. Judge it by log_prob_choice@v1")

    def score(self, item: Item, prediction: str) -> Score:
        """Score one prediction.

        Args:
            item: the question and its right answer.
            prediction: the log-probability of that answer.

        Raises:
            InputError: it is that of several choices.
        """
        found = read_log_probs(prediction)
        if not isinstance(found, LogProb):
            raise InputError("it offers choices. Judge it by log_prob_choice@v1")
        mean = found.log_prob / found.tokens
        perplexity = math.exp(min(-mean, LARGEST))
        return Score(
            trace_id=item.trace_id,
            score=math.exp(mean),
            extracted=f"perplexity {perplexity:.6g}",
            reason="scored",
        )
