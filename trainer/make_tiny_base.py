"""Make the tiny base model: `python -m trainer.make_tiny_base OUTPUT`.

A Qwen3 of 0.8 M parameters with a character tokenizer, trained from random weights on the easy questions of
the eight skills (never on golden items). It is the base that every experiment without a model of one's own
starts from: small enough to commit, good enough to be worth improving.
"""

from __future__ import annotations

import argparse
import os
import shutil
import string
import tempfile
from pathlib import Path
from random import Random
from typing import Any

from core.progress import Progress
from golden.datasets import load_dataset
from golden.generate import Banded, questions, write_dataset
from trainer.contract import SettledTrainConfig, TrainSpec

SEED = 20_261_103
PER_BAND, HARDER = 3000, 500
CONFIG = SettledTrainConfig(
    steps=1200,
    batch_size=32,
    sequence_length=128,
    learning_rate=3e-3,
    warmup_steps=50,
    weight_decay=0.05,
    seed=1,
)
CARD = """---
library_name: transformers
pipeline_tag: text-generation
license: apache-2.0
tags: [hallmark]
---

# tiny-base

A Qwen3 of 0.8 M parameters with a character tokenizer, made by `python -m trainer.make_tiny_base`: \
1,200 steps from random
weights on easy questions of eight small reasoning skills, and a few harder ones. \
It answers just under half of golden-v1, none
of which it has seen, and can learn more in about a minute on two processor cores. \
It is made for trying out Hallmark
and knows nothing of the world. The script gives a model of this kind, but no longer these bytes: \
the order in which the trainer
shows its data has changed since.
"""


def make_tokenizer() -> Any:
    """One token per character: printable ASCII and the line feed. Anything else is `<unk>`."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    specials = ["<pad>", "<eos>", "<unk>"]
    characters = ["\n", *sorted(string.digits + string.ascii_letters + string.punctuation + " ")]
    vocabulary = {token: number for number, token in enumerate([*specials, *characters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        padding_side="left",
        model_max_length=256,
        model_input_names=["input_ids", "attention_mask"],
    )


def write_random_base(directory: Path) -> None:
    """Write the untrained model, in float32, and its tokenizer as a Hugging Face directory."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = make_tokenizer()
    torch.manual_seed(SEED)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        intermediate_size=384,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        initializer_range=0.02,
    )
    Qwen3ForCausalLM(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def curriculum() -> list[Banded]:
    """Many easy questions of every skill and a few harder ones, none of them in golden-v1."""
    golden = {item.question for item in load_dataset("golden-v1").items()}
    made = list(questions(SEED, PER_BAND, golden))
    easy = [banded for banded in made if banded.band == "easy"]
    harder = [banded for banded in made if banded.band != "easy"]
    Random(SEED).shuffle(harder)
    return easy + harder[:HARDER]


def make(output: Path) -> None:
    """Write the tiny base model to `output`."""
    os.environ["NPROC"] = str(CONFIG.threads)  # sizes XLA's thread pools; must be set before jax is imported
    from trainer.job import run_training

    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        write_random_base(work / "random")
        dataset = write_dataset(work, "tiny_base-v1", curriculum(), "python -m trainer.make_tiny_base")
        spec = TrainSpec(
            base=work / "random", base_label="random weights", dataset=dataset, output=work, config=CONFIG
        )
        run_training(spec, _say)
        (work / "model" / "README.md").write_text(CARD, encoding="utf-8")
        shutil.copytree(work / "model", output)


def _say(progress: Progress) -> None:
    print(progress.sentence(), flush=True)  # noqa: T201 - a script's output


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Train the tiny base model and write it as a Hugging Face directory."
    )
    parser.add_argument("output", type=Path, help="directory to write; must not exist")
    make(parser.parse_args().output)
