"""Ways in which a model directory can be unfit, each made on a copy of the tiny base."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import HallmarkError, InputError, IntegrityError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 4096\n"


class Fault(NamedTuple):
    """How to damage a directory, and what the refusal has to say."""

    damage: Callable[[Path], object]
    words: tuple[str, ...]
    error: type[HallmarkError] = InputError


def change_json(path: Path, **changes: object) -> None:
    """Set fields of a JSON file; None takes one away."""
    value = {**(json.loads(path.read_text()) if path.is_file() else {}), **changes}
    path.write_text(json.dumps({name: kept for name, kept in value.items() if kept is not None}))


def read_header(path: Path) -> tuple[dict[str, Any], bytes]:
    """The header of a safetensors file, and the bytes of its tensors."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def write_header(path: Path, header: Mapping[str, Any], tensors: bytes) -> None:
    """Write a safetensors file."""
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + tensors)


def poison(model: Path, tensor: str = "model.norm.weight", value: float = float("nan")) -> None:
    """Put a number that is none into a tensor, which the tiny base has in float32."""
    header, data = read_header(model / WEIGHTS)
    assert header[tensor]["dtype"] == "F32"
    begin = header[tensor]["data_offsets"][0]
    write_header(model / WEIGHTS, header, data[:begin] + struct.pack("<f", value) + data[begin + 4 :])


def shard(model: Path, names: tuple[str, str] = ("model-00001-of-00002", "model-00002-of-00002")) -> None:
    """Split the weights into two files and an index."""
    header, data = read_header(model / WEIGHTS)
    (model / WEIGHTS).unlink()
    tensors = [name for name in header if name != "__metadata__"]
    places: dict[str, str] = {}
    for stem, part in zip(names, (tensors[::2], tensors[1::2]), strict=True):
        entries: dict[str, Any] = {}
        content = b""
        for name in part:
            begin, end = header[name]["data_offsets"]
            entries[name] = {**header[name], "data_offsets": [len(content), len(content) + end - begin]}
            content += data[begin:end]
            places[name] = f"{stem}.safetensors"
        write_header(model / f"{stem}.safetensors", {"__metadata__": {"format": "pt"}, **entries}, content)
    (model / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))


def _cut(model: Path) -> None:
    path = model / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1000])


def _pointer(name: str) -> Callable[[Path], object]:
    return lambda model: (model / name).write_text(POINTER)


def _instead_of_weights(name: str) -> Callable[[Path], object]:
    return lambda model: (model / WEIGHTS).rename(model / name)


def _stale_index(model: Path) -> None:
    shard(model)
    index = json.loads((model / INDEX).read_text())
    places = index["weight_map"]
    first = min(places)
    other = "model-00001-of-00002.safetensors"
    places[first] = other if places[first] != other else "model-00002-of-00002.safetensors"
    (model / INDEX).write_text(json.dumps(index))


def _lost_shard(model: Path) -> None:
    shard(model)
    (model / "model-00002-of-00002.safetensors").unlink()


def _two_sets(model: Path) -> None:
    copy = (model / WEIGHTS).read_bytes()
    shard(model)
    (model / WEIGHTS).write_bytes(copy)


def _no_index(model: Path) -> None:
    shard(model)
    (model / INDEX).unlink()


def _unnamed_shard(model: Path) -> None:
    shard(model)
    shutil.copy(model / "model-00001-of-00002.safetensors", model / "model-00003-of-00003.safetensors")


def _hole(model: Path) -> None:
    header, data = read_header(model / WEIGHTS)
    del header["model.layers.0.mlp.up_proj.weight"]
    write_header(model / WEIGHTS, header, data)


def _config(**changes: object) -> Callable[[Path], object]:
    return lambda model: change_json(model / "config.json", **changes)


def _text(name: str, text: str) -> Callable[[Path], object]:
    return lambda model: (model / name).write_text(text)


def _as_adapter(model: Path) -> None:
    for path in model.iterdir():
        path.unlink()
    change_json(model / "adapter_config.json", base_model_name_or_path="org/base", peft_type="LORA")
    (model / "adapter_model.safetensors").write_bytes(b"")


def _stray_adapter(model: Path) -> None:
    change_json(model / "adapter_config.json", base_model_name_or_path="tiny-base", peft_type="LORA")


def _only(*names: str) -> Callable[[Path], object]:
    def damage(model: Path) -> None:
        for path in model.iterdir():
            path.unlink()
        for name in names:
            (model / name).parent.mkdir(parents=True, exist_ok=True)
            (model / name).write_text("{}")

    return damage


