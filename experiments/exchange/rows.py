"""What is read of any file with predictions: rows, and what the file says of how they were made."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from core.errors import InputError
from core.files import open_for_reading, unique_keys
from core.text import whole_characters

Format = Literal["lm-eval", "inspect", "openai-batch", "jsonl"]
FORMATS: tuple[Format, ...] = get_args(Format)
Turns = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Answered:
    """One row of a file, or several of one item together.

    Attributes:
        where: its place, as in `line 12`.
        id: what the file calls the item; None where it has no ids.
        place: number of the item in the dataset that was asked, from 0; None where the file does not count.
        asked: what the model got: a rendered prompt, or the turns of a conversation; None where the file does
            not say.
        texts: other texts of the row, of which one may be the question.
        sample: which of its item's samples it is, where each is a row; None where the file does not count.
        predictions: what the model wrote, a text for each sample, half characters replaced; empty where there
            is none.
        problem: why there is none.
        cut_off: for each of them whether it reached the most tokens it could have; None where the file does
            not say.
    """

    where: str
    id: str | None = None
    place: int | None = None
    asked: str | Turns | None = None
    texts: Sequence[str] = ()
    sample: int | None = None
    predictions: tuple[str, ...] = ()
    problem: str | None = None
    cut_off: tuple[bool | None, ...] = ()


@dataclass(frozen=True)
class Stated:
    """What a file says of how its predictions were made.

    Attributes:
        tool: what wrote the file.
        version: of that, where the file says it.
        settings: dotted names of our settings, and of the facts `FACTS`, to their values.
        said: the same in the file's own words, and what has no setting of ours.
        foreign: what the file says and no value of ours says: dotted names, some of them of our settings, to
            the file's words. Nobody can make these known.
        hashes: of an export of ours: `model_sha256`, `dataset_sha256` and `predictions_sha256` of its run,
            and its `model`.
    """

    tool: str
    version: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    said: Mapping[str, Any] = field(default_factory=dict)
    foreign: Mapping[str, Any] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)


class Content(NamedTuple):
    """What is in a file.

    Attributes:
        rows: its rows.
        stated: what it says of them.
        beside: names of other files that this was read of -> their sha256.
    """

    rows: list[Answered]
    stated: Stated
    beside: Mapping[str, str] = {}


def ours(document: Any) -> Mapping[str, Any]:
    """What an export of ours says of its run; empty where another program wrote the file."""
    about = document.get("hallmark") if isinstance(document, dict) else None
    return about if isinstance(about, dict) and isinstance(about.get("settings"), dict) else {}


SAMPLES_EACH = "generation.samples"
"""The setting that says how many texts each item has."""
HASHES = ("model", "model_sha256", "dataset_sha256", "predictions_sha256")


def of_ours(about: Mapping[str, Any]) -> Stated:
    """What an export of ours says."""
    hashes = {name: value for name in HASHES if isinstance(value := about.get(name), str)}
    said = {"run": as_text(about.get("run"))}
    return Stated("Hallmark", as_text(about.get("version")), about["settings"], said, hashes=hashes)


def an_object(value: Any, what: str) -> Mapping[str, Any]:
    """An object of JSON; empty for null.

    Raises:
        InputError: it is something else; says what it is called.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"{what}: expected an object, got {type(value).__name__}")
    return value


