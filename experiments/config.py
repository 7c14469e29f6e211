"""The parameters of the flows. The defaults run a whole experiment on the built-in data and the tiny base."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Self, TypeVar, cast

from pydantic import ConfigDict, Field, ValidationError, WithJsonSchema, model_validator

from core.config import MODEL_NAME_PATTERN, Config, read_toml, validated
from core.errors import InputError
from core.judge_reference import JudgeReference, parse_judge
from evaluation.gate import GateConfig
from evaluation.suite import Limit, Requirement, Suite, check_suite, in_order
from experiments.names import (
    NOT_TRAINED,
    REGISTRY_PREFIX,
    TINY_BASE,
    TINY_MODEL_NAME,
    model_name_for,
    short_name,
)
from golden.manifest import DEFAULT_JUDGE
from golden.prompting import PromptConfig
from inference.contract import GenerationConfig
from inference.endpoint import ENDPOINT_PREFIX, EXAMPLE
from trainer.contract import TrainConfig

Kind = TypeVar("Kind", bound=Config)

MODEL_HELP = (
    "A local model directory, registry:NAME@ALIAS or registry:NAME@vN, run:RUN_ID for what a run trained, a "
    f"hub id ORG/NAME@REVISION, or {TINY_BASE}. `registry:` may be left out."
)
JUDGED_HELP = f"{MODEL_HELP} {ENDPOINT_PREFIX}NAME for a model that generation.endpoint serves."
DATASET_HELP = "Golden dataset: a built-in name, or the path of a KEY-vN.jsonl file."
JUDGE_HELP = (
    "Judge, as NAME@vN, or NAME@vN{JSON} with its parameters; `hallmark judges list` shows them. "
    f"Default: the one that the dataset's manifest names, else {DEFAULT_JUDGE}."
)

NEEDS_NAME_SCHEMA: dict[str, Any] = {
    "if": {"properties": {"base_model": {"pattern": f"^({TINY_BASE}$|{REGISTRY_PREFIX})"}}},
    "else": {"required": ["model_name"], "properties": {"model_name": {"type": "string"}}},
}
"""What a form can check before anything runs: any base model but these needs a name for its versions."""
MODEL_NAME_SCHEMA = {"anyOf": [{"type": "string", "pattern": MODEL_NAME_PATTERN}, {"type": "null"}]}

LIMIT_HELP = (
    "Judge only the first N items of each dataset: a quick look, on which nothing is ever promoted. "
    "Default: all items."
)

UNREGISTERED = "unregistered"
"""A name where nothing is registered, so that nobody has to think of one."""


class EvaluateConfig(Config):
    """Judge one model on one dataset; no training."""

    model: str = Field(default=TINY_BASE, description=JUDGED_HELP)
    dataset: str = Field(default="golden-v1", description=DATASET_HELP)
    judge: JudgeReference | None = Field(default=None, description=JUDGE_HELP)
    prompt: PromptConfig = Field(default_factory=PromptConfig)
    generation: GenerationConfig = Field(default_factory=GenerationConfig)
    limit_items: int | None = Field(default=None, ge=1, description=LIMIT_HELP)
    reuse: bool = Field(
        default=True, description="Take the recorded run where one exists for exactly these inputs."
    )

    @model_validator(mode="after")
    def _served_by_an_endpoint(self) -> Self:
        served, engine = self.model.startswith(ENDPOINT_PREFIX), self.generation.engine
        if served and engine != "openai":
            raise ValueError(
                f"model: {self.model} is a model that an endpoint serves, which the engine {engine} cannot "
                f"load. Say where it is served: generation.endpoint, as in {EXAMPLE}"
            )
        if engine == "openai" and not served:
            raise ValueError(
                f"model: {self.model} names weights, and an endpoint is asked for a model by the name under "
                f"which it serves it. Say {ENDPOINT_PREFIX}NAME; `hallmark doctor --endpoint "
                f"{self.generation.endpoint}` lists the names. Or leave generation.endpoint out."
            )
        return self

    @property
    def title(self) -> str:
        """Model and dataset, for the names of flow runs."""
        return f"{short_name(self.model)} on {_dataset_name(self.dataset)}"


class TrainRunConfig(Config):
    """Fine-tune a model and judge the result."""

    base_model: str = Field(default=TINY_BASE, description=MODEL_HELP)
    dataset: str = Field(default="golden-v1", description=DATASET_HELP)
    judge: JudgeReference | None = Field(default=None, description=JUDGE_HELP)
    prompt: PromptConfig = Field(default_factory=PromptConfig)
    generation: GenerationConfig = Field(default_factory=GenerationConfig)
    limit_items: int | None = Field(default=None, ge=1, description=LIMIT_HELP)
    train: TrainConfig = Field(default_factory=TrainConfig)

    @model_validator(mode="after")
    def _with_weights(self) -> Self:
        if self.base_model.startswith(ENDPOINT_PREFIX):
            raise ValueError(f"base_model: {self.base_model}: {NOT_TRAINED}")
        if self.generation.engine == "openai":
            raise ValueError(
                "generation.engine: openai asks an endpoint, which does not serve what is trained here. Use "
                "transformers or vllm; a served model is judged by `hallmark evaluate`."
            )
        return self

    @property
    def title(self) -> str:
        """Model, training set and dataset, for the names of flow runs."""
        sets = [each.dataset for each in self.train.mix] or [self.train.dataset]
        data = " + ".join(map(_dataset_name, sets))
        return f"{short_name(self.base_model)} with {data} on {_dataset_name(self.dataset)}"

    def evaluate(self, model: str, reuse: bool = True) -> EvaluateConfig:
        """The same judging for another model."""
        return EvaluateConfig(
            model=model,
            dataset=self.dataset,
            judge=self.judge,
            prompt=self.prompt,
            generation=self.generation,
            limit_items=self.limit_items,
            reuse=reuse,
        )


class ExperimentConfig(TrainRunConfig):
    """Base against trained, judged on the same items; the better one may become champion."""

    model_config = ConfigDict(json_schema_extra=NEEDS_NAME_SCHEMA)

    # Always a string once validated; a form may leave it empty.
    model_name: Annotated[str, WithJsonSchema(MODEL_NAME_SCHEMA)] = Field(
        default=cast("Any", None),
        pattern=MODEL_NAME_PATTERN,
        description="Name in the registry; a promoted model becomes its next version. Default: "
        f"that of a registered base model; {TINY_MODEL_NAME} for the built-in tiny base. Any other base "
        "model needs one.",
    )
    gate: GateConfig = Field(default_factory=GateConfig)
    require: list[Requirement] = Field(
        default_factory=list,
        description="What must hold, on which datasets: a suite. Without any: better than the champion on "
        "`dataset`.",
    )
    limit: list[Limit] = Field(
        default_factory=list, description="Bounds on speed, size and cut-off answers; all must hold."
    )
    promote: bool = Field(
        default=True, description="Promote when the gate passes. Off: decide, record, and leave the champion."
    )
    reuse_baseline: bool = Field(
        default=True,
        description="Take the recorded baseline where one exists for exactly these inputs, and a trained run "
        "on which nothing was decided yet.",
    )
    fail_unless_promoted: bool = Field(
        default=False, description="End as failed, with exit code 5, when the gate says no; for CI."
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: Any) -> Any:
        """The name that goes without saying; most base models have none."""
        if not isinstance(values, dict) or values.get("model_name") is not None:
            return values
        base = values.get("base_model") or TINY_BASE
        if not isinstance(base, str):
            return values  # the field says what is wrong with it
        try:
            return {**values, "model_name": model_name_for(base)}
        except InputError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="before")
    @classmethod
    def _main_dataset(cls, values: Any) -> Any:
        """The dataset and judge of an experiment with a suite are those of its main requirement. A form sends
        the default of what nobody filled in, so that is no contradiction.
        """
        if not isinstance(values, dict) or not values.get("require"):
            return values
        try:
            suite = Suite.model_validate({"require": values["require"], "limit": values.get("limit", [])})
        except ValidationError:
            return values  # the fields say what is wrong with them
        main = in_order(suite.require)[0]
        for name, value in (("dataset", main.dataset), ("judge", main.judge)):
            given = values.get(name)
            if name == "judge" and isinstance(given, str | dict):
                given = str(parse_judge(given))
            if given not in (None, value, cls.model_fields[name].default):
                raise ValueError(
                    f"{name}: {values[name]} is asked for beside requirements that name their own, first "
                    f"{main.dataset}. Leave {name} out."
                )
        return {**values, "dataset": main.dataset, "judge": main.judge}

    @model_validator(mode="after")
    def _suite_makes_sense(self) -> Self:
        check_suite(self.requirements, self.limit)
        return self

    @property
    def requirements(self) -> list[Requirement]:
        """What must hold, the main requirement first."""
        return in_order(self.require or [Requirement(dataset=self.dataset, judge=self.judge)])

    @property
    def datasets(self) -> list[Requirement]:
        """A requirement for each dataset and judge that models are judged on, the main one first."""
        found: dict[tuple[str, str | None], Requirement] = {}
        for each in self.requirements:
            found.setdefault(each.judged_on, each)
        return list(found.values())

    def judged(self, model: str, reuse: bool = True) -> list[EvaluateConfig]:
        """The judging of a model on each dataset, the main one first.

        Args:
            model: reference of the model.
            reuse: whether a recorded run may be taken.
        """
        return [
            self.evaluate(model, reuse).model_copy(update={"dataset": each.dataset, "judge": each.judge})
            for each in self.datasets
        ]

    def baselines(self) -> list[EvaluateConfig]:
        """The parts that concern the base model's runs: one for each dataset, the main one first."""
        return self.judged(self.base_model, self.reuse_baseline)

    def trained(self) -> TrainRunConfig:
        """The part that concerns the trained run."""
        return TrainRunConfig(**{name: getattr(self, name) for name in TrainRunConfig.model_fields})