def _lone_tokenizer(name: str) -> Callable[[Path], object]:
    return lambda model: (model / "tokenizer.json").rename(model / name)


def add_token(model: Path, content: str, number: int, *, special: bool = True, **settings: object) -> None:
    """Give the tokenizer one more token, and its configuration some settings."""
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    tokenizer["added_tokens"].append(
        {"id": number, "content": content, "special": special, "single_word": False, "lstrip": False}
        | {"rstrip": False, "normalized": False}
    )
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    change_json(model / "tokenizer_config.json", **settings)


def _piece_beyond(model: Path) -> None:
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["zebra"] = 5000
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))


def _dangling(model: Path) -> None:
    (model / "tokenizer.json").unlink()
    (model / "tokenizer.json").symlink_to("../../blobs/0123")


def _link_to_folder(model: Path) -> None:
    (model / "inner").mkdir()
    (model / "additional_chat_templates").symlink_to("inner")


def _circle(model: Path) -> None:
    (model / "tokenizer.json").unlink()
    (model / "tokenizer.json").symlink_to("vocab.json")
    (model / "vocab.json").symlink_to("tokenizer.json")


def _inside(*places: str) -> Callable[[Path], object]:
    def damage(model: Path) -> None:
        whole = model.rename(model.with_name("whole"))
        for place in places:
            shutil.copytree(whole, model / place)

    return damage


def _hub_cache(model: Path) -> None:
    _inside("snapshots/1111", "snapshots/2222")(model)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("1111\n")


def _int8(model: Path) -> None:
    header, data = read_header(model / WEIGHTS)
    name = "model.layers.0.mlp.up_proj.weight"
    begin, end = header[name]["data_offsets"]
    header[name] = {"dtype": "I8", "shape": [end - begin], "data_offsets": [begin, end]}
    write_header(model / WEIGHTS, header, data)


