"""The training loop: step, record, evaluate on held-out traces, keep checkpoints; resume where it ended."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import optax

from core.errors import IntegrityError
from core.progress import announce
from trainer.checkpoints import Checkpoints
from trainer.contract import SettledTrainConfig
from trainer.curve import Curve, StepRecord, not_finite
from trainer.data.packing import Int64Array
from trainer.data.stream import PackedStream, evaluation_batches
from trainer.data.tokens import TokenizedDataset
from trainer.optimizer import learning_rates
from trainer.step import TrainState, TrainStep


@dataclass
class EarlyStopping:
    """What the held-out traces have shown so far.

    Attributes:
        best_loss: lowest held-out loss, in nats per loss-bearing token.
        best_step: where it was; 0 before the first evaluation.
        evaluations_since_best: evaluations without a lower one.
    """

    best_loss: float = math.inf
    best_step: int = 0
    evaluations_since_best: int = 0

    def evaluate(self, step: int, loss: float) -> bool:
        """Take a held-out loss; whether it is the lowest so far."""
        if loss < self.best_loss:
            self.best_loss = loss
            self.best_step = step
            self.evaluations_since_best = 0
            return True
        self.evaluations_since_best += 1
        return False

    def out_of_patience(self, patience: int) -> bool:
        """Whether so many evaluations brought no lower loss; never with a patience of 0."""
        return 0 < patience <= self.evaluations_since_best


@dataclass(frozen=True)
class Trained:
    """What training ends in.

    Attributes:
        state: with the weights of the best step, or of the last where nothing is held out.
        step: that step.
        resumed: the step that an interrupted attempt had kept; 0 for none.
        stopped_early: patience ended it before its last step.
    """

    state: TrainState
    step: int
    resumed: int
    stopped_early: bool


@dataclass(kw_only=True)
class Training:
    """One training run.

    Attributes:
        step: the compiled step.
        dataset: all traces.
        train_on: int64 [traces], indices of those to train on.
        held_out: int64 [traces], indices of those to evaluate on; may be empty.
        curve: receives the records.
        latest: checkpoints to resume from.
        best: keeps the weights of the best step.
        on_step: called after each step with its record.
        early_stopping: what the evaluations have shown so far.
    """

    step: TrainStep
    dataset: TokenizedDataset
    train_on: Int64Array
    held_out: Int64Array
    curve: Curve
    latest: Checkpoints
    best: Checkpoints
    on_step: Callable[[StepRecord], None]
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)

    @property
    def config(self) -> SettledTrainConfig:
        """The training configuration."""
        return self.step.config

    @cached_property
    def rates(self) -> optax.Schedule:
        """Learning rate by number of steps taken."""
        return learning_rates(self.config)

    def run(self, state: TrainState) -> Trained:
        """Train to the end, from the newest checkpoint where there is one.

        Args:
            state: before the first step; consumed.

        Raises:
            HallmarkError: the loss became NaN or infinite; names the step.
            InputError: the checkpoint was made from other inputs.
            IntegrityError: the weights of the best step were damaged meanwhile.
        """
        config = self.config
        resumed, state, position = self._resume(state)
        data = PackedStream(
            self.dataset,
            self.train_on,
            batch=config.batch_size,
            length=config.sequence_length,
            seed=config.seed,
            packing=config.packing,
            state=position,
        )
        number = resumed
        while number < config.steps and not self.early_stopping.out_of_patience(config.patience):
            number += 1
            batch = next(data)
            state, measured = self.step(state, number, self.step.on_devices(batch))
            record = self._record(number, measured, int((batch.targets >= 0).sum()))
            if len(self.held_out) and (number % config.evaluate_every == 0 or number == config.steps):
                record = self._evaluate(record, state)
            self.curve.append(record)
            self.on_step(record)
            if number % config.checkpoint_every == 0 and number < config.steps:
                self.latest.save(number, state.learned, self._position(data))
        return self._finish(state, number, resumed)

    def _position(self, data: PackedStream) -> dict[str, Any]:
        """What a checkpoint holds beside the state: it vouches for all that the steps until then left."""
        return {
            "data": data.state(),
            "early_stopping": asdict(self.early_stopping),
            "curve": [record.model_dump() for record in self.curve.records],
        }

    def _resume(self, state: TrainState) -> tuple[int, TrainState, dict[str, int] | None]:
        """The step, the state and the place in the data of the newest checkpoint; else of the beginning."""
        found = self.latest.restore(self.step.abstract.learned, self._wrong)
        if found is not None:
            announce("resuming:", f"training continues after step {found[0]} of {self.config.steps}")
        elif self.curve.path.exists():
            every = self.config.checkpoint_every
            announce("resuming:", f"there is no checkpoint (one every {every} steps): training begins again")
        self.curve.begin(map(StepRecord.model_validate, found[2]["curve"]) if found else ())
        if found is None:
            return 0, state, None
        number, (trainable, optimizer), position = found
        self.early_stopping = EarlyStopping(**position["early_stopping"])
        return number, replace(state, trainable=trainable, optimizer=optimizer), position["data"]

    def _wrong(self, step: int, position: dict[str, Any]) -> str | None:
        """What is wrong with the curve until a step, or with the weights of the best step so far. Those are
        not needed where the ones of a later step, kept before an interruption, show that a better one comes.
        """
        if (lines := len(position["curve"])) != step:
            return f"{self.latest.folder / str(step)}: its loss curve has {lines} steps"
        best = position["early_stopping"]["best_step"]
        later = (known for known in self.best.steps() if known > best)
        needed = best != 0 and not any(self.best.damage(known) is None for known in later)
        return self.best.damage(best) if needed else None

    def _record(self, number: int, measured: dict[str, Any], loss_tokens: int) -> StepRecord:
        loss = float(measured["loss"])
        norm = float(measured["gradient_norm"])
        if not (math.isfinite(loss) and math.isfinite(norm)):
            moved = any(float(self.rates(taken)) > 0 for taken in range(number - 1))
            raise not_finite(number, loss, norm, self.config, self.curve.records, moved)
        return StepRecord(
            step=number,
            loss=loss,
            learning_rate=float(self.rates(number - 1)),
            gradient_norm=norm,
            loss_tokens=loss_tokens,
        )

    def _evaluate(self, record: StepRecord, state: TrainState) -> StepRecord:
        """The record with the held-out loss after its step; the weights are kept where it is the lowest."""
        config = self.config
        batches = evaluation_batches(
            self.dataset, self.held_out, batch=config.batch_size, length=config.sequence_length
        )
        loss = self.step.held_out_loss(state, batches)
        if self.early_stopping.evaluate(record.step, loss):
            self.best.save(record.step, state.trainable, {})
        return record.model_copy(update={"held_out_loss": loss})

    def _finish(self, state: TrainState, number: int, resumed: int) -> Trained:
        stopped_early = number < self.config.steps
        best_step = self.early_stopping.best_step
        if best_step not in (0, number):
            found = self.best.restore(self.step.abstract.trainable)
            if found is None or found[0] != best_step:
                raise IntegrityError(
                    f"{self.best.folder}: the weights of step {best_step}, which are the best, were changed "
                    "or removed while training went on. Run the same command again."
                )
            number, state = best_step, replace(state, trainable=found[1])
        return Trained(state, number, resumed, stopped_early)
