"""How deep the work lies: a stack trace of it shows the way at a glance."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.references import TINY_BASE_DIRECTORY
from inference.contract import GenerationConfig, PredictSpec

pytestmark = pytest.mark.model

ROOT = Path(__file__).parents[2]
ROOMS = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}

RECORD_AND_RUN = """
import functools, json, runpy, sys, traceback
from pathlib import Path
from transformers import Qwen3ForCausalLM

forward = Qwen3ForCausalLM.forward

@functools.wraps(forward)
def recording(self, *arguments, **named):
    stack = [(frame.filename, frame.name) for frame in traceback.extract_stack()]
    Path(sys.argv[1]).write_text(json.dumps(stack))
    return forward(self, *arguments, **named)

Qwen3ForCausalLM.forward = recording
runpy.run_module("inference", run_name="__main__")
"""


def test_few_frames_of_ours_lie_between_the_child_process_and_the_model(
    tmp_path: Path, small_dataset
) -> None:
    spec = PredictSpec(
        model=TINY_BASE_DIRECTORY,
        dataset=small_dataset("golden-v1", 3),
        output=tmp_path,
        label="predict",
        generation=GenerationConfig(max_new_tokens=4, device="cpu"),
    )
    command = [sys.executable, "-c", RECORD_AND_RUN, str(tmp_path / "stack.json")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(spec.model_dump_json() + "\n")
        child.stdin.flush()
        answers = [json.loads(line) for line in child.stdout]
    assert answers[-1]["event"] == "result"
    frames = [
        (Path(file).relative_to(ROOT).as_posix(), function)
        for file, function in json.loads((tmp_path / "stack.json").read_text())
        if any(Path(file).is_relative_to(ROOT / room) for room in ROOMS)
    ]
    assert frames == [
        ("inference/__main__.py", "<module>"),
        ("inference/generate.py", "predict"),
        *(("inference/refill.py", name) for name in ("complete", "_advance", "step", "_forward")),
    ]
