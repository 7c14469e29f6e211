"""What an experiment ends in."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from evaluation.comparison import Comparison
from evaluation.gate import Decision
from experiments.runs import RunRef

Outcome = Literal["promoted", "refused", "already_champion", "passed_without_promotion"]


class Verdict(BaseModel):
    """The answer to "is the trained model better than the base, and may it replace what we serve?"

    Attributes:
        outcome: promoted; refused by the gate; already_champion, when the very weights are champion; or
            passed_without_promotion, when promotion was switched off.
        baseline: the base model's run.
        trained: the trained model's run.
        comparison: trained against base.
        against: run that the gate compared with: the champion's, or the base's where there is no champion.
        gate_comparison: trained against that run; None for already_champion, which needs no comparison.
        decision: the gate's answer; None for already_champion.
        model_name: the registered model.
        version: number of the version that the trained weights have in the registry; None when they have none.
        champion: number of the champion version after the decision; None when there is none.
        weights_sha256: of the trained model's directory.
        weights: where the trained model is: in the artifact store when it has a version, else in the run.
        repeats: an earlier finished run with the same predictions, byte for byte.
    """

    outcome: Outcome
    baseline: RunRef
    trained: RunRef
    comparison: Comparison
    against: RunRef
    gate_comparison: Comparison | None
    decision: Decision | None
    model_name: str
    version: int | None
    champion: int | None
    weights_sha256: str
    weights: Path
    predictions_sha256: str
    repeats: str | None

    @property
    def headline(self) -> str:
        """The outcome in a line."""
        return {
            "promoted": f"PROMOTED: {self.model_name} v{self.version} is champion now",
            "already_champion": f"NOTHING TO CHANGE: these very weights are {self.model_name} v{self.version}, the champion",
            "refused": "NOT PROMOTED: the gate said no",
            "passed_without_promotion": "THE GATE SAID YES; promotion was switched off",
        }[self.outcome]

    @property
    def reasons(self) -> list[str]:
        """Why, in whole sentences."""
        champion = self.gate_comparison is not None and self.against.run_id != self.baseline.run_id
        against = [f"Compared with the champion (run {self.against.run_id}), not with the base."] if champion else []
        return against + (self.decision.reasons if self.decision else [])

    @property
    def stands(self) -> bool:
        """Whether the trained weights are champion now."""
        return self.outcome in ("promoted", "already_champion")
