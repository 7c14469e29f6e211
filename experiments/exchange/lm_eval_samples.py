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
from core.files import sha256_bytes
from experiments.exchange.rows import (
    MODEL_ARGUMENTS,
    SAMPLES_EACH,
    Answered,
    Content,
    Said,
    Stated,
    an_array,
    an_object,
    answered,
    as_text,
    cuts_of,
    foreign_arguments,
    foreign_model,
    is_count,
    json_lines,
    of_ours,
    of_sampling,
    of_stop,
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
DTYPES = ("float32", "bfloat16")
MAPPED = {
    "max_gen_toks": "generation.max_new_tokens",
    "temperature": "generation.temperature",
    "top_p": "generation.top_p",
    "seed": "generation.seed",
    "until": "prompt.stop",
}
"""Arguments of generation, and our settings that say them."""
LIKELIHOODS = (
    "has log-likelihoods, and not how many tokens they are of, which judges of log-probabilities read; texts "
    "are expected"
)
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
        if row.problem is None and asked_with not in kwargs:
            kwargs.append(asked_with)
    results, beside = _results(path)
    try:
        stated = _stated(path, kwargs, results)
    except InputError as error:
        raise InputError(f"{path.with_name(next(iter(beside), path.name))}: {error}") from None
    return Content(rows, stated, beside)


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
    }
    answers = value.get("resps")
    if _are_likelihoods(answers):
        return Answered(where, problem=f"resps: {LIKELIHOODS}", **fields), None
    if len(requests) > 1 or not (isinstance(answers, list) and len(answers) == 1):
        count = len(answers) if isinstance(answers, list) else 0
        problem = f"resps: has {count} requests; one is expected"
        return Answered(where, problem=problem, **fields), None
    texts = answers[0] if isinstance(answers[0], list) else [answers[0]]  # of several repeats each
    if not texts:
        return Answered(where, problem="resps.0: is empty", **fields), None
    try:
        cuts = cuts_of("cut_off", value.get("cut_off"), len(texts))  # as an export of ours has it
    except InputError as error:
        return Answered(where, problem=str(error), **fields), None
    said = [Said(f"resps.0.{n}", *each) for n, each in enumerate(zip(texts, cuts, strict=True))]
    return answered(where, said, **fields), requests[0][1] if requests else None


def _are_likelihoods(answers: Any) -> bool:
    """Whether a document's answers are (log-likelihood, is greedy) and no texts."""
    first = answers[0] if isinstance(answers, list) and answers else None
    return isinstance(first, list) and bool(first) and isinstance(first[0], list)


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
        except (ValueError, RecursionError):
            prompt = None
    asked = prompt if isinstance(prompt, str) or (isinstance(prompt, list) and prompt) else None
    return asked, next((each for each in others if isinstance(each, dict)), None)


def _stated(path: Path, kwargs: list[dict[str, Any] | None], results: Mapping[str, Any]) -> Stated:
    """What the rows' settings and the results beside them say. Settings that differ from row to row are known
    to be no single value of ours.

    Raises:
        InputError: a part of the results is of another kind.
    """
    if about := ours(results):
        return of_ours(about)
    asked_with = (kwargs[0] if len(kwargs) == 1 else None) or {}
    settings, foreign, greedy = of_sampling(asked_with, asked_with.get("do_sample"))
    foreign |= foreign_arguments(asked_with, (*MAPPED, "do_sample"), greedy)
    if (tokens := asked_with.get("max_gen_toks")) is not None:
        (settings if is_count(tokens) else foreign)["generation.max_new_tokens"] = tokens
    ends = [
        end
        for name in ("tokenizer_eos_token", "tokenizer_pad_token")
        for end in an_array(results.get(name), name)
    ]
    if (until := asked_with.get("until")) is not None:
        if (stop := of_stop(until)) is not None:
            settings["prompt.stop"] = [each for each in stop if each not in ends]
        else:
            foreign["prompt.stop"] = str(until)
    if len(kwargs) > 1:
        foreign |= dict.fromkeys(MAPPED.values(), "differs from row to row")
    config = an_object(results.get("config"), "config")
    arguments = _model_arguments(config.get("model_args"))
    foreign |= foreign_model(arguments)
    if (model := config.get("model")) is not None:
        engine = ENGINES.get(str(model))
        (settings if engine else foreign)["generation.engine"] = engine or str(model)
        if engine == "vllm" and settings.get("generation.temperature"):  # others have the model's own
            settings.setdefault("generation.top_p", 1.0)
    dtype = config.get("model_dtype") or arguments.get("dtype") or "auto"
    if dtype != "auto":
        plain = str(dtype).removeprefix("torch.")
        (settings if plain in DTYPES else foreign)["generation.dtype"] = plain
    if "system_instruction" in results:
        settings["prompt.system"] = results["system_instruction"]
    task = match["task"] if (match := SAMPLES.fullmatch(path.name)) else ""
    if an_object(results.get("n-shot"), "n-shot").get(task) == 0:
        settings["prompt.few_shot"] = None
    of_task = an_object(an_object(results.get("configs"), "configs").get(task), f"configs.{task}")
    if (repeats := of_task.get("repeats")) is not None:
        settings[SAMPLES_EACH] = repeats
    said = {
        **only({"task": task or None, "generation_kwargs": asked_with}, ("task", "generation_kwargs")),
        **only(results, ("results_file", "transformers_version", "chat_template_sha", "system_instruction")),
        **only(config, ("model", "model_dtype", "batch_size", "limit")),
        "model_args": only(arguments, MODEL_ARGUMENTS),
    }
    version = as_text(results.get("lm_eval_version"))
    return Stated("lm-evaluation-harness", version, settings, said, foreign)


def _model_arguments(value: Any) -> Mapping[str, Any]:
    """The model's arguments; older versions write them as they are given: `pretrained=x,dtype=float32`."""
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        return {name.strip(): given for name, _, given in pairs}
    return an_object(value, "config.model_args")


def _results(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The results that were written with the samples, and the file's name and sha256; empty where they are
    not beside them.
    """
    match = SAMPLES.fullmatch(path.name)
    beside = path.with_name(f"results_{match['date']}.json") if match else None
    if beside is None or not beside.is_file():
        return {}, {}
    data = beside.read_bytes()
    try:
        found = parse(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{beside}: not valid JSON: {error}") from None
    if not isinstance(found, dict):
        raise InputError(f"{beside}: expected an object, got {type(found).__name__}")
    return {**found, "results_file": beside.name}, {beside.name: sha256_bytes(data)}
