"""The files that a run left are checked against what is recorded of them; a copied home works in its own
folder.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from core.files import sha256_tree, write_json
from core.locks import acquire
from core.progress import listening
from core.sealed import SealedLines, seal
from experiments import phases
from experiments import runs as life
from experiments.comparing import compare_runs
from experiments.garbage import remove_models
from experiments.rejudging import rejudge
from experiments.run_checking import RunsCheck, check_runs
from experiments.run_files import LOCK
from experiments.runs import begin_run
from experiments.workspace import Workspace, open_workspace
from registry import Run
from tests.support.damage import DAMAGE, flip_a_bit
from tests.support.recorded_runs import (
    plan_of,
    record_baseline,
    record_planned,
    record_trained,
    right_for,
    two_of_three,
    write_predictions,
)
from tests.support.registry_entries import edit
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.unit


@pytest.fixture
def place(home: Path) -> Workspace:
    return open_workspace()


@pytest.fixture
def runs(place: Workspace, tmp_path: Path) -> tuple[Run, Run]:
    """A base and a trained run, compared."""
    dataset = str(small_dataset(tmp_path))
    base = record_baseline(place, right_for(0.4), dataset=dataset)
    trained = record_trained(place, right_for(0.8), dataset=dataset)
    compare_runs(base.run_id, trained.run_id, place.registry)
    return base, trained


def problems(place: Workspace) -> list[str]:
    return [str(problem) for problem in check_runs(place).problems]


def test_every_file_of_every_run_is_hashed_and_counted(place: Workspace, runs: tuple[Run, Run]) -> None:
    again = rejudge(runs[1].run_id, "exact_match@v1", place)
    found = check_runs(place)
    recorded = [
        place.registry.runs.get(run).files or {} for run in (*(run.run_id for run in runs), again.run_id)
    ]
    files = [path for path in place.runs.glob("*/**/*") if path.is_file() and path.name != LOCK]
    assert found == RunsCheck(
        runs=3,
        files=sum(map(len, recorded)),
        bytes=sum(path.stat().st_size for path in files if path.name != "comparison.json"),
    )
    assert found.files == len(files) - 1, "all but comparison.json, which was written afterwards"
    assert {"manifest.json", "dataset.jsonl", "model/config.json", "scores.jsonl"} <= recorded[1].keys()


@pytest.mark.parametrize("kind", ["flipped", "deleted", "emptied", "garbage"])
def test_any_change_of_any_file_is_named_with_its_run(
    kind: str, place: Workspace, runs: tuple[Run, Run]
) -> None:
    chance, folder = random.Random(kind), place.registry.runs.directory(runs[1].run_id)
    names = [*(place.registry.runs.get(runs[1].run_id).files or {}), "comparison.json"]
    for name in names:
        path = folder / name
        before = path.read_bytes()
        DAMAGE[kind](path, chance)
        if name == "comparison.json" and kind == "deleted":
            assert problems(place) == []
        else:
            (problem,) = problems(place)
            assert problem.startswith(f"run {runs[1].run_id}: {path}: ")
        path.write_bytes(before)
    assert problems(place) == []


def test_what_was_put_beside_the_files_of_a_run_is_nobodys_business(
    place: Workspace, runs: tuple[Run, Run]
) -> None:
    (place.registry.runs.directory(runs[0].run_id) / "notes.txt").write_text("mine")
    assert problems(place) == []


@pytest.mark.parametrize("name", ["model/.hidden", "model/more.safetensors", "model/deep/link"])
def test_a_file_that_was_put_into_the_model_is_named(
    name: str, place: Workspace, runs: tuple[Run, Run]
) -> None:
    path = place.registry.runs.directory(runs[1].run_id) / name
    path.parent.mkdir(exist_ok=True)
    path.symlink_to("/dev/null") if path.name == "link" else path.write_text("more")
    assert problems(place) == [f"run {runs[1].run_id}: {path}: added"]


def test_a_folder_in_the_place_of_a_file_is_called_that(place: Workspace, runs: tuple[Run, Run]) -> None:
    path = place.registry.runs.directory(runs[0].run_id) / "scores.jsonl"
    path.unlink()
    path.mkdir()
    assert problems(place) == [f"run {runs[0].run_id}: {path}: not a file"]


def test_a_stray_file_neither_stops_a_run_nor_becomes_a_part_of_it(place: Workspace, tmp_path: Path) -> None:
    plan = plan_of(place, dataset=str(small_dataset(tmp_path)))
    run = begin_run(plan, place.registry)
    (run.directory / "scores.jsonl~").write_text("an editor's")
    (run.directory / "gone").symlink_to("nowhere")
    (run.directory / "circle").symlink_to(run.directory)
    Path(os.fsdecode(os.fsencode(run.directory) + b"/\xff")).write_text("no text")
    record_planned(place, plan, right_for(0.5), None)
    assert place.registry.runs.get(run.run_id).status == "finished"
    assert (place.registry.runs.get(run.run_id).files or {}).keys() == {
        "manifest.json",
        "dataset.jsonl",
        "predictions.jsonl",
        "predictions.sha256",
        "predictions_meta.json",
        "scores.jsonl",
        "metrics.json",
    }
    assert problems(place) == []


def other_kind(path: Path, kind: str) -> None:
    """Put another kind of thing in the place of a file or a folder."""
    path.parent.mkdir(exist_ok=True)
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if kind == "folder":
        (path / "deep").mkdir(parents=True)
    elif kind == "file":
        path.write_text("a file")
    elif kind == "link":
        path.symlink_to(path.parent)
    else:
        os.mkfifo(path)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        *(
            (name, "folder link pipe")
            for name in ("manifest.json", "log.txt", "flow_run.json", "scores.jsonl")
        ),
        *((name, "folder link pipe") for name in ("predictions.partial.jsonl", "training.jsonl")),
        *((name, "file link pipe") for name in ("checkpoints", "checkpoints/latest", "model", "tokens")),
        ("checkpoints/20", "link pipe"),
        (".tokens.partial", "file link"),
        (".lock", "link pipe"),
    ],
)
def test_the_wrong_kind_of_thing_in_an_unfinished_run_is_named_removed_and_made_again(
    name: str, kinds: str, place: Workspace, tmp_path: Path
) -> None:
    plan, said = plan_of(place, dataset=str(small_dataset(tmp_path))), list[str]()
    run = begin_run(plan, place.registry)
    for kind in kinds.split():
        os.close(life._taken.pop(run.directory))  # as if it had been killed
        other_kind(run.directory / name, kind)
        check_runs(place)  # neither stops nor hangs
        said.clear()
        with listening(lambda progress: said.append(progress.sentence())):
            assert begin_run(plan, place.registry).run_id == run.run_id
        told = [line for line in said if "not what a run has there" in line]
        assert [f": {name}. Removed" in line for line in told] == [True] * (name != ".lock")
    record_planned(place, plan, right_for(0.5), None)
    assert place.registry.runs.get(run.run_id).status == "finished"
    assert problems(place) == []


def test_the_trained_weights_of_an_unfinished_run_are_checked(place: Workspace, tmp_path: Path) -> None:
    run = begin_run(plan_of(place, dataset=str(small_dataset(tmp_path))), place.registry)
    run.files.model.mkdir()
    (run.files.model / "config.json").write_text("weights")
    write_json(run.files.training_result, {"model_sha256": sha256_tree(run.files.model)})
    run.files.training.write_text("curve")
    run.files.loss_curve.write_text("picture")
    seal(run.files.training_sums, run.files.trained)
    os.close(life._taken.pop(run.directory))  # as if it had been killed
    assert problems(place) == []
    (run.files.model / "config.json").write_text("other weights")
    again = "The same command makes it again"
    assert problems(place) == [f"run {run.run_id}: {run.files.model}: changed since it was written. {again}"]
    shutil.rmtree(run.files.model)
    assert problems(place) == [f"run {run.run_id}: {run.files.model}: missing. {again}"]


def test_a_folder_that_is_elsewhere_and_a_model_that_made_room_are_counted_and_no_problem(
    place: Workspace, runs: tuple[Run, Run]
) -> None:
    shutil.rmtree(place.registry.runs.directory(runs[0].run_id))
    remove_models(place, older_than_days=-1)
    found = check_runs(place)
    assert found.problems == ()
    assert (found.elsewhere, found.without_model) == ((runs[0].run_id,), (runs[1].run_id,))
    assert found.runs == 1


def test_of_a_run_from_before_its_files_were_recorded_what_its_row_knows_is_checked(
    place: Workspace, runs: tuple[Run, Run]
) -> None:
    edit(place.registry, "UPDATE run SET files = NULL")
    assert problems(place) == []
    folder = place.registry.runs.directory(runs[1].run_id)
    for name in (
        "manifest.json",
        "predictions_meta.json",
        "predictions.jsonl",
        "dataset.jsonl",
        "model/config.json",
    ):
        path = folder / name
        before = path.read_bytes()
        flip_a_bit(path, random.Random(name))
        (problem,) = problems(place)
        assert str(path.parent if path.parent.name == "model" else path) in problem
        path.write_bytes(before)


def test_of_an_unfinished_run_what_it_resumes_from_is_checked_unless_a_process_works_on_it(
    place: Workspace, tmp_path: Path
) -> None:
    run = begin_run(plan_of(place, dataset=str(small_dataset(tmp_path))), place.registry)
    lines = SealedLines(run.files.predictions_partial, "job")
    lines.resume()
    lines.append(["a prediction"])
    write_json(run.files.manifest, {})
    content = run.files.predictions_partial.read_bytes()
    run.files.predictions_partial.write_bytes(content.replace(b"a prediction", b"a predictiom"))
    assert problems(place) == [], "this process holds the run"
    os.close(life._taken.pop(run.directory))  # as if it had been killed
    assert [problem.split(": ", 1)[1] for problem in problems(place)] == [
        f"{run.files.manifest}: changed. The same command makes it again",
        f"{run.files.predictions_partial}:2: changed since it was written. The same command makes it again",
    ]
    held = acquire(run.directory / LOCK, "a test")
    assert held is not None
    assert problems(place) == []
    os.close(held)


@pytest.mark.parametrize("document", ["nonsense", "3", '{"../x": 3}'])
def test_a_row_that_cannot_be_read_is_named_and_the_other_runs_are_still_checked(
    document: str, place: Workspace, runs: tuple[Run, Run]
) -> None:
    edit(place.registry, f"UPDATE run SET files = '{document}' WHERE run_id = '{runs[0].run_id}'")
    (place.registry.runs.directory(runs[1].run_id) / "scores.jsonl").write_text("")
    named = [problem.where for problem in check_runs(place).problems]
    assert sorted(named) == sorted(f"run {run.run_id}" for run in runs)


def test_predictions_that_were_sealed_before_a_kill_are_not_made_again(place: Workspace) -> None:
    plan = plan_of(place)
    run = begin_run(plan, place.registry)
    phases.export_dataset(run, plan)
    write_predictions(run, plan, two_of_three)
    run.files.predictions_partial.write_text("what the killed process could not remove any more")
    told: list[str] = []
    with listening(lambda progress: told.append(progress.sentence())):
        result = phases.predict_items(run, plan, lambda _: None)
    assert (result.resumed, result.items) == (360, 360)
    assert told == []
    assert not run.files.predictions_partial.exists()
