"""What the Python API gives back: runs, models, moves of an alias, exports. Each shows as a table in a
notebook.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InputError
from core.suggestions import did_you_mean
from core.tabular import Row, Tabular, TabularList
from core.text import counted
from evaluation.numbers import percent
from experiments.runs import RunRef, current_status
from registry import ModelVersion, Registry, Run
from registry.models import ModelSummary
from registry.tables import Metric

if TYPE_CHECKING:
    from experiments.answers import Answers

STATUSES = ("running", "finished", "failed", "interrupted")
KINDS = ("baseline", "trained")
ALL = 1_000_000
"""More runs than any registry has."""
DOCUMENTS = {"id", "manifest", "predictions_meta", "files"}


@dataclass(frozen=True, repr=False)
class RunSummary(Tabular):
    """A run as a list of runs has it.

    Attributes:
        run: its row, without its documents.
        status: running, finished, failed, or interrupted.
        metric: the overall metric; None while it has none.
        directory: the folder of its files.
        dataset: what it was judged on, as KEY-vN.
        training: what its manifest says of its training; empty for a run without one.
    """

    run: Run
    status: str
    metric: Metric | None
    directory: Path
    dataset: str
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def details(self) -> str:
        """How it was trained, in a few words; empty for a run without training."""
        told = {**(self.training.get("config") or {}), "on": (self.training.get("dataset") or {}).get("name")}
        forms = {
            "method": "{}",
            "steps": "{:,} steps",
            "epochs": "{:g} epochs",
            "learning_rate": "lr {:g}",
            "seed": "seed {}",
            "on": "on {}",
        }
        return ", ".join(
            form.format(told[name]) for name, form in forms.items() if told.get(name) is not None
        )

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.run_id

    @property
    def score(self) -> float | None:
        """The mean score, from 0 to 1; None while it has none."""
        return self.metric.value if self.metric else None

    def document(self) -> dict[str, Any]:
        """The row with its status and its metric, as JSON."""
        return {
            **self.run.model_dump(exclude=DOCUMENTS),
            "directory": str(self.directory),
            "status": self.status,
            "metric": self.metric.model_dump(exclude={"id", "run_id", "category"}) if self.metric else None,
            "dataset": self.dataset,
            "training": self.training.get("config"),
        }

    def table_caption(self) -> str:
        """The run in a line."""
        return run_line(self.run, self.status, self.score)

    def table_rows(self) -> list[Row]:
        """One row."""
        return [
            {
                "run": self.run_id,
                "status": self.status,
                "score": self.score,
                "items": self.metric.n if self.metric else None,
                "kind": self.run.kind,
                "name": self.run.name,
                "dataset": self.dataset,
                "training": self.details or None,
                "judge": self.run.judge,
                "started": self.run.started_at,
            }
        ]


class RunList(TabularList[RunSummary]):
    """Runs, newest first."""

    def table_caption(self) -> str:
        """How many."""
        return counted(len(self), "run")

    def table_rows(self) -> list[Row]:
        """A row per run."""
        return [row for summary in self for row in summary.table_rows()]


class ModelList(TabularList[ModelSummary]):
    """Registered models, by name."""

    def table_caption(self) -> str:
        """How many."""
        return counted(len(self), "model")

    def table_rows(self) -> list[Row]:
        """A row per model; `champion` is the number of its champion version."""
        return [
            {"model": model.name, "champion": model.champion, "versions": model.versions} for model in self
        ]


@dataclass(frozen=True, repr=False)
class RunResult(Tabular):
    """One recorded run with its metrics.

    Attributes:
        run: its row: inputs, hashes, times, manifest.
        status: running, finished, failed, or interrupted.
        metrics: overall first, then by category; values are shares, from 0 to 1.
        counts: the judge's reasons, and how often each occurred.
        truncated: how many prompts and completions were cut off; None where that was not recorded.
        directory: the folder of its files.
        reused: it was recorded before, and nothing was computed.
        rungs: where in the completions the judge found answers: how many right ones and how many others;
            empty where it does not say.
        hints: what most of the completions that are not right have in common, in whole sentences.
    """

    run: Run
    status: str
    metrics: Sequence[Metric]
    counts: dict[str, int]
    truncated: dict[str, int | None] | None
    directory: Path
    reused: bool = False
    rungs: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    hints: Sequence[str] = ()

    def wrong(self, count: int = 5) -> Answers:
        """The first answers without the full score: what was asked, found and expected.

        Args:
            count: how many, at most.

        Example:
            >>> hm.run("20261124-1015").wrong(1)[0].verdict
            'wrong: found 75 (marker)'
        """
        return recorded_answers(self.run_id, wrong=count)

    def right(self, count: int = 5) -> Answers:
        """The first answers with the full score.

        Args:
            count: how many, at most.
        """
        return recorded_answers(self.run_id, right=count)

    def answers(self, *trace_ids: str) -> Answers:
        """The answers to some items.

        Args:
            trace_ids: of the items.

        Raises:
            InputError: the run has no such item.
        """
        return recorded_answers(self.run_id, items=trace_ids)

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.run_id

    @property
    def score(self) -> float | None:
        """The mean score, from 0 to 1; None while it has none."""
        return next((metric.value for metric in self.metrics if metric.category == ""), None)

    def document(self) -> dict[str, Any]:
        """Everything that is recorded of the run but its predictions, as JSON."""
        return {
            **self.run.model_dump(exclude={"id"}),
            "directory": str(self.directory),
            "status": self.status,
            "metrics": [metric.model_dump(exclude={"id", "run_id"}) for metric in self.metrics],
            "counts": self.counts,
            "truncated": self.truncated,
            "reused": self.reused,
            "rungs": {rung: {"right": right, "wrong": wrong} for rung, (right, wrong) in self.rungs.items()},
            "hints": list(self.hints),
        }

    def table_caption(self) -> str:
        """The run in a line."""
        return run_line(self.run, self.status, self.score)

    def table_rows(self) -> list[Row]:
        """A row per metric, overall first."""
        return [
            {
                "metric": metric.name,
                "category": metric.category or "overall",
                "items": metric.n,
                "value": metric.value,
                "ci_low": metric.ci_low,
                "ci_high": metric.ci_high,
            }
            for metric in self.metrics
        ]


@dataclass(frozen=True, repr=False)
class AliasMove(Tabular):
    """An alias that points at an earlier version again.

    Attributes:
        version: the one that it points at now.
        alias: such as champion.
        reason: why.
        head: the end of the audit log afterwards, as N:HASH.
    """

    version: ModelVersion
    alias: str
    reason: str
    head: str

    def table_caption(self) -> str:
        """What moved, and why."""
        return f"{self.version.model} v{self.version.number} is {self.alias} again: {self.reason}"

    def table_rows(self) -> list[Row]:
        """One row."""
        return [
            {
                "model": self.version.model,
                "alias": self.alias,
                "version": self.version.number,
                "run": self.version.run_id,
                "reason": self.reason,
            }
        ]


@dataclass(frozen=True, repr=False)
class ExportResult(Tabular):
    """A version that was written to a directory.

    Attributes:
        model: the registered model.
        version: its number.
        directory: where it was written; absolute.
        files: how many.
    """

    model: str
    version: int
    directory: Path
    files: int

    def table_caption(self) -> str:
        """What is where."""
        return f"{self.model} v{self.version}: {counted(self.files, 'file')} in {self.directory}"

    def table_rows(self) -> list[Row]:
        """One row."""
        return [
            {
                "model": self.model,
                "version": self.version,
                "directory": str(self.directory),
                "files": self.files,
            }
        ]


def run_line(run: Run, status: str, score: float | None) -> str:
    """A run in a line: id, what it is, how it stands, its score."""
    ending = f": {percent(score)}" if score is not None else f": {run.error}" if run.error else ""
    return f"run {run.run_id}, {run.name}, judged by {run.judge}, {status}{ending}"


def recorded_runs(
    registry: Registry, limit: int, status: str | None = None, **filters: str | None
) -> RunList:
    """The newest runs.

    Args:
        registry: holds them.
        limit: how many, at most.
        status: running, finished, failed, or interrupted; None for any.
        filters: further arguments of `registry.runs.Runs.list`.

    Raises:
        InputError: status or kind are none of these; or see `registry.runs.Runs.list`.
    """
    if status not in (None, *STATUSES):
        raise InputError(
            f"status {status}: expected one of {', '.join(STATUSES)}.{did_you_mean(status, STATUSES)}"
        )
    if (kind := filters.get("kind")) not in (None, *KINDS):
        raise InputError(f"kind {kind}: expected {' or '.join(KINDS)}.{did_you_mean(kind, KINDS)}")
    # An interrupted run is recorded as running. Few are, so that all of them can be looked at.
    unended = status in ("running", "interrupted")
    runs = registry.runs.list(ALL if unended else limit, status="running" if unended else status, **filters)
    now = {run.run_id: current_status(run, registry) for run in runs}
    runs = [run for run in runs if not unended or now[run.run_id] == status][:limit]
    datasets, trainings = registry.runs.datasets(runs), registry.runs.trainings(runs)
    found = []
    for run in runs:
        overall = (metric for metric in registry.runs.metrics(run.run_id) if metric.category == "")
        found.append(
            RunSummary(
                run=run,
                status=now[run.run_id],
                metric=next(overall, None),
                directory=registry.runs.directory(run.run_id),
                dataset=datasets[run.run_id],
                training=trainings.get(run.run_id, {}),
            )
        )
    return RunList(found)


def recorded_run(registry: Registry, run: str | RunRef) -> RunResult:
    """A run with its metrics.

    Args:
        registry: holds it.
        run: run id, a unique beginning or end of one, or what a flow gave back.

    Raises:
        InputError: there is none, or more than one; lists them.
    """
    from evaluation.form import in_order
    from evaluation.hints import hints
    from experiments.answers import count_answers, truncation

    row = registry.runs.get(run if isinstance(run, str) else run.run_id)
    counts = count_answers(row, registry)
    return RunResult(
        run=row,
        status=current_status(row, registry),
        metrics=registry.runs.metrics(row.run_id),
        counts=registry.runs.reasons(row.run_id),
        truncated=None if (cut := truncation(row, registry)) is None else cut.model_dump(),
        directory=registry.runs.directory(row.run_id),
        reused=not isinstance(run, str) and run.reused,
        rungs={rung: counts.rungs[rung] for rung in in_order(counts.rungs)},
        hints=hints(counts),
    )


def recorded_answers(run: str, *, wrong: int = 0, right: int = 0, items: Sequence[str] = ()) -> Answers:
    """Some answers of a run of the workspace; see `experiments.answers.answers`."""
    from experiments.answers import answers
    from experiments.workspace import open_workspace

    return answers(run, open_workspace().registry, wrong=wrong, right=right, items=items)
