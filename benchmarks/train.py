"""How fast does training learn from tokens? Hallmark against Hugging Face Trainer and tunix's PeftTrainer.

    python benchmarks/train.py [--model DIR] [--dataset FILE] [--repeats 3] [--tunix-python PATH]

The figure is loss-bearing tokens per second: those tokens that entered the loss, over the time that the
steps took, reading of batches included. Prompts and padding count for nothing, for anybody.

Rules:

- The same model, data, thread count and environment variables; float32; AdamW with the same rates, betas,
  weight decay, clipping, warm-up and cosine decay; loss on completions alone.
- Every contender consumes at least `--traces` traces after its warm-up, in whole steps, from a seeded
  shuffle. Peers take `--batch` traces per step; Hallmark takes `--rows` rows of `--length` tokens, which by
  default hold a few traces more.
- Warm-up steps, in which compilers work, are not counted; the time up to their end is printed on its own
  ("start").
- Peers do what is normal for them. Hugging Face Trainer pads a batch to its longest trace, with attention by
  PyTorch's fused kernel (sdpa), its second row with batches grouped by length (it sorts 50 batches at a time,
  longest first, so that fewer traces than 50 x `--batch` would be the long ones only). PeftTrainer runs its
  own Qwen3 on traces padded to the longest of all, since XLA compiles a program for every shape. Hallmark
  packs; its second row pads like PeftTrainer.
- Each run has a process of its own. Repeats are interleaved, and the best of each counts.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
WARM_UP = 5
MARK = "RESULT "


@dataclass(frozen=True)
class Result:
    """One contender's run.

    Attributes:
        loss_tokens: loss-bearing tokens of the counted steps.
        seconds: that the counted steps took.
        cpu_seconds: processor time of the counted steps, over all threads.
        start: seconds from the start of the process to the end of the warm-up.
        loss: of the last step, to see that everybody trains the same thing; NaN where a trainer keeps it.
    """

    loss_tokens: int
    seconds: float
    cpu_seconds: float
    start: float
    loss: float


class Clock:
    """Counts loss-bearing tokens from the end of the warm-up."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.step = self.tokens = 0

    def after(self, loss_tokens: int) -> None:
        """A step is done."""
        self.step += 1
        self.tokens += loss_tokens
        if self.step == WARM_UP:
            self.tokens, self.wall, self.cpu = 0, time.perf_counter(), time.process_time()

    def result(self, loss: float) -> Result:
        return Result(
            self.tokens,
            time.perf_counter() - self.wall,
            time.process_time() - self.cpu,
            self.wall - self.began,
            loss,
        )


@dataclass(frozen=True)
class Example:
    """One trace: token ids, of which the first `prompt_length` bear no loss."""

    tokens: list[int]
    prompt_length: int


def read_dataset(options: argparse.Namespace, folder: str) -> Any:
    """The training traces as token ids, made by the trainer's own code."""
    from golden.tokenizer import load_tokenizer
    from trainer.data.tokens import tokenize

    return tokenize(options.dataset, load_tokenizer(options.model), Path(folder) / "tokens")


