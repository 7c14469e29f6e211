"""Files with predictions as other programs write them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.exchange.importing import PreparedPredictions, prepare_predictions, record_predictions
from experiments.workspace import Workspace
from golden.schema import Item
from registry import Run

Texts = Mapping[str, str]
"""trace_id -> prediction."""


def looked_at(
    path: Path, dataset: Path, place: Workspace, given: dict[str, Any] | None = None, **options: Any
) -> PreparedPredictions:
    """A file's predictions of the tiny base, before they are recorded."""
    named = {"model": "tiny-base", "dataset": str(dataset), **(given or {})}
    return prepare_predictions(path, named, place, **options)


def recorded(path: Path, dataset: Path, place: Workspace, *given: Any, **options: Any) -> Run:
    """The run that they become."""
    run = record_predictions(looked_at(path, dataset, place, *given, **options), place)
    return place.registry.runs.get(run.run_id)


def write_lines(path: Path, rows: list[Any]) -> Path:
    """JSONL as Python writes it."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def lm_eval_sample(number: int, item: Item, *texts: str, own_id: bool = True) -> dict[str, Any]:
    """A line of lm-evaluation-harness's samples, with a text for each of its repeats; of another dataset's
    making, where `own_id` is off.
    """
    doc = {"trace_id": item.trace_id} if own_id else {"number": number}
    settings = {"until": ["<eos>"], "max_gen_toks": 16, "do_sample": False, "temperature": 0.0}
    return {
        "doc_id": number,
        "doc": {**doc, "question": item.prompt, "answer": item.reference},
        "target": item.reference,
        "arguments": {"gen_args_0": {"arg_0": f"{item.prompt}\n", "arg_1": settings}},
        "resps": [list(texts)],
        "filtered_resps": [texts[0].strip()],
        "filter": "none",
        "metrics": ["exact_match"],
        "exact_match": float("nan"),
    }


def lm_eval_results(folder: Path, task: str = "small") -> Path:
    """The results that belong to `lm_eval_file`."""
    document = {
        "results": {task: {"exact_match,none": 0.0}},
        "configs": {task: {"task": task}},
        "n-shot": {task: 0},
        "config": {
            "model": "hf",
            "model_args": {"pretrained": "tiny-base", "token": "SECRET"},
            "model_dtype": "torch.float32",
        },
        "lm_eval_version": "0.4.13",
        "tokenizer_eos_token": ["<eos>", "1"],
        "system_instruction": None,
    }
    path = folder / "results_2026-11-26T10-48-09.626582.json"
    path.write_text(json.dumps(document, indent=2))
    return path


def lm_eval_file(folder: Path, rows: list[dict[str, Any]], task: str = "small") -> Path:
    """A file of samples, by its usual name."""
    return write_lines(folder / f"samples_{task}_2026-11-26T10-48-09.626582.jsonl", rows)


def inspect_log(items: list[Item], texts: Texts, **spec: Any) -> dict[str, Any]:
    """A log of inspect_ai, whole. The first answer is long, so it is kept among the attachments."""
    samples = []
    for item in items:
        user = {"role": "user", "content": item.prompt}
        said = {"role": "assistant", "content": texts[item.trace_id]}
        samples.append(
            {
                "id": item.trace_id,
                "epoch": 1,
                "input": item.prompt,
                "target": item.reference,
                "messages": [user, said],
                "output": {"choices": [{"message": said, "stop_reason": "stop"}]},
                "attachments": {},
            }
        )
    samples[0]["attachments"] = {"abc": texts[items[0].trace_id]}
    samples[0]["output"] = {
        "choices": [
            {"message": {"role": "assistant", "content": "attachment://abc"}, "stop_reason": "max_tokens"}
        ]
    }
    config = {"max_tokens": 16, "temperature": 0.0}
    document = {"model": "hf/tiny", "model_args": {}, "config": {"epochs": 1}, "task": "small"}
    packages = {"inspect_ai": "0.3.285"}
    return {
        "version": 2,
        "status": "success",
        "eval": {**document, "packages": packages, "model_generate_config": config, **spec},
        "samples": samples,
    }


def epochs_log(items: list[Item], texts: Mapping[str, list[str]], **spec: Any) -> dict[str, Any]:
    """A log of several epochs, one after the other."""
    count = len(next(iter(texts.values())))
    logs = [
        inspect_log(items, {trace_id: each[epoch] for trace_id, each in texts.items()}, **spec)
        for epoch in range(count)
    ]
    for epoch, log in enumerate(logs, start=1):
        for sample in log["samples"]:
            sample["epoch"] = epoch
    whole = logs[0]
    whole["eval"]["config"] = {"epochs": count, "epochs_reducer": ["mean"]}
    return {**whole, "samples": [sample for log in logs for sample in log["samples"]]}


def pack_log(path: Path, log: Mapping[str, Any]) -> Path:
    """A log as `.eval`, packed as inspect_ai did before it used zstd."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("header.json", json.dumps({name: log[name] for name in log if name != "samples"}))
        for sample in log["samples"]:
            file.writestr(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", json.dumps(sample))
    return path


def batch_line(trace_id: str, *texts: str | None, **choice: Any) -> dict[str, Any]:
    """A line of OpenAI's batch output, with a choice for each text."""
    choices = [
        {
            "index": number,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "stop",
            **choice,
        }
        for number, text in enumerate(texts)
    ]
    body = {"model": "gpt-x", "choices": choices}
    return {
        "id": f"batch_{trace_id}",
        "custom_id": trace_id,
        "response": {"status_code": 200, "body": body},
        "error": None,
    }


def failed_line(trace_id: str, reason: str) -> dict[str, Any]:
    """The same of a request that failed."""
    body = {"error": {"message": reason, "code": "rate_limit"}}
    return {"custom_id": trace_id, "response": {"status_code": 429, "body": body}, "error": None}