def with_suite(
    settings: Mapping[str, Any], suite: Suite | Mapping[str, Any] | str | Path | None
) -> dict[str, Any]:
    """Settings of an experiment, and what a suite requires.

    Args:
        settings: dotted names to values; None means not given.
        suite: see `read_suite`; None for none.

    Raises:
        InputError: see `read_suite`; or the settings name a dataset or a judge, as the suite does.
    """
    if suite is None:
        return dict(settings)
    for name in ("dataset", "judge"):
        if settings.get(name) is not None:
            raise InputError(
                f"{name}: {settings[name]} is asked for beside a suite, which names its own. Leave one out."
            )
    return {**settings, **read_suite(suite).model_dump()}


def read_suite(suite: Suite | Mapping[str, Any] | str | Path) -> Suite:
    """A suite from an object, a dictionary or a TOML file. Datasets of a relative path are found from the
    working directory, as everywhere.

    Args:
        suite: requirements and limits, or the path of the TOML file that has them.

    Raises:
        InputError: no such file, no TOML, or not a suite; names every bad field.

    Example:
        >>> suite = read_suite("release.toml")  # doctest: +SKIP
        >>> [(each.dataset, each.aim) for each in suite.require]  # doctest: +SKIP
        [('golden-v1', 'better'), ('safety-v2.jsonl', 'not_worse')]
    """
    if isinstance(suite, Suite):
        return suite
    if isinstance(suite, Mapping):
        return validated(Suite, dict(suite), "suite")
    return validated(Suite, read_toml(Path(suite)), str(suite))


