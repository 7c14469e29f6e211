"""Small random models of real families, with the tiny base's tokenizer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from experiments.references import TINY_BASE_DIRECTORY

_WIDTH = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2}
_HEADS = {**_WIDTH, "num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 256}
_GROUPED = {**_HEADS, "num_key_value_heads": 2}
_LONG = {
    "rope_type": "longrope",
    "short_factor": [1.0] * 4,
    "long_factor": [4.0] * 4,
    "original_max_position_embeddings": 24,
    "factor": 16.0,
}

MODELS: dict[str, dict[str, Any]] = {
    "gpt2": {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
    "opt": {**_HEADS, "ffn_dim": 64, "word_embed_proj_dim": 32},
    "bloom": {"vocab_size": 99, "hidden_size": 32, "n_layer": 2, "n_head": 4},
    "gemma2": {**_GROUPED, "head_dim": 8, "sliding_window": 8, "tie_word_embeddings": False},
    "mixtral": {**_GROUPED, "num_local_experts": 4, "sliding_window": 8},
    "mamba": {**_WIDTH, "state_size": 8},
    "recurrent_gemma": {**_HEADS, "num_hidden_layers": 3, "lru_width": 32, "attention_window_size": 8},
    "rwkv": {**_WIDTH, "attention_hidden_size": 32, "intermediate_size": 64},
    "llama": {**_GROUPED, "rope_scaling": _LONG},
}


def make_model(family: str, folder: Path, **settings: Any) -> Path:
    """A model directory of a family, with random weights that make its predictions vary."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    named = {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0, "initializer_range": 0.4}
    config = AutoConfig.for_model(family, **{**named, **MODELS[family], **settings})
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(TINY_BASE_DIRECTORY / name, folder / name)
    return folder
