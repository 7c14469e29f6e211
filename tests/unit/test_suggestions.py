"""Whoever mistypes a name is told which one may have been meant, wherever names are typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from core.config import Config, validated
from core.errors import InputError
from core.suggestions import did_you_mean, nearest
from experiments.config import ExperimentConfig, configured
from golden.datasets import load_dataset
from judges import describe_judges, load_judge
from registry import Registry
from tests.support.registry_entries import promoted

pytestmark = pytest.mark.unit


def said(call: object, *arguments: object) -> str:
    with pytest.raises(InputError) as error:
        call(*arguments)  # type: ignore[operator]
    return str(error.value)


def test_the_likest_names_come_first_whatever_their_case() -> None:
    assert nearest("CHAMPOIN", ["staging", "champion", "champions"])[:2] == ["champion", "champions"]
    assert did_you_mean("x", ["champion"]) == ""
    assert did_you_mean("", []) == ""
    assert nearest("a" * 100_000, ["champion"]) == []


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ("trian", "did you mean train?"),
        ("train.stepz", "did you mean train.steps?"),
        ("steps", "did you mean train.steps?"),
        ("batch_size", "did you mean generation.batch_size or train.batch_size?"),
        ("generation.max_tokens", "did you mean generation.max_new_tokens?"),
    ],
)
def test_an_unknown_setting(setting: str, meant: str) -> None:
    first, _, rest = setting.partition(".")
    values = {first: {rest: 1}} if rest else {first: 1}
    assert f"{setting}: unknown setting; {meant}" in said(configured, ExperimentConfig, None, values)


def test_an_unknown_setting_in_a_list_of_tables() -> None:
    class Part(Config):
        alpha: float

    class Whole(Config):
        parts: list[Part]

    values: dict[str, object] = {"parts": [{"alhpa": 1, "alpha": 1}]}
    told = said(validated, Whole, values, "a file")
    assert told == "a file: parts.0.alhpa: unknown setting; did you mean parts.0.alpha?"
    assert issubclass(Whole, BaseModel)


def test_names_that_are_installed() -> None:
    assert "Did you mean golden-v1?" in said(load_dataset, "goldn-v1")
    assert "Did you mean answer_correctness?" in said(describe_judges, "answer_corectness")
    assert "Did you mean answer_correctness@v" in said(load_judge, "answer_corectness@v2")
    assert "Did you mean pattern?" in said(load_judge, 'regex@v1{"patern": "x"}')


def test_names_that_are_recorded(registry: Registry, tmp_path: Path) -> None:
    version = promoted(registry, tmp_path)
    name, run_id = version.model, str(version.run_id)
    mistyped = f"{run_id[:-1]}{'0' if run_id[-1] != '0' else '1'}"
    assert f"Did you mean {run_id}?" in said(registry.runs.get, mistyped)
    assert "Did you mean champion?" in said(registry.models.get, f"{name}@chapmion")
    assert "Did you mean" in said(lambda: registry.runs.list(judge="answer_corectness"))
