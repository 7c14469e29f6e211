"""Samples of lm-evaluation-harness: `samples_TASK_DATE.jsonl`, as `--log_samples` writes it, and the results
beside it. Seen of 0.4.2 to 0.4.13.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import InputError
from experiments.exchange.rows import (
    MODEL_ARGUMENTS,
    Answered,
    Content,
    Stated,
    answered,
    as_text,
    json_lines,
    only,
    ours,
    turns_of,
)
from experiments.exchange.rows import parse_lenient as parse
from golden.lines import USUAL_NAMES, plain_name

SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT[\d.:-]+)\.jsonl")
ENGINES = {
    "hf": "transformers", "hf-auto": "transformers", "huggingface": "transformers", "vllm": "vllm",
}  # fmt: skip
DTYPES = {"torch.float32": "float32", "torch.bfloat16": "bfloat16"}
IDS = ("trace_id", *USUAL_NAMES["trace_id"])


def is_lm_eval(value: Mapping[str, Any]) -> bool:
    """Whether a line is one of these."""
    return {"doc", "resps"} <= value.keys()


def read_lm_eval(path: Path) -> Content:
    """The rows of a file of samples, each document once, and what its results say.

    Raises:
        InputError: the file beside it cannot be read.
    """
    rows: list[Answered] = []
    first: dict[str, tuple[Any, Any]] = {}
    kwargs: list[Any] = []
    for where, value in json_lines(path):
        if isinstance(value, InputError) or not isinstance(value, dict):
            problem = str(value) if isinstance(value, InputError) else "expected an object"
            rows.append(Answered(where, problem=problem))
            continue
        one = str(value.get("doc_id")), value.get("filter")
        before = first.setdefault(one[0], (one[1], value.get("resps")))
        if before[0] != one[1] and before[1] == value.get("resps"):
            continue  # the same answer, as another filter saw it
        row, asked_with = _row(where, value)
        rows.append(row)
        if asked_with is not None and asked_with not in kwargs:
            kwargs.append(asked_with)
    return Content(rows, _stated(path, kwargs))


def _row(where: str, value: Mapping[str, Any]) -> tuple[Answered, dict[str, Any] | None]:
    given = value.get("doc")
    doc: dict[str, Any] = given if isinstance(given, dict) else {}
    by_name = {plain_name(name): each for name, each in doc.items()}
    found_id = next((id_ for name in IDS if (id_ := as_text(by_name.get(name))) is not None), None)
    requests = [_request(each) for each in _requests(value.get("arguments"))]
    fields: dict[str, Any] = {
        "id": found_id,
        "place": value["doc_id"] if isinstance(value.get("doc_id"), int) else None,
        "asked": requests[0][0] if len(requests) == 1 else None,
        "texts": [text for text in doc.values() if isinstance(text, str)],
        "cut_off": value["cut_off"] if isinstance(value.get("cut_off"), bool) else None,
    }
    answers = value.get("resps")
    if len(requests) > 1 or not (isinstance(answers, list) and len(answers) == 1):
        count = len(answers) if isinstance(answers, list) else 0
        problem = f"resps: has {count} requests, as of log-likelihoods; one text is expected"
        return Answered(where, problem=problem, **fields), None
    texts = answers[0] if isinstance(answers[0], list) else [answers[0]]
    if len(texts) != 1:
        problem = f"resps: has {len(texts)} texts; one completion per item is expected"
        return Answered(where, problem=problem, **fields), None
    return answered(where, texts[0], "resps", **fields), requests[0][1] if requests else None


def _requests(arguments: Any) -> list[Any]:
    """The requests of a document: `gen_args_0` and so on, or a list as it was before 0.4.3."""
    if isinstance(arguments, dict):
        return list(arguments.values())
    return arguments if isinstance(arguments, list) else []


def _request(arguments: Any) -> tuple[Any, dict[str, Any] | None]:
    """The prompt of a request, and the settings that it was sent with."""
    if isinstance(arguments, dict):
        arguments = [arguments[name] for name in sorted(arguments)]
    if not isinstance(arguments, list) or not arguments:
        return None, None
    prompt, *others = arguments
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str):
        try:  # a conversation, as it goes to a chat API
            prompt = turns_of(json.loads(prompt[0]))
        except ValueError:
            prompt = None
    asked = prompt if isinstance(prompt, str) or (isinstance(prompt, list) and prompt) else None
    return asked, next((each for each in others if isinstance(each, dict)), None)


def _stated(path: Path, kwargs: list[dict[str, Any]]) -> Stated:
    """What the rows' settings and the results beside them say; several different ones say nothing."""
    results = _results(path)
    settings: dict[str, Any] = {}
    asked_with = kwargs[0] if len(kwargs) == 1 else {}
    tokens = asked_with.get("max_gen_toks")
    if isinstance(tokens, int):
        settings["generation.max_new_tokens"] = tokens
    if asked_with.get("do_sample") is False or asked_with.get("temperature") == 0:
        settings["generation.temperature"] = 0.0
    elif isinstance(asked_with.get("temperature"), int | float):
        settings["generation.temperature"] = float(asked_with["temperature"])
        settings["generation.top_p"] = float(asked_with.get("top_p", 1.0))
    config = results.get("config") or {}
    ends = [*(results.get("tokenizer_eos_token") or []), *(results.get("tokenizer_pad_token") or [])]
    if (until := asked_with.get("until")) is not None:
        stop = [until] if isinstance(until, str) else list(until)
        settings["prompt.stop"] = [each for each in stop if each not in ends]
    if (engine := ENGINES.get(str(config.get("model")))) is not None:
        settings["generation.engine"] = engine
    if (dtype := DTYPES.get(str(config.get("model_dtype")))) is not None:
        settings["generation.dtype"] = dtype
    if "system_instruction" in results:
        settings["prompt.system"] = results["system_instruction"]
    task = match["task"] if (match := SAMPLES.fullmatch(path.name)) else ""
    if (results.get("n-shot") or {}).get(task) == 0:
        settings["prompt.few_shot"] = None
    if about := ours(results):
        return Stated("Hallmark", about.get("version"), about["settings"], {"run": about.get("run")})
    said = {
        **only({"task": task or None, "generation_kwargs": asked_with}, ("task", "generation_kwargs")),
        **only(results, ("results_file", "transformers_version", "chat_template_sha", "system_instruction")),
        **only(config, ("model", "model_dtype", "batch_size", "limit")),
        "model_args": only(config.get("model_args"), MODEL_ARGUMENTS),
    }
    return Stated("lm-evaluation-harness", results.get("lm_eval_version"), settings, said)


def _results(path: Path) -> dict[str, Any]:
    """The results that were written with the samples; empty where they are not beside them."""
    match = SAMPLES.fullmatch(path.name)
    beside = path.with_name(f"results_{match['date']}.json") if match else None
    if beside is None or not beside.is_file():
        return {}
    try:
        found = parse(beside.read_bytes())
    except ValueError as error:
        raise InputError(f"{beside}: not valid JSON: {error}") from None
    return {**found, "results_file": beside.name} if isinstance(found, dict) else {}
