"""The training step of a decoder: loss, gradients, update; and what compiles it for its devices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding

from trainer.contract import SettledTrainConfig
from trainer.data.packing import HostBatch
from trainer.mesh import ROWS, placed, sharding_of, shardings
from trainer.model.architecture import Architecture
from trainer.model.decoder import Array, Decoder
from trainer.model.lora import DropoutKey, add_lora
from trainer.optimizer import optimizer

Tree = Any
"""A tree of arrays; JAX has no better type for it."""

Graph = Any
"""A decoder without its arrays (`nnx.GraphDef`): what `nnx.merge` makes a decoder of again."""

LOGIT_BYTES = 256 * 10**6
"""How many bytes of float32 logits are held at once where the configuration does not say."""


@dataclass(frozen=True)
class DeviceBatch:
    """A `HostBatch` on the devices: int32 [parts, rows, time] each; [rows, time] after `part`."""

    tokens: Array
    positions: Array
    segments: Array
    targets: Array

    def part(self, index: Array | int) -> DeviceBatch:
        """The rows that are computed together, [rows, time]."""
        part: DeviceBatch = jax.tree.map(lambda rows: rows[index], self)
        return part


jax.tree_util.register_dataclass(
    DeviceBatch, data_fields=["tokens", "positions", "segments", "targets"], meta_fields=[]
)


@dataclass(frozen=True)
class TrainState:
    """All arrays that a step reads besides its batch. A step changes the first two and passes the others on.

    Attributes:
        trainable: float32; every weight, or with LoRA the adapters.
        optimizer: float32; states of the optimizer, such as AdamW's two moments of every trainable weight.
        dropout_keys: uint32 [2] for every adapter; a step derives its own random keys from them.
        frozen: weights in the compute dtype that no step changes; none without LoRA.
    """

    trainable: Tree
    optimizer: Tree
    dropout_keys: Tree
    frozen: Tree

    @property
    def learned(self) -> tuple[Tree, Tree]:
        """What steps change, and so what a checkpoint has to keep."""
        return self.trainable, self.optimizer


jax.tree_util.register_dataclass(
    TrainState, data_fields=["trainable", "optimizer", "dropout_keys", "frozen"], meta_fields=[]
)


def train_step(
    graph: Graph, config: SettledTrainConfig, state: TrainState, number: Array, batch: DeviceBatch
) -> tuple[TrainState, dict[str, Array]]:
    """One optimizer step.

    Args:
        graph: the decoder's, for training.
        config: the training configuration.
        state: before the step.
        number: int32 scalar, of the step, from 1; decides what dropout drops.
        batch: int32 [parts, rows, time].

    Returns:
        The state after it, and float32 scalars: loss (mean, in nats), gradient_norm (before clipping).
    """
    loss, gradients = loss_and_gradients(graph, config, state, number, batch)
    updates, states = optimizer(config).update(gradients, state.optimizer, state.trainable)
    trainable = optax.apply_updates(state.trainable, updates)
    after = replace(state, trainable=trainable, optimizer=states)
    return after, {"loss": loss, "gradient_norm": optax.global_norm(gradients)}


def loss_and_gradients(
    graph: Graph, config: SettledTrainConfig, state: TrainState, number: Array, batch: DeviceBatch
) -> tuple[Array, Tree]:
    """Mean cross entropy of a batch's loss-bearing tokens, and its gradients.

    Parts are computed one after another and summed (gradient accumulation). Each is divided by the
    loss-bearing tokens of the whole batch and not by its own, else tokens of parts with few of them would
    weigh more.

    Returns:
        float32 scalar, in nats; float32 gradients, a tree like `state.trainable`.
    """
    parts = config.accumulation_steps
    count = jnp.maximum(jnp.sum(batch.targets >= 0), 1)

    def part_loss(trainable: Tree, index: Array | int) -> Array:
        keys = _renewed(state.dropout_keys, number * parts + index)
        model = nnx.merge(graph, trainable, keys, state.frozen)
        return summed_loss(model, batch.part(index), config.loss_chunk) / count

    if parts == 1:
        return jax.value_and_grad(part_loss)(state.trainable, 0)

    def add(sums: Tree, index: Array) -> tuple[Tree, None]:
        return jax.tree.map(jnp.add, sums, jax.value_and_grad(part_loss)(state.trainable, index)), None

    # A scan holds the activations of one part at a time; a Python loop would let XLA hold those of all.
    zeros = jnp.zeros((), jnp.float32), jax.tree.map(jnp.zeros_like, state.trainable)
    total: tuple[Array, Tree] = jax.lax.scan(add, zeros, jnp.arange(parts))[0]
    return total


def _renewed(keys: Tree, number: Array) -> Tree:
    """Other dropout keys, uint32 [2], for every part of every step."""

    def one(key: Array) -> Array:
        return jax.random.key_data(jax.random.fold_in(jax.random.wrap_key_data(key), number))

    return jax.tree.map(one, keys)


def summed_loss(model: Decoder, batch: DeviceBatch, chunk: int | None = None) -> Array:
    """Cross entropy summed over the loss-bearing tokens of a batch, with the logits of some at a time.

    Args:
        model: the decoder.
        batch: int32 [rows, time]; a target of -1 bears no loss.
        chunk: tokens whose logits are held at once. Default: what fits into `LOGIT_BYTES`.

    Returns:
        float32 scalar, in nats.
    """
    hidden = model.hidden(batch.tokens, batch.positions, batch.segments)  # [rows, time, hidden]
    targets = batch.targets
    rows, time = targets.shape
    chunk = chunk or max(1, LOGIT_BYTES // (4 * model.arch.vocab_size))
    length = max(1, chunk // rows)  # places of a piece, in which every row takes part
    if length >= time:
        return _summed(model, hidden, targets)
    pieces = -(-time // length)
    padding = pieces * length - time
    # Padded to whole pieces and cut, for the scan: [rows, time, hidden] to [pieces, rows, length, hidden].
    hidden = jnp.pad(hidden, ((0, 0), (0, padding), (0, 0))).reshape(rows, pieces, length, -1).swapaxes(0, 1)
    targets = jnp.pad(targets, ((0, 0), (0, padding)), constant_values=-1)
    targets = targets.reshape(rows, pieces, length).swapaxes(0, 1)
    # Logits are computed again in the backward pass; else the scan would keep those of all pieces for it.
    piece = jax.checkpoint(lambda total, part: (total + _summed(model, *part), None))
    return jax.lax.scan(piece, jnp.zeros((), jnp.float32), (hidden, targets))[0]


def _summed(model: Decoder, hidden: Array, targets: Array) -> Array:
    """The same for hidden states [rows, time, hidden] and targets [rows, time], all logits at once."""
    losses = optax.softmax_cross_entropy_with_integer_labels(model.logits(hidden), jnp.maximum(targets, 0))
    return jnp.sum(losses * (targets >= 0))


def evaluation_loss(graph: Graph, config: SettledTrainConfig, state: TrainState, batch: DeviceBatch) -> Array:
    """The summed loss of a batch of one part, without dropout: float32 scalar, in nats."""
    model = nnx.merge(graph, state.trainable, state.dropout_keys, state.frozen)
    return summed_loss(model, batch.part(0), config.loss_chunk)


def trainable_decoder(model: Decoder, config: SettledTrainConfig) -> Decoder:
    """The decoder as the method wants it: for LoRA with adapters, its own weights in the compute dtype."""
    if config.method == "lora":
        for _, parameter in nnx.iter_graph(model):
            if isinstance(parameter, nnx.Param):
                parameter.set_value(parameter.get_value().astype(config.dtype))
        add_lora(model, config.lora, nnx.Rngs(config.seed))
    return model


class TrainStep:
    """`train_step` and `evaluation_loss`, compiled for one decoder, one configuration and its devices.

    Args:
        arch: the decoder. No weights are needed until `start`.
        config: the training configuration.
        mesh: the devices.

    Attributes:
        abstract: the state as `jax.ShapeDtypeStruct` with shardings.
    """

    def __init__(self, arch: Architecture, config: SettledTrainConfig, mesh: Mesh) -> None:
        def random_decoder() -> Decoder:
            decoder = Decoder(arch, nnx.Rngs(0), dtype=config.dtype, remat=config.remat)
            return trainable_decoder(decoder, config)

        self.config = config
        self.mesh = mesh
        model = nnx.eval_shape(random_decoder)  # shapes and dtypes only
        model.set_attributes(deterministic=True, raise_if_not_found=False)
        self._evaluation_graph = nnx.graphdef(model)
        model.set_attributes(deterministic=False, raise_if_not_found=False)
        self._graph, trainable, keys, frozen = self._split(model)
        states = jax.eval_shape(optimizer(config).init, trainable)
        self.abstract = self._described(TrainState(trainable, states, keys, frozen))
        self._evaluation_loss = jax.jit(partial(evaluation_loss, self._evaluation_graph, config))

    def _split(self, model: Decoder) -> tuple[Graph, Tree, Tree, Tree]:
        """Graph, trainable weights, dropout keys, frozen weights."""
        kind = nnx.LoRAParam if self.config.method == "lora" else nnx.Param
        graph, trainable, keys, frozen = nnx.split(model, kind, DropoutKey, ...)  # type: ignore[misc]
        return graph, trainable, keys, frozen

    def _described(self, tree: Tree) -> Tree:
        def one(leaf: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding_of(self.mesh, leaf.shape))

        return jax.tree.map(one, tree)

    def start(self, model: Decoder) -> TrainState:
        """Move a decoder, from `trainable_decoder`, to the devices; gives the state before the first step."""
        _, *arrays = self._split(model)
        trainable, keys, frozen = (jax.device_put(tree, shardings(self.mesh, tree)) for tree in arrays)
        initialise = jax.jit(
            optimizer(self.config).init, out_shardings=shardings(self.mesh, self.abstract.optimizer)
        )
        return TrainState(trainable, initialise(trainable), keys, frozen)

    @cached_property
    def compiled(self) -> Any:
        """The executable for batches of the configuration's shape; it knows the memory it needs.

        The state before a step is donated: the state after it is written into the same memory.
        """
        config = self.config
        step = jax.jit(
            partial(train_step, self._graph, config),
            donate_argnums=0,
            out_shardings=(shardings(self.mesh, self.abstract), None),
        )
        number = jax.ShapeDtypeStruct((), jnp.int32)
        shape = (
            config.accumulation_steps,
            config.batch_size // config.accumulation_steps,
            config.sequence_length,
        )
        rows: Any = jax.ShapeDtypeStruct(shape, jnp.int32, sharding=NamedSharding(self.mesh, ROWS))
        return step.lower(self.abstract, number, DeviceBatch(rows, rows, rows, rows)).compile()

    def __call__(
        self, state: TrainState, number: int, batch: DeviceBatch
    ) -> tuple[TrainState, dict[str, Array]]:
        """One step: see `train_step`. `state` is consumed."""
        after, measured = self.compiled(state, np.int32(number), batch)
        return after, measured

    def held_out_loss(self, state: TrainState, batches: Iterator[HostBatch]) -> float:
        """Mean cross entropy of held-out batches, in nats per loss-bearing token."""
        total = 0.0
        count = 0
        for batch in batches:
            total += float(self._evaluation_loss(state, self.on_devices(batch, parts=1)))
            count += int((batch.targets >= 0).sum())
        return total / max(count, 1)

    def on_devices(self, batch: HostBatch, parts: int | None = None) -> DeviceBatch:
        """A batch of [rows, time] as [parts, rows, time] on the mesh."""
        shape = parts or self.config.accumulation_steps, -1, batch.tokens.shape[1]
        arrays = batch.tokens, batch.positions, batch.segments, batch.targets
        return DeviceBatch(*(placed(self.mesh, rows.reshape(shape)) for rows in arrays))

    def decoder(self, state: TrainState) -> Decoder:
        """The decoder with a state's weights."""
        model: Decoder = nnx.merge(self._evaluation_graph, state.trainable, state.dropout_keys, state.frozen)
        return model
