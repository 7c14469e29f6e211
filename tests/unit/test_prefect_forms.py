"""The form of a deployment: what people change comes first; what a form does not show can still be given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import ValidationError, validate

from experiments.config import EvaluateConfig, ExperimentConfig, TrainRunConfig
from flows.evaluate import baseline, evaluate
from flows.experiment import experiment
from flows.promote import promote
from flows.train import train

pytestmark = pytest.mark.unit

FLOWS = [experiment, train, evaluate, baseline]


def schema(flow: Any) -> dict[str, Any]:
    return parameter_schema(flow.fn).model_dump()


def form(flow: Any) -> dict[str, Any]:
    return dict(schema(flow)["properties"]["config"])


def shown(form: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The settings that a form shows, by dotted name, from top to bottom."""
    for name, found in sorted(form["properties"].items(), key=lambda each: each[1]["position"]):
        for inner in [found, *(each for each in found.get("anyOf", []) if each.get("properties"))]:
            if "properties" in inner:
                yield from ((f"{name}.{rest}", each) for rest, each in shown(inner))
        if "properties" not in found and not any("properties" in each for each in found.get("anyOf", [])):
            yield name, found


def accepted(flow: Any, **config: Any) -> None:
    """What the server does with the parameters of a run before it makes one."""
    validate({"config": config}, schema(flow), raise_on_error=True)


def test_the_seven_settings_that_people_change_come_first() -> None:
    first = [name for name, _ in shown(form(experiment)) if not name.startswith("advanced.")]
    assert first == [
        "base_model",
        "dataset",
        "train.dataset",
        "train.steps",
        "train.learning_rate",
        "model_name",
        "promote",
    ]
    assert list(form(experiment)["properties"])[-1] == "advanced"
    usual, all_others = form(experiment)["properties"]["advanced"]["anyOf"]
    assert usual["properties"] == {}
    assert len(list(shown(all_others))) > 45


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_every_setting_is_in_the_form_once_with_a_title_in_words(flow: Any) -> None:
    kind = {"experiment": ExperimentConfig, "train": TrainRunConfig}.get(flow.name, EvaluateConfig)

    def settings(config: Any, prefix: str = "") -> Iterator[str]:
        for name, field in type(config).model_fields.items():
            value = getattr(config, name)
            inner = hasattr(type(value), "model_fields") and field.annotation is type(value)
            yield from settings(value, f"{prefix}{name}.") if inner else [f"{prefix}{name}"]

    found = dict(shown(form(flow)))
    assert sorted(name.removeprefix("advanced.") for name in found) == sorted(settings(kind()))
    for name, setting in found.items():
        assert setting["title"][0].isupper(), name
        assert "_" not in setting["title"], name
        assert len(setting["description"]) < 220, name


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_what_is_open_is_an_empty_field_and_not_the_word_none(flow: Any) -> None:
    for name, setting in shown(form(flow)):
        assert "null" not in str(setting), name
        assert setting.get("default", "") is not None, name
    assert form(flow)["default"] == {}


def test_choices_are_choices() -> None:
    found = dict(shown(form(experiment)))
    assert found["advanced.train.method"]["enum"] == ["full", "lora"]
    assert found["advanced.generation.engine"]["enum"] == ["transformers", "vllm", "openai"]
    assert [each["title"] for each in found["advanced.generation.max_new_tokens"]["anyOf"]] == [
        "number",
        "fit",
    ]


def test_what_the_form_puts_below_advanced_is_read_as_if_it_stood_above() -> None:
    config = {
        "train": {"steps": 90},
        "promote": False,
        "advanced": {
            "train": {"batch_size": 8},
            "generation": {"max_new_tokens": "fit"},
            "judge": "choice@v1",
        },
    }
    accepted(experiment, **config)
    read = experiment.validate_parameters({"config": config})["config"]
    assert read == ExperimentConfig.model_validate(
        {
            "train": {"steps": 90, "batch_size": 8},
            "promote": False,
            "generation": {"max_new_tokens": "fit"},
            "judge": "choice@v1",
        }
    )
    assert experiment.validate_parameters({"config": {}})["config"] == ExperimentConfig()
    assert experiment.validate_parameters({"config": ExperimentConfig()})["config"] == ExperimentConfig()


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_whatever_could_be_given_can_be_given(flow: Any) -> None:
    kind = {"experiment": ExperimentConfig, "train": TrainRunConfig}.get(flow.name, EvaluateConfig)
    accepted(flow)
    accepted(flow, **kind().model_dump(mode="json"))
    assert flow.validate_parameters({"config": kind().model_dump(mode="json")})["config"] == kind()


def test_a_nested_setting_that_the_form_does_not_show_is_given_as_ever() -> None:
    accepted(
        experiment,
        model_name="support",
        train={"batch_size": 8, "steps": None},
        gate={"alpha": 0.01},
        require=[
            {"dataset": "golden-v1"},
            {"dataset": "safety-v1.jsonl", "aim": "not_worse", "margin": 0.02},
        ],
    )


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"train": {"steps": -1}}, "'config.train.steps'. Failure reason: -1 is less than the minimum of 1"),
        (
            {"advanced": {"train": {"batch_size": 0}}},
            "'config.advanced.train.batch_size'. Failure reason: 0 is less than the minimum of 1",
        ),
        ({"train": {"step": 1}}, "Additional properties are not allowed ('step' was unexpected)"),
        ({"advanced": {"trian": {}}}, "Additional properties are not allowed ('trian' was unexpected)"),
        ({"base_model": "org/model@abc"}, "'model_name' is a required property"),
        ({"gate": {"alpha": 7}}, "7 is greater than the maximum of 0.5"),
    ],
)
def test_what_is_out_of_bounds_is_refused_before_anything_starts(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError) as refused:
        accepted(experiment, **config)
    assert reason in str(refused.value)


def test_the_form_of_a_promotion_asks_for_words_and_reads_an_empty_field_as_nothing() -> None:
    found = schema(promote)["properties"]
    assert [found[name]["title"] for name in ("run", "model_name", "against")] == [
        "run",
        "Name in the registry",
        "Compare with run",
    ]
    assert [each["title"] for each in found["suite"]["anyOf"]] == ["As usual", "Choose"]
    filled_in = {"run": "7f3a", "model_name": "", "against": "", "force_reason": "", "gate": {}, "suite": {}}
    validate(filled_in, schema(promote), raise_on_error=True)
    read = promote.validate_parameters(filled_in)
    assert (read["model_name"], read["against"], read["force_reason"], read["suite"]) == (None,) * 4
    assert read["gate"].alpha == 0.05
    with pytest.raises(ValidationError, match="7 is greater than the maximum"):
        validate({"run": "7f3a", "gate": {"alpha": 7}}, schema(promote), raise_on_error=True)
    with pytest.raises(ValidationError):
        validate({"run": "7f3a", "suite": {"require": []}}, schema(promote), raise_on_error=True)