def an_array(value: Any, what: str) -> list[Any]:
    """An array of JSON; empty for null.

    Raises:
        InputError: it is something else; says what it is called.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise InputError(f"{what}: expected an array, got {type(value).__name__}")
    return value


STOPPED = ("stop", "end_turn", "eos", "eos_token", "stop_sequence", "stop_string", "STOP")
CUT = ("length", "max_tokens", "MAX_TOKENS", "max_output_tokens", "max_new_tokens", "model_length")


def was_cut(reason: Any) -> bool | None:
    """Whether a completion that ended for this reason was cut off; None where the word is not a known one.

    Example:
        >>> was_cut("length"), was_cut("stop"), was_cut("content_filter")
        (True, False, None)
    """
    if not isinstance(reason, str):
        return None
    return True if reason in CUT else False if reason in STOPPED else None


def cuts_of(name: str, value: Any, count: int) -> list[bool | None]:
    """For each text of a row whether it was cut off, as one value or a list of them says it: true, false, or
    why it ended.

    Args:
        name: what the file calls it.
        value: as the row has it.
        count: how many texts the row has.

    Raises:
        InputError: it is a list of another length, or says of several together that they were.

    Example:
        >>> cuts_of("finish_reason", ["stop", "length"], 2)
        [False, True]
    """
    each = value if isinstance(value, list) else [value] * count
    if len(each) != count:
        raise InputError(f"{name}: has {len(each)} values for {count} texts")
    cuts = [cut if isinstance(cut, bool) else was_cut(cut) for cut in each]
    if each is not value and count > 1 and cuts[0]:
        raise InputError(
            f"{name}: expected a list, which says of each of {count} texts whether it was cut off"
        )
    return cuts


class Said(NamedTuple):
    """One of the texts of a row.

    Attributes:
        name: what the file calls it.
        text: what the model wrote, if it is a text.
        cut_off: whether it reached the most tokens it could have; None where the file does not say.
    """

    name: str
    text: Any
    cut_off: bool | None = None


def answered(where: str, said: Sequence[Said], **fields: Any) -> Answered:
    """A row whose predictions are these, where all of them are texts.

    Args:
        where: its place.
        said: one for each sample; at least one.
        fields: the other fields.
    """
    for name, text, _ in said:
        if not isinstance(text, str):
            kind = "missing" if text is None else f"expected a text, got {type(text).__name__}"
            return Answered(where, problem=f"{name}: {kind}", **fields)
    texts = tuple(whole_characters(each.text) for each in said)
    return Answered(where, predictions=texts, cut_off=tuple(each.cut_off for each in said), **fields)


def json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """The lines of a JSONL file as other programs write it: NaN, line ends of Windows and empty lines may be.

    Yields:
        The line's place, and its parsed value, or the InputError that says what is wrong with it.

    Raises:
        InputError: the file is UTF-16.
    """
    with open_for_reading(path) as file:
        for number, line in enumerate(file, start=1):
            if number == 1 and (line[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in line[:2]):
                raise InputError(
                    f"{path}: is UTF-16, and lines of JSON are UTF-8. Convert it: iconv -f UTF-16 -t UTF-8"
                )
            if line.strip():
                yield f"line {number}", _parsed(line)


def _parsed(line: bytes) -> Any:
    try:
        return parse_lenient(line)
    except UnicodeDecodeError as error:
        return InputError(f"not UTF-8 at byte {error.start} of the line")
    except (ValueError, RecursionError) as error:
        return InputError(f"not valid JSON: {error}")


def parse_lenient(data: bytes) -> Any:
    """JSON as Python writes it, NaN and Infinity included, but no field twice.

    Raises:
        ValueError: it is none.
    """
    return json.loads(data.decode("utf-8-sig"), object_pairs_hook=unique_keys)


NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "num_beams": (1,), "num_beam_groups": (1,), "num_return_sequences": (1,), "num_choices": (1,), "n": (1,),
    "best_of": (1,), "repetition_penalty": (1,), "no_repeat_ngram_size": (0,),
    "encoder_no_repeat_ngram_size": (0,), "encoder_repetition_penalty": (1,), "presence_penalty": (0,),
    "frequency_penalty": (0,), "diversity_penalty": (0,), "penalty_alpha": (0,), "guidance_scale": (1,),
    "min_length": (0,), "min_new_tokens": (0,), "min_tokens": (0,), "logit_bias": ({},),
    "bad_words_ids": ([],), "suppress_tokens": ([],), "renormalize_logits": (False,), "ignore_eos": (False,),
    "remove_invalid_values": (False,), "skip_special_tokens": (True,), "typical_p": (1,), "top_k": (0, -1),
    "min_p": (0,), "epsilon_cutoff": (0,), "eta_cutoff": (0,),
}  # fmt: skip
"""Arguments of generation -> the values with which they change nothing."""
OF_DRAWING = ("temperature", "top_p", "top_k", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "seed")
"""Arguments that change nothing where nothing is drawn."""
OF_SPEED = (
    "use_cache", "length_penalty", "early_stopping", "logprobs", "top_logprobs", "prompt_logprobs", "timeout",
    "attempt_timeout", "max_retries", "max_connections", "adaptive_connections", "batch", "cache",
    "cache_prompt", "num_concurrent", "pad_token_id",
)  # fmt: skip
"""Arguments that change no text: of length_penalty and early_stopping without beams."""
NEUTRAL_OF_MODEL = (
    "pretrained", "model", "model_path", "tokenizer", "tokenizer_path", "tokenizer_mode", "revision", "dtype",
    "torch_dtype", "device", "device_map", "device_map_option", "batch_size", "max_batch_size",
    "trust_remote_code", "parallelize", "max_memory", "max_memory_per_gpu", "max_cpu_memory",
    "offload_folder", "tensor_parallel_size", "data_parallel_size", "gpu_memory_utilization", "swap_space",
    "backend", "use_fast_tokenizer", "max_length", "max_model_len", "truncation", "logits_cache", "do_sample",
    "low_cpu_mem_usage", "attn_implementation", "enable_thinking", "chat_template_args",
    "mixed_precision_dtype",
    "softmax_dtype", "token", "hf_token", "api_key", "base_url", "num_concurrent", "max_retries", "timeout",
    "seed", "hidden_states",
)  # fmt: skip
"""Arguments of a model that say which it is, where it is and how fast, or what settings of ours say."""


def foreign_arguments(arguments: Mapping[str, Any], mapped: Collection[str], greedy: bool) -> dict[str, Any]:
    """Arguments of generation that can change the text and are no settings of ours, by dotted names.

    Args:
        arguments: as the file has them.
        mapped: names of those that settings of ours say.
        greedy: whether nothing is drawn.

    Example:
        >>> foreign_arguments({"num_beams": 5, "top_k": 50, "max_gen_toks": 9}, ["max_gen_toks"], True)
        {'generation.num_beams': 5}
    """
    left = {
        name: value
        for name, value in arguments.items()
        if value is not None
        and name not in (*mapped, *OF_SPEED, *(OF_DRAWING if greedy else ()))
        and value not in NEUTRAL.get(name, ())
    }
    return {f"generation.{name}": value for name, value in only(left, list(left)).items()}


def foreign_model(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that make another model of the weights, as an adapter or quantization does, by dotted names.
    Their values may be secrets: they are not told.
    """
    return {
        f"model.{name}": "given"
        for name, value in arguments.items()
        if name not in NEUTRAL_OF_MODEL and value not in (None, False, 0, "", "False", "None", {}, [])
    }


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_count(value: Any) -> bool:
    """Whether a value of JSON is a whole number above 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def of_sampling(
    arguments: Mapping[str, Any], do_sample: Any = None
) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """What arguments named temperature, top_p and seed say.

    Args:
        arguments: of generation.
        do_sample: whether the file says that something is drawn.

    Returns:
        Settings of ours; what none of ours says; and whether the answers are greedy.
    """
    temperature: Any = arguments.get("temperature")
    if do_sample is False or (is_number(temperature) and temperature == 0):
        return {"generation.temperature": 0.0}, {}, True
    settings: dict[str, Any] = {}
    foreign: dict[str, Any] = {}
    if is_number(temperature):
        settings["generation.temperature"] = float(temperature)
    elif temperature is not None or do_sample:
        foreign["generation.temperature"] = str(temperature) if temperature is not None else "drawn"
    for name, known in (("top_p", is_number), ("seed", is_whole)):
        if (value := arguments.get(name)) is not None:
            (settings if known(value) else foreign)[f"generation.{name}"] = (
                value if known(value) else str(value)
            )
    return settings, foreign, False


def is_whole(value: Any) -> bool:
    """Whether a value of JSON is a whole number, 0 or above."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def of_stop(value: Any) -> list[str] | None:
    """Stop strings: one, or several; None where they are none."""
    if isinstance(value, str):
        return [value]
    return value if isinstance(value, list) and all(isinstance(each, str) for each in value) else None


