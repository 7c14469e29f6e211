"""Which answers differ between two runs that should be equal, and how sure the model was where they part."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import InputError
from experiments.differing import RunDiff, diff_runs
from experiments.workspace import Workspace
from golden.schema import Item
from inference.contract import GenerationConfig, PredictSpec
from tests.support.recorded_runs import recorded_run, right_for, workspace_at

pytestmark = pytest.mark.model

ITEMS = 6


@pytest.fixture
def place(home: Path) -> Workspace:
    return workspace_at(home)


@pytest.fixture
def written(tmp_path: Path, small_dataset) -> dict[str, str]:
    """What the tiny base writes for the first items."""
    from experiments.references import TINY_BASE_DIRECTORY
    from inference.generate import predict

    generation = GenerationConfig(max_new_tokens=128)
    predict(
        PredictSpec(
            model=TINY_BASE_DIRECTORY,
            dataset=small_dataset("golden-v1", ITEMS),
            output=tmp_path,
            label="predict",
            generation=generation,
        ),
        lambda _: None,
    )
    rows = map(json.loads, (tmp_path / "predictions.jsonl").read_text().splitlines())
    return {row["trace_id"]: row["prediction"] for row in rows}


def answers(written: dict[str, str], **changes: Callable[[str], str]) -> Callable[[int, Item], str]:
    return lambda number, item: changes.get(f"item{number}", str)(written[item.trace_id])


def test_equal_answers_are_counted_as_equal_and_the_count_is_kept(place: Workspace, written) -> None:
    runs = [
        recorded_run(place, answers(written), limit_items=ITEMS, generation={"dtype": dtype})
        for dtype in ("float32", "bfloat16")
    ]
    found = diff_runs(runs[0].run_id, runs[1].run_id, place)
    assert (found.items, found.differing) == (ITEMS, [])
    assert found.headline == "IDENTICAL: all 6 answers are the same"
    kept = json.loads(runs[1].files.difference.read_text())
    assert (kept["items"], kept["differing"]) == (ITEMS, [])


def test_the_first_token_that_differs_comes_with_the_margin_of_the_logits_there(
    place: Workspace, written, hallmark
) -> None:
    changed = answers(
        written,
        item1=lambda text: text[:4] + "#" + text[5:],
        item3=lambda text: text[:4],
        item5=lambda text: text + "7",
    )
    one = recorded_run(place, answers(written), limit_items=ITEMS)
    two = recorded_run(place, changed, limit_items=ITEMS, generation={"dtype": "bfloat16"})
    shown = hallmark("runs", "diff", one.run_id, two.run_id)
    assert shown.returncode == 0, shown.stderr
    assert "3 of 6 answers differ; the largest top-2 margin at a first difference is" in shown.stdout
    assert "likeliest" in shown.stdout
    found = RunDiff.model_validate_json(two.files.difference.read_text())
    texts = list(written.values())
    assert [each.trace_id for each in found.differing] == [list(written)[number] for number in (1, 3, 5)]
    assert [each.token for each in found.differing] == [5, 5, len(texts[5]) + 1]
    assert all(each.margin is not None and each.margin > 0 for each in found.differing)
    for each in found.differing:
        assert each.tokens is not None
        assert each.tokens[0] == each.likeliest, "what the model itself wrote"
    assert [each.likeliest for each in found.differing[:2]] == [texts[1][4], texts[3][4]]
    assert found.engines == ("transformers, float32, cpu", "transformers, float32, cpu")


def test_runs_that_were_not_asked_alike_have_no_difference_to_explain(place: Workspace) -> None:
    one = recorded_run(place, right_for(0.4), limit_items=ITEMS)
    shorter = recorded_run(place, right_for(0.4), limit_items=ITEMS, generation={"max_new_tokens": 7})
    with pytest.raises(InputError, match=r"they differ in generation\.max_new_tokens"):
        diff_runs(one.run_id, shorter.run_id, place)
    with pytest.raises(InputError, match="the same run twice"):
        diff_runs(one.run_id, one.run_id, place)
