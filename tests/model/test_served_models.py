"""A real model behind a real server is asked over HTTP and gives what its weights give here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.references import TINY_BASE_DIRECTORY
from inference.contract import GenerationConfig, PredictionMeta, PredictSpec
from tests.conftest import CommandLine
from tests.support.chat_servers import chat_model, transformers_server

pytestmark = pytest.mark.model


def test_a_served_model_writes_what_its_weights_write_here(
    hallmark: CommandLine, home: Path, tmp_path: Path
) -> None:
    pytest.importorskip("openai", reason="transformers serve needs it: make install-peers")
    from inference.generate import predict

    model = chat_model(tmp_path / "tiny-chat")
    with transformers_server(model, tmp_path / "server") as url:
        asked = ("--endpoint", url, "--limit", 8, "--max-new-tokens", 40, "--batch-size", 4)
        done = hallmark("evaluate", f"endpoint:{model}", *asked, "--json")
    assert done.returncode == 0, done.stderr
    run = home / "runs" / json.loads(done.stdout)["run_id"]
    here = PredictSpec(
        model=TINY_BASE_DIRECTORY,
        dataset=run / "dataset.jsonl",
        output=tmp_path,
        label="predict",
        generation=GenerationConfig(max_new_tokens=40),
    )
    predict(here, lambda _: None)
    # this server leaves out white space at the end of what it cut off
    assert texts(run) == [text.rstrip() for text in texts(tmp_path)]
    served, local = (
        PredictionMeta.model_validate_json((folder / "predictions_meta.json").read_text())
        for folder in (run, tmp_path)
    )
    assert served.prompt_tokens == local.prompt_tokens
    assert served.reached_max_new_tokens == local.reached_max_new_tokens
    assert (served.engine.name, served.engine.reproducible) == ("openai", False)


def texts(folder: Path) -> list[str]:
    """The predictions in a folder."""
    lines = (folder / "predictions.jsonl").read_text().splitlines()
    return [json.loads(line)["prediction"] for line in lines]
