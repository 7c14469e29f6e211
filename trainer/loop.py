"""The training loop: step, record, look at held-out traces, keep checkpoints; go on where an interrupted one stood."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import HallmarkError
from trainer.checkpoints import Checkpoints
from trainer.curve import Curve, StepRecord
from trainer.data.stream import PackedStream, evaluation_batches
from trainer.data.tokens import TokenizedDataset
from trainer.optimizer import learning_rates
from trainer.step import TrainState, TrainStep


@dataclass
class Watch:
    """What the held-out traces have shown so far.

    Attributes:
        best_loss: lowest held-out loss.
        best_step: where it was.
        misses: looks since then.
    """

    best_loss: float = math.inf
    best_step: int = 0
    misses: int = 0

    def look(self, step: int, loss: float) -> bool:
        """Take a held-out loss; whether it is the lowest so far."""
        if loss < self.best_loss:
            self.best_loss, self.best_step, self.misses = loss, step, 0
            return True
        self.misses += 1
        return False


@dataclass(frozen=True)
class Trained:
    """What training ends in.

    Attributes:
        trainable: the weights of the best step, or of the last where nothing is held out.
        step: that step.
        resumed: the step that an interrupted attempt had kept; 0 for none.
        stopped_early: patience ended it before its last step.
    """

    trainable: Any
    step: int
    resumed: int
    stopped_early: bool


class Training:
    """One training.

    Args:
        step: the compiled step.
        dataset: all traces.
        trained_on: int64, indices of the traces to train on.
        watched: int64, indices of the held-out traces; may be empty.
        curve: receives the records.
        latest: checkpoints to go on from.
        best: keeps the weights of the best step.
        on_step: called after each step with its record.
    """

    def __init__(
        self,
        step: TrainStep,
        dataset: TokenizedDataset,
        trained_on: np.ndarray,
        watched: np.ndarray,
        curve: Curve,
        latest: Checkpoints,
        best: Checkpoints,
        on_step: Callable[[StepRecord], None],
    ) -> None:
        self.step, self.config = step, step.config
        self.dataset, self.trained_on, self.watched = dataset, trained_on, watched
        self.curve, self.latest, self.best, self.on_step = curve, latest, best, on_step
        self.rates = learning_rates(step.config)
        self.watch = Watch()

    def run(self, state: TrainState) -> Trained:
        """Train to the end, from the newest checkpoint where there is one.

        Args:
            state: before the first step; consumed.

        Raises:
            HallmarkError: the loss became NaN or infinite; names the step.
            InputError: the checkpoint was made from other inputs.
        """
        config = self.config
        start, state, position = self._begin(state)
        data = PackedStream(
            self.dataset,
            self.trained_on,
            batch=config.batch_size,
            length=config.sequence_length,
            seed=config.seed,
            packing=config.packing,
            state=position,
        )
        self.curve.begin(start)
        number = start
        while number < config.steps and not self._out_of_patience():
            number += 1
            batch = next(data)
            state, measured = self.step(state, number, self.step.on_devices(batch))
            record = self._record(number, measured, int((batch.targets >= 0).sum()))
            if len(self.watched) and (number % config.evaluate_every == 0 or number == config.steps):
                record = self._look(record, state)
            self.curve.append(record)
            self.on_step(record)
            if number % config.checkpoint_every == 0 and number < config.steps:
                self.latest.save(number, state, {"data": data.state(), "watch": vars(self.watch)})
        return self._finish(state, number, start)

    def _begin(self, state: TrainState) -> tuple[int, TrainState, dict[str, int] | None]:
        found = self.latest.restore(self.step.abstract)
        if found is None:
            return 0, state, None
        number, restored, position = found
        self.watch = Watch(**position["watch"])
        return number, restored, position["data"]

    def _out_of_patience(self) -> bool:
        return 0 < self.config.patience <= self.watch.misses

    def _record(self, number: int, measured: dict[str, Any], loss_tokens: int) -> StepRecord:
        loss, norm = (float(measured[name]) for name in ("loss", "gradient_norm"))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            config = self.config
            raise HallmarkError(
                f"training stopped: the loss became {loss} and the gradient norm {norm} at step {number} of {config.steps}. "
                f"Nothing was kept. Lower train.learning_rate (now {config.learning_rate:g}) or raise train.warmup_steps "
                f"(now {config.warmup_steps})."
            )
        return StepRecord(step=number, loss=loss, learning_rate=float(self.rates(number - 1)), gradient_norm=norm, loss_tokens=loss_tokens)

    def _look(self, record: StepRecord, state: TrainState) -> StepRecord:
        batches = evaluation_batches(self.dataset, self.watched, batch=self.config.batch_size, length=self.config.sequence_length)
        loss = self.step.held_out_loss(state, batches)
        if self.watch.look(record.step, loss):
            self.best.save(record.step, state.trainable, {})
        return record.model_copy(update={"held_out_loss": loss})

    def _finish(self, state: TrainState, number: int, start: int) -> Trained:
        stopped = number < self.config.steps
        trainable, chosen = state.trainable, number
        if self.watch.best_step and self.watch.best_step != number:
            found = self.best.restore(self.step.abstract.trainable)
            if found is not None:
                chosen, trainable, _ = found
        return Trained(trainable, chosen, start, stopped)
