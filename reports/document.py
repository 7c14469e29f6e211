"""A report before it has a form: what every page, comment and file about one or two runs is made from."""

from __future__ import annotations

from typing import Any

from core.config import Record
from core.text import counted
from evaluation.comparison import Comparison
from evaluation.gate import GateDecision
from evaluation.metrics import MetricsSnapshot
from experiments.revisions import new_count, revision_in
from registry import Outcome
from reports.changes import Changes


class ReportedRun(Record):
    """A run of a report.

    Attributes:
        role: what it is here: `baseline`, `candidate`, or `run` where it stands alone.
        run_id: its id.
        name: what it was, as in "SmolLM2 trained support-v1".
        kind: baseline or trained.
        base_model: the model that it judged or trained from.
        model_sha256: of the weights that were judged; None where nobody here has them, as at an endpoint.
        dataset: KEY-vN.
        dataset_sha256: of its file.
        judge: NAME@vN.
        engine: what ran the model, as in "transformers 5.1.0, float32, cpu".
        started_at: ISO 8601, UTC.
        finished_at: likewise.
        metrics: its scores, overall and by category.
        rungs: where the answers were found -> how many right ones and others; empty where the judge does not
            say.
        hints: what most answers that are not right have in common, and what to do.
        manifest: every input that can change its result.
    """

    role: str
    run_id: str
    name: str
    kind: str
    base_model: str
    model_sha256: str | None
    dataset: str
    dataset_sha256: str
    judge: str
    engine: str
    started_at: str
    finished_at: str | None
    metrics: MetricsSnapshot
    rungs: dict[str, tuple[int, int]]
    hints: list[str]
    manifest: dict[str, Any]

    @property
    def weights(self) -> str:
        """The sha256 of its weights, or who alone knows them."""
        if self.model_sha256 is not None:
            return self.model_sha256
        if self.manifest.get("imported"):
            return "not in the file that the predictions were imported from"
        return "known to the endpoint only"

    @property
    def revised(self) -> str | None:
        """That its dataset was changed after looking at answers, in a sentence; None where it was not."""
        revision = revision_in(self.manifest)
        return None if revision is None else new_count(self.dataset, revision)


class Decided(Record):
    """What was decided about the candidate.

    Attributes:
        outcome: as of a promotion.
        headline: it in a line.
        reasons: why, in whole sentences; of a forced one first who forced it and why.
        model_name: the registered model.
        alias: that the run was offered to.
        version: that it became; None where it became none.
        decision: what the gate said; None where it was not asked.
        actor: who asked.
        decided_at: ISO 8601, UTC.
        against: id of the run that it was compared with; None where it was compared with none.
    """

    outcome: Outcome
    headline: str
    reasons: list[str]
    model_name: str
    alias: str
    version: int | None
    decision: GateDecision | None
    actor: str
    decided_at: str
    against: str | None = None


class Report(Record):
    """One run, or a candidate against a baseline. The items are not part of it: there may be 100,000, and
    `experiments.side_by_side` gives them one at a time.

    Attributes:
        runs: the baseline and the candidate, or one run.
        comparison: candidate against baseline; None for one run.
        changes: what got worse and better in it; None for one run.
        decided: the newest decision about the candidate against this baseline, or about the one run; None
            where there was none.
        made_with: Hallmark's version.
    """

    runs: list[ReportedRun]
    comparison: Comparison | None
    changes: Changes | None
    decided: Decided | None
    made_with: str

    @property
    def candidate(self) -> ReportedRun:
        """The run that the report is about."""
        return self.runs[-1]

    @property
    def alone(self) -> str | None:
        """That one run is compared with nothing, and how to compare it, in a sentence; None for two runs."""
        if self.comparison is not None:
            return None
        run, why = self.candidate.run_id, "This report is about one run: nothing in it is compared."
        if self.decided is not None and self.decided.against is not None:
            command = f"hallmark report {self.decided.against} {run}"
            return f"{why} `{command}` compares it with the run that the decision rests on."
        return (
            f"{why} `hallmark report OTHER {run}` compares it with another run on {self.candidate.dataset}."
        )

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return " against ".join(run.run_id for run in reversed(self.runs))

    @property
    def headline(self) -> str:
        """The answer, in a line: what was decided, else what the comparison says, else the score."""
        from evaluation.numbers import percent, points

        if self.decided is not None:
            return self.decided.headline
        if (found := self.comparison) is not None:
            change = f"{percent(found.baseline.value)} to {percent(found.candidate.value)}"
            return f"NOT DECIDED: {change}, {points(found.delta)} points"
        metric = next(iter(self.candidate.metrics.overall.values()))
        return f"{percent(metric.value)} of {counted(metric.n, 'item')} on {self.candidate.dataset}"
