"""The training step of a decoder, compiled once for its devices: forward, backward, update."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding

from trainer.contract import TrainConfig
from trainer.data.packing import PackedBatch
from trainer.loss import summed_loss
from trainer.mesh import ROWS, placed, sharding_of, shardings
from trainer.model.architecture import Architecture
from trainer.model.decoder import Array, Decoder, Packed
from trainer.model.lora import DropoutKey, add_lora
from trainer.optimizer import optimizer

Tree = Any
"""A tree of arrays; JAX has no better type for it."""


@dataclass(frozen=True)
class Batch:
    """A batch on the devices: int32 [parts, rows, time] each, as in `PackedBatch`."""

    tokens: Array
    positions: Array
    segments: Array
    targets: Array

    def part(self, index: Array | int) -> tuple[Packed, Array]:
        """One part as [rows, time]."""
        return Packed(self.tokens[index], self.positions[index], self.segments[index]), self.targets[index]


jax.tree_util.register_dataclass(Batch, data_fields=["tokens", "positions", "segments", "targets"], meta_fields=[])


@dataclass
class TrainState:
    """What a step changes: the trained weights and the optimizer's states."""

    trainable: Tree
    optimizer: Tree


jax.tree_util.register_dataclass(TrainState, data_fields=["trainable", "optimizer"], meta_fields=[])


def trainable_decoder(model: Decoder, config: TrainConfig) -> Decoder:
    """The decoder as the method wants it: unchanged, or with adapters and its own weights in the compute dtype."""
    if config.method == "lora":
        for _, parameter in nnx.iter_graph(model):
            if isinstance(parameter, nnx.Param):
                parameter.set_value(parameter.get_value().astype(config.dtype))
        add_lora(model, config.lora, nnx.Rngs(config.seed))
    return model


class TrainStep:
    """The step of one decoder under one configuration.

    Args:
        arch: the decoder. No weights are needed until `start`.
        config: the training configuration.
        mesh: the devices.
    """

    def __init__(self, arch: Architecture, config: TrainConfig, mesh: Mesh) -> None:
        self.config, self.mesh = config, mesh
        model = nnx.eval_shape(lambda: trainable_decoder(Decoder(arch, nnx.Rngs(0), dtype=config.dtype, remat=config.remat), config))
        model.set_attributes(deterministic=True, raise_if_not_found=False)
        self._evaluating = nnx.graphdef(model)
        model.set_attributes(deterministic=False, raise_if_not_found=False)
        self._graph, trainable, keys, frozen = self._split(model)
        self._transform = optimizer(config)
        self.abstract = self._described(TrainState(trainable, jax.eval_shape(self._transform.init, trainable)))
        self._fixed: Tree = self._described((keys, frozen))
        self._loss = jax.jit(self._evaluate)

    def _split(self, model: Decoder) -> tuple[Any, Tree, Tree, Tree]:
        kind = nnx.LoRAParam if self.config.method == "lora" else nnx.Param
        graph, trainable, keys, frozen = nnx.split(model, kind, DropoutKey, ...)  # type: ignore[misc]
        return graph, trainable, keys, frozen

    def _described(self, tree: Tree) -> Tree:
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding_of(self.mesh, x.shape)), tree)

    def start(self, model: Decoder) -> TrainState:
        """Move a decoder, from `trainable_decoder`, to the devices; gives the state before the first step."""
        _, trainable, keys, frozen = self._split(model)
        trainable, keys, frozen = (jax.device_put(tree, shardings(self.mesh, tree)) for tree in (trainable, keys, frozen))
        self._fixed = keys, frozen
        return TrainState(trainable, jax.jit(self._transform.init, out_shardings=shardings(self.mesh, self.abstract.optimizer))(trainable))

    @cached_property
    def compiled(self) -> Any:
        """The executable for batches of the configuration's shape; it knows the memory it needs."""
        config = self.config
        shape = (config.accumulation_steps, config.batch_size // config.accumulation_steps, config.sequence_length)
        rows: Any = jax.ShapeDtypeStruct(shape, jnp.int32, sharding=NamedSharding(self.mesh, ROWS))
        step = jax.jit(self._step, donate_argnums=0, out_shardings=(shardings(self.mesh, self.abstract), None))
        number = jax.ShapeDtypeStruct((), jnp.int32)
        return step.lower(self.abstract, *self._described(self._fixed), number, Batch(rows, rows, rows, rows)).compile()

    def __call__(self, state: TrainState, number: int, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        """One step; `state` is consumed.

        Args:
            state: before the step.
            number: of the step, from 1; decides what dropout drops.
            batch: from `on_devices`.

        Returns:
            The state after it, and float32 scalars: loss (mean, in nats), gradient_norm (before clipping).
        """
        after, measured = self.compiled(state, *self._fixed, np.int32(number), batch)
        return after, measured

    def held_out_loss(self, state: TrainState, batches: Iterator[PackedBatch]) -> float:
        """Mean cross entropy of held-out batches, in nats a completion token."""
        total, count = 0.0, 0
        for batch in batches:
            total += float(self._loss(state.trainable, *self._fixed, self.on_devices(batch, parts=1)))
            count += int((batch.targets >= 0).sum())
        return total / max(count, 1)

    def on_devices(self, batch: PackedBatch, parts: int | None = None) -> Batch:
        """A packed batch [rows, time] as [parts, rows, time] on the mesh."""
        shape = (parts or self.config.accumulation_steps, -1, batch.tokens.shape[1])
        return Batch(*(placed(self.mesh, rows.reshape(shape)) for rows in (batch.tokens, batch.positions, batch.segments, batch.targets)))

    def decoder(self, trainable: Tree) -> Decoder:
        """The decoder with trained weights."""
        model: Decoder = nnx.merge(self._evaluating, trainable, *self._fixed)
        return model

    def _step(self, state: TrainState, keys: Tree, frozen: Tree, number: Array, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        loss, gradients = self._gradients(state.trainable, keys, frozen, number, batch)
        updates, states = self._transform.update(gradients, state.optimizer, state.trainable)
        trainable = optax.apply_updates(state.trainable, updates)
        return TrainState(trainable, states), {"loss": loss, "gradient_norm": optax.global_norm(gradients)}

    def _gradients(self, trainable: Tree, keys: Tree, frozen: Tree, number: Array, batch: Batch) -> tuple[Array, Tree]:
        parts = self.config.accumulation_steps
        count = jnp.maximum(jnp.sum(batch.targets >= 0), 1)

        def loss(trainable: Tree, index: Array | int) -> Array:
            model = nnx.merge(self._graph, trainable, _renewed(keys, number * parts + index), frozen)
            return summed_loss(model, *batch.part(index), self.config.loss_chunk) / count

        if parts == 1:
            return jax.value_and_grad(loss)(trainable, 0)

        def add(sums: Tree, index: Array) -> tuple[Tree, None]:
            return jax.tree.map(jnp.add, sums, jax.value_and_grad(loss)(trainable, index)), None

        zeros = jnp.zeros((), jnp.float32), jax.tree.map(jnp.zeros_like, trainable)
        total: tuple[Array, Tree] = jax.lax.scan(add, zeros, jnp.arange(parts))[0]
        return total

    def _evaluate(self, trainable: Tree, keys: Tree, frozen: Tree, batch: Batch) -> Array:
        model = nnx.merge(self._evaluating, trainable, keys, frozen)
        return summed_loss(model, *batch.part(0), self.config.loss_chunk)


def _renewed(keys: Tree, number: Array) -> Tree:
    return jax.tree.map(lambda key: jax.random.key_data(jax.random.fold_in(jax.random.wrap_key_data(key), number)), keys)
