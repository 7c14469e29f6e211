"""Two machines with one registry on PostgreSQL and one store on S3: what one recorded, the other decides on.

The second machine cannot read the folders of the first: they are moved away as soon as its work is done.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core.files import sha256_file
from experiments.references import TINY_BASE_DIRECTORY
from golden.datasets import BUILT_IN
from tests.support.artifact_stores import S3_ENVIRONMENT, make_tree, new_bucket, read_tree
from tests.support.refusals import assert_refused
from tests.support.workplace import Workplace

# The same without training: unit/test_shared_store.py
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.long]

ITEMS, TRACES = 24, 64
SETTINGS = ("--steps", "3", "--dataset", "mine-v1.jsonl", "--train-dataset", "lessons-v1.jsonl")


@dataclass
class Recorded:
    """What the first machine left behind.

    Attributes:
        result: of its experiment, from the tiny base.
        local: id of a run that began with a model in a folder of the first machine.
        comparison: of its two runs, as it saw it.
        folder: where its files are now.
    """

    result: Any
    local: str
    comparison: Any
    folder: Path

    @property
    def base(self) -> str:
        return str(self.result["baseline"]["run_id"])

    @property
    def trained(self) -> str:
        return str(self.result["trained"]["run_id"])

    def file(self, run: str, name: str) -> Path:
        return self.folder / "home" / "runs" / run / name


def first_items(name: str, count: int) -> bytes:
    return b"".join((BUILT_IN / f"{name}.jsonl").read_bytes().splitlines(keepends=True)[:count])


@pytest.fixture(scope="module")
def shared_places(postgresql: str, s3: str, plain_server: dict[str, str]) -> Iterator[dict[str, str]]:
    """The environment of every machine of this house."""
    import psycopg

    name = f"hallmark_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgresql, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield {
        "HALLMARK_REGISTRY_URL": postgresql.replace("/postgres?", f"/{name}?"),
        "HALLMARK_ARTIFACTS": f"s3://{new_bucket(s3)}/hallmark",
        **S3_ENVIRONMENT,
        "AWS_ENDPOINT_URL": s3,
        **{each: plain_server[each] for each in ("PREFECT_API_URL", "PREFECT_HOME")},
    }
    with psycopg.connect(postgresql, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def recorded(shared_places: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """An experiment, and an evaluation of a model of its own, on the first machine, which then goes away."""
    machine = Workplace(tmp_path_factory.mktemp("first"), **shared_places)
    (machine.folder / "mine-v1.jsonl").write_bytes(first_items("golden-v1", ITEMS))
    (machine.folder / "lessons-v1.jsonl").write_bytes(first_items("train-v1", TRACES))
    make_tree(machine.folder / "base", {**read_tree(TINY_BASE_DIRECTORY), "README.md": b"mine"})
    result = machine.json("experiment", *SETTINGS)
    local = machine.json("evaluate", "base", "--dataset", "mine-v1.jsonl")
    runs = result["baseline"]["run_id"], result["trained"]["run_id"]
    comparison = machine.json("compare", *runs)
    return Recorded(result, local["run_id"], comparison, machine.move_away())


@pytest.fixture(scope="module")
def other(
    shared_places: dict[str, str], recorded: Recorded, tmp_path_factory: pytest.TempPathFactory
) -> Workplace:
    """The second machine."""
    return Workplace(tmp_path_factory.mktemp("second"), **shared_places)


def test_the_runs_are_compared_with_the_same_answer(other: Workplace, recorded: Recorded) -> None:
    assert other.json("compare", recorded.base, recorded.trained) == recorded.comparison
    flipped = other.run("compare", recorded.base, recorded.trained, "--flips", 2)
    assert flipped.returncode == 0, flipped.stderr
    shown = other.json("runs", "show", recorded.trained)
    assert (shown["status"], shown["directory"]) == ("finished", str(other.home / "runs" / recorded.trained))


def test_the_predictions_are_judged_again_from_the_same_bytes(other: Workplace, recorded: Recorded) -> None:
    again = other.json("rejudge", recorded.trained, "--judge", "exact_match@v1")
    for name in ("predictions.jsonl", "dataset.jsonl"):
        found = Path(again["directory"]) / name
        assert found.read_bytes() == recorded.file(recorded.trained, name).read_bytes()
    assert again["model_sha256"] == recorded.result["weights_sha256"]


def test_the_trained_model_is_judged_on_another_dataset(other: Workplace, recorded: Recorded) -> None:
    (other.folder / "more-v1.jsonl").write_bytes(first_items("golden-v1", 12))
    run = other.json("evaluate", f"run:{recorded.trained[:-1]}", "--dataset", "more-v1.jsonl")
    assert run["model_sha256"] == recorded.result["weights_sha256"]
    assert run["base_model"] == f"run:{recorded.trained}"


def test_the_run_is_promoted_and_its_model_exported(other: Workplace, recorded: Recorded) -> None:
    forced = other.run("promote", recorded.trained, "--force", "--reason", "a test")
    assert forced.returncode == 0, forced.stderr
    exported = other.run("models", "export", "tiny-reasoner@champion", "model")
    assert exported.returncode == 0, exported.stderr
    weights = recorded.file(recorded.trained, "model") / "model.safetensors"
    assert sha256_file(other.folder / "model" / "model.safetensors") == sha256_file(weights)


def test_the_run_is_reproduced_to_the_byte(other: Workplace, recorded: Recorded) -> None:
    """Its training set and its items are in no folder of this machine."""
    found = other.json("reproduce", recorded.trained)
    assert found["identical"], found
    again = other.json("runs", "show", found["again"])
    for name in ("predictions.jsonl", "scores.jsonl", "dataset.jsonl", "model/model.safetensors"):
        assert (Path(again["directory"]) / name).read_bytes() == recorded.file(
            recorded.trained, name
        ).read_bytes()


def test_an_experiment_is_decided_against_the_others_champion_with_the_others_baseline(
    other: Workplace, recorded: Recorded
) -> None:
    (other.folder / "mine-v1.jsonl").write_bytes(first_items("golden-v1", ITEMS))
    (other.folder / "lessons-v1.jsonl").write_bytes(first_items("train-v1", TRACES))
    result = other.json("experiment", *SETTINGS, "--seed", 7)
    assert (result["baseline"]["run_id"], result["baseline"]["reused"]) == (recorded.base, True)
    served = other.json("runs", "show", result["against"]["run_id"])
    assert served["model_sha256"] == recorded.result["weights_sha256"]
    assert result["outcome"] in ("promoted", "refused")


def test_a_model_that_only_the_other_machine_has_is_refused_before_anything_is_computed(
    other: Workplace, recorded: Recorded
) -> None:
    runs = len(other.json("runs", "list"))
    refused = other.run("reproduce", recorded.local)
    assert_refused(refused, 2, "base: no such model directory", "sha256", "bring those files to this machine")
    assert len(other.json("runs", "list")) == runs


def test_everything_is_still_what_was_recorded_and_garbage_collection_keeps_it(other: Workplace) -> None:
    assert other.json("verify")["problems"] == []
    assert other.json("registry", "gc")["files"] == 0
    assert other.json("verify")["problems"] == []
