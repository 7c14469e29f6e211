"""What a repeated run is compared in, and how the first difference is told."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError, IntegrityError
from experiments.differences import (
    first_differing_byte,
    first_differing_tree,
    first_differing_value,
    tensor_at,
)
from experiments.reproducing import compare_with_recorded, plan_reproduction
from experiments.runs import run_ref
from tests.support.recorded_runs import record_baseline, record_trained, right_for, workspace_at

pytestmark = pytest.mark.unit


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_the_first_differing_byte_is_the_first(
    tmp_path_factory: pytest.TempPathFactory, left: bytes, right: bytes
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "left").write_bytes(left)
    (folder / "right").write_bytes(right)
    offset = first_differing_byte(folder / "left", folder / "right")
    if left == right:
        assert offset is None
    else:
        assert offset is not None
        assert left[:offset] == right[:offset]
        assert left[offset : offset + 1] != right[offset : offset + 1]


def weights(path: Path, second: float) -> Path:
    header = {
        "first": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "second": {"dtype": "F32", "shape": [1], "data_offsets": [8, 12]},
    }
    text = json.dumps(header).encode()
    path.mkdir()
    (path / "model.safetensors").write_bytes(
        struct.pack("<Q", len(text)) + text + struct.pack("<3f", 1, 2, second)
    )
    return path


def test_the_tensor_that_differs_is_named(tmp_path: Path) -> None:
    left, right = weights(tmp_path / "left", 3), weights(tmp_path / "right", 4)
    found = first_differing_tree(left, right)
    assert found is not None
    assert found.where.startswith("model.safetensors, byte ")
    assert found.where.endswith("in tensor second")
    assert tensor_at(left / "model.safetensors", 3) is None
    (right / "extra.json").write_text("{}")
    assert first_differing_tree(left, right).where == "extra.json"


def test_the_first_differing_item_is_told_in_recorded_order_with_how_many_more() -> None:
    found = first_differing_value({"b": 1, "a": 2, "c": 3}, {"b": 1, "a": 5, "c": 6})
    assert found is not None
    assert (found.where, found.recorded, found.now, found.count) == ("item a", 2, 5, 2)
    assert found.sentence == "first difference at item a: recorded 2, now 5 (2 differ)."
    assert first_differing_value({"a": 1}, {"a": 1}) is None


def test_a_run_that_came_out_the_same_is_identical_and_another_one_shows_where(home: Path) -> None:
    workspace = workspace_at(home)
    first, same = (record_trained(workspace, right_for(0.6)) for _ in range(2))
    other = record_trained(workspace, right_for(0.5), "other weights")
    plan = plan_reproduction(first.run_id, workspace)
    found = compare_with_recorded(plan, run_ref(same, workspace.registry), workspace)
    assert (found.identical, set(found.parts)) == (True, {"weights", "predictions", "scores"})
    assert found.environment == []
    found = compare_with_recorded(plan, run_ref(other, workspace.registry), workspace)
    assert not found.identical
    assert found.headline.startswith("NOT IDENTICAL: weights, predictions, scores")
    assert found.parts["weights"].where.startswith("README.md, byte 10")
    assert found.parts["predictions"].count == found.parts["scores"].count > 1


def test_what_changed_around_a_run_is_named_beside_the_difference(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = workspace_at(home)
    run = record_baseline(workspace)
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math")
    found = compare_with_recorded(
        plan_reproduction(run.run_id, workspace), run_ref(run, workspace.registry), workspace
    )
    assert [(each.field, each.recorded, each.now) for each in found.environment] == [
        ("switches.XLA_FLAGS", None, "--xla_cpu_enable_fast_math")
    ]


def test_a_plan_from_a_manifest_has_the_inputs_of_the_recorded_run(home: Path) -> None:
    workspace = workspace_at(home)
    for run in (
        record_baseline(workspace, generation={"max_new_tokens": 77}),
        record_trained(workspace, right_for(0.6)),
    ):
        plan = plan_reproduction(run.run_id[:-1], workspace)
        assert plan.inputs_sha256() == run.inputs_sha256
        assert plan.manifest("x")["reproduces"] == run.run_id


def test_a_version_is_reproduced_by_the_run_it_came_from(home: Path, hallmark) -> None:
    workspace = workspace_at(home)
    record_baseline(workspace)
    run = record_trained(workspace, right_for(0.6))
    assert hallmark("promote", run.run_id).returncode == 0
    for name in ("tiny-reasoner@v1", "tiny-reasoner@champion", "registry:tiny-reasoner@v1"):
        assert plan_reproduction(name, workspace).reproduces == run.run_id


def test_a_run_whose_model_or_items_changed_is_not_reproduced(home: Path, tmp_path: Path) -> None:
    import shutil

    from experiments.references import TINY_BASE_DIRECTORY

    workspace = workspace_at(home)
    model = tmp_path / "model"
    shutil.copytree(TINY_BASE_DIRECTORY, model)
    run = record_baseline(workspace, model=str(model))
    (model / "README.md").write_text("other")
    with pytest.raises(IntegrityError, match="is not the recorded model any more"):
        plan_reproduction(run.run_id, workspace)
    shutil.rmtree(model)
    with pytest.raises(InputError, match="no such model directory"):
        plan_reproduction(run.run_id, workspace)
