"""A golden dataset as a task of lm-evaluation-harness or inspect_ai, which Hallmark's judge scores."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

import core
from core.errors import InputError
from core.files import atomic_writer, canonical_json
from core.progress import quiet_meter
from core.suggestions import did_you_mean
from experiments.guarding import check_prompt
from golden.chat_template import plain_text
from golden.datasets import Dataset, load_dataset
from golden.prompting import PromptConfig, ResolvedPrompt, resolve_prompt
from golden.rendering import conversation
from golden.schema import Item
from judges import check_output, judge_fingerprint, judge_reference, load_judge

TaskFormat = Literal["lm-eval", "inspect"]
TASK_FORMATS: tuple[TaskFormat, ...] = get_args(TaskFormat)

LM_EVAL_CODE = '''"""Items and scores of {name}, for lm-evaluation-harness. Written by Hallmark {version}."""

import json
from pathlib import Path

DATA = Path(__file__).with_name({data!r})
JUDGE = {judge!r}
FINGERPRINT = {fingerprint!r}
THINKING_END = {thinking_end!r}


def dataset(**_):
    """The items, each with its prompt."""
    from datasets import Dataset

    with DATA.open(encoding="utf-8", newline="\\n") as file:
        return {{"test": Dataset.from_list([json.loads(line) for line in file])}}


def process_results(doc, results):
    """The score of one answer by Hallmark's judge."""
    from hallmark import score_answer

    item = json.loads(doc["item"])
    found = score_answer(item, results[0], JUDGE, fingerprint=FINGERPRINT, thinking_end=THINKING_END)
    return {{{metric!r}: found.score}}
'''

INSPECT_CODE = '''"""The task {name} for inspect_ai. Written by Hallmark {version}."""

from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import json_dataset
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import Score, mean, scorer, stderr
from inspect_ai.solver import generate

DATA = Path(__file__).with_name({data!r})
JUDGE = {judge!r}
FINGERPRINT = {fingerprint!r}
THINKING_END = {thinking_end!r}


@scorer(metrics=[mean(), stderr()], name={metric!r})
def hallmark_judge():
    """The score of one answer by Hallmark's judge."""

    async def score(state, target):
        from hallmark import score_answer

        item, answer = state.metadata["item"], state.output.completion
        found = score_answer(item, answer, JUDGE, fingerprint=FINGERPRINT, thinking_end=THINKING_END)
        said = {{"reason": found.reason, "rung": found.rung}}
        return Score(value=found.score, answer=found.extracted, explanation=found.reason, metadata=said)

    return score


@task(name={name!r})
def {function}():
    """The items, asked once, greedily."""
    return Task(
        dataset=json_dataset(str(DATA), name={name!r}),
        solver=generate(),
        scorer=hallmark_judge(),
        config=GenerateConfig(max_tokens={max_new_tokens}, temperature=0.0, stop_seqs={stop!r}),
    )
