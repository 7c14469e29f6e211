"""One training job from Hugging Face directory to Hugging Face directory."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import jax

from core.files import atomic_writer, sha256_file, sha256_tree
from core.progress import Listener, Meter
from golden.tokenizer import load_tokenizer
from trainer.checkpoints import Checkpoints
from trainer.contract import CHECKPOINTS, TOKENS, TrainResult, TrainSpec
from trainer.curve import Curve, StepRecord
from trainer.data.stream import held_out, rows_per_epoch
from trainer.data.tokens import Fitted, check_ids, fit, tokenize
from trainer.huggingface.model_card import write_model_card
from trainer.huggingface.weights import load_decoder, save_decoder
from trainer.loop import Trained, Training
from trainer.memory import check_memory
from trainer.mesh import make_mesh
from trainer.model.architecture import Architecture, read_architecture
from trainer.model.decoder import Decoder
from trainer.model.lora import AdapterBase, merge_into, save_adapter
from trainer.plots import draw_curves
from trainer.step import TrainStep, trainable_decoder

TAIL = 10
"""Over how many steps the last loss is averaged."""


def run_training(spec: TrainSpec, listener: Listener) -> TrainResult:
    """Fine-tune `spec.base` and write the result to `spec.output / "model"`. What an interrupted job resumes
    from stays; whoever has the result and keeps it removes `trainer.contract.RESUMABLE`.

    An interrupted job resumes from its newest checkpoint and ends in the same bytes as an undisturbed one.

    Args:
        spec: the job.
        listener: gets progress in steps, with loss, learning rate and tokens per second.

    Raises:
        InputError: the base cannot be trained, a training item does not fit, or the job's inputs changed
            since it began.
        IntegrityError: the base's weights are damaged.
        ResourceError: the step needs more memory than the GPU has.
        HallmarkError: the loss became NaN or infinite.
    """
    started = time.monotonic()
    report = _Reporter(spec, listener)
    _set_up_jax(spec)
    config = spec.config
    arch = read_architecture(spec.base)
    step = TrainStep(arch, config, make_mesh(config))
    memory = check_memory(step, arch)
    tokenizer = load_tokenizer(spec.base)
    dataset = tokenize(spec.dataset, tokenizer, spec.output / TOKENS, spec.prompt, listener)
    check_ids(dataset, tokenizer, arch.vocab_size)
    fitted = fit(dataset, config.sequence_length, config.on_too_long, arch.context)
    model = load_decoder(spec.base, arch, dtype=config.dtype, remat=config.remat)
    state = step.start(trainable_decoder(model, config))
    curve, latest, best = _records(spec)
    train_on, kept_out = held_out(fitted.dataset, config.held_out, config.seed)
    training = Training(
        step=step,
        dataset=fitted.dataset,
        train_on=train_on,
        held_out=kept_out,
        curve=curve,
        latest=latest,
        best=best,
        on_step=report,
    )
    trained = training.run(state)
    if trained.stopped_early:
        taken = len(curve.records)
        note = f"stopped early, keeping the weights of step {trained.step}"
        Meter("train", taken, "steps", listener).update(taken, note=note)
    _export(spec, arch, step.decoder(trained.state), trained, curve, fitted)
    for checkpoints in (latest, best):
        checkpoints.close()
    rows = rows_per_epoch(
        fitted.dataset, train_on, length=config.sequence_length, seed=config.seed, packing=config.packing
    )
    return _result(
        spec,
        trained,
        curve,
        seconds=time.monotonic() - started,
        memory_bytes=memory.total,
        traces=len(fitted.dataset),
        dropped=fitted.dropped,
        truncated=fitted.truncated,
        epochs=len(curve.records) * config.batch_size / rows,
    )


def _set_up_jax(spec: TrainSpec) -> None:
    if "JAX_COORDINATOR_ADDRESS" in os.environ:  # several hosts; see docs/fine-tune.md
        jax.distributed.initialize()
    if spec.cache is not None and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(spec.cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)


def _records(spec: TrainSpec) -> tuple[Curve, Checkpoints, Checkpoints]:
    """What is written while training: curve, checkpoints to resume from, weights of the best step."""
    inputs = {"config": spec.config.model_dump(mode="json"), **spec.inputs}
    folder = spec.output / CHECKPOINTS
    return (
        Curve(spec.output / "training.jsonl"),
        Checkpoints(folder / "latest", spec.config.keep_checkpoints, inputs),
        Checkpoints(folder / "best", 1, inputs),
    )


class _Reporter:
    """Turns records into progress: loss, learning rate and loss-bearing tokens per second."""

    def __init__(self, spec: TrainSpec, listener: Listener) -> None:
        self.steps = spec.config.steps
        self.listener = listener
        self.tokens = 0
        self.since = 0.0
        self.meter: Meter | None = None
        Meter("train", self.steps, "steps", listener).update(0, note="compiling the training step")

    def __call__(self, record: StepRecord) -> None:
        if self.meter is None:  # the clock starts after the first step, which may not be number 1
            self.meter = Meter("train", self.steps, "steps", self.listener)
            self.since = time.monotonic()
            self.meter.update(record.step - 1)
        else:
            self.tokens += record.loss_tokens
        rate = self.tokens / max(time.monotonic() - self.since, 1e-9)
        held = "" if record.held_out_loss is None else f", held-out {record.held_out_loss:.3f}"
        note = (
            f"loss {record.loss:.3f}{held}, lr {record.learning_rate:.1e}, {rate:,.0f} loss-bearing tokens/s"
        )
        self.meter.update(record.step, note=note)


def _export(
    spec: TrainSpec, arch: Architecture, decoder: Decoder, trained: Trained, curve: Curve, fitted: Fitted
) -> None:
    """Write the model directory and the curve. Adapters are merged in float32, and also kept apart."""
    if spec.config.method == "lora":
        save_adapter(decoder, spec.config.lora, _adapter_base(spec), spec.output / "adapter")
        merged = load_decoder(spec.base, arch)
        merge_into(decoder, merged)
        decoder = merged
    last = curve.records[trained.step - 1]

    def describe(directory: Path) -> None:
        write_model_card(directory, spec, sha256_file(spec.dataset), last, fitted)

    save_decoder(decoder, spec.base, spec.output / "model", describe)
    with atomic_writer(spec.output / "loss_curve.svg") as file:
        file.write(draw_curves({"training": curve.records}))


def _adapter_base(spec: TrainSpec) -> AdapterBase:
    hub_id, revision = spec.base_on_hub or (None, None)
    return AdapterBase(spec.base.absolute(), hub_id, revision)


def _result(spec: TrainSpec, trained: Trained, curve: Curve, **about: Any) -> TrainResult:
    """The result.

    Args:
        spec: the job.
        trained: what training ended in.
        curve: its records.
        about: the fields of `TrainResult` that follow from none of these.
    """
    records = curve.records
    tail = records[-TAIL:]
    return TrainResult(
        model_sha256=sha256_tree(spec.output / "model"),
        steps=len(records),
        best_step=trained.step,
        first_loss=records[0].loss,
        last_loss=sum(record.loss for record in tail) / len(tail),
        held_out_loss=records[trained.step - 1].held_out_loss,
        loss_tokens=sum(record.loss_tokens for record in records),
        resumed=trained.resumed,
        stopped_early=trained.stopped_early,
        **about,
    )
