"""What a run will do, settled and hashed before anything heavy starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, Literal

from pydantic import BaseModel

from core.errors import InputError
from core.files import sha256_json
from core.progress import announce
from core.text import counted
from evaluation.training_data import TrainingData
from experiments.config import EvaluateConfig, ExperimentConfig, TrainRunConfig
from experiments.datasets import TrainingSource, first_items, training_dataset
from experiments.defaults import characters, settle_generation, settle_training
from experiments.engines import engine_environment
from experiments.environment import (
    INFERENCE_PACKAGES,
    TRAINING_CODE,
    TRAINING_PACKAGES,
    deciding_environment,
    environment,
    evaluation_sha256,
    inference_environment,
    lock_sha256,
)
from experiments.guarding import check_prompt
from experiments.lineage import File, Golden, Weights, held_items, lineage
from experiments.names import REGISTRY_PREFIX
from experiments.references import RUN_PREFIX, ResolvedModel, resolve_model
from experiments.workspace import Workspace
from golden.datasets import Dataset, load_dataset
from golden.guard import RULE, Overlap, find_overlaps
from golden.lines import Line
from golden.manifest import RevisedFrom
from golden.prompting import ResolvedPrompt, resolve_prompt
from inference.contract import GenerationConfig
from inference.memory import refuse_at_planning
from judges import (
    check_output,
    checked_items,
    judge_fingerprint,
    judge_reference,
    load_judge,
    recorded_judge,
)
from trainer.contract import SettledTrainConfig, TrainConfig
from trainer.huggingface.tensor_names import check_tensors
from trainer.model.architecture import read_architecture

SHOWN_OVERLAPS = 5
SHOWN_TWINS = 20


class DatasetRef(BaseModel):
    """A dataset as a run sees it: where it is and what pins it.

    Attributes:
        limit_items: of a quick look: how many items of a larger dataset these are; None for a whole dataset.
        revised_from: what it was before it was changed after looking at answers; None where it never was.
    """

    key: str
    version: str
    path: Path
    sha256: str
    items: int
    bands: dict[str, str] = {}
    limit_items: int | None = None
    revised_from: RevisedFrom | None = None

    @property
    def name(self) -> str:
        """Key and version: golden-v1."""
        return f"{self.key}-{self.version}"

    def recorded(self) -> dict[str, Any]:
        """What a manifest says of it; `stored`: the file is in the artifact store while a run works on it."""
        return {"name": self.name, "sha256": self.sha256, "items": self.items, "stored": True}

    def judged_on(self) -> dict[str, Any]:
        """The same with what matters of a golden dataset."""
        return {
            **self.recorded(),
            "bands": self.bands,
            **({"limit_items": self.limit_items} if self.limit_items else {}),
            **({"revised_from": self.revised_from.model_dump()} if self.revised_from else {}),
        }


class Twins(BaseModel):
    """Training items that resemble golden items without holding them.

    Attributes:
        count: how many.
        pairs: the most alike of them.
    """

    count: int = 0
    pairs: list[Overlap] = []


class TrainingPlan(BaseModel):
    """The training part of a run.

    Attributes:
        sources: the training sets that the dataset was mixed from; empty where it is one of its own.
        overlaps: training items that hold golden items; not empty only where the configuration allows it.
        twins: those that only resemble golden items.
        base: what is known of what the base model was trained on.
    """

    config: SettledTrainConfig
    dataset: DatasetRef
    sources: list[TrainingSource] = []
    overlaps: list[Overlap]
    twins: Twins = Twins()
    base: TrainingData | None = None

    @property
    def label(self) -> str:
        """What the model card calls the dataset: its name, or those of its parts with their weights."""
        parts = [f"{source.weight:g} x {source.name}" for source in self.sources]
        return f"{self.dataset.name} = {' + '.join(parts)}" if parts else self.dataset.name


class RunPlan(BaseModel):
    """One run, with every input resolved.

    Attributes:
        model: the model to judge, or to train from.
        judge_fingerprint: sha256 of the judge's code.
        prompt: how the model is asked.
        training: None for a baseline run.
        reuse: whether a recorded run with the same inputs may be taken instead; a trained one only while
            nothing was decided on it.
        reproduces: the recorded run that this one repeats.
    """

    kind: Literal["baseline", "trained"]
    model: ResolvedModel
    dataset: DatasetRef
    judge: str
    judge_fingerprint: str
    prompt: ResolvedPrompt = ResolvedPrompt()
    generation: GenerationConfig
    training: TrainingPlan | None = None
    reuse: bool = False
    reproduces: str | None = None

    @property
    def joins(self) -> bool:
        """Whether a run of the same inputs that another process works on is as good as one of its own."""
        return self.reproduces is None and (self.reuse or self.training is not None)

    @property
    def name(self) -> str:
        """What a person calls the run: model, kind, dataset."""
        return f"{self.model.label} {self.kind} {self.dataset.name}"

    @property
    def judged_model(self) -> str:
        """The model that the run judges, as a progress line names it."""
        made = self.training is not None or self.model.reference.startswith(RUN_PREFIX)
        return "trained" if made else self.model.label

    @property
    def judging(self) -> str:
        """The model and the dataset, as a line of a log names them."""
        return f"{self.judged_model} on {self.dataset.name}"

    def inference(self) -> dict[str, Any]:
        """The environment that decides the predictions; recorded, so that they can be judged again later."""
        return inference_environment(self.generation)

    def engine(self) -> dict[str, Any]:
        """For the manifest: the environment of the engine, where that is not ours."""
        found = engine_environment(self.generation, INFERENCE_PACKAGES)
        return {"engine": found} if found else {}

    def evaluation_sha256(self, model_sha256: str) -> str:
        """Hash of every input that decides the scores of a model with these weights. Equal hash: reuse the
        scores.
        """
        return evaluation_sha256(
            model=model_sha256,
            dataset=self.dataset.sha256,
            prompt=self.prompt,
            generation=self.generation,
            inference=self.inference(),
            judge=self.judge,
            fingerprint=self.judge_fingerprint,
        )

    def inputs_sha256(self) -> str:
        """Hash of every input of the whole run, training included. Equal hash: an interrupted run may be
        continued.
        """
        training = None
        if self.training is not None:
            training = {
                "config": self.training.config.model_dump(),
                "dataset": self.training.dataset.sha256,
                "uv_lock": lock_sha256(),  # a changed lock is another run; its checkpoints are not continued
                **deciding_environment(TRAINING_CODE, TRAINING_PACKAGES),
            }
        return sha256_json(
            {"kind": self.kind, "evaluation": self.evaluation_sha256(self.model.sha256), "training": training}
        )

    def manifest(self, run_id: str) -> dict[str, Any]:
        """The content of manifest.json."""
        packages = tuple(
            sorted(
                {
                    *INFERENCE_PACKAGES,
                    *(TRAINING_PACKAGES if self.training else ()),
                    "prefect",
                    "sqlmodel",
                    "scipy",
                }
            )
        )
        return {
            "format": 1,
            "run_id": run_id,
            "kind": self.kind,
            "inputs_sha256": self.inputs_sha256(),
            "model": self.model.recorded(),
            "dataset": self.dataset.judged_on(),
            "judge": recorded_judge(self.judge, self.judge_fingerprint),
            "prompt": self.prompt.recorded(),
            "generation": self.generation.model_dump(),
            "training": self._training_manifest(),
            **({"reproduces": self.reproduces} if self.reproduces else {}),
            "inference": self.inference(),
            "environment": {**environment(packages), **self.engine()},
        }

    def _training_manifest(self) -> dict[str, Any] | None:
        if self.training is None:
            return None
        return {
            "config": self.training.config.model_dump(),
            "dataset": self.training.dataset.recorded(),
            "sources": [source.model_dump() for source in self.training.sources],
            "contamination": {
                "overlaps": len(self.training.overlaps),
                "allowed": self.training.config.allow_contamination,
                "pairs": [asdict(overlap) for overlap in self.training.overlaps[:100]],
                "twins": self.training.twins.model_dump(),
                "rule": RULE,
                "base": self.training.base.model_dump() if self.training.base else None,
            },
        }


Plans = dict[str, RunPlan]
"""Settled plans by what was asked for, as `plan_key` writes it."""

_planned: ContextVar[Mapping[str, RunPlan]] = ContextVar("hallmark_planned", default=MappingProxyType({}))


@contextmanager
def planned(plans: Plans) -> Iterator[None]:
    """Inside the block these plans are taken as they are, so that nothing is read, hashed and planned twice.

    A plan holds for the moments between checking an experiment and starting it, never for longer than the
    block.

    Example:
        >>> plan = plan_evaluation(config, workspace)
        >>> with planned({plan_key(config): plan}):
        ...     evaluate(config)
    """
    token = _planned.set({**_planned.get(), **plans})
    try:
        yield
    finally:
        _planned.reset(token)


def plan_key(wanted: EvaluateConfig | TrainRunConfig | str) -> str:
    """What a plan is kept under: a configuration as its JSON, or the name of a run to reproduce."""
    return wanted if isinstance(wanted, str) else f"{type(wanted).__name__} {wanted.model_dump_json()}"


def settled_plan(wanted: EvaluateConfig | TrainRunConfig | str) -> RunPlan | None:
    """The plan that an enclosing `planned` block holds for this; None where there is none."""
    return _planned.get().get(plan_key(wanted))


class ExperimentPlan(BaseModel):
    """An experiment with every input of its first runs resolved.

    Attributes:
        config: the settings, in which the generation settings are settled, so that all models of the
            experiment are judged by the same.
        plans: of the trained run and of the base model's runs.
    """

    config: ExperimentConfig
    plans: Plans


def plan_experiment(config: ExperimentConfig, workspace: Workspace) -> ExperimentPlan:
    """Settle the trained run of an experiment and the base model's runs on every dataset that something is
    required on.

    Raises:
        HallmarkError: see `plan_training`; also when the training set overlaps with any of the datasets, or
            the champion, which is judged too, is not to be had or cannot be asked.
    """
    wanted_first: list[EvaluateConfig | TrainRunConfig] = [config.trained(), *config.baselines()]
    known = {plan_key(each): plan for each in wanted_first if (plan := settled_plan(each)) is not None}
    if known.keys() == {plan_key(each) for each in wanted_first}:
        return ExperimentPlan(config=config, plans=known)
    workspace.check_writable()
    model = resolve_model(config.base_model, workspace)
    files = [_golden(each, workspace).path for each in config.judged(config.base_model)]
    prompt = resolve_prompt(config.prompt)
    generation = settle_generation(config.generation, model.path, files, prompt, workspace.home, check=True)
    config = config.model_copy(update={"generation": generation})
    training = plan_training(config.trained(), workspace, model, checked=True)
    if (champion := workspace.registry.models.aliased(config.model_name)) is not None:
        reference = f"{champion.model}@v{champion.number}"
        served = resolve_model(f"{REGISTRY_PREFIX}{reference}", workspace)
        try:
            settle_generation(generation, served.path, files, prompt, workspace.home, check=True)
        except InputError as error:
            raise InputError(f"the champion {reference}: {error}") from error
    main, *others = config.baselines()
    plans = {
        plan_key(config.trained()): training.model_copy(update={"reuse": config.reuse_baseline}),
        plan_key(main): training.model_copy(
            update={"kind": "baseline", "training": None, "reuse": config.reuse_baseline}
        ),
    }
    for wanted in others:
        plans[plan_key(wanted)] = plan_evaluation(wanted, workspace, training.model)
    _check_names([plan.dataset for plan in plans.values()])
    if others:
        train, _ = training_dataset(config.train, workspace.home)
        for wanted in others:
            check_training_set(train, config.train, training.model, wanted, workspace)
    return ExperimentPlan(config=config, plans=plans)


def _check_names(datasets: Iterable[DatasetRef]) -> None:
    """Raises an InputError where two files have one name, which stands for one file forever."""
    found: dict[str, DatasetRef] = {}
    for dataset in datasets:
        other = found.setdefault(dataset.name, dataset)
        if other.sha256 != dataset.sha256:
            raise InputError(
                f"{dataset.path}: is another file than {other.path}, and both would be {dataset.name}. Give "
                "one of them another name."
            )


def plan_evaluation(
    config: EvaluateConfig, workspace: Workspace, model: ResolvedModel | None = None
) -> RunPlan:
    """Settle a baseline run: find the model, check the dataset line by line, load the judge.

    Args:
        config: what to judge, on what, by whom.
        workspace: its registry knows the datasets and the registered models.
        model: the model, where it was found and hashed already.

    Raises:
        InputError: the model, the dataset or the judge is unusable; names it.
        IntegrityError: the dataset or a registered model is not what was recorded.
        ResourceError: home or registry are read-only.

    Example:
        >>> plan = plan_evaluation(EvaluateConfig(model="tiny-base"), open_workspace())
        >>> plan.name, plan.dataset.items
        ('tiny-base baseline golden-v1', 360)
    """
    if (plan := settled_plan(config)) is not None:
        return plan
    workspace.check_writable()
    dataset, plan = _settle(config, workspace, model)
    items = checked_items(load_judge(plan.judge), dataset.items())
    return plan.model_copy(update={"dataset": dataset_ref(dataset, sum(1 for _ in items))})


def plan_training(
    config: TrainRunConfig,
    workspace: Workspace,
    model: ResolvedModel | None = None,
    *,
    checked: bool = False,
) -> RunPlan:
    """Settle a trained run: all of the above, the contamination guard, and the settings that suit the model.

    Args:
        config: what to train, and what to judge it on.
        workspace: its registry knows the datasets and the registered models.
        model: the base model, where it was found and hashed already.
        checked: that every prompt can be made is known already.

    Raises:
        InputError: also when a prompt cannot be made; when golden items are in the training set, or in what
            the base model was trained on, and the configuration does not allow it; or when traces are too
            long, and it does not say what to do with them.
    """
    if (plan := settled_plan(config)) is not None:
        return plan
    workspace.check_writable()
    judged_on = config.evaluate(config.base_model, reuse=False)
    golden, plan = _settle(judged_on, workspace, model, check=not checked)
    # what cannot be trained is refused before anything starts
    check_tensors(plan.model.directory, read_architecture(plan.model.directory))
    base = check_base(plan.model, golden, config.train, workspace)
    train, sources = training_dataset(config.train, workspace.home)
    traces = _Counted(train.traces(), characters)
    items = _Counted(checked_items(load_judge(plan.judge), golden.items()))
    overlaps, twins = _sorted_out(find_overlaps(traces, items))
    if overlaps and not config.train.allow_contamination:
        raise _contaminated(train, golden, overlaps)
    wanted = config.train.model_copy(update={"dataset": train.name, "mix": []}) if sources else config.train
    training = TrainingPlan(
        config=settle_training(
            wanted, plan.model.directory, train.path, plan.prompt, workspace.home, characters=traces.longest
        ),
        dataset=dataset_ref(train, traces.count),
        sources=sources,
        overlaps=overlaps,
        twins=twins,
        base=base,
    )
    return plan.model_copy(
        update={"kind": "trained", "dataset": dataset_ref(golden, items.count), "training": training}
    )


def check_training_set(
    train: Dataset,
    config: TrainConfig,
    model: ResolvedModel,
    judged_on: EvaluateConfig,
    workspace: Workspace,
) -> None:
    """The contamination guard for one more golden dataset.

    Args:
        train: the training set.
        config: the training.
        model: what it starts from.
        judged_on: names the golden dataset.
        workspace: its registry knows what the model was trained on.

    Raises:
        InputError: golden items are in the training set, or in what the base model was trained on, and the
            configuration does not allow it.
    """
    golden = load_dataset(judged_on.dataset)
    check_base(model, golden, config, workspace)
    overlaps = held_items(File(train.sha256, train.path), File(golden.sha256, golden.path))
    if overlaps and not config.allow_contamination:
        raise _contaminated(train, golden, list(overlaps))


def check_base(
    model: ResolvedModel, golden: Dataset, config: TrainConfig, workspace: Workspace
) -> TrainingData:
    """What is known of what a base model was trained on, for one golden dataset.

    Raises:
        InputError: one of its training sets holds golden items, and the configuration does not allow it.
    """
    pinned = Golden(golden.name, golden.sha256, lambda: golden.path)
    begun_with = Weights(model.sha256, model.tensors_sha256, model.reference)
    found = lineage(begun_with, pinned, workspace.registry)
    if found.status == "leaked" and not config.allow_contamination:
        raise InputError(
            f"{model.reference}: {' '.join(found.sentences)} Or set train.allow_contamination to train all "
            "the same; it is recorded, and the gate will refuse."
        )
    return found


def _golden(config: EvaluateConfig, workspace: Workspace) -> Dataset:
    dataset = load_dataset(config.dataset)
    return dataset if config.limit_items is None else first_items(dataset, config.limit_items, workspace.home)


def _settle(
    config: EvaluateConfig, workspace: Workspace, model: ResolvedModel | None = None, *, check: bool = False
) -> tuple[Dataset, RunPlan]:
    """The plan of an evaluation whose items are not counted yet. An evaluation needs no check of its prompts:
    they are made as soon as it begins.
    """
    dataset = _golden(config, workspace)
    judge = load_judge(config.judge or dataset.judge)
    check_output(judge, config.generation.output)
    workspace.registry.datasets.check(dataset.key, dataset.version, dataset.sha256)
    if dataset.manifest is None and dataset.limit_items is None:
        note = f"{dataset.name} is not frozen, so nothing proves that it can be won: `hallmark golden freeze`"
        announce("dataset:", note)
    prompt = resolve_prompt(config.prompt)
    check_prompt(prompt, dataset)
    model = model or resolve_model(config.model, workspace, config.generation.endpoint)
    generation = settle_generation(
        config.generation, model.path, [dataset.path], prompt, workspace.home, check=check
    )
    if model.path is not None:
        refuse_at_planning(model.path, generation)
    return dataset, RunPlan(
        kind="baseline",
        model=model,
        dataset=dataset_ref(dataset, 0),
        judge=judge_reference(judge),
        judge_fingerprint=judge_fingerprint(judge),
        prompt=prompt,
        generation=generation,
        reuse=config.reuse,
    )


class _Counted(Generic[Line]):
    """Counts the lines that somebody else reads, and measures the longest. A bad line is found there, before
    anything heavy starts.
    """

    def __init__(self, lines: Iterator[Line], measure: Callable[[Line], int] = lambda _: 0) -> None:
        self.lines = lines
        self.measure = measure
        self.count = 0
        self.longest = 0

    def __iter__(self) -> Iterator[Line]:
        for line in self.lines:
            self.count += 1
            self.longest = max(self.longest, self.measure(line))
            yield line


def dataset_ref(dataset: Dataset, items: int) -> DatasetRef:
    """A dataset as a run sees it.

    Args:
        dataset: hashed and checked.
        items: how many it has.
    """
    revision = dataset.manifest.revision if dataset.manifest else None
    return DatasetRef(
        key=dataset.key,
        version=dataset.version,
        path=dataset.path.absolute(),
        sha256=dataset.sha256,
        items=items,
        bands=dataset.bands,
        limit_items=dataset.limit_items,
        revised_from=revision.without_items() if revision else None,
    )


def _sorted_out(found: Iterable[Overlap]) -> tuple[list[Overlap], Twins]:
    """The overlaps that refuse, and the twins, of which a few are kept and shown to whoever watches."""
    overlaps: list[Overlap] = []
    count, pairs = 0, list[Overlap]()
    for overlap in found:
        if overlap.refuses:
            overlaps.append(overlap)
        else:
            count += 1
            pairs = sorted([*pairs, overlap], key=lambda pair: -pair.share)[:SHOWN_TWINS]
    if count:
        alike = counted(count, "training item resembles", "training items resemble")
        announce("guard:", f"{alike} golden items without holding them; shown by `golden guard`")
    return overlaps, Twins(count=count, pairs=pairs)


def _contaminated(train: Dataset, golden: Dataset, overlaps: list[Overlap]) -> InputError:
    shown = "\n".join(
        f"  {o.train_id} ~ {o.golden_id} ({o.kind}): {o.shared[:80]}" for o in overlaps[:SHOWN_OVERLAPS]
    )
    more = f"\n  and {len(overlaps) - SHOWN_OVERLAPS} more" if len(overlaps) > SHOWN_OVERLAPS else ""
    held = counted(len(overlaps), "training item holds", "training items hold")
    return InputError(
        f"{train.path}: {held} items of {golden.name}; a gain would be memory, not skill:\n"
        f"{shown}{more}\nRemove them (`hallmark golden guard --write-clean` does), or set "
        "train.allow_contamination to train all the same; it is recorded, and the gate will refuse."
    )
