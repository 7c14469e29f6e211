"""Logs of inspect_ai: `.eval`, a zip of JSON documents, and `.json`. Seen of 0.3.100 to 0.3.285."""

from __future__ import annotations

import string
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.errors import InputError, ResourceError
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
    foreign_arguments,
    foreign_model,
    is_count,
    of_ours,
    of_sampling,
    of_stop,
    only,
    ours,
    parse_lenient,
    text_of,
    turns_of,
    was_cut,
)

HEADER, START, SAMPLES = "header.json", "_journal/start.json", "samples/"
ENGINES = {"hf": "transformers", "vllm": "vllm"}
ATTACHED = "attachment://"
PLAIN = frozenset(f"{string.ascii_letters}{string.digits}:/-_.")
"""What the name of an attachment consists of; a text that only begins like one is what was written."""
LARGEST = 1 << 30
"""Bytes of the documents in a zip, unpacked."""
DTYPES = ("float32", "bfloat16")
MAPPED = ("max_tokens", "temperature", "top_p", "seed", "stop_seqs", "system_message")
CONFIG = ("max_tokens", "temperature", "top_p", "top_k", "seed", "stop_seqs", "system_message")


def is_inspect(value: Any) -> bool:
    """Whether a JSON document is a log."""
    return isinstance(value, dict) and {"eval", "status"} <= value.keys()


def read_inspect(path: Path) -> Content:
    """The samples of a log, and what it says of how they were made.

    Raises:
        InputError: it is no log.
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
        found = header.get("samples") if isinstance(header, dict) else None
        if found is not None and not isinstance(found, list):
            raise InputError(f"{path}: samples: expected an array, got {type(found).__name__}")
        samples = iter(found or [])
    if not isinstance(header, dict) or not isinstance(header.get("eval"), dict):
        raise InputError(f"{path}: is no log of inspect_ai: it has no `eval`.")
    try:
        stated = _stated(header)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    attaches = stated.tool != "Hallmark"  # whose texts are whole, whatever they look like
    return Content([_guarded(n, sample, attaches) for n, sample in enumerate(samples, start=1)], stated)


def _guarded(number: int, sample: Any, attaches: bool) -> Answered:
    """A sample's row, also where the sample is none."""
    if not isinstance(sample, dict):
        problem = f"expected an object, got {type(sample).__name__}"
        return Answered(f"sample number {number}", problem=problem)
    try:
        return _row(sample, attaches)
    except InputError as error:
        named = as_text(sample.get("id"))
        return Answered(_where(sample), id=named, sample=_epoch(sample), problem=str(error))


def _epoch(sample: Mapping[str, Any]) -> int | None:
    epoch = sample.get("epoch")
    return epoch if is_count(epoch) else None


def _where(sample: Mapping[str, Any]) -> str:
    epoch = _epoch(sample) or 1
    return f"sample {sample.get('id')}" + (f", epoch {epoch}" if epoch > 1 else "")


def _unpacked(path: Path) -> tuple[Any, Iterator[Any]]:
    with suppress(ImportError):
        import zipfile_zstd  # noqa: F401 - teaches zipfile how inspect_ai packs; comes with it
    try:
        file = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise InputError(f"{path}: is no log of inspect_ai, or is damaged: {error}") from None
    sizes = {info.filename: info.file_size for info in file.infolist()}
    names, often = set(sizes), Counter(file.namelist())
    if doubled := [name for name, count in often.items() if count > 1]:
        raise InputError(f"{path}: holds {doubled[0]} {often[doubled[0]]} times; once is expected.")
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
        except (ValueError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            # RuntimeError: encrypted, or nested too deeply
            raise InputError(f"{path}: {name}: damaged: {error}") from None

    found = sorted(each for each in names if each.startswith(SAMPLES) and each.endswith(".json"))
    if (size := sum(sizes[each] for each in (name, *found))) > LARGEST:
        raise InputError(f"{path}: unpacks to {size:,} bytes, and {LARGEST:,} is the most that is read.")
    return document(name), map(document, found)


def _row(sample: Mapping[str, Any], attaches: bool) -> Answered:
    """Raises an InputError where a part of it is of another kind, or is not in the log."""
    attached = an_object(sample.get("attachments"), "attachments")

    def whole(text: Any) -> Any:
        """A text that is kept apart where it is long."""
        if attaches and isinstance(text, str) and text.startswith(ATTACHED) and set(text) <= PLAIN:
            if (name := text.removeprefix(ATTACHED)) not in attached:
                raise InputError(f"attachments: has no {name[:60]}, which is a text of this sample")
            return attached[name]
        return text

    where, named = _where(sample), as_text(sample.get("id"))
    choices = an_array(an_object(sample.get("output"), "output").get("choices"), "output.choices")
    fields: dict[str, Any] = {"id": named, "sample": _epoch(sample), "asked": _asked(sample, whole)}
    if isinstance(given := whole(sample.get("input")), str):
        fields["texts"] = [given]
    if error := sample.get("error"):
        detail = error.get("message") if isinstance(error, dict) else error
        return Answered(where, problem=f"ended with an error: {str(detail)[:200]}", **fields)
    if not choices:
        return Answered(where, problem="output: has no choice", **fields)
    choice = an_object(choices[0], "output.choices.0")
    content = an_object(choice.get("message"), "output.choices.0.message").get("content")
    text = whole(content) if isinstance(content, str) else whole(text_of(content))
    said = Said("output.choices.0.message.content", text, was_cut(choice.get("stop_reason")))
    return answered(where, [said], **fields)


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
    """Raises an InputError where a part of it is of another kind."""
    spec = header["eval"]
    config = {
        **an_object(spec.get("model_generate_config"), "eval.model_generate_config"),
        **an_object(an_object(header.get("plan"), "plan").get("config"), "plan.config"),
    }
    arguments = an_object(spec.get("model_args"), "eval.model_args")
    version = as_text(an_object(spec.get("packages"), "eval.packages").get("inspect_ai"))
    if about := ours(spec.get("metadata")):
        return of_ours(about)
    settings, foreign, greedy = of_sampling(config, arguments.get("do_sample"))
    settings[SAMPLES_EACH] = an_object(spec.get("config"), "eval.config").get("epochs") or 1
    foreign |= foreign_arguments(config, MAPPED, greedy) | foreign_model(arguments)
    if (stop := of_stop(config.get("stop_seqs") or [])) is not None:
        settings["prompt.stop"] = stop
    else:
        foreign["prompt.stop"] = str(config["stop_seqs"])
    if (tokens := config.get("max_tokens")) is not None:
        (settings if is_count(tokens) else foreign)["generation.max_new_tokens"] = tokens
    if config.get("system_message") is not None:
        foreign["prompt.system"] = str(config["system_message"])
    if (model := spec.get("model")) is not None:
        engine = ENGINES.get(str(model).partition("/")[0])
        (settings if engine else foreign)["generation.engine"] = engine or str(model)
    dtype = arguments.get("dtype") or arguments.get("torch_dtype") or "auto"
    if dtype != "auto":
        plain = str(dtype).removeprefix("torch.")
        (settings if plain in DTYPES else foreign)["generation.dtype"] = plain
    said = {
        **only(spec, ("task", "model")),
        **only(header, ("status",)),
        "model_args": only(arguments, MODEL_ARGUMENTS),
        "generate_config": only(config, CONFIG),
    }
    return Stated("inspect_ai", version, settings, said, foreign)
