"""Our decoder is the Hugging Face model: the same logits, and the same bytes after load and save."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

pytestmark = pytest.mark.model

SIZES = {
    "vocab_size": 61,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}


@pytest.fixture(params=["Llama", "Qwen2", "Qwen3", "Qwen3 untied", "tiny-base"])
def model_directory(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A small random model of each family, made by transformers; and the real tiny base."""
    import torch
    import transformers

    from experiments.references import TINY_BASE_DIRECTORY

    if request.param == "tiny-base":
        return TINY_BASE_DIRECTORY
    family, _, untied = request.param.partition(" ")
    extra = {"head_dim": 16} if family == "Qwen3" else {}
    config = getattr(transformers, f"{family}Config")(**SIZES, **extra, tie_word_embeddings=not untied)
    torch.manual_seed(0)
    model = getattr(transformers, f"{family}ForCausalLM")(config)
    for name, parameter in model.named_parameters():  # norms and biases start as ones and zeros, which would prove nothing
        if "norm" in name or "bias" in name:
            torch.nn.init.normal_(parameter, mean=1.0, std=0.3)
    model.save_pretrained(tmp_path)
    return tmp_path


def test_logits_agree_with_transformers(model_directory: Path) -> None:
    import jax.numpy as jnp
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM

    from trainer.architecture import read_architecture
    from trainer.decoder import Packed
    from trainer.weights import load_decoder

    arch = read_architecture(model_directory)
    tokens = np.random.default_rng(0).integers(0, arch.vocab_size, (3, 24)).astype(np.int32)
    reference = AutoModelForCausalLM.from_pretrained(model_directory, dtype=torch.float32).eval()
    with torch.no_grad():
        expected = reference(torch.from_numpy(tokens.astype(np.int64))).logits.numpy()
    positions = np.broadcast_to(np.arange(24, dtype=np.int32), tokens.shape)
    packed = Packed(jnp.asarray(tokens), jnp.asarray(positions), jnp.ones(tokens.shape, jnp.int32))
    ours = np.asarray(load_decoder(model_directory, arch)(packed))
    assert np.abs(ours - expected).max() < 1e-4
    assert expected.std() > 1e-3


def test_load_and_save_gives_back_the_same_weights(model_directory: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    from trainer.architecture import read_architecture
    from trainer.weights import load_decoder, save_decoder

    arch = read_architecture(model_directory)
    save_decoder(load_decoder(model_directory, arch), model_directory, tmp_path / "one")
    save_decoder(load_decoder(tmp_path / "one", arch), tmp_path / "one", tmp_path / "two")
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    before, after = load_file(model_directory / "model.safetensors"), load_file(tmp_path / "one" / "model.safetensors")
    assert before.keys() == after.keys()
    assert all((before[name] == after[name]).all() for name in before)


def digest(directory: Path) -> str:
    return hashlib.sha256((directory / "model.safetensors").read_bytes()).hexdigest()


def test_packed_traces_do_not_see_each_other() -> None:
    import jax.numpy as jnp
    import numpy as np

    from experiments.references import TINY_BASE_DIRECTORY
    from trainer.architecture import read_architecture
    from trainer.decoder import Packed
    from trainer.weights import load_decoder

    model = load_decoder(TINY_BASE_DIRECTORY, read_architecture(TINY_BASE_DIRECTORY))
    one, two = np.arange(5, 15), np.arange(30, 42)

    def logits(*traces: np.ndarray) -> np.ndarray:
        tokens = np.concatenate(traces)[None]
        positions = np.concatenate([np.arange(len(trace)) for trace in traces])[None]
        segments = np.concatenate([np.full(len(trace), number) for number, trace in enumerate(traces, start=1)])[None]
        return np.asarray(model(Packed(*(jnp.asarray(part, jnp.int32) for part in (tokens, positions, segments)))))[0]

    together = logits(one, two)
    assert np.abs(together[:10] - logits(one)).max() < 1e-4
    assert np.abs(together[10:] - logits(two)).max() < 1e-4


def test_packing_does_not_change_the_loss() -> None:
    import jax.numpy as jnp
    import numpy as np

    from experiments.references import TINY_BASE_DIRECTORY
    from trainer.architecture import read_architecture
    from trainer.decoder import Packed
    from trainer.loop import completion_loss
    from trainer.packing import Example, batches
    from trainer.weights import load_decoder

    model = load_decoder(TINY_BASE_DIRECTORY, read_architecture(TINY_BASE_DIRECTORY))
    examples = [Example(str(n), list(range(5 + n, 17 + 2 * n)), 4 + n) for n in range(4)]

    def summed(length: int, rows: int) -> tuple[float, int]:
        batch = next(batches(examples, batch=rows, length=length, seed=0))
        parts = (jnp.asarray(part) for part in (batch.tokens, batch.positions, batch.segments))
        count = int((batch.targets >= 0).sum())
        return float(completion_loss(model, Packed(*parts), jnp.asarray(batch.targets))) * count, count

    packed, alone = summed(length=64, rows=1), summed(length=18, rows=4)
    assert packed[1] == alone[1] > 0
    assert np.isclose(packed[0], alone[0], rtol=1e-5)
