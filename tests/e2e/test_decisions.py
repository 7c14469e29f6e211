"""Decisions that were wrong once, on real models: each command as it was typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from golden.datasets import load_dataset
from golden.schema import Item
from tests.support.small_datasets import write_items
from tests.support.workplace import Workplace

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.long]

SKILL = "sorting"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, plain_server: dict[str, str]) -> Workplace:
    """A workplace where a server is up."""
    names = ("PREFECT_API_URL", "PREFECT_HOME")
    return Workplace(tmp_path_factory.mktemp("decisions"), **{name: plain_server[name] for name in names})


def dataset(place: Workplace, name: str, source: str, wanted: Callable[[Item], bool], **changes: Any) -> Path:
    items = (item.model_copy(update=changes) for item in load_dataset(source).items() if wanted(item))
    return write_items(place.folder / f"{name}.jsonl", items)


def test_a_base_whose_answers_are_all_cut_off_is_not_beaten_by_one_that_learnt_to_be_short(
    place: Workplace,
) -> None:
    short = dataset(place, "short-v1", "train-v1", lambda _: True, steps=[])
    result = place.json(
        "experiment", "--steps", 60, "--train-dataset", short, "--set", "generation.max_new_tokens=16"
    )
    decision = result["decision"]
    assert result["comparison"]["baseline"]["value"] == 0
    assert result["comparison"]["candidate"]["value"] > 0.1
    assert (result["outcome"], decision["verdict"]) == ("refused", "not_enough_evidence")
    assert "360 of the baseline's" in " ".join(decision["reasons"])
    assert "generation.max_new_tokens" in " ".join(decision["reasons"])


def test_a_model_that_learns_one_skill_and_forgets_the_others_is_refused_by_a_suite(place: Workplace) -> None:
    one = dataset(place, "one-v1", "golden-v1", lambda item: item.category == SKILL)
    others = dataset(place, "others-v1", "golden-v1", lambda item: item.category != SKILL)
    train = dataset(place, "narrow-v1", "train-v1", lambda item: item.category == SKILL)
    suite = place.folder / "release.toml"
    suite.write_text(
        f'[[require]]\ndataset = "{one}"\n\n'
        f'[[require]]\ndataset = "{others}"\naim = "not_worse"\nmargin = 0.05\n\n'
        '[[limit]]\nmeasure = "size"\nat_most = 1.0\nrelative_to = "champion"\n'
    )
    named = ("--model-name", "one-skill", "--train-dataset", train, "--steps", 60)
    done = place.run("experiment", "--suite", suite, *named)
    assert done.returncode == 0, done.stderr
    assert "NOT PROMOTED" in done.stdout
    assert max(map(len, done.stdout.split("\nversion ")[0].splitlines())) <= 80
    history = place.json("models", "history", "one-skill")
    better, not_worse = history[-1]["decision"]["requirements"]
    assert (better["dataset"], better["met"]) == ("one-v1", True)
    assert (not_worse["dataset"], not_worse["met"]) == ("others-v1", False)
    assert not_worse["delta"] < -0.2

    # Asked about its one skill alone, the same candidate is promoted: the suite made the difference.
    alone = place.json("promote", better["candidate_run"], "--model-name", "one-skill")
    assert alone["outcome"] == "promoted"
    ledger = place.json("models", "history", "one-skill")
    assert [row["decision"]["number"] for row in ledger] == [1, 2]
    assert json.dumps(ledger[-1]["decision"]["requirements"]).count('"met": true') == 1
