"""`hallmark runs export`: runs as files of other programs, and back."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hallmark as hm
from core.errors import InputError
from core.text import whole_characters
from experiments.comparing import compare_runs
from experiments.exchange.exporting import EXPORT_FORMATS, export_run
from experiments.exchange.importing import prepare_predictions, record_predictions
from experiments.runs import RunRef
from experiments.workspace import Workspace, open_workspace
from registry import Run
from tests.conftest import CommandLine
from tests.support.recorded_runs import recorded_run
from tests.support.refusals import assert_refused
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.unit

ENDINGS = {"jsonl": "run.jsonl", "parquet": "run.parquet", "inspect": "run.eval", "json": "run.json"}
SAID = ["Answer: 1\x00", "so\r\n\u2028 Answer: 2", "", "attachment://4 \U0001f600"]


@pytest.fixture
def place(home: Path) -> Workspace:
    return open_workspace()


def said_run(place: Workspace, folder: Path, texts: list[str] = SAID, cut: list[int] | None = None) -> RunRef:
    chosen = {"max_new_tokens": 16}
    prompt = {"instruction": "End with a line: Answer: X", "stop": ["\n\n\n"]}
    dataset = str(small_dataset(folder))
    return recorded_run(
        place, lambda n, _: texts[n], cut or (), dataset=dataset, generation=chosen, prompt=prompt
    )


def exported(run: RunRef, kind: str, folder: Path, place: Workspace, *, force: bool = False) -> Path:
    """The file of a run with its predictions."""
    path = folder / ENDINGS.get(kind, "lm-eval")
    return export_run(run.run_id, path, place.registry, None if kind == "json" else kind, force)[0]


def brought_back(path: Path, folder: Path, place: Workspace, judge: str | None = None) -> Run:
    dataset = str(folder / "small-v1.jsonl")
    chosen = {"model": "tiny-base", "dataset": dataset, "judge": judge}
    run = record_predictions(prepare_predictions(path, chosen, place), place)
    return place.registry.runs.get(run.run_id)


@pytest.mark.parametrize("kind", [*EXPORT_FORMATS, "json"])
def test_an_exported_run_comes_back_with_equal_predictions_and_scores(
    kind: str, tmp_path: Path, place: Workspace
) -> None:
    run = said_run(place, tmp_path, cut=[2])
    before, path = place.registry.runs.get(run.run_id), exported(run, kind, tmp_path, place)
    after = brought_back(path, tmp_path, place)
    assert after.predictions_sha256 == before.predictions_sha256
    assert place.registry.runs.scores(after.run_id) == place.registry.runs.scores(before.run_id)
    assert after.predictions_meta is not None
    assert after.predictions_meta["reached_max_new_tokens"] == ["t2"]
    if kind != "jsonl":  # which says nothing of how it was made
        assert after.predictions_meta["unknown"] == []
        assert compare_runs(before.run_id, after.run_id, place.registry).unknown == {}


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(st.characters(codec=None)).map(whole_characters), min_size=4, max_size=4))
def test_any_text_comes_back_from_every_format(tmp_path: Path, place: Workspace, texts: list[str]) -> None:
    run = said_run(place, tmp_path, texts)
    for kind in ENDINGS | {"lm-eval": ""}:
        path = exported(run, kind, tmp_path, place, force=True)
        prepared = prepare_predictions(
            path, {"model": "tiny-base", "dataset": str(tmp_path / "small-v1.jsonl")}, place
        )
        assert [row.predictions for row in prepared.taken.values()] == [(text,) for text in texts], kind


def test_equal_runs_give_equal_bytes(tmp_path: Path, place: Workspace) -> None:
    run = said_run(place, tmp_path)
    for kind in ENDINGS:
        first = exported(run, kind, tmp_path, place).read_bytes()
        assert exported(run, kind, tmp_path, place, force=True).read_bytes() == first, kind


def test_a_row_holds_the_item_the_answer_and_what_the_judge_said(tmp_path: Path, place: Workspace) -> None:
    run = said_run(place, tmp_path)
    row = json.loads(exported(run, "jsonl", tmp_path, place).read_bytes().split(b"\n")[1])
    assert row["final_answer"] == ["2"]
    assert row["messages"][-1]["content"] == "Question 1?\n\nEnd with a line: Answer: X"
    assert (row["score"], row["extracted"], row["reason"]) == (1.0, "2", "correct")
    table = parquet.read_table(exported(run, "parquet", tmp_path, place)).to_pylist()
    assert table[1] == row


def test_the_log_and_the_results_hold_our_metric(tmp_path: Path, place: Workspace) -> None:
    run = said_run(place, tmp_path)
    score = hm.run(run.run_id).score
    with zipfile.ZipFile(exported(run, "inspect", tmp_path, place)) as log:
        header = json.loads(log.read("header.json"))
    (found,) = header["results"]["scores"]
    assert (found["name"], found["metrics"]["mean"]["value"]) == ("answer_correctness", score)
    samples = exported(run, "lm-eval", tmp_path, place)
    (results,) = samples.parent.glob("results_*.json")
    named = json.loads(results.read_text())["results"]["small-v1"]
    assert named["answer_correctness,none"] == score


def test_what_cannot_be_exported_is_refused(tmp_path: Path, place: Workspace, hallmark: CommandLine) -> None:
    run = said_run(place, tmp_path)
    for path, kind, said in (
        ("run.txt", None, "its ending says no format"),
        ("run.jsonl", "inspect", "a file of the format inspect ends in .eval or .json"),
        ("run.jsonl", "csv", "--format csv: unknown; formats are jsonl, parquet, inspect, lm-eval"),
        ("small-v1.jsonl", "lm-eval", "is a file; lm-eval is written to a directory"),
        ("small-v1.jsonl", None, "is there already"),
    ):
        with pytest.raises(InputError, match=said):
            export_run(run.run_id, tmp_path / path, place.registry, kind)
    done = hallmark("runs", "export", run.run_id, "-o", "out/run.jsonl")
    assert (done.returncode, done.stdout) == (0, "out/run.jsonl\n")
    assert_refused(hallmark("runs", "export", run.run_id, "-o", "out/run.jsonl"), 2, "is there already")


def test_an_export_is_imported_unchanged_or_not_at_all(tmp_path: Path, place: Workspace) -> None:
    path = exported(said_run(place, tmp_path), "json", tmp_path, place)
    path.write_text(path.read_text().replace("Answer: 2", "Answer: 3"))
    with pytest.raises(InputError, match="was exported with predictions_sha256"):
        brought_back(path, tmp_path, place)
