"""What nobody chose suits the model and the data, and is settled the same way each time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import HallmarkError, InputError
from experiments.config import ExperimentConfig, configured, training
from experiments.datasets import training_dataset
from experiments.defaults import TINY_TRAINING, characters, is_tiny, settle_training
from experiments.names import model_name_for
from experiments.references import TINY_BASE_DIRECTORY
from golden.datasets import load_dataset
from golden.prompting import ResolvedPrompt
from hallmark.cli.options import parse_settings
from inference.contract import GenerationConfig
from tests.support.small_datasets import tokenized
from tests.support.training import tiny_training
from trainer.contract import TrainConfig
from trainer.curve import StepRecord, not_finite
from trainer.settling import settled_by

pytestmark = pytest.mark.unit

TRACES = tokenized([([1] * size, 1) for size in (371, 200, 100, 60)])


def config(**settings: object) -> TrainConfig:
    return TrainConfig.model_validate(settings)


def test_settings_that_nobody_chose_come_from_the_model_and_the_data() -> None:
    found = settled_by(TRACES, config(), context=2048)
    settled = found.config
    assert (settled.sequence_length, settled.batch_size, settled.learning_rate) == (384, 8, 2e-5)
    assert (found.longest, found.traces, found.dropped, found.truncated) == (371, 4, 0, 0)
    assert settled.steps == 1
    assert settled_by(TRACES, config(method="lora"), context=2048).config.learning_rate == 2e-4


def test_epochs_become_steps_by_the_rows_that_the_traces_fill() -> None:
    """371 | 200 + 100 + 60: two rows of 384."""
    for epochs, batch_size, steps in ((1, 1, 2), (3, 1, 6), (3, 2, 3), (0.5, 1, 1), (10, 3, 7)):
        found = settled_by(TRACES, config(epochs=epochs, batch_size=batch_size), context=2048)
        assert found.config.steps == steps
        assert found.config.epochs is None
        assert found.epochs == steps * batch_size / 2


def test_the_warm_up_suits_the_steps() -> None:
    warm_ups = {
        steps: settled_by(TRACES, config(steps=steps), context=2048).config.warmup_steps
        for steps in (10, 100, 1000)
    }
    assert warm_ups == {10: 1, 100: 3, 1000: 10}


def test_what_was_chosen_stays() -> None:
    chosen = {
        "steps": 7,
        "batch_size": 3,
        "sequence_length": 400,
        "learning_rate": 0.5,
        "warmup_steps": 0,
    }
    assert settled_by(TRACES, config(**chosen), context=2048).config.model_dump(include=set(chosen)) == chosen


def test_a_trace_that_the_model_cannot_see_as_a_whole_is_refused_whatever_the_row_holds(
    tmp_path: Path,
) -> None:
    source = write(tmp_path / "long-v1.jsonl", ["a", "b"])
    traces = tokenized([([1] * 300, 1), ([1] * 9, 1)], source)
    for length in (None, 512):
        with pytest.raises(InputError) as caught:
            settled_by(traces, config(sequence_length=length), context=256)
        assert "1 of 2 traces have more tokens than" in str(caught.value)
        assert "holds all of them" not in str(caught.value)
    assert "the model's context of 256: the longest is a with 300" in str(caught.value)
    cut = settled_by(traces, config(on_too_long="truncate"), context=256)
    assert (cut.config.sequence_length, cut.truncated, cut.dropped, cut.traces) == (256, 1, 0, 2)
    assert "1 trace cut off" in cut.sentence


def test_steps_and_epochs_or_two_sources_together_are_refused() -> None:
    with pytest.raises(InputError, match=r"train\.steps = 5 and train\.epochs = 2 both say how long"):
        configured(ExperimentConfig, None, {"train.steps": 5, "train.epochs": 2})
    mix = [{"dataset": "train-v1"}]
    with pytest.raises(InputError, match=r"train\.dataset = a-v1\.jsonl and train\.mix both name"):
        configured(ExperimentConfig, None, {"train.dataset": "a-v1.jsonl", "train.mix": mix})


def test_the_tiny_base_has_the_settings_that_it_always_had(tmp_path: Path) -> None:
    assert is_tiny(TINY_BASE_DIRECTORY)
    train = load_dataset("train-v1")
    longest = max(map(characters, train.traces()))
    found = settle_training(
        config(), TINY_BASE_DIRECTORY, train.path, ResolvedPrompt(), tmp_path, characters=longest
    )
    assert found == tiny_training()
    assert dict(TINY_TRAINING) == found.model_dump(include=set(TINY_TRAINING))


def test_only_a_model_that_goes_without_saying_needs_no_name() -> None:
    assert ExperimentConfig().model_name == "tiny-reasoner"
    assert configured(ExperimentConfig, None, {"base_model": "registry:support@v3"}).model_name == "support"
    assert model_name_for("registry:support@champion") == "support"
    assert training(None, {"base_model": "models/base"}).base_model == "models/base"
    for base in ("models/base", "run:20260101-000000-abcdef", "ORG/NAME@main"):
        with pytest.raises(InputError, match=r"needs a name in the registry.*--model-name support"):
            configured(ExperimentConfig, None, {"base_model": base})
        assert configured(ExperimentConfig, None, {"base_model": base, "model_name": "m"}).model_name == "m"


@pytest.mark.parametrize("value", [0, -5, "abc", 1.5, True, 40_000])
def test_a_longest_completion_is_a_number_or_fit(value: object) -> None:
    with pytest.raises(InputError, match=r"max_new_tokens: expected a number from 1 to 32,768, or fit, got"):
        configured(ExperimentConfig, None, {"generation.max_new_tokens": value})
    assert GenerationConfig.model_validate({"max_new_tokens": "64"}).longest == 64
    with pytest.raises(InputError, match=r"a number is needed, got fit"):
        _ = GenerationConfig.model_validate({"max_new_tokens": "fit"}).longest


def write(path: Path, ids: list[str]) -> Path:
    rows = [{"trace_id": each, "prompt": f"{path.stem} {each}?", "completion": "Yes."} for each in ids]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_mixture_is_typed_as_in_toml() -> None:
    given = parse_settings(['train.mix=[{dataset = "a-v1.jsonl", weight = 2.0}, {dataset = "b-v1.jsonl"}]'])
    mix = training(None, given).train.mix
    assert [(each.dataset, each.weight) for each in mix] == [("a-v1.jsonl", 2.0), ("b-v1.jsonl", 1.0)]
    as_json = parse_settings(['train.mix=[{"dataset": "a-v1.jsonl", "weight": 2.0}]'])
    with pytest.raises(InputError, match=r"train\.mix: .*Tables are written as in TOML: \[\{name = "):
        training(None, as_json)


def test_a_mixture_holds_each_trace_as_often_as_its_weight_says(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one-v1.jsonl", ["a", "b"]), write(tmp_path / "two-v3.jsonl", ["b", *"cdef"])
    wanted = config(mix=[{"dataset": str(one), "weight": 2.5}, {"dataset": str(two), "weight": 0.6}], seed=1)
    mixture, sources = training_dataset(wanted, tmp_path / "home")
    assert [(each.name, each.items, each.weight) for each in sources] == [
        ("one-v1", 2, 2.5),
        ("two-v3", 5, 0.6),
    ]
    traces = list(mixture.traces())
    prompts = [trace.prompt for trace in traces]
    assert [prompts.count(f"one-v1 {each}?") for each in "ab"] in ([2, 3], [3, 2])
    assert sum(prompt.startswith("two-v3") for prompt in prompts) == 3
    assert len({trace.trace_id for trace in traces}) == len(traces) == 8
    assert {"a", "b", "one-v1:a", "one-v1:b"} < {trace.trace_id for trace in traces}
    assert mixture.name == f"mix_{mixture.sha256[:12]}-v1"
    again, _ = training_dataset(wanted, tmp_path / "other")
    assert again.path.read_bytes() == mixture.path.read_bytes()
    other, _ = training_dataset(wanted.model_copy(update={"seed": 2}), tmp_path / "home")
    assert other.sha256 != mixture.sha256


def test_a_bad_line_of_a_mixed_set_is_named_where_it_is(tmp_path: Path) -> None:
    bad = write(tmp_path / "bad-v1.jsonl", ["a"])
    bad.write_text(bad.read_text() + '{"trace_id": "b"}\n')
    with pytest.raises(InputError, match=r"bad-v1\.jsonl:2: "):
        training_dataset(config(mix=[{"dataset": str(bad)}]), tmp_path)


def test_a_loss_that_is_no_number_is_blamed_on_the_learning_rate_only_where_it_can_be() -> None:
    records = [
        StepRecord(step=n, loss=2.0 * n, learning_rate=1e-3, gradient_norm=1.0, loss_tokens=9)
        for n in (1, 2, 3, 4)
    ]
    diverged = not_finite(5, float("nan"), 1.0, tiny_training(), records, moved=True)
    assert isinstance(diverged, HallmarkError)
    assert "loss was 4.000 (step 2), 6.000 (step 3), 8.000 (step 4)" in str(diverged)
    assert "Lower train.learning_rate (now 0.002)" in str(diverged)
    at_once = str(not_finite(1, float("inf"), 1.0, tiny_training(dtype="bfloat16"), [], moved=False))
    assert "the learning rate is not the cause" in at_once
    assert "Compute in float32" in at_once


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, None),
        ({"base_model": "tiny-base", "model_name": None}, None),
        ({"base_model": "registry:support@champion"}, None),
        ({"base_model": "models/base", "model_name": "support"}, None),
        ({"base_model": "models/base"}, "model_name"),
        ({"base_model": "models/base", "model_name": None}, "model_name"),
    ],
)
def test_a_form_without_a_needed_name_is_refused_when_it_is_sent(
    given: dict[str, object], field: str | None
) -> None:
    from prefect.utilities.callables import parameter_schema
    from prefect.utilities.schema_tools.validation import validate

    from flows.experiment import experiment

    schema = parameter_schema(experiment.fn).model_dump_for_openapi()
    errors = validate({"config": given}, schema, allow_none_with_default=True)
    assert bool(errors) == (field is not None)
    assert all(field in str(error.message) + error.json_path for error in errors if field)