'''


def export_task(
    reference: str | Path,
    directory: Path,
    format: str,  # noqa: A002 - what the option is called
    *,
    judge: str | None = None,
    prompt: PromptConfig | None = None,
    max_new_tokens: int = 256,
    force: bool = False,
) -> list[Path]:
    """Write a golden dataset as a task of another program, which asks as Hallmark asks and is judged by its
    judge. The program needs Hallmark beside it.

    Args:
        reference: a built-in name or the path of a `KEY-vN.jsonl` file.
        directory: where the files are written; it may hold others.
        format: lm-eval or inspect.
        judge: as NAME@vN; None: the one that the dataset is meant for.
        prompt: how the model is asked.
        max_new_tokens: longest completion, in tokens.
        force: replace files that are there.

    Returns:
        What was written: the task's file first.

    Raises:
        InputError: the dataset, the judge or the prompt is unusable, or a file is there.
        ResourceError: nothing can be written.

    Example:
        >>> export_task("golden-v1", Path("lm-eval"), "lm-eval")[0].name
        'golden-v1.yaml'
    """
    chosen = next((each for each in TASK_FORMATS if each == format), None)
    if chosen is None:
        meant = did_you_mean(format, TASK_FORMATS)
        raise InputError(f"--format {format}: unknown; known are {', '.join(TASK_FORMATS)}.{meant}")
    if directory.is_file():
        raise InputError(f"{directory}: is a file. Name a directory for the task.")
    dataset = load_dataset(reference)
    used = load_judge(judge or dataset.judge)
    check_output(used, "text")
    settled = resolve_prompt(prompt or PromptConfig())
    check_prompt(settled, dataset)
    about = {
        "name": dataset.name,
        "version": core.__version__,
        "data": f"{dataset.name}.jsonl",
        "judge": judge_reference(used),
        "fingerprint": judge_fingerprint(used),
        "metric": used.name,
        "thinking_end": settled.config.thinking_end,
        "stop": list(settled.config.stop),
        "max_new_tokens": max_new_tokens,
        "function": re.sub(r"\W", "_", dataset.name),
    }
    items = list(dataset.items())
    files = (_lm_eval if chosen == "lm-eval" else _inspect)(dataset, items, settled, about)
    paths = {directory / name: lines for name, lines in files.items()}
    if not force and (there := next((path for path in paths if path.exists()), None)):
        raise InputError(f"{there}: is there already. Name another directory, or --force replaces it.")
    for path, write in reversed(paths.items()):  # the task last: what it names is there then
        with atomic_writer(path) as file:
            for line in write():
                file.write(line.encode())
    return list(paths)


Write = Callable[[], Sequence[str]]


def _lm_eval(
    dataset: Dataset, items: Sequence[Item], prompt: ResolvedPrompt, about: Mapping[str, Any]
) -> dict[str, Write]:
    """A task for models without a chat template, and one for those with it (--apply_chat_template): that is
    left out where a conversation has more than a system text and one question.
    """
    name, code = dataset.name, f"{about['function']}_task.py"
    conversations = [conversation(item, prompt) for item in items]
    single = all(
        [turn["role"] for turn in turns][-2:] in (["user"], ["system", "user"]) for turns in conversations
    )

    def rows() -> list[str]:
        meter, lines = quiet_meter("export", len(items), "items"), []
        for number, (item, turns) in enumerate(zip(items, conversations, strict=True), start=1):
            row = {
                "trace_id": item.trace_id,
                "category": item.category,
                "asked": plain_text(turns),
                "system": turns[0]["content"] if turns[0]["role"] == "system" else "",
                "user": turns[-1]["content"],
                "reference": item.reference,
                "item": canonical_json(item.model_dump()),
            }
            lines.append(canonical_json(row) + "\n")
            meter.update(number)
        return lines

    def task(called: str, asked: str, **more: Any) -> str:
        module = code.removesuffix(".py")
        document = {
            "task": called,
            "custom_dataset": _Function(f"{module}.dataset"),
            "test_split": "test",
            "output_type": "generate_until",
            **more,
            "doc_to_text": asked,
            "doc_to_target": "{{reference}}",
            "process_results": _Function(f"{module}.process_results"),
            "generation_kwargs": {
                "until": about["stop"],
                "max_gen_toks": about["max_new_tokens"],
                "do_sample": False,
                "temperature": 0.0,
            },
            "num_fewshot": 0,
            "metric_list": [{"metric": about["metric"], "aggregation": "mean", "higher_is_better": True}],
            "metadata": {"version": 1, "judge": about["judge"], "dataset_sha256": dataset.sha256},
        }
        return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True)

    files: dict[str, Write] = {f"{name}.yaml": lambda: [task(name, "{{asked}}")]}
    if single:
        described = (
            {"description": "{{system}}"} if any(t[0]["role"] == "system" for t in conversations) else {}
        )
        files[f"{name}_chat.yaml"] = lambda: [task(f"{name}_chat", "{{user}}", **described)]
    files[code] = lambda: [LM_EVAL_CODE.format(**about)]
    files[f"{name}.jsonl"] = rows
    return files


def _inspect(
    dataset: Dataset, items: Sequence[Item], prompt: ResolvedPrompt, about: Mapping[str, Any]
) -> dict[str, Write]:
    def rows() -> list[str]:
        return [
            canonical_json(
                {
                    "id": item.trace_id,
                    "input": conversation(item, prompt),
                    "target": item.accepted if len(item.accepted) > 1 else item.reference,
                    "metadata": {"category": item.category, "item": item.model_dump()},
                }
            )
            + "\n"
            for item in items
        ]

    code = INSPECT_CODE.format(**{**about, "stop": about["stop"] or None})
    return {f"{about['function']}.py": lambda: [code], f"{dataset.name}.jsonl": rows}


class _Function(str):
    """A function of a Python file beside the task."""


class _Dumper(yaml.SafeDumper):
    """Writes such a function as lm-evaluation-harness reads it."""


_Dumper.add_representer(_Function, lambda dumper, name: dumper.represent_scalar("!function", str(name)))
