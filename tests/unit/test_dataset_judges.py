"""A dataset may name the judge that it is meant for, and items may carry a group and metadata."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import InputError
from core.files import canonical_json, sha256_file
from experiments.config import EvaluateConfig
from experiments.plan import plan_evaluation
from experiments.workspace import open_workspace
from golden.datasets import BUILT_IN, load_dataset
from golden.freezing import freeze
from golden.lines import parse_line
from golden.manifest import read_manifest, write_manifest
from golden.schema import Item
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.unit

ROW = {"trace_id": "a", "prompt": "p", "steps": [], "final_answer": "x", "category": "c"}


@pytest.mark.parametrize(
    ("named", "asked", "used"),
    [
        (None, None, "answer_correctness@v1"),
        ("exact_match@v1", None, "exact_match@v1"),
        ("exact_match@v1", "answer_correctness@v1", "answer_correctness@v1"),
    ],
)
def test_the_judge_that_the_manifest_names_is_the_default(
    named, asked, used, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "home"))
    path = small_dataset(tmp_path)
    freeze(load_dataset(path), "MIT", "hand", named)
    plan = plan_evaluation(EvaluateConfig(dataset=str(path), judge=asked), open_workspace())
    assert plan.judge == plan.manifest("r")["judge"]["name"] == used


def test_a_judge_that_is_named_and_one_that_is_the_default_are_the_same_run(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "home"))
    default, named = (
        plan_evaluation(EvaluateConfig(judge=judge), open_workspace())
        for judge in (None, "answer_correctness@v1")
    )
    assert default.inputs_sha256() == named.inputs_sha256()


@pytest.mark.parametrize("name", ["golden-v1", "train-v1"])
def test_a_manifest_without_a_judge_is_written_as_before(name: str, tmp_path: Path) -> None:
    committed = BUILT_IN / f"{name}.jsonl"
    manifest = read_manifest(committed)
    assert manifest is not None
    write_manifest(tmp_path / f"{name}.jsonl", manifest)
    assert sha256_file(tmp_path / f"{name}.manifest.json") == sha256_file(BUILT_IN / f"{name}.manifest.json")


def test_group_and_metadata_are_read_and_written() -> None:
    full = {**ROW, "group": "第一 doc/3", "metadata": {"source": "a", "page": [1, None]}}
    assert parse_line(full, "f:1", Item).model_dump() == full
    assert json.loads(parse_line(full, "f:1", Item).model_dump_json()) == full


def test_an_item_without_them_is_written_as_before() -> None:
    assert canonical_json(Item(**ROW).model_dump()) == canonical_json(ROW)


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("group", 7, "expected a string, got a number"),
        ("group", " x", "is not allowed"),
        ("group", "x" * 257, "at most 256 characters"),
        ("metadata", [1], "expected an object, got an array"),
    ],
)
def test_a_bad_group_or_metadata_is_refused(field: str, value: object, problem: str) -> None:
    with pytest.raises(InputError, match=f"^f:1: {field}: .*{problem}"):
        parse_line({**ROW, field: value}, "f:1", Item)


def test_the_help_says_which_judge_is_the_default(hallmark) -> None:
    shown = hallmark("evaluate", "--help", COLUMNS="200").stdout
    assert "manifest names, else" in " ".join(shown.split())
    assert "None" not in shown
