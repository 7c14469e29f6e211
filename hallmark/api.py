"""The Python API: what `import hallmark as hm` offers. The command line is a thin layer over it.

Everything works on the workspace that the environment names (HALLMARK_HOME and its like), or that `open`
chose. Bad input raises `InputError` before anything starts. Progress is shown while a call runs; results come
back as objects that a notebook shows as tables and that turn into DataFrames by `to_frame()`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from core.errors import InputError
from core.judge_reference import parse_judge
from hallmark.progress import progress_shown

if TYPE_CHECKING:
    from evaluation.comparison import Comparison
    from evaluation.gate import GateConfig
    from evaluation.suite import Suite
    from experiments.config import EvaluateConfig, ExperimentConfig, TrainRunConfig
    from experiments.differing import RunDiff
    from experiments.importing import ImportReport
    from experiments.reproducing import Reproduction
    from experiments.result import ExperimentResult, PromotionResult
    from experiments.reviewing import Reviewed, Reviews
    from experiments.revising import Revised
    from experiments.verifying import Verification
    from experiments.workspace import Workspace
    from golden.prompting import PromptConfig
    from hallmark.results import AliasMove, ExportResult, ModelList, RunList, RunResult
    from inference.contract import GenerationConfig
    from judges import Score
    from registry import Registry
    from reports.document import Report
    from trainer.contract import TrainConfig

__all__ = [
    "baseline",
    "compare",
    "diff",
    "evaluate",
    "experiment",
    "export",
    "export_dataset",
    "export_run",
    "export_task",
    "import_dataset",
    "import_predictions",
    "models",
    "open",
    "promote",
    "rejudge",
    "reproduce",
    "review",
    "reviews",
    "revise",
    "rollback",
    "run",
    "runs",
    "score_answer",
    "train",
    "verify",
]


class HasRunId(Protocol):
    """A run: what `evaluate`, `train` and `run` give, an entry of `runs()`, `result.trained`."""

    @property
    def run_id(self) -> str:
        """The run's id."""


