"""Our decoder is the Hugging Face model: the same logits, and the same bytes after load and save."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.model

TIME = 24
SIZES = {
    "vocab_size": 61,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 100.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
GEMMA = {"head_dim": 16, "query_pre_attn_scalar": 24, "sliding_window": 8}
SOFT = {"attn_logit_softcapping": 1.5, "final_logit_softcapping": 2.0}
GEMMA3_ROPE = {
    "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1000.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 10.0},
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {"tie_word_embeddings": False}),
    "llama-tied-all-heads": (
        "Llama",
        {"tie_word_embeddings": True, "num_key_value_heads": 4, "head_dim": 16},
    ),
    "llama-llama3-rope": ("Llama", {"rope_parameters": LLAMA3}),
    "llama-linear-rope": (
        "Llama",
        {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 50.0}},
    ),
    "qwen2": ("Qwen2", {"tie_word_embeddings": True}),
    "qwen2-window-untied": (
        "Qwen2",
        {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    ),
    "qwen3": ("Qwen3", {"head_dim": 16, "tie_word_embeddings": True}),
    "qwen3-untied": ("Qwen3", {"head_dim": 16}),
    "gemma2": ("Gemma2", {**GEMMA, **SOFT}),
    "gemma2-untied": (
        "Gemma2",
        {**GEMMA, **SOFT, "tie_word_embeddings": False, "final_logit_softcapping": None},
    ),
    "gemma3": (
        "Gemma3",
        {
            **GEMMA,
            "num_hidden_layers": 3,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
    ),
    "gemma3-rope-untied": (
        "Gemma3",
        {**GEMMA, "rope_parameters": GEMMA3_ROPE, "tie_word_embeddings": False, "num_hidden_layers": 6},
    ),
}
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes a small random model of a variant with transformers; "tiny-base" is the real one."""
    import torch
    import transformers

    from experiments.references import TINY_BASE_DIRECTORY

    def one(variant: str, *, dtype: str = "float32", shard: str = "1GB") -> Path:
        if variant == "tiny-base":
            return TINY_BASE_DIRECTORY
        family, options = VARIANTS[variant]
        config = getattr(transformers, f"{family}TextConfig" if family == "Gemma3" else f"{family}Config")(
            **{**SIZES, **options}
        )
        torch.manual_seed(0)
        model = getattr(transformers, f"{family}ForCausalLM")(config)
        for (
            name,
            parameter,
        ) in (
            model.named_parameters()
        ):  # norms and biases start as ones and zeros, matrices too small to matter
            norm = "norm" in name or "bias" in name
            torch.nn.init.normal_(parameter, mean=0.7 if norm else 0.0, std=0.3 if norm else 0.15)
        target = tmp_path_factory.mktemp(variant)
        model.to(getattr(torch, dtype)).save_pretrained(target, max_shard_size=shard)
        return target

    return one


def load(directory: Path, **options: Any) -> Any:
    from trainer.huggingface.weights import load_decoder
    from trainer.model.architecture import read_architecture

    return load_decoder(directory, read_architecture(directory), **options)


def pack(*traces: Any) -> tuple[Any, Any, Any]:
    """One row of traces as the decoder takes it: tokens, positions, segments."""
    import jax.numpy as jnp
    import numpy as np

    positions = np.concatenate([np.arange(len(trace)) for trace in traces])
    segments = np.concatenate([np.full(len(trace), number) for number, trace in enumerate(traces, start=1)])
    tokens, positions, segments = (
        jnp.asarray(part, jnp.int32)[None] for part in (np.concatenate(traces), positions, segments)
    )
    return tokens, positions, segments


def random_tokens(vocab_size: int, time: int = TIME, seed: int = 0) -> Any:
    import numpy as np

    return np.random.default_rng(seed).integers(0, vocab_size, time)


def reference_logits(directory: Path, tokens: Any) -> Any:
    """What transformers gives, [time, vocab]; nothing may be missing from the directory or surplus in it."""
    import torch
    from transformers import AutoModelForCausalLM

    model, report = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    with torch.no_grad():
        return model.eval()(torch.from_numpy(tokens)[None]).logits[0].numpy()


