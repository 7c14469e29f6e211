"""Row 33: judging and recording keep of an item a few numbers, whatever the model wrote."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import IntegrityError
from core.files import read_jsonl, write_jsonl
from experiments import phases
from experiments.runs import RunRef, begin_run, owned
from experiments.workspace import Workspace
from registry.content import check_content
from tests.support.recorded_runs import plan_of, workspace_at, write_predictions
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.unit

LONG = "step by step " * 150
"""About two kilobytes."""


@pytest.fixture
def place(home: Path) -> Workspace:
    return workspace_at(home)


def nothing(_: RunRef) -> None:
    pass


def judged(
    place: Workspace,
    folder: Path,
    count: int,
    before: Callable[[RunRef], None] = nothing,
    between: Callable[[RunRef], None] = nothing,
) -> RunRef:
    folder.mkdir()
    path = small_dataset(folder, map(str, range(count)))
    dataset = path.rename(path.with_name(f"of_{count}-v1.jsonl"))
    plan = plan_of(place, dataset=str(dataset))
    run = begin_run(plan, place.registry)
    with owned(run, place.registry):
        phases.export_dataset(run, plan)
        write_predictions(run, plan, lambda n, item: f"{LONG}Answer: {item.reference if n % 3 else 'no'}")
        before(run)
        found = phases.judge_run(run, plan)
        between(run)
        phases.record_run(run, plan, found, place.registry)
    return run


def test_memory_hardly_grows_with_the_number_of_items(
    place: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.runs.PAGE", 16)
    monkeypatch.setattr("core.files.PIECE_BYTES", 4096)  # else one or two pieces of 1 MiB are the peak

    def begin(_: RunRef) -> None:
        gc.collect()
        tracemalloc.start()

    def peak(count: int) -> int:
        judged(place, tmp_path / f"of-{count}", count, begin)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(40)  # meets what is allocated once
    assert (peak(400) - peak(80)) / 320 < 1000, "bytes an item, of which the model wrote 2,000"


def test_what_is_recorded_in_parts_has_the_hash_of_the_whole(
    place: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.runs.PAGE", 3)
    run = judged(place, tmp_path / "run", 10)
    rows = place.registry.runs.predictions(run.run_id)
    assert [(row.trace_id, row.score) for row in rows] == [(f"t{n}", float(n % 3 > 0)) for n in range(10)]
    with place.registry.database.reading() as session:
        check_content(session, place.registry.runs.get(run.run_id))
    assert place.registry.verify() == []


@pytest.mark.parametrize("name", ["scores", "predictions"])
def test_a_file_that_changes_between_judging_and_recording_records_nothing(
    place: Workspace, tmp_path: Path, name: str
) -> None:
    runs: list[RunRef] = []

    def change(run: RunRef) -> None:
        runs.append(run)
        path = getattr(run.files, name)
        write_jsonl(path, [value for _, value in read_jsonl(path)][::-1])

    with pytest.raises(IntegrityError, match=f"{name}.jsonl: changed since it was judged"):
        judged(place, tmp_path / "run", 4, between=change)
    assert place.registry.runs.get(runs[0].run_id).status != "finished"
    assert place.registry.runs.predictions(runs[0].run_id) == []
