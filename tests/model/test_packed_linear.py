"""Linear layers by oneDNN: those of torch but for rounding, and no token depends on which are used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.child_process import _environment
from tests.model.test_batching import meta, predicted
from tests.support.small_models import make_model

pytestmark = pytest.mark.model

ROOT = Path(__file__).parents[2]


@pytest.fixture
def worthwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if oneDNN were faster for any model."""
    monkeypatch.setattr("inference.packed_linear.worth_packing", lambda *_: True)


def layers(bias: bool = True) -> Any:
    import torch

    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(48, 32, bias=bias), torch.nn.Linear(32, 16)).eval()


@pytest.mark.parametrize("bias", [True, False])
def test_layers_agree_with_those_of_torch_and_are_used_inside_the_block_only(
    bias: bool, worthwhile: None
) -> None:
    import torch
    from torch.testing import assert_close

    from inference.packed_linear import PackedLinears

    model = layers(bias)
    model[1].bias = torch.nn.Parameter(torch.randn(32)[::2])  # not contiguous either
    given = torch.randn(3, 48, 5).transpose(1, 2)  # not laid out row by row
    with torch.inference_mode():
        expected = model(given)
        packed = PackedLinears(model, 8, None)
        assert model(given).equal(expected)
        with packed.used():
            assert_close(model(given), expected)
        with pytest.raises(KeyboardInterrupt), packed.used():
            raise KeyboardInterrupt
        assert model(given).equal(expected)
        model[0].weight.zero_()
        with packed.used():
            assert_close(model(given), expected)
        packed.remove()
        with packed.used():
            assert not model(given).equal(expected)


def test_it_is_left_where_memory_is_too_little(worthwhile: None) -> None:
    from inference.packed_linear import PackedLinears

    needed = 4 * (48 * 32 + 32 * 16)
    assert len(PackedLinears(layers(), 8, needed).layers) == 2
    assert PackedLinears(layers(), 8, needed - 1).layers == []


def test_layers_that_are_called_in_another_way_are_left_alone(worthwhile: None) -> None:
    from inference.packed_linear import PackedLinears

    model = layers()
    model[0].forward = lambda given: given[..., :32]  # as accelerate does where a layer is on the disk
    assert PackedLinears(model, 8, None).layers == [model[1]]


def test_whether_it_is_worth_it_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    from inference import packed_linear

    assert not packed_linear.worth_packing(list(layers()), 8), "too small"
    monkeypatch.setattr("inference.packed_linear.LEAST", 0)
    for gain, worth in ((0.0, True), (1e9, False)):
        monkeypatch.setattr("inference.packed_linear.GAIN", gain)
        assert packed_linear.worth_packing(list(layers()), 8) == worth


@pytest.mark.parametrize(("family", "promised"), [("opt", True), ("llama", True), ("mixtral", False)])
def test_the_same_tokens_with_and_without_it(
    family: str, promised: bool, tmp_path: Path, worthwhile: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inference import packed_linear

    model = make_model(family, tmp_path / "model", **({"rope_scaling": None} if family == "llama" else {}))
    used = list[int]()

    def counted(*given: Any) -> Any:
        used.append(1)
        return multiply(*given)

    multiply = packed_linear.multiply
    monkeypatch.setattr("inference.packed_linear.multiply", counted)
    with_it = predicted(model, tmp_path / "with", 64)
    assert bool(used) == promised, "where tokens are not promised they do not depend on what is faster"
    monkeypatch.setattr("inference.packed_linear.worth_packing", lambda *_: False)
    assert predicted(model, tmp_path / "without", 64) == with_it
    assert meta(tmp_path / "with").engine == meta(tmp_path / "without").engine
    assert meta(tmp_path / "with").engine.reproducible == promised


def test_it_is_not_used_where_it_moves_logits_more_than_rounding(
    tmp_path: Path, worthwhile: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inference import packed_linear

    model, used = make_model("opt", tmp_path / "model"), list[int]()

    def wrong(*given: Any) -> Any:
        used.append(1)
        return multiply(*given) * 1.001

    multiply = packed_linear.multiply
    monkeypatch.setattr("inference.packed_linear.multiply", wrong)
    with_it = predicted(model, tmp_path / "with", 64)
    assert used, "it was tried"
    assert meta(tmp_path / "with").engine.reproducible
    monkeypatch.setattr("inference.packed_linear.worth_packing", lambda *_: False)
    assert predicted(model, tmp_path / "without", 64) == with_it


MANY_SHAPES = """
import resource, torch
from inference.packed_linear import multiply, pack

weight = pack(torch.ones(768, 768))
with torch.inference_mode():
    for rows in range(1, 600):
        multiply(torch.ones(rows, 768), weight, None)
        if rows == 50:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_programs_for_many_shapes_do_not_fill_the_memory() -> None:
    """In an environment of Hallmark's child processes; without it they take 1 MB or more each."""
    done = subprocess.run(
        [sys.executable, "-c", MANY_SHAPES],
        env={**os.environ, **_environment(1)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 250