MODEL_ARGUMENTS = (
    "pretrained", "model", "revision", "dtype", "torch_dtype", "tokenizer", "peft", "max_length",
    "max_model_len", "add_bos_token", "attn_implementation", "enable_thinking", "do_sample", "model_path",
)  # fmt: skip
"""Arguments of a model that are recorded. Others may be keys of an API."""


def only(values: Any, names: Sequence[str]) -> dict[str, Any]:
    """Some of an object's values, as JSON holds them; NaN as text."""
    if not isinstance(values, Mapping):
        return {}
    found = {name: values[name] for name in names if values.get(name) is not None}
    plain = json.loads(json.dumps(found, default=str), parse_constant=str)
    return dict(plain)


def as_text(value: Any) -> str | None:
    """An id as a text; None where it is none."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def turns_of(value: Any) -> Turns | None:
    """Messages of role and content as turns; None where they hold more than text."""
    if not isinstance(value, list) or not value:
        return None
    found: Turns = []
    for turn in value:
        content = text_of(turn.get("content")) if isinstance(turn, dict) else None
        if content is None:
            return None
        found.append({"role": str(turn.get("role")), "content": content})
    return found


def text_of(content: Any) -> str | None:
    """The text of a message: a string, or parts of which those of text count; None without any."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    kinds = ("text", "output_text")
    parts = [part for part in content if isinstance(part, dict) and part.get("type") in kinds]
    texts = [part["text"] for part in parts if isinstance(part.get("text"), str)]
    return "\n".join(texts) if texts else None
