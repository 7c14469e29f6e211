"""Logs of inspect_ai: `.eval`, a zip of JSON documents, and `.json`. Seen of 0.3.100 to 0.3.285."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.errors import InputError, ResourceError
from experiments.exchange.rows import (
    MODEL_ARGUMENTS,
    Answered,
    Content,
    Stated,
    answered,
    as_text,
    only,
    ours,
    parse_lenient,
    text_of,
    turns_of,
)

HEADER, START, SAMPLES = "header.json", "_journal/start.json", "samples/"
ENGINES = {"hf": "transformers", "vllm": "vllm"}
ATTACHED = "attachment://"
CUT = ("max_tokens", "model_length")
DTYPES = ("float32", "bfloat16")
CONFIG = ("max_tokens", "temperature", "top_p", "top_k", "seed", "stop_seqs", "system_message")


def is_inspect(value: Any) -> bool:
    """Whether a JSON document is a log."""
    return isinstance(value, dict) and {"eval", "status"} <= value.keys()


def read_inspect(path: Path) -> Content:
    """The samples of a log, and what it says of how they were made.

    Raises:
        InputError: it is no log, or was written of several epochs.
        ResourceError: it is packed in a way that only inspect_ai's own packages unpack.
    """
    with path.open("rb") as file:
        packed = file.read(2) == b"PK"
    if packed:
        header, samples = _unpacked(path)
    else:
        try:
            header = parse_lenient(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: not valid JSON: {error}") from None
        samples = iter(header.get("samples") or [] if isinstance(header, dict) else [])
    if not isinstance(header, dict) or not isinstance(header.get("eval"), dict):
        raise InputError(f"{path}: is no log of inspect_ai: it has no `eval`.")
    epochs = (header["eval"].get("config") or {}).get("epochs") or 1
    if epochs != 1:
        raise InputError(f"{path}: has {epochs} epochs, and one completion per item is expected.")
    return Content([_row(sample) for sample in samples], _stated(header))


def _unpacked(path: Path) -> tuple[Any, Iterator[Any]]:
    with suppress(ImportError):
        import zipfile_zstd  # noqa: F401 - teaches zipfile how inspect_ai packs; comes with it
    try:
        file = zipfile.ZipFile(path)
        names = set(file.namelist())
    except zipfile.BadZipFile as error:
        raise InputError(f"{path}: is no log of inspect_ai, or is damaged: {error}") from None
    name = HEADER if HEADER in names else START
    if name not in names:
        raise InputError(f"{path}: is no log of inspect_ai: it has no {HEADER}.")

    def document(name: str) -> Any:
        try:
            return parse_lenient(file.read(name))
        except NotImplementedError:
            raise ResourceError(
                f"{path}: is packed with zstd, which needs a package: pip install zipfile-zstd (it comes "
                "with inspect-ai). Or convert the log: inspect log convert --to json --output-dir DIR LOG"
            ) from None
        except (ValueError, RecursionError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: {name}: damaged: {error}") from None

    found = sorted(each for each in names if each.startswith(SAMPLES) and each.endswith(".json"))
    return document(name), map(document, found)


def _row(sample: Mapping[str, Any]) -> Answered:
    attached = sample.get("attachments") or {}

    def whole(text: Any) -> Any:
        """A text that is kept apart where it is long."""
        if isinstance(text, str) and text.startswith(ATTACHED):
            return attached.get(text.removeprefix(ATTACHED), text)
        return text

    where, named = f"sample {sample.get('id')}", as_text(sample.get("id"))
    output = sample.get("output") or {}
    choices = output.get("choices") or []
    asked = _asked(sample, whole)
    fields: dict[str, Any] = {"id": named, "asked": asked}
    if isinstance(whole(sample.get("input")), str):
        fields["texts"] = [whole(sample["input"])]
    if error := sample.get("error"):
        problem = f"ended with an error: {str(error.get('message'))[:200]}"
        return Answered(where, problem=problem, **fields)
    if not choices:
        return Answered(where, problem="output: has no choice", **fields)
    content = (choices[0].get("message") or {}).get("content")
    text = whole(content) if isinstance(content, str) else text_of(content)
    reason = choices[0].get("stop_reason")
    fields["cut_off"] = None if reason in (None, "unknown") else reason in CUT
    return answered(where, whole(text), "output.choices.0.message.content", **fields)


def _asked(sample: Mapping[str, Any], whole: Any) -> list[dict[str, str]] | None:
    """The turns before the answer: of a task with one answer per sample, which is what can be imported."""
    turns = turns_of(sample.get("messages"))
    if turns is None:
        given = whole(sample.get("input"))
        return [{"role": "user", "content": given}] if isinstance(given, str) else turns_of(given)
    while turns and turns[-1]["role"] == "assistant":
        turns.pop()
    return [{**turn, "content": whole(turn["content"])} for turn in turns] or None


def _stated(header: Mapping[str, Any]) -> Stated:
    spec = header["eval"]
    config = {
        **(spec.get("model_generate_config") or {}),
        **((header.get("plan") or {}).get("config") or {}),
    }
    settings: dict[str, Any] = {"prompt.stop": config.get("stop_seqs") or []}
    if isinstance(config.get("max_tokens"), int):
        settings["generation.max_new_tokens"] = config["max_tokens"]
    arguments = spec.get("model_args") or {}
    temperature = config.get("temperature")
    if temperature == 0 or arguments.get("do_sample") is False:
        settings["generation.temperature"] = 0.0
    elif isinstance(temperature, int | float):
        settings["generation.temperature"] = float(temperature)
        for name in ("top_p", "seed"):
            if config.get(name) is not None:
                settings[f"generation.{name}"] = config[name]
    if (engine := ENGINES.get(str(spec.get("model")).partition("/")[0])) is not None:
        settings["generation.engine"] = engine
    dtype = str(arguments.get("dtype") or arguments.get("torch_dtype")).removeprefix("torch.")
    if dtype in DTYPES:
        settings["generation.dtype"] = dtype
    if about := ours(spec.get("metadata")):
        return Stated("Hallmark", about.get("version"), about["settings"], {"run": about.get("run")})
    said = {
        **only(spec, ("task", "model")),
        **only(header, ("status",)),
        "model_args": only(arguments, MODEL_ARGUMENTS),
        "generate_config": only(config, CONFIG),
    }
    return Stated("inspect_ai", (spec.get("packages") or {}).get("inspect_ai"), settings, said)
