"""Log-probabilities as a judge reads them: what a prediction is where `generation.output` is log_probs.

Frozen with the judges that import it.

An item that offers choices has {"choices": [...]} with an object for each of them, in their order; another
item is one such object, for its reference.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class LogProb(BaseModel):
    """How likely a model finds a text behind a prompt.

    Attributes:
        log_prob: natural logarithm of the text's probability, the sum over its tokens.
        tokens: how many it has.
        bytes: how many its text has, in UTF-8.
        greedy: whether greedy decoding would write it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    log_prob: float = Field(le=0)
    tokens: int = Field(ge=1)
    bytes: int = Field(ge=1)
    greedy: bool


class ChoiceLogProbs(BaseModel):
    """How likely a model finds each choice.

    Attributes:
        choices: in the item's order.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    choices: list[LogProb] = Field(min_length=2)


_EITHER: TypeAdapter[LogProb | ChoiceLogProbs] = TypeAdapter(LogProb | ChoiceLogProbs)


def read_log_probs(prediction: str) -> LogProb | ChoiceLogProbs:
    """What a prediction says.

    Raises:
        ValueError: it is not of this form.
    """
    return _EITHER.validate_json(prediction)
