"""Is this folder a model that can be run? The one place that looks, before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.model_files import model_files, read_object
from inference.tokenizer_files import check_tokenizer
from inference.weights import check_weights

POINTER, POINTER_BYTES = b"version https://git-lfs", 1024
DTYPES = ("float32", "bfloat16", "float16", "float64", "auto")
DECODERS = ("ForCausalLM", "LMHeadModel", "ModelWithLMHead")
"""How the architectures are called that continue a text."""

OTHERS = {
    "ForSequenceClassification": "a classifier or reward model, which gives scores",
    "RewardModel": "a reward model, which gives scores",
    "ForTokenClassification": "a classifier of tokens",
    "ForQuestionAnswering": "an extractor of answers from a text",
    "ForMaskedLM": "an encoder, which fills gaps in a text",
    "ForPreTraining": "a model for pre-training alone",
    "ForSpeechSeq2Seq": "a speech model",
    "ForImageTextToText": "a vision-language model",
    "Model": "a model without an output head, such as an encoder for embeddings",
}
ADAPTER = "adapter_config.json"


def check_model_directory(path: Path) -> None:
    """Refuse a folder that does not hold a whole Hugging Face model: a decoder with safetensors weights that
    are complete and not quantized, its tokenizer, and nothing that would be put on top.

    Raises:
        InputError: names the file, what is wrong with it, and what to do. Pickled weights are refused, since
            loading them runs code.
        IntegrityError: a safetensors file is damaged.

    Example:
        >>> check_model_directory(Path("golden/base/tiny-base"))
        >>> check_model_directory(Path("golden/data"))
        Traceback (most recent call last):
        core.errors.InputError: golden/data: config.json is missing; is this a Hugging Face model directory?
    """
    _check_folder(path)
    files = model_files(path)
    _refuse_pointers(path, files)
    if "config.json" not in files:
        raise InputError(f"{path}: config.json is missing; {_instead(path)}")
    config = read_object(files["config.json"])
    _refuse_adapter(path, files)
    _check_config(files["config.json"], config)
    _check_quantization(files, config)
    rows = check_weights(path, files) or _vocabulary(config)
    check_tokenizer(path, files, rows)


def _check_folder(path: Path) -> None:
    if not path.exists():
        raise InputError(f"{path}: no such model directory")
    if not path.is_dir():
        what = "is a GGUF file" if path.suffix == ".gguf" else "is a file"
        raise InputError(f"{path}: {what}, expected a Hugging Face model directory")
    if not any(path.iterdir()):
        raise InputError(
            f"{path}: the model directory is empty; expected config.json, a tokenizer and safetensors weights"
        )


def _refuse_pointers(path: Path, files: Mapping[str, Path]) -> None:
    """Refuse what `git clone` leaves where Git LFS is not installed: small texts for large files."""
    pointers = [name for name, file in files.items() if _is_pointer(file)]
    if pointers:
        raise InputError(
            f"{path / pointers[0]}: is a Git LFS pointer, not the file itself ({_listed(pointers)}). In "
            f"{path}, run: git lfs install && git lfs pull"
        )


def _is_pointer(path: Path) -> bool:
    if path.stat().st_size > POINTER_BYTES:
        return False
    with path.open("rb") as file:
        return file.read(len(POINTER)) == POINTER


def _instead(path: Path) -> str:
    """What a folder without a config.json seems to be, and which one is meant."""
    if (path / ADAPTER).is_file():
        base = read_object(path / ADAPTER).get("base_model_name_or_path")
        return (
            f"this is an adapter of {base}, not a model. Merge them with peft: "
            f"PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained({str(base)!r}), {str(path)!r})"
            ".merge_and_unload().save_pretrained(FOLDER), and save the base's tokenizer there too"
        )
    if (path / "model_index.json").is_file():
        return "this is a diffusers pipeline, which makes images"
    if (path / "params.json").is_file():
        return (
            "params.json says that these are weights in the format of the model's maker. Take the version of "
            "the model for transformers, or convert it with the script that transformers has for its family"
        )
    if inner := _models_below(path):
        return f"the model seems to be in {' or '.join(map(str, inner[:3]))}: give that folder"
    if any(path.glob("*.gguf")):
        return "GGUF files are for llama.cpp. Take the model in safetensors that they were made from"
    return "is this a Hugging Face model directory?"


def _models_below(path: Path) -> list[Path]:
    """Folders inside that have a config.json or are adapters, the likeliest first: the newest snapshot of a
    hub cache, the last checkpoint of a training.
    """
    cached = path / "refs" / "main"
    if cached.is_file() and (snapshot := path / "snapshots" / cached.read_text().strip()).is_dir():
        return [snapshot]
    found = [
        file.parent
        for pattern in ("*/", "snapshots/*/", "*/snapshots/*/")
        for name in ("config.json", ADAPTER)
        for file in path.glob(pattern + name)
    ]
    return sorted(set(found), key=lambda folder: (-_step(folder), str(folder)))


def _step(folder: Path) -> int:
    number = folder.name.rpartition("-")[2]
    return int(number) if folder.name.startswith("checkpoint-") and number.isdecimal() else 0


def _refuse_adapter(path: Path, files: Mapping[str, Path]) -> None:
    stray = [name for name in files if name == ADAPTER or name.startswith("adapter_model.")]
    if stray:
        raise InputError(
            f"{path / stray[0]}: an adapter beside full weights: transformers would put it on top where peft "
            "is installed, and leave it where not. Move it to a folder of its own, or merge it into the "
            "weights with peft's merge_and_unload."
        )


def _check_config(path: Path, config: Mapping[str, Any]) -> None:
    if not isinstance(config.get("model_type"), str):
        raise InputError(
            f"{path}: model_type is missing, so nothing says what model this is. Take config.json from the "
            "model's source."
        )
    for field in ("dtype", "torch_dtype"):
        dtype = config.get(field)
        if dtype is not None and str(dtype).removeprefix("torch.") not in DTYPES:
            raise InputError(f"{path}: {field}: {dtype!r}; expected one of {', '.join(DTYPES[:-1])}.")
    architectures = config.get("architectures")
    if architectures is not None and not (
        isinstance(architectures, list) and all(isinstance(name, str) for name in architectures)
    ):
        raise InputError(f"{path}: architectures: {architectures!r}; expected a list of names")
    name = (architectures or [""])[0]
    if config.get("is_encoder_decoder"):
        raise InputError(
            f"{path}: {name or config['model_type']} is an encoder-decoder. {_EXPECTED.format(name='T5')}"
        )
    if name and not name.endswith(DECODERS) and not _answers_text(name, config["model_type"]):
        kind = next((kind for ending, kind in OTHERS.items() if name.endswith(ending)), "no decoder")
        if "vision_config" in config or "audio_config" in config:
            kind = "a model of images or sound"
        raise InputError(f"{path}: architectures: {name} is {kind}. {_EXPECTED.format(name=name)}")


_EXPECTED = (
    "Hallmark runs models that continue a text (a causal language model, such as LlamaForCausalLM or "
    "Qwen3ForCausalLM)."
)


def _answers_text(name: str, model_type: str) -> bool:
    """Whether transformers runs a multimodal architecture as one that continues a text, as it does Gemma 3.
    Imported for these alone.
    """
    if not name.endswith(("ForConditionalGeneration", "ForImageTextToText")):
        return False
    try:
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    except ImportError:
        return True  # whoever runs it will tell
    return model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES


def _check_quantization(files: Mapping[str, Path], config: Mapping[str, Any]) -> None:
    """Refuse quantized weights by the name of their method: GPTQ, AWQ, FP8, bitsandbytes, MLX and others."""
    for field in ("quantization_config", "compression_config", "quantization"):
        if found := config.get(field):
            raise InputError(f"{files['config.json']}: {field}: {_quantized(_method(field, found))}")
    for name, method in (("quantize_config.json", "GPTQ"), ("quant_config.json", "AWQ")):
        if name in files:
            raise InputError(f"{files[name]}: {_quantized(method)}")


def _method(field: str, found: Any) -> str:
    """What a quantization is called."""
    if not isinstance(found, dict):
        return str(found)
    if name := found.get("quant_method") or found.get("quant_type"):
        return str(name)
    if any(key.startswith("load_in_") for key in found):
        return "bitsandbytes"
    return "MLX" if field == "quantization" else field


def _quantized(method: str) -> str:
    return (
        f"the weights are quantized ({method}). Take the model that they were made from, in float32, "
        "bfloat16 or float16; or dequantize it with transformers (model.dequantize()) and save it, and name "
        "the result."
    )


def _vocabulary(config: Mapping[str, Any]) -> int | None:
    """How many rows config.json says that the embeddings have."""
    text = config.get("text_config")
    size = (text if isinstance(text, dict) else config).get("vocab_size")
    return size if isinstance(size, int) else None


def _listed(names: list[str], shown: int = 5) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
