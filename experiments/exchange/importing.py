"""Predictions that another program made, judged and recorded as a run. Nothing is predicted here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import Field

from core.config import Config, Record, validated
from core.errors import InputError
from core.files import (
    canonical_json,
    sha256_file,
    sha256_json,
    write_json,
    write_jsonl,
)
from core.judge_reference import JudgeReference
from core.sealed import seal
from core.tabular import Row as TableRow
from core.tabular import Tabular
from core.text import counted
from experiments.config import DATASET_HELP, JUDGE_HELP, MODEL_HELP, nested
from experiments.environment import environment, evaluation_sha256
from experiments.exchange.known import (
    FACTS,
    KNOWABLE,
    SAID_BESIDE,
    TEMPERATURE,
    Source,
    check_agreement,
    check_defaults,
    check_drawn,
    check_foreign,
    check_names,
    named,
    shown_by_prompts,
)
from experiments.exchange.matching import By, Refusal, match
from experiments.exchange.reading import PredictionsFile, read_predictions_file
from experiments.exchange.rows import SAMPLES_EACH, Answered, Format
from experiments.guarding import check_prompt
from experiments.phases import export_dataset, judge_run, record_judged
from experiments.plan import DatasetRef, dataset_ref
from experiments.references import ResolvedModel, resolve_model
from experiments.runs import RunRef, continue_or_start, keep_dataset, owned, run_ref
from experiments.workspace import Workspace
from golden.datasets import load_dataset
from golden.prompting import PromptConfig, ResolvedPrompt, resolve_prompt
from golden.schema import Item
from inference.asking import weights_bytes
from inference.contract import UNKNOWN, EngineUsed, GenerationConfig, ImportedGeneration, PredictionMeta
from inference.endpoint import served_name
from inference.loading import tokenizer_sha256
from judges import check_output, judge_fingerprint, judge_reference, load_judge, recorded_judge
from registry import Registry

PREVIEW = 3
LISTED = 1000
"""So many rows of each kind are listed; all are counted."""


class ImportConfig(Config):
    """What is imported, for which model, judged on which dataset by whom."""

    model: str = Field(description=f"Whose predictions they are. {MODEL_HELP}")
    dataset: str = Field(default="golden-v1", description=DATASET_HELP)
    judge: JudgeReference | None = Field(default=None, description=JUDGE_HELP)
    prompt: PromptConfig = Field(default_factory=PromptConfig)
    generation: ImportedGeneration = Field(default_factory=ImportedGeneration)


class Setting(Record):
    """A setting that is known of the predictions.

    Attributes:
        name: dotted, as in generation.max_new_tokens.
        value: as JSON.
        source: whether the file says it, a person gave it, or the file's prompts prove it.
    """

    name: str
    value: Any
    source: Source


class PredictionsReport(Tabular, Record):
    """What an import of predictions takes, and what it does not.

    Attributes:
        source: the file.
        source_sha256: of it.
        format: lm-eval, inspect, openai-batch or jsonl.
        detected: whether the format was found, not given.
        tool: what wrote the file.
        tool_version: of that; None where the file does not say it.
        said: what the file says of how the predictions were made, in its own words.
        model: the model whose predictions they are.
        dataset: key and version.
        judge: NAME@vN.
        matched_by: trace_id, prompt or order.
        items: how many the dataset has.
        samples: how many predictions each of them has.
        rows: how many the file has.
        taken: how many items have a prediction.
        missing: items without a row; the first of them.
        uneven: items with another number of predictions.
        doubled: rows of items that an earlier row answers.
        unknown_rows: rows of no item.
        bad: rows without a prediction.
        counts: how many there are of each of these five.
        settings: what is known of how the predictions were made.
        unknown: what is not, of the conditions of a comparison.
        preview: the first items with their predictions; of several the first.
    """

    source: str
    source_sha256: str
    format: Format
    detected: bool
    tool: str
    tool_version: str | None
    said: dict[str, Any]
    model: str
    dataset: str
    judge: str
    matched_by: By
    items: int
    samples: int
    rows: int
    taken: int
    missing: list[Refusal]
    uneven: list[Refusal]
    doubled: list[Refusal]
    unknown_rows: list[Refusal]
    bad: list[Refusal]
    counts: dict[str, int]
    settings: list[Setting]
    unknown: list[str]
    preview: list[dict[str, str]]

    @property
    def blocked(self) -> bool:
        """Whether nothing is recorded, since not every item has all its predictions, each once."""
        return any(self.counts.values())

    def why_blocked(self) -> str:
        """The first rows and items that are at fault, in words."""
        kinds = (self.bad, self.doubled, self.unknown_rows, self.missing, self.uneven)
        found = [each for kind in kinds for each in kind[:3]]
        shown = "".join(f"\n  {each.where}: {each.reason}" for each in found)
        more = sum(self.counts.values()) - len(found)
        rest = f"\n  and {more:,} more" if more else ""
        counted = ", ".join(f"{count:,} {kind}" for kind, count in self.counts.items() if count)
        return (
            f"{self.source}: does not hold each of the {self.items:,} items of {self.dataset} "
            f"{'exactly once' if self.samples == 1 else f'with {self.samples} samples'} ({counted}):"
            f"{shown}{rest}\nNothing was recorded."
        )

    def table_caption(self) -> str:
        """What was read of what."""
        taken = f"{self.taken:,} of {counted(self.items, 'item')} of {self.dataset}"
        return f"{self.source}: {taken}, as {self.format}"

    def table_rows(self) -> list[TableRow]:
        """The first items."""
        return [dict(each) for each in self.preview]


@dataclass(frozen=True)
class PreparedPredictions:
    """An import that was looked at and not recorded yet.

    Attributes:
        report: what there is to say.
        file: the file that was read.
        model: resolved.
        dataset: what the predictions are judged on.
        dataset_ref: the same as a run sees it.
        prompt: how the model was asked, as far as that is known.
        generation: likewise.
        judge_fingerprint: of the judge as it is installed now.
        taken: trace_id -> its row, in dataset order.
    """

    report: PredictionsReport
    file: PredictionsFile
    model: ResolvedModel
    dataset: DatasetRef
    prompt: ResolvedPrompt
    generation: GenerationConfig
    judge_fingerprint: str
    taken: Mapping[str, Answered]

    @property
    def judge(self) -> str:
        """As NAME@vN."""
        return self.report.judge

    def lines(self) -> Iterator[dict[str, Any]]:
        """The lines of predictions.jsonl."""
        for trace_id, row in self.taken.items():
            texts = list(row.predictions)
            yield {
                "trace_id": trace_id,
                **({"prediction": texts[0]} if self.report.samples == 1 else {"predictions": texts}),
            }

    @cached_property
    def predictions_sha256(self) -> str:
        """Of predictions.jsonl."""
        digest = hashlib.sha256()
        for line in self.lines():
            digest.update(canonical_json(line).encode() + b"\n")
        return digest.hexdigest()

    def inference(self) -> dict[str, Any]:
        """What stands for the environment that made the predictions: the file, and what is not known of it.
        No fresh evaluation ever has it.
        """
        return {
            "imported": self.file.sha256,
            "predictions": self.predictions_sha256,
            "unknown": self.report.unknown,
            **({"beside": dict(beside)} if (beside := self.file.content.beside) else {}),
        }

    def evaluation_sha256(self) -> str:
        """Hash of every input that decides the scores."""
        return evaluation_sha256(
            model=self.model.sha256,
            dataset=self.dataset.sha256,
            prompt=self.prompt,
            generation=self.generation,
            inference=self.inference(),
            judge=self.judge,
            fingerprint=self.judge_fingerprint,
        )

    def manifest(self, run_id: str) -> dict[str, Any]:
        """The content of manifest.json. Of the generation settings it has those that are known."""
        known = {
            name for name in self.generation.model_dump() if f"generation.{name}" not in self.report.unknown
        }
        report = self.report
        return {
            "format": 1,
            "run_id": run_id,
            "kind": "baseline",
            "inputs_sha256": sha256_json({"imported": self.evaluation_sha256()}),
            "model": self.model.recorded(),
            "dataset": self.dataset.judged_on(),
            "judge": recorded_judge(self.judge, self.judge_fingerprint),
            "prompt": self.prompt.recorded(),
            "generation": self.generation.model_dump(include=known),
            "training": None,
            "inference": self.inference(),
            "imported": {
                "file": self.file.path.name,
                "sha256": self.file.sha256,
                "beside": dict(self.file.content.beside),
                "format": report.format,
                "tool": report.tool,
                "tool_version": report.tool_version,
                "matched_by": report.matched_by,
                "said": report.said,
                "settings": [setting.model_dump() for setting in report.settings],
                "unknown": report.unknown,
            },
            "environment": environment(("prefect", "scipy", "sqlmodel")),
        }

    def meta(self, predictions: Path) -> PredictionMeta:
        """The content of predictions_meta.json."""
        known = {setting.name: setting.value for setting in self.report.settings}
        cut = {
            trace_id: [number for number, cut in enumerate(row.cut_off) if cut]
            for trace_id, row in self.taken.items()
            if any(row.cut_off)
        }
        directory = self.model.path
        return PredictionMeta(
            generation={},
            prompt_template=UNKNOWN,
            tokenizer_sha256=UNKNOWN if directory is None else tokenizer_sha256(directory),
            device=UNKNOWN,
            dtype=known.get("generation.dtype", UNKNOWN),
            threads=0,
            items=len(self.taken),
            prompt_tokens=0,
            completion_tokens=0,
            truncated_prompts=[],
            reached_max_new_tokens=list(cut),
            cut_samples=cut if self.report.samples > 1 else {},
            batch_size_used=0,
            predictions_sha256=sha256_file(predictions),
            timing={},
            stop=self.prompt.config.stop,
            batching="engine",
            engine=EngineUsed(name="imported", reproducible=False),
            weights_bytes=None if directory is None else weights_bytes(directory),
            tensors_sha256=self.model.tensors_sha256,
            unknown=self.report.unknown,
        )


def prepare_predictions(
    path: Path,
    settings: Mapping[str, Any],
    workspace: Workspace,
    *,
    format: str | None = None,  # noqa: A002 - what the option is called
    columns: Mapping[str, str] | None = None,
    known: Sequence[str] = (),
) -> PreparedPredictions:
    """Read a file with predictions and say what would be recorded of it.

    Args:
        path: the file.
        settings: dotted names of `ImportConfig` to values; those of prompt and generation are how the
            predictions were made, as far as a person knows it. None means not given.
        workspace: its registry knows the datasets and the registered models.
        format: None to find it.
        columns: of a plain file: `trace_id`, `sample`, `prediction`, `prompt`, `cut_off` -> column.
        known: names of settings that had their defaults, or the values given; and of facts that did not
            occur, as in reached_max_new_tokens; or `all`.

    Raises:
        InputError: the file, the model, the dataset, the judge or a setting is unusable; or the file says
            otherwise than a setting.
        IntegrityError: the dataset or the model is not what was recorded.
        ResourceError: reading the file needs a package.
    """
    read = read_predictions_file(path, format, columns)
    stated = read.content.stated
    given = {name: value for name, value in settings.items() if value is not None}
    told = {name: value for name, value in stated.settings.items() if name in (*KNOWABLE, *SAID_BESIDE)}
    check_names(given, known)
    check_agreement(path, told, given)
    check_foreign(path, stated.foreign, (*named(given, ()), *known))
    values = {
        name: value
        for name, value in told.items()
        if name not in FACTS and (name, value) != ("prompt.few_shot", None)
    }
    config = validated(ImportConfig, nested({**values, **given}), "settings")
    check_defaults(path, told, given, known)
    dataset = load_dataset(config.dataset)
    judge = load_judge(config.judge or dataset.judge)
    check_output(judge, config.generation.output)
    workspace.registry.datasets.check(dataset.key, dataset.version, dataset.sha256)
    prompt = resolve_prompt(config.prompt)
    check_prompt(prompt, dataset)
    items = list(dataset.items())
    wanted = config.generation.samples if SAMPLES_EACH in {**told, **given} else None
    matched = match(read.content.rows, items, config.prompt.instruction, wanted)
    settled = nested({**values, **given, SAMPLES_EACH: matched.samples})
    generation = validated(ImportConfig, settled, str(path)).generation
    sources: dict[str, Source] = {
        **dict.fromkeys(told, "file"),
        **dict.fromkeys(named(given, known), "given"),
    }
    if matched.samples > 1 and TEMPERATURE not in {**told, **given}:
        check_drawn(known)
        sources.pop(TEMPERATURE, None)
    if matched.is_whole:
        sources = {**shown_by_prompts(path, matched, items, prompt, sources), **sources}
        if all(None not in row.cut_off for row in matched.taken.values()):
            sources["reached_max_new_tokens"] = "file"
    cut = [row for row in matched.taken.values() if any(row.cut_off)]
    if cut and "reached_max_new_tokens" in known:
        raise InputError(
            f"{path}: {cut[0].where}: its answer was cut off, and --known reached_max_new_tokens says that "
            "none was. Leave it out."
        )
    if TEMPERATURE in sources and generation.temperature == 0:
        for name in ("generation.top_p", "generation.seed"):  # nothing is drawn
            sources.setdefault(name, sources[TEMPERATURE])
    sources = {name: source for name, source in sources.items() if name not in stated.foreign}
    model = _model(config.model, workspace)
    taken = matched.taken
    every = {"prompt": prompt.conditions(), "generation": generation.model_dump(mode="json")}

    def value(name: str) -> Any:
        part, _, rest = name.partition(".")
        return every[part][rest] if rest else sum(map(bool, chain(*(row.cut_off for row in taken.values()))))

    kinds = {
        "missing": matched.missing,
        "uneven": matched.uneven,
        "doubled": matched.doubled,
        "unknown": matched.unknown,
        "bad": matched.bad,
    }
    report = PredictionsReport(
        source=str(path),
        source_sha256=read.sha256,
        format=read.format,
        detected=read.detected,
        tool=stated.tool,
        tool_version=stated.version,
        said={**stated.said, **({"not_ours": dict(stated.foreign)} if stated.foreign else {})},
        model=model.label,
        dataset=dataset.name,
        judge=judge_reference(judge),
        matched_by=matched.by,
        items=len(items),
        samples=matched.samples,
        rows=len(read.content.rows),
        taken=len(taken),
        missing=matched.missing[:LISTED],
        uneven=matched.uneven[:LISTED],
        doubled=matched.doubled[:LISTED],
        unknown_rows=matched.unknown[:LISTED],
        bad=matched.bad[:LISTED],
        counts={kind: len(found) for kind, found in kinds.items()},
        settings=[
            Setting(name=name, value=value(name), source=sources[name])
            for name in KNOWABLE
            if name in sources
        ],
        unknown=[
            *(name for name in KNOWABLE if name not in sources),
            *(name for name in stated.foreign if name not in KNOWABLE),
        ],
        preview=_preview(items, taken),
    )
    prepared = PreparedPredictions(
        report=report,
        file=read,
        model=model,
        dataset=dataset_ref(dataset, len(items)),
        prompt=prompt,
        generation=generation,
        judge_fingerprint=judge_fingerprint(judge),
        taken=taken,
    )
    if not report.blocked:
        _check_hashes(prepared)
    return prepared


def _check_hashes(prepared: PreparedPredictions) -> None:
    """Raises an InputError where an export of ours is imported for another model or dataset than its run's,
    or its predictions were changed.
    """
    said = prepared.file.content.stated.hashes
    found = {
        "dataset_sha256": prepared.dataset.sha256,
        "predictions_sha256": prepared.predictions_sha256,
    }
    if served_name(said.get("model", "")) is None:
        found["model_sha256"] = prepared.model.sha256
    elif said["model"].partition("@")[0] != prepared.model.reference.partition("@")[0]:
        raise InputError(
            f"{prepared.file.path}: holds predictions of {said['model']}, and "
            f"{prepared.model.reference} is given"
        )
    for name, sha256 in found.items():
        if name in said and said[name] != sha256:
            raise InputError(
                f"{prepared.file.path}: was exported with {name} {said[name]}, and here it is {sha256}. "
                "Import an export unchanged, for the model and the dataset of its run."
            )


def record_predictions(prepared: PreparedPredictions, workspace: Workspace) -> RunRef:
    """Judge imported predictions and record them as a finished run. Where the same file was imported for the
    same model, dataset and judge with the same settings, that run is taken.

    Args:
        prepared: what was read.
        workspace: its registry records the run.

    Raises:
        InputError: not every item has all its predictions, each once; names the rows. Also `JudgeError`.
        IntegrityError: the dataset's file changed meanwhile.
        ResourceError: home or registry are read-only.
    """
    workspace.check_writable()
    if prepared.report.blocked:
        raise InputError(prepared.report.why_blocked())
    registry, evaluation = workspace.registry, prepared.evaluation_sha256()
    if (found := next(iter(registry.runs.evaluated(evaluation)), None)) is not None:
        return run_ref(found, registry, reused=True)
    dataset = registry.datasets.register(
        prepared.dataset.key, prepared.dataset.version, prepared.dataset.sha256, prepared.dataset.items
    )
    run = continue_or_start(
        sha256_json({"imported": evaluation}),
        prepared.manifest,
        registry,
        kind="baseline",
        name=f"{prepared.model.label} baseline {prepared.dataset.name}, imported",
        base_model=prepared.model.reference,
        parent_model_sha256=prepared.model.sha256,
        dataset_id=dataset.id,
        judge=prepared.judge,
        judge_fingerprint=prepared.judge_fingerprint,
    )
    if run.reused:  # another process was at it
        return run
    with owned(run, registry):
        _write(prepared, run, registry)
        judged = judge_run(run, prepared)
        record_judged(run, judged, registry, model_sha256=prepared.model.sha256, evaluation_sha256=evaluation)
    return run


def _write(prepared: PreparedPredictions, run: RunRef, registry: Registry) -> None:
    """The files of a run that are there before it is judged."""
    files = run.files
    keep_dataset(export_dataset(run, prepared), prepared.dataset.sha256, registry.artifacts)
    write_jsonl(files.predictions, prepared.lines())
    write_json(files.predictions_meta, prepared.meta(files.predictions).model_dump())
    seal(files.predictions_sums, files.predicted)


def _model(reference: str, workspace: Workspace) -> ResolvedModel:
    """The model whose predictions they are. One that an endpoint serves is known by its name alone: nobody
    asks the endpoint.
    """
    if (name := served_name(reference)) is None:
        return resolve_model(reference, workspace)
    if not name:
        raise InputError(f"{reference}: name the model, as in {reference}llama3")
    return ResolvedModel(reference=reference, path=None, sha256=sha256_json({"imported of endpoint": name}))


def _preview(items: Sequence[Item], taken: Mapping[str, Answered]) -> list[dict[str, str]]:
    found = [item for item in items if item.trace_id in taken][:PREVIEW]
    return [
        {
            "trace_id": item.trace_id,
            "question": item.question,
            "reference": item.reference,
            "prediction": taken[item.trace_id].predictions[0],
        }
        for item in found
    ]
