"""The way from the command to the child process: how many frames of ours, and what is read on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
ROOMS = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}

STOP_WHILE_THE_FIRST_CHILD_WORKS = """
import json, os, signal, sys, traceback
from pathlib import Path

reads = []

def profile(frame, event, argument):
    name = frame.f_code.co_name
    first = event == "call" and frame.f_lasti <= 5  # a generator is called again for each item
    if first and name in ("read_items", "read_traces", "model_entries"):
        reads.append([name, str(frame.f_locals.get("path") or frame.f_locals.get("directory"))])

def wait_for_the_child(event, arguments):
    if event == "socket.sendmsg":  # the child, which began early, gets its locks
        sys.setprofile(None)
        signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, 0.2)  # much less than the child needs

def stop(number, waiting):
    stack = [(frame.filename, frame.name) for frame in traceback.extract_stack(waiting)]
    Path(os.environ["FOUND"]).write_text(json.dumps({"stack": stack, "reads": reads}))
    os._exit(0)

sys.addaudithook(wait_for_the_child)
sys.setprofile(profile)
from hallmark.cli import main
main()
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The stack while the first child of an experiment works, and what was read before it."""
    folder = tmp_path_factory.mktemp("depth")
    lines = (ROOT / "golden" / "data" / "golden-v1.jsonl").read_text().splitlines(keepends=True)
    (folder / "few-v1.jsonl").write_text("".join(lines[:4]))
    environment = {**os.environ, "HALLMARK_HOME": str(folder / "home"), "FOUND": str(folder / "found.json")}
    subprocess.run(
        [sys.executable, "-c", STOP_WHILE_THE_FIRST_CHILD_WORKS, "experiment", "--dataset", "few-v1.jsonl"],
        cwd=folder,
        env=environment,
        check=True,
    )
    document: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return document


def test_eleven_frames_of_ours_lie_between_the_command_and_the_child_process(found: dict[str, Any]) -> None:
    frames = [
        (Path(file).relative_to(ROOT).as_posix(), function)
        for file, function in found["stack"]
        if any(Path(file).is_relative_to(ROOT / room) for room in ROOMS)
        and function != "<listcomp>"  # no frame of its own from Python 3.12 on
    ]
    assert frames == [
        ("hallmark/cli/__init__.py", "main"),
        ("hallmark/cli/experiment.py", "experiment"),
        ("hallmark/api.py", "experiment"),
        ("flows/common.py", "answered"),
        ("flows/experiment.py", "experiment"),
        ("flows/common.py", "answered"),
        ("flows/evaluate.py", "evaluate"),
        ("tasks/run.py", "predict"),
        ("experiments/phases.py", "predict_items"),
        ("experiments/phases.py", "infer"),
        ("core/child_process.py", "run_child"),
    ]


def test_the_base_model_and_the_training_set_are_read_once_before_it(found: dict[str, Any]) -> None:
    reads = Counter((name, Path(path).name) for name, path in found["reads"])
    assert reads == {
        ("model_entries", "tiny-base"): 1,
        ("read_items", "few-v1.jsonl"): 2,  # does every prompt fit? and by the guard
        ("read_traces", "train-v1.jsonl"): 1,
    }