def open(  # noqa: A001 - hm.open
    home: str | Path | None = None, registry: str | None = None, artifacts: str | None = None
) -> Workspace:
    """Open a workspace, creating it when it is new. Every call and every child process uses it from then on.

    Args:
        home: folder of runs, artifacts and the SQLite registry; None means HALLMARK_HOME, else `.hallmark`.
        registry: URL of the registry's database; None means HALLMARK_REGISTRY_URL, else SQLite in `home`.
        artifacts: folder or fsspec URL of the artifacts; None means HALLMARK_ARTIFACTS, else in `home`.

    Returns:
        The workspace; its `registry` holds everything that is recorded.

    Raises:
        InputError: the schema is older or newer than this version of Hallmark, or a URL is not usable.
        ResourceError: the folder cannot be written, or the database is not to be had.

    Example:
        >>> workspace = hm.open("my-experiments")
        >>> workspace.registry.description
        'sqlite:///.../my-experiments/registry.db'
    """
    from core.settings import get_settings
    from experiments.workspace import open_workspace

    given = {
        "home": Path(home).expanduser().absolute() if home is not None else None,
        "registry_url": registry,
        "artifacts": artifacts,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    workspace = open_workspace(get_settings().model_copy(update=chosen))
    os.environ.update({f"HALLMARK_{name.upper()}": str(value) for name, value in chosen.items()})
    return workspace


def evaluate(
    model: str | Path | None = None,
    *,
    config: EvaluateConfig | str | Path | None = None,
    dataset: str | Path | None = None,
    judge: str | Mapping[str, Any] | None = None,
    prompt: PromptConfig | Mapping[str, Any] | None = None,
    generation: GenerationConfig | Mapping[str, Any] | None = None,
    limit_items: int | None = None,
    reuse: bool | None = None,
) -> RunResult:
    """Judge a model on a golden dataset.

    The keywords are the fields of `EvaluateConfig` and win over `config`; None means what `config` says, else
    the default.

    Args:
        model: `tiny-base`, a directory, `registry:NAME@ALIAS`, `registry:NAME@vN`, or `ORG/NAME@REVISION`.
        config: settings as an object, or the path of a TOML file.
        dataset: a built-in name, or the path of a `KEY-vN.jsonl` file.
        judge: as NAME@vN, or with parameters as in {"name": "regex@v1", "pattern": "[0-9]+"}; by default the
            one that the dataset's manifest names, else answer_correctness@v1.
        prompt: how the model is asked, as in {"instruction": "End with a line: Answer: X"}.
        generation: how predictions are made, as in {"max_new_tokens": 64}.
        limit_items: judge only the first so many items: a quick look, on which nothing is promoted.
        reuse: take the recorded run where one exists for exactly these inputs.

    Raises:
        InputError: a setting, the model, the dataset or the judge is unusable; names it.
        IntegrityError: the dataset or the model is not what was recorded.
        ResourceError: something that the work needs is not there: a package, disk space, the hub.

    Example:
        >>> hm.evaluate("tiny-base", dataset="golden-v1", generation={"max_new_tokens": 64})
        <RunResult: run 20261124-101500-ab12cd, tiny-base baseline golden-v1, judged by ..., finished: 39.7 %>
    """
    settings = _given(
        model=model,
        dataset=dataset,
        judge=judge,
        prompt=prompt,
        generation=generation,
        limit_items=limit_items,
        reuse=reuse,
    )
    return _evaluated("evaluate", config, settings)


def baseline(
    base_model: str | Path | None = None,
    *,
    config: EvaluateConfig | str | Path | None = None,
    dataset: str | Path | None = None,
    judge: str | Mapping[str, Any] | None = None,
    prompt: PromptConfig | Mapping[str, Any] | None = None,
    generation: GenerationConfig | Mapping[str, Any] | None = None,
    limit_items: int | None = None,
    reuse: bool | None = None,
) -> RunResult:
    """Judge the model that training starts from, as `experiment` does first. See `evaluate`.

    Args:
        base_model: see `evaluate`.
        config: see `evaluate`.
        dataset: see `evaluate`.
        judge: see `evaluate`.
        prompt: see `evaluate`.
        generation: see `evaluate`.
        limit_items: see `evaluate`.
        reuse: see `evaluate`.

    Raises:
        HallmarkError: see `evaluate`.

    Example:
        >>> hm.baseline().score
        0.3972...
    """
    settings = _given(
        model=base_model,
        dataset=dataset,
        judge=judge,
        prompt=prompt,
        generation=generation,
        limit_items=limit_items,
        reuse=reuse,
    )
    return _evaluated("baseline", config, settings)


def train(
    base_model: str | Path | None = None,
    *,
    config: TrainRunConfig | str | Path | None = None,
    dataset: str | Path | None = None,
    judge: str | Mapping[str, Any] | None = None,
    prompt: PromptConfig | Mapping[str, Any] | None = None,
    generation: GenerationConfig | Mapping[str, Any] | None = None,
    limit_items: int | None = None,
    train: TrainConfig | Mapping[str, Any] | None = None,
) -> RunResult:
    """Fine-tune a model and judge it on a golden dataset; nothing is compared or promoted.

    The keywords are the fields of `TrainRunConfig` and win over `config`; None means what `config` says, else
    the default.

    Args:
        base_model: what to start from; see `evaluate`.
        config: settings as an object, or the path of a TOML file of an experiment.
        dataset: the golden dataset that the trained model is judged on.
        judge: as NAME@vN, or with parameters as in {"name": "regex@v1", "pattern": "[0-9]+"}; by default the
            one that the dataset's manifest names, else answer_correctness@v1.
        prompt: how the model is asked, in training too.
        generation: how predictions are made.
        limit_items: see `evaluate`.
        train: how the model is trained, as in {"steps": 100, "method": "lora"}.

    Raises:
        InputError: see `evaluate`; also when training items overlap with golden items.
        ResourceError: the training needs more memory than the GPU has; names remedies.

    Example:
        >>> hm.train("tiny-base", train={"steps": 100})
        <RunResult: run 20261124-102000-ef34ab, tiny-base trained golden-v1, judged by ..., finished: 61.7 %>
    """
    from experiments.config import training
    from experiments.plan import plan_key, plan_training, planned
    from experiments.workspace import open_workspace
    from hallmark.results import recorded_run
    from hallmark.workstation.ready import prefect_ready

    settings = _given(
        base_model=base_model,
        dataset=dataset,
        judge=judge,
        prompt=prompt,
        generation=generation,
        limit_items=limit_items,
        train=train,
    )
    wanted = training(config, settings)
    with progress_shown():
        workspace = open_workspace()
        plan = plan_training(wanted, workspace)
        with prefect_ready(), planned({plan_key(wanted): plan}):
            from flows.train import train as flow

            return recorded_run(workspace.registry, flow(wanted))


def experiment(
    config: ExperimentConfig | str | Path | None = None,
    *,
    base_model: str | Path | None = None,
    dataset: str | Path | None = None,
    judge: str | Mapping[str, Any] | None = None,
    prompt: PromptConfig | Mapping[str, Any] | None = None,
    generation: GenerationConfig | Mapping[str, Any] | None = None,
    limit_items: int | None = None,
    train: TrainConfig | Mapping[str, Any] | None = None,
    model_name: str | None = None,
    gate: GateConfig | Mapping[str, Any] | None = None,
    suite: Suite | Mapping[str, Any] | str | Path | None = None,
    promote: bool | None = None,
    reuse_baseline: bool | None = None,
    fail_unless_promoted: bool | None = None,
) -> ExperimentResult:
    """Judge the base, train, judge the trained model, compare, and promote the better one.

    The keywords are the fields of `ExperimentConfig` and win over `config`; None means what `config` says,
    else the default. Without any: the built-in tiny base, golden-v1 and train-v1, in about two minutes on two
    CPU cores.

    Args:
        config: settings as an object, or the path of a TOML file.
        base_model: what to start from; see `evaluate`.
        dataset: the golden dataset.
        judge: as NAME@vN, or with parameters as in {"name": "regex@v1", "pattern": "[0-9]+"}; by default the
            one that the dataset's manifest names, else answer_correctness@v1.
        prompt: how the model is asked, in training too.
        generation: how predictions are made.
        limit_items: see `evaluate`.
        train: how the model is trained, as in {"steps": 100, "method": "lora"}.
        model_name: name in the registry; a promoted model becomes its next version.
        gate: the rule that decides on promotion, as in {"alpha": 0.01}.
        suite: what must hold on which datasets, as an object, a dictionary or the path of a TOML file; it
            names the datasets and judges itself.
        promote: False decides and records, and leaves the champion.
        reuse_baseline: take the recorded baseline where one exists for exactly these inputs, and a trained
            run on which nothing was decided yet.
        fail_unless_promoted: raise `GateRefused` when the gate says no.

    Raises:
        InputError: see `evaluate`; also when training items overlap with golden items.
        GateRefused: the gate said no, and `fail_unless_promoted` is set.

    Example:
        >>> result = hm.experiment(train={"steps": 100}, promote=False)
        >>> result.headline
        'THE GATE SAID YES; promotion was switched off'
    """
    from experiments.config import ExperimentConfig, configured, with_suite
    from experiments.engines import inference_begun

    settings = _given(
        base_model=base_model,
        dataset=dataset,
        judge=judge,
        prompt=prompt,
        generation=generation,
        limit_items=limit_items,
        train=train,
        model_name=model_name,
        gate=gate,
        promote=promote,
        reuse_baseline=reuse_baseline,
        fail_unless_promoted=fail_unless_promoted,
    )
    wanted = configured(ExperimentConfig, config, with_suite(settings, suite))
    with progress_shown(), inference_begun(wanted.generation) as unneeded:
        from experiments.plan import plan_experiment, plan_key, planned
        from experiments.runs import find_reusable
        from experiments.workspace import open_workspace
        from hallmark.workstation.ready import prefect_ready

        workspace = open_workspace()
        plan = plan_experiment(wanted, workspace)
        first, *_ = plan.config.baselines()
        if find_reusable(plan.plans[plan_key(first)], workspace.registry) is not None:
            unneeded()
        with prefect_ready(), planned(plan.plans):
            from flows.experiment import experiment as flow

            return flow(plan.config)


def reproduce(target: str | HasRunId) -> Reproduction:
    """Repeat a recorded run from its manifest and compare the bytes of weights, predictions and scores.

    Args:
        target: a run, a unique beginning or end of its id, or a model version as NAME@vN.

    Raises:
        InputError: the run, its model, its datasets or its judge are no longer to be had.
        IntegrityError: they are, but are not the recorded ones.

    Example:
        >>> hm.reproduce("tiny-reasoner@v1").identical
        True
    """
    from experiments.plan import planned
    from experiments.reproducing import plan_reproduction
    from experiments.workspace import open_workspace
    from hallmark.workstation.ready import prefect_ready

    wanted = _run_id(target)
    with progress_shown():
        plan = plan_reproduction(wanted, open_workspace())
        with prefect_ready(), planned({wanted: plan}):
            from flows.reproduce import reproduce as flow

            return flow(wanted, fail_unless_identical=False)


def rejudge(
    run: str | HasRunId,
    judge: str | Mapping[str, Any] | None = None,
    *,
    dataset: str | Path | None = None,
) -> RunResult:
    """Judge a run's predictions by another judge, or on a revised dataset, as a new run; nothing is predicted
    again.

    Args:
        run: a run, or a unique beginning or end of its id.
        judge: see `evaluate`; None for the run's own.
        dataset: a revised dataset: its path, or its name where it is built in, here, or recorded. Every item
            of it must have been predicted as it is asked now.

    Raises:
        InputError: the run is unknown or not finished, neither judge nor dataset is given, one of them is
            unusable, or an item of the dataset is new or asked otherwise.
        IntegrityError: the predictions or the items are not the recorded ones.

    Example:
        >>> hm.rejudge("20261124-101500-ab12cd", "exact_match@v1").score
        0.3555...
    """
    from experiments.rejudging import rejudge as judge_again
    from experiments.workspace import open_workspace
    from hallmark.results import recorded_run

    with progress_shown():
        workspace = open_workspace()
        named = None if judge is None else _reference(judge)
        on = None if dataset is None else str(dataset)
        return recorded_run(workspace.registry, judge_again(_run_id(run), named, workspace, on))


def compare(baseline: str | HasRunId, candidate: str | HasRunId) -> Comparison:
    """Compare two finished runs item by item: delta, interval, p value, and each category.

    Args:
        baseline: the run to beat, or a unique beginning or end of its id.
        candidate: the run that would replace it, or a unique beginning or end of its id.

    Raises:
        InputError: a run is unknown or not finished, or the two are not comparable; names the fields that
            differ.

    Example:
        >>> comparison = hm.compare(hm.evaluate("tiny-base"), hm.train(train={"steps": 100}))
        >>> comparison.to_frame()[["group", "baseline", "candidate", "p_value"]]
    """
    from experiments.comparing import compare_runs
    from experiments.workspace import open_workspace

    with progress_shown():
        return compare_runs(_run_id(baseline), _run_id(candidate), open_workspace().registry)


def report(
    run: str | HasRunId,
    candidate: str | HasRunId | None = None,
    *,
    path: str | Path | None = None,
    format: str = "html",  # noqa: A002 - as the option is called
    items: bool = False,
    force: bool = False,
) -> Path:
    """Write a report on a run, or on a candidate against a baseline: the decision, what got worse and why,
    and every item with its texts. Nothing is recorded.

    Args:
        run: a finished run, or a unique beginning or end of its id; with a candidate, the baseline.
        candidate: what is compared with it, likewise.
        path: the file; None for one in the working directory, named after the runs. An older report there is
            replaced.
        format: html, a page that needs nothing else; github, Markdown; junit, XML; or json.
        items: junit and json: with every item.
        force: replace a file that is no report.

    Returns:
        Where it is.

    Raises:
        InputError: a run is unknown or not finished, or the two are not comparable; the format is not known;
            or there is something at the path that is no report.
        IntegrityError: what is recorded was changed.

    Example:
        >>> hm.report("20261125-205318", "20261125-205329", path="report.html")
        PosixPath('report.html')
    """
    from reports.formats import Wanted, write_report

    with progress_shown():
        found, registry = report_document(run, candidate)
        where = None if path is None else Path(path)
        return write_report(found, registry, where, format, force, Wanted(items=items))


def report_document(run: str | HasRunId, candidate: str | HasRunId | None = None) -> tuple[Report, Registry]:
    """What every form of a report is made from, and the registry, which holds its items.

    Args:
        run: as of `report`.
        candidate: likewise.
    """
    from experiments.workspace import open_workspace
    from reports.collecting import report_on

    registry = open_workspace().registry
    if candidate is None:
        return report_on(_run_id(run), registry), registry
    return report_on(_run_id(candidate), registry, _run_id(run)), registry


def diff(one: str | HasRunId, other: str | HasRunId) -> RunDiff:
    """Count the answers that differ between two runs that should have written the same: of one model, asked
    alike, on two engines, dtypes or devices. Of each that does, the first differing token, and the top-2
    margin of the logits there.

    Args:
        one: a finished run, or a unique beginning or end of its id.
        other: likewise.

    Raises:
        InputError: a run is unknown or not finished, or they are not of one model that was asked alike.

    Example:
        >>> hm.diff(hm.evaluate("tiny-base"), hm.evaluate("tiny-base", generation={"engine": "vllm"}))
        <RunDiff: IDENTICAL: all 360 answers are the same>
    """
    from experiments.differing import diff_runs
    from experiments.workspace import open_workspace

    with progress_shown():
        return diff_runs(_run_id(one), _run_id(other), open_workspace())


def promote(
    run: str | HasRunId,
    model_name: str | None = None,
    *,
    against: str | HasRunId | None = None,
    gate: GateConfig | Mapping[str, Any] | None = None,
    suite: Suite | Mapping[str, Any] | str | Path | None = None,
    alias: str = "champion",
    force_reason: str | None = None,
) -> PromotionResult:
    """Ask the gate about a recorded run, and promote it when the gate agrees; either answer is recorded.

    Args:
        run: the candidate, or a unique beginning or end of its id.
        model_name: name in the registry; a promoted model becomes its next version. None: that of a
            registered base model, tiny-reasoner for the built-in tiny base; any other needs one.
        against: run to compare with; None means the champion's, else the newest of the base model.
        gate: the rule, as in {"alpha": 0.01}.
        suite: what must hold, as an object, a dictionary or the path of a TOML file; None asks for a gain on
            the run's own dataset.
        alias: which alias moves.
        force_reason: promote even if the gate refuses; recorded with the decision.

    Raises:
        InputError: the run is unknown, unfinished or failed, or there is nothing comparable to compare it
            with.
        IntegrityError: the weights are not the ones that the run judged.
        ResourceError: the home is read-only, or a Prefect server is named that cannot be used.

    Example:
        >>> hm.promote(trained, "tiny-reasoner").outcome
        'promoted'
    """
    from core.config import validated
    from evaluation.gate import GateConfig
    from experiments.config import read_suite
    from experiments.promoting import promote_run
    from experiments.workspace import open_workspace
    from hallmark.workstation.ready import check_server, tell
    from reports.beside import with_report

    rule = gate if isinstance(gate, GateConfig) else validated(GateConfig, dict(gate or {}), "promote")
    with progress_shown():
        check_server()
        workspace = open_workspace()
        decided = promote_run(
            _run_id(run),
            model_name,
            rule,
            workspace,
            against=None if against is None else _run_id(against),
            suite=None if suite is None else read_suite(suite),
            force_reason=force_reason,
            alias=alias,
        )
        result = with_report(decided, workspace.registry)

        def emit() -> None:
            from tasks.events import emit_outcome

            emit_outcome(result)

        tell(emit)
        return result


def rollback(
    version: int, reason: str, model_name: str = "tiny-reasoner", *, alias: str = "champion"
) -> AliasMove:
    """Point an alias at an earlier version again. Where a Prefect server is named and does not answer, the
    alias moves all the same, and no event is sent.

    Args:
        version: number of the version.
        reason: why; recorded in the history.
        model_name: the registered model.
        alias: which alias moves.

    Raises:
        InputError: there is no such model or version, or the alias points at it already.
        IntegrityError: the version's weights are missing or changed.

    Example:
        >>> hm.rollback(1, "v2 answers in French")
        <AliasMove: tiny-reasoner v1 is champion again: v2 answers in French>
    """
    from experiments.promoting import actor
    from experiments.workspace import open_workspace
    from hallmark.results import AliasMove
    from hallmark.workstation.ready import tell

    with progress_shown():
        workspace = open_workspace()
        workspace.check_writable()
        registry = workspace.registry
        chosen = registry.aliases.rollback(model_name, version, reason, actor(), alias)
        head = str(registry.head())

        def emit() -> None:
            from tasks.events import emit_rollback

            emit_rollback(chosen, alias, reason, head)

        tell(emit)
        return AliasMove(chosen, alias, reason, head)


def runs(
    limit: int = 20,
    *,
    model: str | Path | None = None,
    dataset: str | Path | None = None,
    judge: str | None = None,
    kind: str | None = None,
    status: str | None = None,
    since: str | datetime | timedelta | None = None,
) -> RunList:
    """The newest runs, newest first. None stands for any.

    Args:
        limit: how many, at most.
        model: that a run judged or trained from, as it was named; also without `registry:`, without its
            version or revision, or only its last part.
        dataset: the golden dataset, as KEY-vN, as KEY, or the path of its file.
        judge: NAME@vN, or NAME.
        kind: baseline or trained.
        status: running, finished, failed or interrupted.
        since: only runs that were started since then: a time span as in "2d", or a date as in "2026-11-01".

    Raises:
        InputError: nothing was recorded of such a model, dataset or judge, which lists what was; or another
            argument is none of these.

    Example:
        >>> [run.run_id for run in hm.runs(limit=2)]
        ['20261124-102000-ef34ab', '20261124-101500-ab12cd']
        >>> [run.details for run in hm.runs(kind="trained", since="2d")]
        ['full, 100 steps, lr 0.002, seed 0, on train-v1']
    """
    from experiments.workspace import open_workspace
    from hallmark.results import recorded_runs
    from hallmark.since import since as point_in_time

    if kind not in (None, "baseline", "trained"):
        raise InputError(f"kind {kind}: expected baseline or trained")
    return recorded_runs(
        open_workspace().registry,
        limit,
        status,
        model=None if model is None else str(model),
        dataset=None if dataset is None else str(dataset),
        judge=judge,
        kind=kind,
        since=None if since is None else point_in_time(since),
    )


def run(reference: str) -> RunResult:
    """One recorded run with its metrics.

    Args:
        reference: run id, or a unique beginning or end of one.

    Raises:
        InputError: there is none, or more than one; lists them.

    Example:
        >>> hm.run("20261124-1020").status
        'finished'
    """
    from experiments.workspace import open_workspace
    from hallmark.results import recorded_run

    return recorded_run(open_workspace().registry, reference)


def models() -> ModelList:
    """The registered models, by name, with their champions.

    Example:
        >>> hm.models()[0].champion
        1
    """
    from experiments.workspace import open_workspace
    from hallmark.results import ModelList

    return ModelList(open_workspace().registry.models.list())


def export(reference: str, directory: str | Path, *, force: bool = False) -> ExportResult:
    """Write a model version to a directory, with model card, statement and metrics, for the hub or a server.

    Args:
        reference: NAME@champion or NAME@vN.
        directory: a new or empty directory.
        force: replace an earlier export.

    Raises:
        InputError: there is no such version, or the directory holds something else.
        IntegrityError: the version's weights are missing or changed.

    Example:
        >>> hm.export("tiny-reasoner@champion", "tiny-reasoner-v1").files
        9
    """
    from experiments.workspace import open_workspace
    from hallmark.results import ExportResult
    from provenance import configured_key
    from provenance.export import check_target
    from provenance.export import export as write

    target, key = Path(directory), configured_key()
    check_target(target, force=force)
    with progress_shown():
        registry = open_workspace().registry
        version = registry.models.get(reference)
        files = write(registry, version, target, key=key, force=force)
        return ExportResult(version.model, version.number, target.absolute(), files)


def import_dataset(
    source: str | Path,
    name: str,
    *,
    columns: Mapping[str, str] | None = None,
    format: str | None = None,  # noqa: A002 - as the option is called
    out: str | Path = ".",
    train: bool = False,
    against: Sequence[str | Path] = (),
    split: str | None = None,
    encoding: str | None = None,
    sample: int | None = None,
    seed: int = 0,
    licence: str | None = None,
    made_by: str | None = None,
    judge: str | Mapping[str, Any] | None = None,
    answer_is: str | None = None,
    skip_bad: bool = False,
) -> ImportReport:
    """Make a frozen dataset of a file (JSONL, JSON, CSV, TSV, Parquet), of a directory, or of one on the hub.

    Args:
        source: a file, a directory, or `hf:ORG/NAME@REVISION:SPLIT`.
        name: key of the dataset; its version is 1, or the next one that is free.
        columns: field -> column, as in {"prompt": "question"}, where they are not found.
        format: what the columns mean, as in gsm8k; None to find it.
        out: folder of the dataset.
        train: make a training set, not a golden one.
        against: training sets that must not hold the golden items; with `train`, golden sets of which the
            training set must hold nothing.
        split: part of a directory, of a hub dataset or of a JSON object.
        encoding: of a text file; None to find it.
        sample: take only so many items, drawn by `seed`.
        seed: decides the sample.
        licence: SPDX identifier of the data's licence.
        made_by: how the items were made.
        judge: who a golden set is meant for, as in `evaluate`; its answers are proved by it.
        answer_is: of multiple choice: whether an answer is the `label` of a choice, its `text`, or its number
            `from-0` or `from-1`; None to find it.
        skip_bad: leave refused rows out.

    Raises:
        InputError: the file cannot be read, no format fits, or rows are refused; names the first.
        ResourceError: the hub or a package is missing, or nothing can be written.

    Example:
        >>> report = hm.import_dataset("tickets.csv", "support", columns={"prompt": "subject+text"})
        >>> report.taken, report.path
        (412, PosixPath('support-v1.jsonl'))
    """
    from experiments.importing import import_prepared

    with (
        progress_shown(),
        import_prepared(
            source,
            name,
            columns=columns,
            format=format,
            out=Path(out),
            train=train,
            against=against,
            split=split,
            encoding=encoding,
            sample=sample,
            seed=seed,
            licence=licence,
            made_by=made_by,
            judge=None if judge is None else _reference(judge),
            answer_is=answer_is,
            skip_bad=skip_bad,
        ) as prepared,
    ):
        return prepared.write()


def review(
    runs: str | HasRunId | Sequence[str | HasRunId],
    item: str,
    verdict: str,
    *,
    answers: Sequence[str] = (),
    note: str = "",
    reviewer: str | None = None,
) -> Reviewed:
    """Record what you say of a golden item after looking at what runs answered.

    Args:
        runs: those runs, all on one dataset.
        item: its trace_id.
        verdict: reference_wrong, both_right, unclear, or fine, which also takes back what you said before.
        answers: the right answers where the reference is wrong; what else is right where both are: without
            any, what the runs answered and did not get the full score for.
        note: why.
        reviewer: who says it, up to 80 characters; None for the user of this process.

    Raises:
        InputError: a run or the item is unknown, the verdict is none, or nothing says what else is right; or
            the reviewer's name is none.

    Example:
        >>> hm.review(["20261124-1014", "20261124-1015"], "t3", "reference_wrong", answers=["7"]).reviewer
        'ana'
    """
    from experiments.reviewing import add_review
    from experiments.workspace import open_workspace

    looked_at = [runs] if isinstance(runs, str) or not isinstance(runs, Sequence) else runs
    return add_review(
        [_run_id(run) for run in looked_at],
        item,
        verdict,
        open_workspace(),
        answers=answers,
        note=note,
        reviewer=reviewer,
    )


def reviews(dataset: str | Path | None = None) -> Reviews:
    """What counts of the reviews: the newest of each item and person.

    Args:
        dataset: only of this one: a path, a built-in name, or the name of one that is here or recorded.

    Raises:
        InputError: there is no such dataset.

    Example:
        >>> hm.reviews("golden-v1")
        <Reviews: 0 reviews; reviewers disagree on 0 items>
    """
    from experiments.reviewing import reviews as find
    from experiments.workspace import open_workspace

    return find(open_workspace().registry, dataset)


def revise(dataset: str | Path, folder: str | Path | None = None, *, name: str | None = None) -> Revised:
    """Write the next version of a golden dataset as its reviews say, and freeze it.

    Args:
        dataset: a path, a built-in name, or the name of one that is here or recorded.
        folder: where it is written; by default beside the file.
        name: KEY-vN; by default the next version.

    Raises:
        InputError: reviewers disagree, nothing is to be changed, the new set cannot be won, or it is there
            already with another content.

    Example:
        >>> hm.revise("support-v1").path
        PosixPath('support-v2.jsonl')
    """
    from experiments.revising import revise as write
    from experiments.workspace import open_workspace

    with progress_shown():
        return write(dataset, open_workspace(), None if folder is None else Path(folder), name)


def export_dataset(dataset: str | Path, file: str | Path, *, force: bool = False) -> int:
    """Write a dataset to a file for other programs; imported again, it has equal rows.

    Args:
        dataset: a built-in name, or the path of a `KEY-vN.jsonl` file.
        file: ends in .jsonl, .json, .csv, .tsv or .parquet.
        force: replace a file that is there.

    Returns:
        How many items it has.

    Raises:
        InputError: there is no such dataset, the ending is another one, or the file is there.

    Example:
        >>> hm.export_dataset("golden-v1", "golden.csv")
        360
    """
    from golden.exporting import export_dataset as write

    with progress_shown():
        return write(dataset, Path(file), force)


def export_run(
    run: str | HasRunId,
    path: str | Path,
    *,
    format: str | None = None,  # noqa: A002 - as the option is called
    force: bool = False,
) -> list[Path]:
    """Write a run's items, predictions and scores for other programs; `import_predictions` reads them again.

    Args:
        run: a finished run, or a unique beginning or end of its id.
        path: FILE.jsonl, .parquet, .eval or .json; for lm-eval a directory.
        format: jsonl, parquet, inspect or lm-eval; None: by the ending of the path.
        force: replace files that are there.

    Returns:
        What was written.

    Raises:
        InputError: the run is unknown or not finished, the format does not fit the path, or a file is there.

    Example:
        >>> hm.export_run("20261124-1015", "base.eval")
        [PosixPath('base.eval')]
    """
    from experiments.exchange.exporting import export_run as write
    from experiments.workspace import open_workspace

    with progress_shown():
        return write(_run_id(run), Path(path), open_workspace().registry, format, force)


def import_predictions(
    file: str | Path,
    model: str | Path,
    *,
    dataset: str | Path = "golden-v1",
    judge: str | Mapping[str, Any] | None = None,
    format: str | None = None,  # noqa: A002 - as the option is called
    columns: Mapping[str, str] | None = None,
    prompt: PromptConfig | Mapping[str, Any] | None = None,
    generation: GenerationConfig | Mapping[str, Any] | None = None,
    known: Sequence[str] = (),
) -> RunResult:
    """Judge predictions that another program made, and record them as a run.

    Args:
        file: samples of lm-evaluation-harness, a log of inspect_ai, the output of an OpenAI batch, or JSONL,
            CSV or Parquet with a row per item, or per sample of it.
        model: whose predictions they are; see `evaluate`.
        dataset: see `evaluate`.
        judge: see `evaluate`.
        format: lm-eval, inspect, openai-batch or jsonl; None to find it.
        columns: of a plain file: part -> column, as in {"trace_id": "id", "prediction": "output"}.
        prompt: how the model was asked, where the file does not say it; of an object, what was set in it.
        generation: how the predictions were made, likewise.
        known: names of settings that had the values given here, or else their defaults; `all` for every one.

    Raises:
        InputError: not every item has exactly one prediction, or as many samples as the others; or see
            `evaluate`.

    Example:
        >>> hm.import_predictions("samples_golden-v1_2026-11-24T10-15-00.jsonl", "tiny-base").score
        0.3972...
    """
    from experiments.exchange.importing import prepare_predictions, record_predictions
    from experiments.workspace import open_workspace
    from hallmark.results import recorded_run

    settings = _given(model=model, dataset=dataset, judge=None if judge is None else _reference(judge))
    for part, chosen in (("prompt", prompt), ("generation", generation)):
        if chosen is not None:
            values = chosen if isinstance(chosen, Mapping) else chosen.model_dump(exclude_unset=True)
            settings |= {f"{part}.{name}": value for name, value in values.items()}
    with progress_shown():
        workspace = open_workspace()
        prepared = prepare_predictions(
            Path(file), settings, workspace, format=format, columns=columns, known=known
        )
        return recorded_run(workspace.registry, record_predictions(prepared, workspace))


def export_task(
    dataset: str | Path,
    directory: str | Path,
    format: str,  # noqa: A002 - as the option is called
    *,
    judge: str | Mapping[str, Any] | None = None,
    prompt: PromptConfig | Mapping[str, Any] | None = None,
    max_new_tokens: int = 256,
    force: bool = False,
) -> list[Path]:
    """Write a golden dataset as a task of lm-evaluation-harness or inspect_ai, scored by Hallmark's judge.

    Args:
        dataset: a built-in name, or the path of a `KEY-vN.jsonl` file.
        directory: where the task's files are written.
        format: lm-eval or inspect.
        judge: see `evaluate`.
        prompt: see `evaluate`.
        max_new_tokens: longest completion, in tokens.
        force: replace files that are there.

    Returns:
        What was written: the task's file first.

    Raises:
        InputError: the dataset, the judge or the prompt is unusable, or a file is there.

    Example:
        >>> hm.export_task("golden-v1", "tasks", "lm-eval")[0]
        PosixPath('tasks/golden-v1.yaml')
    """
    from core.config import validated
    from experiments.exchange.tasks import export_task as write
    from golden.prompting import PromptConfig

    chosen = (
        prompt if isinstance(prompt, PromptConfig) else validated(PromptConfig, dict(prompt or {}), "prompt")
    )
    with progress_shown():
        return write(
            dataset,
            Path(directory),
            format,
            judge=None if judge is None else _reference(judge),
            prompt=chosen,
            max_new_tokens=max_new_tokens,
            force=force,
        )


def score_answer(
    item: Mapping[str, Any],
    answer: str,
    judge: str | Mapping[str, Any],
    *,
    fingerprint: str | None = None,
    thinking_end: str | None = None,
) -> Score:
    """The score of one answer by a judge: for scorers of other programs.

    Args:
        item: the golden item, as a line of a dataset has it.
        answer: what a model wrote.
        judge: see `evaluate`.
        fingerprint: of the judge that is meant; None for the one that is installed.
        thinking_end: only what follows this mark is judged.

    Raises:
        InputError: it is no item, or the judge is unusable.
        IntegrityError: the installed judge has another fingerprint.

    Example:
        >>> item = {"trace_id": "t", "prompt": "2 + 2?", "steps": [], "final_answer": "4", "category": "sums"}
        >>> hm.score_answer(item, "Answer: 4", "answer_correctness@v1").score
        1.0
    """
    from experiments.scoring import score_answer as score

    return score(item, answer, _reference(judge), fingerprint, thinking_end)


def verify(
    head: str | Path | None = None,
    *,
    quick: bool = False,
    write_head: str | Path | None = None,
    public_keys: Sequence[str | Path] = (),
) -> Verification:
    """Check that nothing was changed since it was recorded.

    Args:
        head: the end of the log as it was once, which must still be in it: N:HASH, a file that `write_head`
            wrote, or the statement or directory of an export.
        quick: rows and logs only: no artifact, no statement, no file of a run.
        write_head: a file for the end of the log, signed if there is a key; written only where there is no
            problem. One that is there is replaced only where its head is still in the log.
        public_keys: PEM files; one of these must have signed what is signed, and the file of `head`.

    Raises:
        InputError: there is no registry, nothing is recorded in it whose end could be written, a key or
            `head` is not usable, or the file to write is another one and there.
        IntegrityError: the file of `head` is not signed by one of the keys.
        ResourceError: the database or the store is not to be had.

    Example:
        >>> found = hm.verify()
        >>> found.problems, found.head
        ([], '42:5e1f0c9d...')
    """
    from core.errors import InputError
    from core.settings import get_settings
    from experiments.verifying import verify as check
    from experiments.workspace import open_workspace
    from provenance import configured_key
    from provenance.head import is_there, read_head, write_head_file
    from provenance.keys import load_public_key
    from registry import Head
    from registry.opening import require_registry

    keys, own = [load_public_key(Path(path)) for path in public_keys], configured_key()
    if write_head is not None and is_there(Path(write_head)):
        if Path(write_head).is_dir():
            raise InputError(f"{write_head}: is a directory. Name a file for the end of the log.")
        if head is not None and Path(head) != Path(write_head):
            raise InputError(f"{write_head}: is there already. Name a new file.")
        head = write_head  # what replaces a head has to continue it
    known = None if head is None else read_head(str(head), keys, own)
    settings = get_settings()
    require_registry(settings.home, settings.registry_url)
    with progress_shown():
        workspace = open_workspace()
        found = check(workspace, quick=quick, head=known, public_keys=keys)
    if write_head is not None and not found.problems:
        if not (end := Head.parse(found.head)).rows:
            raise InputError(f"{workspace.registry.description}: nothing is recorded, so its log has no end")
        write_head_file(Path(write_head), end, own)
    return found


def _evaluated(
    name: str, config: EvaluateConfig | str | Path | None, settings: Mapping[str, Any]
) -> RunResult:
    """Run the flow of this name: one flow under the two names that the loop has for it."""
    from experiments.config import EvaluateConfig, configured
    from experiments.engines import inference_begun

    wanted = configured(EvaluateConfig, config, settings)
    with progress_shown(), inference_begun(wanted.generation) as unneeded:
        from experiments.plan import plan_evaluation, plan_key, planned
        from experiments.runs import find_reusable
        from experiments.workspace import open_workspace
        from hallmark.results import recorded_run
        from hallmark.workstation.ready import prefect_ready

        workspace = open_workspace()
        plan = plan_evaluation(wanted, workspace)
        if find_reusable(plan, workspace.registry) is not None:
            unneeded()
        with prefect_ready(), planned({plan_key(wanted): plan}):
            from flows import evaluate as flows

            return recorded_run(workspace.registry, getattr(flows, name)(wanted))


def _given(**settings: Any) -> dict[str, Any]:
    """What was given, with paths as text, as files and the command line have them."""
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in settings.items()
        if value is not None
    }


def _run_id(run: str | HasRunId) -> str:
    return run if isinstance(run, str) else run.run_id


def _reference(judge: str | Mapping[str, Any]) -> str:
    """A judge as one string. A string that is no judge is refused where it is loaded."""
    if isinstance(judge, str):
        return judge
    try:
        return str(parse_judge(judge))
    except ValueError as error:
        raise InputError(str(error)) from None