FAULTS: dict[str, Fault] = {
    "NaN in a weight": Fault(
        poison, ("model.safetensors: tensor model.norm.weight: 1 of 128", "NaN", "earlier")
    ),
    "inf in a weight": Fault(
        lambda model: poison(model, "model.embed_tokens.weight", float("inf")),
        ("tensor model.embed_tokens.weight: 1 of", "are NaN or infinite"),
    ),
    "weights cut short": Fault(
        _cut, ("model.safetensors: damaged", "bytes, and its header names"), IntegrityError
    ),
    "weights with a hole": Fault(
        _hole, ("model.safetensors: damaged", "does not begin where another ends"), IntegrityError
    ),
    "weights empty": Fault(_text(WEIGHTS, ""), ("model.safetensors: damaged", "Fetch"), IntegrityError),
    "weights that are text": Fault(
        _text(WEIGHTS, "<html>" * 9), ("model.safetensors: damaged",), IntegrityError
    ),
    "8-bit weights": Fault(_int8, ("model.safetensors: tensor", "I8", "quantized", "bfloat16")),
    "LFS pointer for weights": Fault(
        _pointer(WEIGHTS), ("model.safetensors: is a Git LFS pointer", "git lfs pull")
    ),
    "LFS pointer for the tokenizer": Fault(
        _pointer("tokenizer.json"), ("tokenizer.json: is a Git LFS pointer", "git lfs pull")
    ),
    "index and whole weights": Fault(_two_sets, ("two sets of weights", "stale: remove it")),
    "stale index": Fault(_stale_index, ("index.json: is stale", "Download", "tensor")),
    "a shard is lost": Fault(_lost_shard, ("index.json: names weights that are not there", "00002-of-00002")),
    "a shard too many": Fault(_unnamed_shard, ("model-00003-of-00003.safetensors: not named by", "stale")),
    "shards without index": Fault(_no_index, ("index.json is missing", "model-00001-of-00002.safetensors")),
    "an index that leads elsewhere": Fault(
        lambda model: (shard(model), change_json(model / INDEX, weight_map={"a": "../other.safetensors"})),
        ("weight_map: a: '../other.safetensors'",),
    ),
    "GGUF alone": Fault(_instead_of_weights("model.gguf"), ("GGUF (model.gguf)", "safetensors")),
    "Flax weights alone": Fault(
        _instead_of_weights("flax_model.msgpack"), ("format of Flax", "save_pretrained")
    ),
    "GPTQ": Fault(
        _config(quantization_config={"quant_method": "gptq", "bits": 4}), ("quantized (gptq)", "dequantize")
    ),
    "FP8": Fault(
        _config(quantization_config={"quant_method": "fp8"}), ("config.json: quantization", "(fp8)")
    ),
    "AWQ by its own file": Fault(_text("quant_config.json", "{}"), ("quant_config.json", "(AWQ)")),
    "bitsandbytes": Fault(_config(quantization_config={"load_in_4bit": True}), ("(bitsandbytes)",)),
    "MLX": Fault(_config(quantization={"bits": 4, "group_size": 64}), ("(MLX)",)),
    "an adapter alone": Fault(_as_adapter, ("adapter of org/base", "merge_and_unload")),
    "an adapter beside weights": Fault(
        _stray_adapter, ("adapter_config.json: an adapter beside full weights", "merge_and_unload")
    ),
    "config empty": Fault(_text("config.json", ""), ("config.json: is empty", "Download")),
    "config damaged": Fault(_text("config.json", '{"model_type": '), ("config.json: not valid JSON",)),
    "config an array": Fault(_text("config.json", "[]"), ("config.json: expected a JSON object",)),
    "config a web page": Fault(_text("config.json", "<!doctype html>"), ("config.json: is a web page",)),
    "config with a byte order mark": Fault(
        _text("config.json", "\ufeff{}"), ("config.json: not valid JSON", "BOM")
    ),
    "no model_type": Fault(_config(model_type=None), ("config.json: model_type is missing",)),
    "unknown dtype": Fault(_config(dtype="float17"), ("config.json: dtype: 'float17'; expected one of",)),
    "encoder": Fault(
        _config(architectures=["BertForMaskedLM"]), ("BertForMaskedLM is an encoder", "continue a text")
    ),
    "reward model": Fault(
        _config(architectures=["LlamaForSequenceClassification"]), ("a classifier or reward model",)
    ),
    "sequence to sequence": Fault(
        _config(architectures=["T5ForConditionalGeneration"], is_encoder_decoder=True),
        ("an encoder-decoder",),
    ),
    "bare model": Fault(
        _config(architectures=["Qwen3Model"]), ("Qwen3Model is a model without an output head",)
    ),
    "tokenizer damaged": Fault(_text("tokenizer.json", "{"), ("tokenizer.json: not valid JSON",)),
    "tokenizer without vocabulary": Fault(_text("tokenizer.json", "{}"), ("tokenizer.json: model: missing",)),
    "tokenizer settings damaged": Fault(
        _text("tokenizer_config.json", "x"), ("tokenizer_config.json: not valid",)
    ),
    "a lone tokenizer.model": Fault(
        _lone_tokenizer("tokenizer.model"),
        ("tokenizer.model: has to be converted", "sentencepiece", "save_pretrained"),
    ),
    "a lone vocab.json": Fault(_lone_tokenizer("vocab.json"), ("vocab.json without merges.txt",)),
    "tekken": Fault(_lone_tokenizer("tekken.json"), ("tekken.json: a tokenizer for mistral-common",)),
    "a piece beyond the embeddings": Fault(
        _piece_beyond, ("token 'zebra' has id 5000", "rows", "resize_token_embeddings")
    ),
    "an end token beyond the embeddings": Fault(
        lambda model: add_token(model, "<|im_end|>", 99, eos_token="<|im_end|>"),
        ("token '<|im_end|>' has id 99", "resize_token_embeddings"),
    ),
    "a template's token beyond the embeddings": Fault(
        lambda model: add_token(model, "<|user|>", 99, chat_template="<|user|>{{ messages[0].content }}"),
        ("token '<|user|>' has id 99", "rows"),
    ),
    "generation settings damaged": Fault(
        _text("generation_config.json", "["), ("generation_config.json: not",)
    ),
    "an end token that is text": Fault(
        lambda model: change_json(model / "generation_config.json", eos_token_id="</s>"),
        ("generation_config.json: eos_token_id: '</s>'",),
    ),
    "a link to nothing": Fault(_dangling, ("tokenizer.json: a link to nothing (../../blobs/0123)",)),
    "links in a circle": Fault(_circle, ("a link to nothing",)),
    "a link to a folder": Fault(_link_to_folder, ("additional_chat_templates", "link")),
    "the model is in a folder inside": Fault(
        _inside("final"), ("the model seems to be in", "final: give that")
    ),
    "checkpoints alone": Fault(
        _inside("checkpoint-50", "checkpoint-500"), ("config.json", "checkpoint-500 or ")
    ),
    "a folder of the hub's cache": Fault(_hub_cache, ("config.json is missing", "snapshots/1111: give that")),
    "weights of another program": Fault(
        _only("params.json", "consolidated.00.pth"), ("params.json", "transformers")
    ),
    "a diffusers pipeline": Fault(_only("model_index.json", "unet/config.json"), ("makes images",)),
}
