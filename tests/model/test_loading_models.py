"""A model loads as it is on the disk or not at all, and NaN is never taken for an answer."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError
from experiments.references import TINY_BASE_DIRECTORY
from inference.contract import GenerationConfig, PredictSpec
from tests.support.model_faults import WEIGHTS, add_token, change_json, poison, read_header, write_header

pytestmark = pytest.mark.model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the tiny base that a test may damage."""
    return Path(shutil.copytree(TINY_BASE_DIRECTORY, tmp_path / "my-model"))


def spec(model: Path, dataset: Path, **generation: Any) -> PredictSpec:
    settings = GenerationConfig.model_validate({"max_new_tokens": 8, "device": "cpu", **generation})
    output = model.with_name("out")
    output.mkdir(exist_ok=True)
    return PredictSpec(model=model, dataset=dataset, output=output, label="predict", generation=settings)


def predict(model: Path, dataset: Path, **generation: Any) -> list[str]:
    from inference.generate import predict as generate

    wanted = spec(model, dataset, **generation)
    generate(wanted, lambda _: None)
    lines = (wanted.output / "predictions.jsonl").read_text().splitlines()
    return [json.loads(line)["prediction"] for line in lines]


def test_a_process_that_had_transformers_before_loads_models_too() -> None:
    program = (
        "import transformers.cache_utils\nfrom inference.loading import import_libraries\nimport_libraries()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def config(**changes: object) -> Callable[[Path], object]:
    return lambda model: change_json(model / "config.json", **changes)


def with_tensor(name: str) -> Callable[[Path], object]:
    """One more tensor of two zeros."""

    def damage(model: Path) -> None:
        header, data = read_header(model / WEIGHTS)
        header[name] = {"dtype": "F32", "shape": [2], "data_offsets": [len(data), len(data) + 8]}
        write_header(model / WEIGHTS, header, data + bytes(8))

    return damage


def without_tensor(model: Path) -> None:
    header, data = read_header(model / WEIGHTS)
    last = max(set(header) - {"__metadata__"}, key=lambda name: header[name]["data_offsets"])
    write_header(model / WEIGHTS, header, data[: header.pop(last)["data_offsets"][0]])


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "code of its own": (
        config(model_type="mine", auto_map={"AutoConfig": "mine.MineConfig"}),
        "config.json: auto_map: mine needs Python code .* which is never run",
    ),
    "an unknown family": (config(model_type="qwen99"), "model_type: 'qwen99' is not known to the installed"),
    "a size that is text": (config(hidden_size="x"), "config.json: .*hidden_size.*expected int"),
    "no heads": (config(num_attention_heads=0), "my-model: transformers cannot load this model"),
    "a tensor too many": (with_tensor("v_head.weight"), "tensor v_head.weight has no place in the model"),
    "a tensor too few": (without_tensor, "tensor model.norm.weight is missing, though config.json calls"),
    "another vocabulary": (
        config(vocab_size=98),
        r"embed_tokens.weight has shape \[99, 128\].*says \[98, 128\]",
    ),
    "a tokenizer from the future": (
        lambda model: (model / "tokenizer.json").write_text(
            json.dumps(
                {**json.loads((model / "tokenizer.json").read_text()), "model": {"type": "New", "vocab": {}}}
            )
        ),
        "tokenizer.json: the installed tokenizers library cannot read it",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_only_the_libraries_notice_is_refused_with_file_and_remedy(name: str, model: Path) -> None:
    from inference.loading import load

    damage, words = REFUSED[name]
    damage(model)
    with pytest.raises(InputError, match=words):
        load(spec(model, model))


def test_a_stray_adapter_is_never_put_on_top(model: Path) -> None:
    from inference.loading import load

    change_json(model / "adapter_config.json", peft_type="LORA", base_model_name_or_path="no/such")
    with pytest.raises(InputError, match="adapter_config.json: an adapter beside full weights"):
        load(spec(model, model))


def test_rotary_frequencies_of_old_checkpoints_and_a_padding_token_without_a_row_change_nothing(
    model: Path, small_dataset: Callable[[str, int], Path]
) -> None:
    dataset = small_dataset("golden-v1", 6)
    before = predict(model, dataset)
    with_tensor("model.layers.0.self_attn.rotary_emb.inv_freq")(model)
    add_token(model, "<pad>", 99, pad_token="<pad>")
    shutil.rmtree(model.with_name("out"))
    assert predict(model, dataset) == before


def test_weights_that_are_not_finite_are_refused_by_both_loaders(model: Path) -> None:
    from inference.loading import load
    from trainer.huggingface.weights import load_decoder
    from trainer.model.architecture import read_architecture

    poison(model)
    with pytest.raises(InputError, match=r"tensor model.norm.weight: 1 of 128 numbers are NaN or infinite"):
        load(spec(model, model))
    with pytest.raises(InputError, match=r"tensor model.norm.weight holds NaN or infinities"):
        load_decoder(model, read_architecture(model))


def test_a_model_that_computes_nan_ends_with_the_item_and_no_score_of_zero(
    model: Path, small_dataset: Callable[[str, int], Path]
) -> None:
    poison(model, value=3e38)  # finite, and beyond the range once it is multiplied
    poison(model, "model.layers.3.input_layernorm.weight", 3e38)
    with pytest.raises(
        InputError, match=r"item [\w-]+: the model computed NaN or infinity, in float32, for token 1"
    ):
        predict(model, small_dataset("golden-v1", 3))
    assert not (model.with_name("out") / "predictions.jsonl").exists()


def test_a_prompt_with_a_token_that_has_no_row_names_it(model: Path, tmp_path: Path) -> None:
    add_token(model, "<image>", 99, special=False)  # a special one would be read as text
    dataset = tmp_path / "with-image-v1.jsonl"
    item = {"trace_id": "t1", "prompt": "What is <image>?", "steps": [], "final_answer": "x", "category": "c"}
    dataset.write_text(json.dumps(item) + "\n")
    with pytest.raises(
        InputError, match=r"item t1: token '<image>' has id 99, but the model's embeddings have 99"
    ):
        predict(model, dataset)


def test_training_keeps_every_file_of_the_model_byte_for_byte(model: Path, tmp_path: Path) -> None:
    from trainer.huggingface.weights import load_decoder, save_decoder
    from trainer.model.architecture import read_architecture

    kept = {
        "additional_chat_templates/tool_use.jinja": "{{ messages[0].content }}\r\n",
        "chat_template.jinja": "{{ messages[0].content }}",
        "LICENSE": "Apache",
        "vocab.txt": "a\nb\n",
    }
    left = {"optimizer.pt": "x", ".git/config": "x", "trainer_state.json": "{}"}
    for name, text in {**kept, **left}.items():
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_bytes(text.encode())
    save_decoder(load_decoder(model, read_architecture(model)), model, tmp_path / "saved")
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json", *kept):
        assert (tmp_path / "saved" / name).read_bytes() == (model / name).read_bytes(), name
    assert not any((tmp_path / "saved" / name).exists() for name in left)


def test_our_list_of_tensors_is_what_the_decoder_has(model: Path) -> None:
    from trainer.huggingface.tensor_names import expected_shapes
    from trainer.huggingface.weights import load_decoder, parameter_names
    from trainer.model.architecture import read_architecture

    arch = read_architecture(model)
    decoder = load_decoder(model, arch)
    assert dict(expected_shapes(arch)) == {
        name: parameter.shape[::-1] if transposed else parameter.shape
        for name, parameter, transposed in parameter_names(decoder)
    }
