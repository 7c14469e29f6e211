"""A large dataset goes through the model a window at a time: the same bytes, in flat memory."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from core.errors import InputError
from core.progress import Progress, listening
from experiments.references import TINY_BASE_DIRECTORY
from inference import generate
from inference.contract import GenerationConfig, PredictionMeta, PredictSpec
from inference.generate import predict

pytestmark = pytest.mark.model


def wanted(output: Path, dataset: Path, **generation: object) -> PredictSpec:
    output.mkdir(exist_ok=True)
    settings = GenerationConfig.model_validate({"max_new_tokens": 12, **generation})
    return PredictSpec(
        model=TINY_BASE_DIRECTORY, dataset=dataset, output=output, label="predict", generation=settings
    )


def meta_of(output: Path) -> PredictionMeta:
    return PredictionMeta.model_validate_json((output / "predictions_meta.json").read_text())


def many(path: Path, count: int) -> Path:
    """A dataset of so many items."""
    items = (
        {"trace_id": f"item-{n:06}", "prompt": f"{n} {'ba' * 60}?", "final_answer": "1", "category": "c"}
        for n in range(count)
    )
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


ALONE = "HALLMARK_TEST_ALONE"


class Stopped(Exception):
    """As if the process had been killed."""


def test_windows_change_no_byte_and_an_interrupted_job_goes_on_in_the_middle_of_one(
    tmp_path: Path, small_dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = small_dataset("golden-v1", 50)
    whole = predict(wanted(tmp_path / "whole", dataset), lambda _: None)
    monkeypatch.setattr(generate, "WINDOW", 16)
    spec = wanted(tmp_path / "windows", dataset, batch_size=5)

    def stop(progress: Progress) -> None:
        if 20 <= progress.done < progress.total:
            raise Stopped

    with pytest.raises(Stopped):
        predict(spec, stop)
    result = predict(spec, lambda _: None)
    assert 20 <= result.resumed < 50
    assert result.predictions_sha256 == whole.predictions_sha256
    timeless = {"timing", "batch_size_used", "engine"}
    first, second = (meta_of(tmp_path / name).model_dump(exclude=timeless) for name in ("whole", "windows"))
    assert first == second
    assert not (spec.output / "predictions.partial.jsonl").exists()


def test_a_prompt_of_the_last_window_that_cannot_be_asked_is_met_before_anything_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "WINDOW", 2)
    rows = [json.loads(line) for line in many(tmp_path / "many-v1.jsonl", 7).read_text().splitlines()]
    rows[-1]["prompt"] *= 3
    dataset = tmp_path / "long-v1.jsonl"
    dataset.write_text("".join(json.dumps(row) + "\n" for row in rows))
    seen: list[Progress] = []
    with pytest.raises(InputError, match="1 prompts are longer than the context, the first is item-000006"):
        predict(wanted(tmp_path / "run", dataset, on_truncation="refuse"), seen.append)
    assert seen == []


@pytest.mark.long
def test_memory_does_not_grow_with_the_number_of_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if ALONE not in os.environ:  # what other tests left in this process would be measured, too
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
        command += [f"--basetemp={tmp_path / 'alone'}", f"{__file__}::{request.node.name}"]
        subprocess.run(command, cwd=request.config.rootpath, env={**os.environ, ALONE: "1"}, check=True)
        return
    monkeypatch.setattr(generate, "WINDOW", 64)

    def peak(count: int, name: str) -> int:
        dataset = many(tmp_path / f"{name}-v1.jsonl", count)
        spec = wanted(tmp_path / name, dataset, max_new_tokens=1, batch_size=64)
        gc.collect()
        tracemalloc.start()
        with listening(lambda _: None):
            predict(spec, lambda _: None)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len((spec.output / "predictions.jsonl").read_text().splitlines()) == count
        return found

    peak(130, "warm")  # meets what is allocated once, such as caches of libraries
    few = peak(128, "few")
    many_more = (peak(640, name) for name in ("more", "again"))  # what is allocated once may come late
    grown = (found - few for found in many_more)
    assert any(more / 512 < 400 for more in grown), "bytes an item; with prompt and answer it has thousands"


def test_a_model_that_is_partly_on_the_disk_predicts_the_same(tmp_path: Path, small_dataset) -> None:
    dataset = small_dataset("golden-v1", 5)
    results = [
        predict(wanted(tmp_path / f"run{number}", dataset, **chosen), lambda _: None)
        for number, chosen in enumerate([{}, {"device_map": "auto", "memory_gb": 0.003}])
    ]
    assert len({result.predictions_sha256 for result in results}) == 1