def assert_agrees_with_transformers(directory: Path) -> None:
    import numpy as np

    model = load(directory)
    tokens = random_tokens(model.arch.vocab_size)
    expected, ours = reference_logits(directory, tokens), np.asarray(model(*pack(tokens)))[0]
    assert expected.std() > 0.1
    assert np.abs(ours - expected).max() < 1e-4


@pytest.mark.parametrize("variant", [*VARIANTS, "tiny-base"])
def test_logits_agree_with_transformers(make: Make, variant: str) -> None:
    assert_agrees_with_transformers(make(variant))


def test_logits_agree_beyond_the_first_thousands_of_positions(make: Make) -> None:
    import jax.numpy as jnp
    import numpy as np
    import torch
    from transformers import AutoConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    from trainer.model.rotary import rotary_tables

    directory = make("llama-llama3-rope")
    places = np.array([[0, 1, 4000, 16000]])
    theirs = LlamaRotaryEmbedding(AutoConfig.from_pretrained(directory))(
        torch.zeros(1), torch.from_numpy(places)
    )
    arch = load(directory).arch
    ours = rotary_tables(jnp.asarray(places, jnp.int32), arch.head_dim, arch.rope)
    for our, their in zip(ours, theirs, strict=True):
        assert np.abs(np.asarray(our)[:, :, 0] - their.numpy()).max() < 2e-3


OLD_SPELLINGS: dict[str, dict[str, Any]] = {
    "llama-llama3-rope": {"rope_scaling": {**LLAMA3, "rope_theta": None}, "rope_theta": 100.0},
    "llama-linear-rope": {"rope_scaling": {"type": "linear", "factor": 4.0}, "rope_theta": 50.0},
    "gemma2": {"rope_theta": 10_000.0, "layer_types": None, "hidden_act": "gelu_pytorch_tanh"},
    "gemma3-rope-untied": {
        "rope_theta": 1000.0,
        "rope_local_base_freq": 10.0,
        "rope_scaling": {"rope_type": "linear", "factor": 4.0},
        "sliding_window_pattern": 6,
        "layer_types": None,
    },
}


@pytest.mark.parametrize("variant", OLD_SPELLINGS)
def test_the_older_spelling_of_a_config_means_the_same(make: Make, variant: str) -> None:
    from trainer.model.architecture import read_architecture

    directory = make(variant)
    path = directory / "config.json"
    now, config = read_architecture(directory), json.loads(path.read_text())
    config.update(rope_parameters=None, torch_dtype=config.pop("dtype"), **OLD_SPELLINGS[variant])
    if scaling := config.get("rope_scaling"):
        config["rope_scaling"] = {key: value for key, value in scaling.items() if value is not None}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    assert read_architecture(directory) == now
    assert_agrees_with_transformers(directory)


@pytest.mark.parametrize(
    ("variant", "change", "said"),
    [
        (
            "llama",
            {"architectures": ["MistralForCausalLM"]},
            "architectures: MistralForCausalLM .* Supported: LlamaForCausalLM, ",
        ),
        (
            "llama",
            {"rope_parameters": {"rope_type": "yarn", "factor": 2.0}},
            "rope_type: 'yarn' .* default, linear, llama3",
        ),
        (
            "llama",
            {"rope_parameters": {"rope_type": "linear"}},
            "rope_parameters.factor: None; .* a number above 0",
        ),
        ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor: 0.5 .* supported: 1.0"),
        ("llama", {"mlp_bias": True}, "mlp_bias: True .* supported: False"),
        ("llama", {"attention_bias": True}, "attention_bias: True .* supported: False"),
        ("llama", {"hidden_act": "relu"}, "hidden_act: 'relu' .* supported: 'silu'"),
        ("llama", {"num_hidden_layers": "two"}, "num_hidden_layers: 'two'; expected a whole number"),
        ("llama", {"num_key_value_heads": 3}, "num_key_value_heads 3"),
        (
            "qwen3",
            {"layer_types": ["full_attention", "chunked_attention"]},
            "layer_types: .*; supported: 2 of full_attention",
        ),
        ("gemma3", {"use_bidirectional_attention": True}, "use_bidirectional_attention: True"),
        ("gemma3", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping: 50.0 .* supported: None"),
        (
            "gemma3",
            {"rope_parameters": {"rope_type": "default"}},
            "rope_parameters: .* full_attention and sliding_attention",
        ),
    ],
)
def test_what_is_not_supported_is_refused_by_name(
    make: Make, variant: str, change: dict[str, Any], said: str
) -> None:
    from core.errors import InputError
    from trainer.model.architecture import read_architecture

    path = make(variant) / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=f"config.json: .*{said}"):
        read_architecture(path.parent)


