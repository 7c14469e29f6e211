"""What offering a run, and what a whole experiment, ends in."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from core.tabular import Row, Tabular
from core.text import counted
from evaluation.comparison import Comparison
from evaluation.gate import GateDecision
from experiments.runs import RunRef
from registry import Outcome

ALIAS = "champion"


class ExperimentRuns(BaseModel):
    """Everything that an experiment judged: a run for each of its datasets, the main one first.

    Attributes:
        base: of the base model.
        served: of the champion; the base's where there is no champion.
        trained: of the trained model.
    """

    base: list[RunRef]
    served: list[RunRef]
    trained: list[RunRef]


class PromotionResult(Tabular, BaseModel):
    """What became of a run that was offered to an alias.

    Attributes:
        outcome: promoted; forced, against the gate; refused; passed, when promotion was not wanted;
            already_champion, when the very weights are what the alias points at.
        model_name: the registered model.
        alias: the alias that the run was offered to.
        run_id: the candidate.
        version: number of the run's version; None where it has none.
        decision: the gate's answer; None for already_champion.
        comparison: candidate against what was served; None for already_champion.
        head: the end of the audit log afterwards, as N:HASH, to be kept elsewhere.
        report: the page about the decision; None where the run's folder cannot be written.
    """

    outcome: Outcome
    model_name: str
    alias: str
    run_id: str
    version: int | None
    decision: GateDecision | None
    comparison: Comparison | None
    head: str | None = None
    report: Path | None = None

    @property
    def headline(self) -> str:
        """The outcome in a line."""
        return _headline(self.outcome, self.model_name, self.version, self.alias)

    @property
    def refused(self) -> bool:
        """Whether the gate said no, and nobody overrode it: what fails a job in CI."""
        return self.outcome == "refused"

    @property
    def reasons(self) -> list[str]:
        """Why, in whole sentences."""
        return self.decision.reasons if self.decision else []

    def table_caption(self) -> str:
        """The outcome and why."""
        return " ".join([f"{self.headline}.", *self.reasons])

    def table_rows(self) -> list[Row]:
        """A row for each requirement: what was decided about which run, and on what evidence."""
        decision = self.decision
        about: Row = {
            "outcome": self.outcome,
            "model": self.model_name,
            "alias": self.alias,
            "version": self.version,
            "run": self.run_id,
        }
        if decision is None:
            return [about]
        return [
            {
                **about,
                "required": each.name,
                "against": each.opponent_run,
                "delta": each.delta,
                "p_value": each.p_value,
                "level": decision.level,
                "met": each.met,
            }
            for each in decision.requirements
        ]


class ExperimentResult(Tabular, BaseModel):
    """The answer to "is the trained model better than the base, and may it replace what we serve?"

    Attributes:
        outcome: as of a promotion; an experiment forces nothing.
        baseline: the base model's run.
        trained: the trained model's run.
        comparison: trained against base.
        against: run that the gate compared with: the champion's, or the base's where there is no champion.
        gate_comparison: trained against that run; None for already_champion, which needs no comparison.
        decision: the gate's answer; None for already_champion.
        model_name: the registered model.
        version: number of the version that the trained weights have in the registry; None when they have
            none.
        champion: number of the champion version after the decision; None when there is none.
        weights_sha256: of the trained model's directory.
        weights: where the trained model is: in the artifact store when it has a version, else in the run.
        predictions_sha256: of the trained model's predictions.jsonl.
        repeats: an earlier finished run with the same predictions, byte for byte.
        head: the end of the audit log afterwards, as of a promotion.
        report: the page about the decision, likewise.
    """

    outcome: Outcome
    baseline: RunRef
    trained: RunRef
    comparison: Comparison
    against: RunRef
    gate_comparison: Comparison | None
    decision: GateDecision | None
    model_name: str
    version: int | None
    champion: int | None
    weights_sha256: str
    weights: Path
    predictions_sha256: str
    repeats: str | None
    head: str | None = None
    report: Path | None = None

    @property
    def headline(self) -> str:
        """The outcome in a line."""
        return _headline(self.outcome, self.model_name, self.version, ALIAS)

    @property
    def reasons(self) -> list[str]:
        """Why, in whole sentences."""
        champion = self.gate_comparison is not None and self.against.run_id != self.baseline.run_id
        against = (
            [f"Compared with the champion (run {self.against.run_id}), not with the base."]
            if champion
            else []
        )
        return against + (self.decision.reasons if self.decision else [])

    @property
    def refused(self) -> bool:
        """Whether the gate said no: what fails a job in CI. It may say yes with promotion switched off."""
        return self.outcome == "refused"

    def table_caption(self) -> str:
        """The outcome and why."""
        return " ".join([f"{self.headline}.", *self.reasons])

    def table_rows(self) -> list[Row]:
        """Trained against base: see `Comparison.table_rows`."""
        return self.comparison.table_rows()


def log_line(head: str) -> str:
    """The end of the audit log for a person, from N:HASH.

    Example:
        >>> log_line("42:5e1f")
        '42 rows, head 5e1f'
    """
    rows, _, sha256 = head.partition(":")
    return f"{counted(int(rows), 'row')}, head {sha256}"


def _headline(outcome: Outcome, model: str, version: int | None, alias: str) -> str:
    return {
        "promoted": f"PROMOTED: {model} v{version} is {alias} now",
        "forced": f"FORCED: {model} v{version} is {alias} now, against the gate",
        "already_champion": f"NOTHING TO CHANGE: these very weights are {model} v{version}, the {alias}",
        "refused": "NOT PROMOTED: the gate said no",
        "passed": "THE GATE SAID YES; promotion was switched off",
    }[outcome]