def padded(dataset: Any, size: int) -> Any:
    """Endless batches of one trace per row, padded to the dataset's longest trace, rounded up to eight."""
    from trainer.data.stream import PackedStream

    longest = -(-int(dataset.sizes.max()) // 8) * 8
    return PackedStream(dataset, batch=size, length=longest, seed=0, packing=False)


def read_examples(options: argparse.Namespace) -> list[Example]:
    """The same as lists, for the peers."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = read_dataset(options, folder)
        bounds = zip(dataset.begins.tolist(), dataset.sizes.tolist(), strict=True)
        slices = [slice(begin, begin + size) for begin, size in bounds]
        return [
            Example(dataset.tokens[each].tolist(), int(dataset.bears_loss[each].argmax())) for each in slices
        ]


def config(options: argparse.Namespace, steps: int) -> Any:
    """The settings that all contenders share."""
    from trainer.contract import SettledTrainConfig

    return SettledTrainConfig(
        steps=steps, warmup_steps=WARM_UP, batch_size=options.rows, sequence_length=options.length
    )


def peer_steps(options: argparse.Namespace) -> int:
    return int(WARM_UP + -(-options.traces // options.batch))


def hallmark(options: argparse.Namespace, packed: bool) -> Result:
    clock = Clock()
    from trainer.data.stream import PackedStream
    from trainer.huggingface.weights import load_decoder
    from trainer.mesh import make_mesh
    from trainer.model.architecture import read_architecture
    from trainer.step import TrainStep, trainable_decoder

    with tempfile.TemporaryDirectory() as folder:
        dataset = read_dataset(options, folder)

        def stream() -> Any:
            if packed:
                return PackedStream(dataset, batch=options.rows, length=options.length, seed=0)
            return padded(dataset, options.batch)

        some = [batch for batch, _ in zip(stream(), range(8), strict=False)]
        steps = int(
            WARM_UP
            + -(-options.traces * len(some) // sum(int(batch.segments.max(axis=1).sum()) for batch in some))
        )
        rows, length = some[0].tokens.shape
        settings = config(options, steps).model_copy(update={"batch_size": rows, "sequence_length": length})
        arch = read_architecture(options.model)
        step = TrainStep(arch, settings, make_mesh(settings))
        state = step.start(trainable_decoder(load_decoder(options.model, arch), settings))
        loss = 0.0
        for number, batch in zip(range(1, steps + 1), stream(), strict=False):
            state, measured = step(state, number, step.on_devices(batch))
            loss = float(measured["loss"])
            clock.after(int((batch.targets >= 0).sum()))
        return clock.result(loss)


def transformers(options: argparse.Namespace, grouped: bool) -> Result:
    clock = Clock()
    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        DataCollatorForSeq2Seq,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    torch.set_num_threads(options.threads)
    steps = peer_steps(options)
    shared = config(options, steps)
    rows = [
        {
            "input_ids": example.tokens,
            "attention_mask": [1] * len(example.tokens),
            "labels": [-100] * example.prompt_length + example.tokens[example.prompt_length :],
        }
        for example in read_examples(options)
    ]
    collate = DataCollatorForSeq2Seq(AutoTokenizer.from_pretrained(options.model), padding=True)
    counts: list[int] = []

    def collate_and_count(features: list[dict[str, Any]]) -> Any:
        batch = collate(features)
        counts.append(int((batch["labels"] >= 0).sum()))
        return batch

    class Count(TrainerCallback):  # type: ignore[misc] # transformers is not typed
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.after(counts[clock.step])

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=options.batch,
            max_steps=steps,
            learning_rate=shared.learning_rate,
            lr_scheduler_type="cosine_with_min_lr",
            lr_scheduler_kwargs={"min_lr_rate": 0.1},
            warmup_steps=shared.warmup_steps,
            weight_decay=shared.weight_decay,
            max_grad_norm=shared.gradient_clip,
            adam_beta2=0.95,
            train_sampling_strategy="group_by_length" if grouped else "random",
            seed=0,
            report_to="none",
            save_strategy="no",
            logging_steps=steps,
            disable_tqdm=True,
        )
        model = AutoModelForCausalLM.from_pretrained(
            options.model, dtype=torch.float32, attn_implementation="sdpa"
        )
        trainer = Trainer(
            model, arguments, train_dataset=rows, data_collator=collate_and_count, callbacks=[Count()]
        )
        trainer.train()
        return clock.result(float("nan"))


def tunix(options: argparse.Namespace) -> Result:
    clock = Clock()
    import jax
    import jax.numpy as jnp
    from flax import nnx
    from tunix.models.qwen3 import model as qwen3
    from tunix.models.qwen3 import params
    from tunix.sft.peft_trainer import PeftTrainer, TrainingConfig
    from tunix.sft.utils import build_positions_from_mask, make_causal_attn_mask

    from trainer.model.architecture import read_architecture
    from trainer.optimizer import optimizer

    arch = read_architecture(options.model)
    if arch.name != "Qwen3ForCausalLM":
        raise SystemExit(f"{options.model}: {arch.name}: this benchmark gives PeftTrainer Qwen3 models only")
    shape = qwen3.ModelConfig(
        num_layers=arch.layers,
        vocab_size=arch.vocab_size,
        embed_dim=arch.hidden_size,
        hidden_dim=arch.mlp_size,
        num_heads=arch.heads,
        head_dim=arch.head_dim,
        num_kv_heads=arch.kv_heads,
        rope_theta=int(arch.rope.theta),
        norm_eps=arch.norm_eps,
        use_tied_embedding=arch.tied_embeddings,
    )
    model = params.create_model_from_safe_tensors(str(options.model), shape, dtype=jnp.float32)
    steps = peer_steps(options)

    def inputs(folder: str) -> Iterator[Any]:
        for batch, _ in zip(padded(read_dataset(options, folder), options.batch), range(steps), strict=False):
            mask = batch.segments > 0
            loss_mask = (jnp.pad(batch.targets, ((0, 0), (1, 0)), constant_values=-1)[:, :-1] >= 0).astype(
                jnp.int32
            )
            if clock.step == WARM_UP:
                # Steps are asynchronous; the warm-up must end before the clock starts.
                jax.block_until_ready(nnx.state(model))
                clock.tokens, clock.wall, clock.cpu = 0, time.perf_counter(), time.process_time()
            clock.step += 1
            clock.tokens += int((batch.targets >= 0).sum())
            yield {"tokens": batch.tokens, "mask": mask, "loss": loss_mask}

    def model_inputs(batch: dict[str, Any]) -> dict[str, Any]:
        return {
            "input_tokens": batch["tokens"],
            "input_mask": batch["loss"],
            "positions": build_positions_from_mask(batch["mask"]),
            "attention_mask": make_causal_attn_mask(batch["mask"]),
        }

    training = TrainingConfig(eval_every_n_steps=10**9, max_steps=steps, pbar_description=None)
    trainer = PeftTrainer(model, optimizer(config(options, steps)), training).with_gen_model_input_fn(
        model_inputs
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer.train(inputs(folder))
    return clock.result(float("nan"))


CONTENDERS: dict[str, tuple[str, tuple[str, ...], Callable[[argparse.Namespace], Result]]] = {
    "hallmark": ("Hallmark, packed", ("flax",), lambda options: hallmark(options, packed=True)),
    "hallmark-padded": ("Hallmark, padded", ("flax",), lambda options: hallmark(options, packed=False)),
    "trainer": ("HF Trainer", ("torch", "accelerate"), lambda options: transformers(options, grouped=False)),
    "trainer-grouped": (
        "HF Trainer, grouped by length",
        ("torch", "accelerate"),
        lambda options: transformers(options, grouped=True),
    ),
    "tunix": ("tunix PeftTrainer", ("tunix",), tunix),
}
INSTALL = {
    "flax": "uv sync --extra training",
    "torch": "uv sync --extra inference",
    "accelerate": "uv sync --group peers",
}


def run_apart(name: str, options: argparse.Namespace) -> Result | str:
    """Run a contender in a process of its own. Returns a sentence where it cannot be run."""
    python = options.tunix_python if name == "tunix" and options.tunix_python else sys.executable
    if python == sys.executable:
        missing = [package for package in CONTENDERS[name][1] if importlib.util.find_spec(package) is None]
        if missing:
            return f"not installed: {INSTALL.get(missing[0], 'see docs/benchmarks.md')}"
    count = str(options.threads)
    quiet = {
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    }
    threads = {"NPROC": count, "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count}
    command = [python, __file__, *sys.argv[1:], "--run", name]
    environment = {**os.environ, **quiet, **threads}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            return Result(**json.loads(line.removeprefix(MARK)))
    reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
    return f"failed: {reason}"


def show(results: dict[str, list[Result | str]]) -> None:
    """Print the table, the best of each contender's repeats."""

    def best(name: str) -> Result | str:
        runs = [run for run in results[name] if isinstance(run, Result)]
        return max(runs, key=lambda run: run.loss_tokens / run.seconds) if runs else str(results[name][-1])

    ours = best("hallmark") if "hallmark" in results else "not run"
    print(f"{'':32}{'loss tokens/s':>14}{'Hallmark is':>13}{'per CPU s':>11}{'start':>9}")
    for name in results:
        run = best(name)
        title = CONTENDERS[name][0]
        if isinstance(run, str):
            print(f"{title:32}{run}")
            continue
        rate = run.loss_tokens / run.seconds
        ratio = f"{ours.loss_tokens / ours.seconds / rate:.2f} x" if isinstance(ours, Result) else "-"
        cpu = max(run.loss_tokens / run.cpu_seconds for run in results[name] if isinstance(run, Result))
        print(f"{title:32}{rate:14.0f}{ratio:>13}{cpu:11.0f}{run.start:7.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--model", type=Path, default=ROOT / "golden/base/tiny-base", help="a Hugging Face model directory"
    )
    parser.add_argument("--dataset", type=Path, default=ROOT / "golden/data/train-v1.jsonl")
    parser.add_argument("--traces", type=int, default=3200, help="traces to consume after the warm-up")
    parser.add_argument("--batch", type=int, default=64, help="traces per step of a padding contender")
    parser.add_argument("--rows", type=int, default=32, help="packed rows per step")
    parser.add_argument("--length", type=int, default=128, help="tokens of a packed row")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument(
        "--tunix-python", help="the Python of an environment in which google-tunix is installed"
    )
    parser.add_argument("--run", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(MARK + json.dumps(asdict(CONTENDERS[options.run][2](options))))
        return
    results: dict[str, list[Result | str]] = {name: [] for name in options.only}
    for number in range(options.repeats):
        for name in options.only:
            results[name].append(run_apart(name, options))
            print(
                f"repeat {number + 1}: {CONTENDERS[name][0]}: {results[name][-1]}",
                file=sys.stderr,
                flush=True,
            )
    show(results)


if __name__ == "__main__":
    main()