def tensors(directory: Path) -> dict[str, tuple[str, Any, bytes]]:
    """File, dtype and bytes of every tensor."""
    import torch
    from safetensors.torch import load_file

    return {
        name: (path.name, value.dtype, value.contiguous().view(torch.uint8).numpy().tobytes())
        for path in directory.glob("*.safetensors")
        for name, value in load_file(path).items()
    }


@pytest.mark.parametrize("shard", ["1GB", "20KB"], ids=["one-file", "sharded"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("variant", ["llama", "qwen2", "gemma3"])
def test_load_and_save_gives_back_the_same_weights(
    make: Make, tmp_path: Path, variant: str, dtype: str, shard: str
) -> None:
    from trainer.huggingface.weights import save_decoder

    base = make(variant, dtype=dtype, shard=shard)
    save_decoder(load(base), base, tmp_path / "one")
    save_decoder(load(tmp_path / "one"), tmp_path / "one", tmp_path / "two")
    assert tensors(base) == tensors(tmp_path / "one") == tensors(tmp_path / "two")
    assert json.loads((tmp_path / "two" / "config.json").read_text())["dtype"] == dtype
    index = "model.safetensors.index.json"
    assert (tmp_path / "two" / index).exists() == (base / index).exists() == (shard == "20KB")
    if shard == "20KB":
        ours, theirs = (json.loads((folder / index).read_text()) for folder in (tmp_path / "two", base))
        assert ours["weight_map"] == theirs["weight_map"]
        assert ours["metadata"]["total_size"] == theirs["metadata"]["total_size"]
    assert_agrees_with_transformers(tmp_path / "two")


@pytest.mark.parametrize("variant", ["tiny-base", "llama-tied-all-heads", "qwen3-untied", "gemma2"])
def test_a_saved_file_is_what_the_safetensors_library_writes(
    make: Make, tmp_path: Path, variant: str
) -> None:
    from safetensors.numpy import load_file, save

    from trainer.huggingface.weights import save_decoder

    base = make(variant)
    save_decoder(load(base), base, tmp_path / "one")
    expected = save(load_file(base / "model.safetensors"), metadata={"format": "pt"})
    assert (tmp_path / "one" / "model.safetensors").read_bytes() == expected


def test_a_bfloat16_base_can_be_saved_as_float32(make: Make, tmp_path: Path) -> None:
    import torch

    from trainer.huggingface.weights import save_decoder

    base = make("llama", dtype="bfloat16", shard="20KB")
    save_decoder(load(base), base, tmp_path / "wide", dtype="float32")
    saved = tensors(tmp_path / "wide")
    assert {dtype for _, dtype, _ in saved.values()} == {torch.float32}
    assert json.loads((tmp_path / "wide" / "config.json").read_text())["dtype"] == "float32"
    size = json.loads((tmp_path / "wide" / "model.safetensors.index.json").read_text())["metadata"][
        "total_size"
    ]
    assert size == sum(len(data) for _, _, data in saved.values())
    assert_agrees_with_transformers(tmp_path / "wide")


def with_tensors(directory: Path, extra: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    from safetensors.torch import load_file, save_file

    path = directory / "model.safetensors"
    found = load_file(path)
    save_file({**found, **extra(found)}, path, metadata={"format": "pt"})
    return directory


def test_a_tied_head_that_is_stored_stays_the_embedding(make: Make, tmp_path: Path) -> None:
    from trainer.huggingface.weights import save_decoder

    base = with_tensors(
        make("gemma2"), lambda found: {"lm_head.weight": found["model.embed_tokens.weight"].clone()}
    )
    model = load(base)
    model.embed.embedding.set_value(model.embed.embedding[...] * 2)
    save_decoder(model, base, tmp_path / "one")
    saved = tensors(tmp_path / "one")
    assert saved["lm_head.weight"] == saved["model.embed_tokens.weight"] != tensors(base)["lm_head.weight"]
    assert_agrees_with_transformers(tmp_path / "one")


def test_a_tied_head_that_differs_is_refused(make: Make) -> None:
    from core.errors import InputError

    base = with_tensors(
        make("gemma2"), lambda found: {"lm_head.weight": found["model.embed_tokens.weight"] + 1}
    )
    with pytest.raises(InputError, match=r"lm_head.weight differs from model.embed_tokens.weight"):
        load(base)


def test_of_surplus_tensors_only_rotary_frequencies_are_ignored(make: Make, tmp_path: Path) -> None:
    import torch

    from core.errors import InputError
    from trainer.huggingface.weights import save_decoder

    base = with_tensors(
        make("llama"), lambda _: {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    )
    save_decoder(load(base), base, tmp_path / "one")
    assert not any("inv_freq" in name for name in tensors(tmp_path / "one"))
    with pytest.raises(
        InputError, match=r"tensor model.layers.0.self_attn.q_proj.lora_A does not belong to LlamaForCausalLM"
    ):
        load(with_tensors(base, lambda _: {"model.layers.0.self_attn.q_proj.lora_A": torch.ones(4)}))
    with pytest.raises(
        InputError, match=r"tensor scales: dtype I8 cannot be trained; supported: F32, BF16, F16"
    ):
        load(with_tensors(base, lambda _: {"scales": torch.ones(4, dtype=torch.int8)}))


@pytest.mark.parametrize("variant", ["tiny-base", "llama", "qwen2-window-untied", "gemma2", "gemma3"])
def test_packed_traces_do_not_see_each_other(make: Make, variant: str) -> None:
    import numpy as np

    model = load(make(variant))
    one, two = (
        random_tokens(model.arch.vocab_size, 11, seed=1),
        random_tokens(model.arch.vocab_size, 13, seed=2),
    )
    together = np.asarray(model(*pack(one, two)))[0]
    assert np.abs(together[:11] - np.asarray(model(*pack(one)))[0]).max() < 1e-4
    assert np.abs(together[11:] - np.asarray(model(*pack(two)))[0]).max() < 1e-4


def loss_gradients(model: Any) -> tuple[float, Any]:
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from trainer.step import DeviceBatch, summed_loss

    tokens = random_tokens(model.arch.vocab_size)
    structure, parameters = nnx.split(model)
    targets = jnp.asarray([*tokens[1:], -1], jnp.int32)[None]
    batch = DeviceBatch(*pack(tokens), targets)
    mean_loss = jax.jit(
        jax.value_and_grad(lambda p: summed_loss(nnx.merge(structure, p), batch) / len(tokens))
    )
    loss, gradients = mean_loss(parameters)
    return float(loss), gradients


@pytest.mark.parametrize("variant", ["llama", "gemma3"])
def test_rematerialising_changes_no_gradient(make: Make, variant: str) -> None:
    import jax
    import numpy as np

    directory = make(variant)
    (loss, kept), (again, computed) = (
        loss_gradients(load(directory)),
        loss_gradients(load(directory, remat=True)),
    )
    assert np.isclose(loss, again, rtol=1e-6)
    leaves = list(zip(jax.tree.leaves(kept), jax.tree.leaves(computed), strict=True))
    assert all(
        np.abs(left).max() > 0 and np.allclose(left, right, rtol=1e-4, atol=1e-6) for left, right in leaves
    )


@pytest.mark.parametrize("variant", ["qwen3", "gemma2"])
def test_bfloat16_is_computed_in_and_not_kept_in(make: Make, variant: str) -> None:
    import jax
    import jax.numpy as jnp
    import numpy as np
    from flax import nnx

    directory = make(variant)
    model, exact = load(directory, dtype=jnp.bfloat16), load(directory)
    batch = pack(random_tokens(model.arch.vocab_size))
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(model))} == {jnp.dtype("float32")}
    assert model.hidden(*batch).dtype == jnp.bfloat16
    assert model(*batch).dtype == jnp.float32
    expected = np.asarray(exact(*batch))
    assert 0 < np.abs(np.asarray(model(*batch)) - expected).mean() < 0.05 * expected.std()
    _, gradients = loss_gradients(model)
    assert {leaf.dtype for leaf in jax.tree.leaves(gradients)} == {jnp.dtype("float32")}