def _dataset_name(dataset: str) -> str:
    return Path(dataset).stem if dataset.endswith(".jsonl") else dataset


def configured(
    kind: type[Kind],
    config: Config | str | Path | None = None,
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> Kind:
    """A configuration from an object or a TOML file, and settings that win over it.

    Args:
        kind: the class of the configuration.
        config: a configuration, or the path of a TOML file whose keys are the fields of `kind`.
        settings: names to values, as in {"train": {"steps": 100}} or {"train.steps": 100}; None means not
            given.

    Raises:
        InputError: names every unknown key and every value out of bounds; or `config` is neither.

    Example:
        >>> configured(ExperimentConfig, None, {"train.steps": 100, "model_name": "support"}).train.steps
        100
    """
    values: dict[str, Any] = {}
    if isinstance(config, Config):
        values = config.model_dump()
    elif isinstance(config, str | Path):
        values = read_toml(Path(config))
    elif config is not None:
        raise InputError(
            f"configuration: expected {kind.__name__} or the path of a TOML file, got {config!r}"
        )
    source = str(config) if isinstance(config, str | Path) else "configuration"
    return validated(kind, merged(values, nested(settings)), source)


def evaluation(config: str | Path | None, settings: Mapping[str, Any]) -> EvaluateConfig:
    """What `hallmark evaluate` is asked: a TOML file with the settings of an evaluation or of a whole
    experiment, of which the parts that concern judging are taken, and settings that win over it.

    Args:
        config: the file; None for none.
        settings: as in `configured`; without `model` an experiment's base model is judged.

    Raises:
        InputError: see `configured`.
    """
    given = nested(settings)
    of_experiments_alone = set(ExperimentConfig.model_fields) - set(EvaluateConfig.model_fields)
    if config is None or not of_experiments_alone & set(read_toml(Path(config))):
        return configured(EvaluateConfig, config, given)
    whole = configured(ExperimentConfig, config, {"model_name": UNREGISTERED})
    # what the file does not say is open, so that a setting may imply it: an endpoint its engine
    of_experiment = whole.evaluate(whole.base_model).model_dump(exclude_unset=True)
    return validated(EvaluateConfig, merged(of_experiment, given), str(config))


def training(
    config: Config | str | Path | None = None, settings: Mapping[str, Any] = MappingProxyType({})
) -> TrainRunConfig:
    """What `hallmark train` is asked: the settings of a whole experiment, of which the parts that concern
    training and judging are taken.

    Args:
        config: see `configured`.
        settings: see `configured`.

    Raises:
        InputError: see `configured`.
    """
    return configured(ExperimentConfig, config, {**settings, "model_name": UNREGISTERED}).trained()


def nested(dotted: Mapping[str, Any]) -> dict[str, Any]:
    """{"train.steps": 100, "seed": None} becomes {"train": {"steps": 100}}; None means not given.

    Example:
        >>> nested({"train.steps": 100, "judge": None})
        {'train': {'steps': 100}}
    """
    values: dict[str, Any] = {}
    for name, value in dotted.items():
        if value is not None:
            for part in reversed(name.split(".")):
                value = {part: value}
            values = merged(values, value)
    return values


def merged(values: Mapping[str, Any], winning: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with `winning` put over it, table by table."""
    result = dict(values)
    for name, value in winning.items():
        known = result.get(name)
        if isinstance(known, Mapping) and isinstance(value, Mapping):
            value = merged(known, value)
        result[name] = value
    return result
