"""`hallmark golden export --format`: golden sets as tasks of other programs, scored by Hallmark's judge."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import hallmark as hm
from core.errors import InputError, IntegrityError
from core.files import read_jsonl
from experiments.exchange.tasks import export_task
from golden.prompting import PromptConfig
from golden.schema import Item
from judges import judge_fingerprint, load_judge
from tests.conftest import CommandLine
from tests.support.refusals import assert_refused
from tests.support.small_datasets import small_dataset, write_items

pytestmark = pytest.mark.unit

ASKED = PromptConfig(system="Be brief.", instruction="End with: Answer: X", stop=["\n\n"])


class _Loader(yaml.SafeLoader):
    """Reads a task as lm-evaluation-harness does, but leaves functions as names."""


_Loader.add_constructor("!function", lambda loader, node: str(node.value))


def task(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(path.read_text(), _Loader)
    return found


def module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_a_task_for_lm_eval_asks_as_we_ask_and_scores_as_we_score(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path)
    plain, chat, code, data = export_task(dataset, tmp_path / "t", "lm-eval", prompt=ASKED, max_new_tokens=9)
    asked_with = {"until": ["\n\n"], "max_gen_toks": 9, "do_sample": False, "temperature": 0.0}
    assert task(plain)["generation_kwargs"] == asked_with
    assert (task(plain)["doc_to_text"], task(chat)["doc_to_text"]) == ("{{asked}}", "{{user}}")
    assert (task(plain).get("description"), task(chat)["description"]) == (None, "{{system}}")
    assert task(plain)["custom_dataset"] == "small_v1_task.dataset"
    row = next(read_jsonl(data))[1]
    assert row["user"] == "Question 0?\n\nEnd with: Answer: X"
    assert row["asked"] == f"Be brief.\n\n{row['user']}\n"
    assert module(code).process_results(row, ["Answer: 1"]) == {"answer_correctness": 1.0}
    assert module(code).process_results(row, ["Answer: 2"]) == {"answer_correctness": 0.0}


def test_a_conversation_of_several_turns_has_no_chat_task(tmp_path: Path) -> None:
    turns = [("user", "2 + 2?"), ("assistant", "4"), ("user", "And 1 more?")]
    messages = [{"role": role, "content": content} for role, content in turns]
    item = Item.model_validate(
        {"trace_id": "t", "messages": messages, "final_answer": "5", "category": "sums"}
    )
    written = export_task(write_items(tmp_path / "talk-v1.jsonl", [item]), tmp_path / "t", "lm-eval")
    assert [path.name for path in written] == ["talk-v1.yaml", "talk_v1_task.py", "talk-v1.jsonl"]
    assert next(read_jsonl(written[-1]))[1]["asked"] == "2 + 2?\n4\n\nAnd 1 more?\n"


def test_a_task_for_inspect_holds_the_turns_and_the_item(tmp_path: Path) -> None:
    written = export_task(small_dataset(tmp_path), tmp_path / "t", "inspect", prompt=ASKED)
    assert [path.name for path in written] == ["small_v1.py", "small-v1.jsonl"]
    row = next(read_jsonl(written[1]))[1]
    assert [turn["role"] for turn in row["input"]] == ["system", "user"]
    assert row["metadata"]["item"]["final_answer"] == "1"
    compile(written[0].read_text(), "small_v1.py", "exec")


def test_equal_datasets_give_equal_tasks_and_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    for kind in ("lm-eval", "inspect"):
        first = [path.read_bytes() for path in export_task("golden-v1", tmp_path / kind, kind)]
        with pytest.raises(InputError, match="is there already"):
            export_task("golden-v1", tmp_path / kind, kind)
        again = export_task("golden-v1", tmp_path / kind, kind, force=True)
        assert [path.read_bytes() for path in again] == first


def test_one_answer_is_scored_as_a_run_would_score_it_and_by_the_judge_that_is_meant() -> None:
    item = {"trace_id": "t", "prompt": "2 + 2?", "steps": [], "final_answer": ["4", "four"], "category": "c"}
    fingerprint = judge_fingerprint(load_judge("exact_match@v1"))
    assert hm.score_answer(item, "four", "exact_match@v1", fingerprint=fingerprint).score == 1
    assert hm.score_answer(item, "hm</t>four", "exact_match@v1", thinking_end="</t>").score == 1
    assert (
        hm.score_answer(item, "four", "exact_match@v1", thinking_end="</t>").reason == "unfinished thinking"
    )
    with pytest.raises(IntegrityError, match="fingerprint 00 is meant"):
        hm.score_answer(item, "four", "exact_match@v1", fingerprint="00")
    with pytest.raises(InputError, match="final_answer: missing field"):
        hm.score_answer({"trace_id": "t", "prompt": "?", "category": "c"}, "4", "exact_match@v1")


def test_the_command_writes_tasks_and_still_writes_files(tmp_path: Path, hallmark: CommandLine) -> None:
    dataset = small_dataset(tmp_path)
    done = hallmark("golden", "export", dataset, "--format", "lm-eval", "-o", "tasks", "--json")
    assert done.returncode == 0, done.stderr
    assert Path(json.loads(done.stdout)["files"][0]).name == "small-v1.yaml"
    shown = hallmark("golden", "export", dataset, "--format", "inspect", "-o", "other")
    assert "run it:  inspect eval other/small_v1.py" in shown.stdout
    assert hallmark("golden", "export", dataset, "small.csv").returncode == 0
    for arguments, said in (
        (("-o", "x", "--format", "helm"), "--format helm: unknown; known are lm-eval, inspect"),
        ((), "name one file or folder to write"),
        (("y.csv", "--judge", "exact_match@v1"), "--judge and --set are for a task"),
        (("-o", "x", "--format", "inspect", "--set", "generation.seed=1"), "settings of the prompt only"),
    ):
        assert_refused(hallmark("golden", "export", dataset, *arguments), 2, said)
