"""Where arrays live: a device mesh with a data axis and an FSDP axis. XLA moves what has to move."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from core.errors import ResourceError
from trainer.contract import SettledTrainConfig

ROWS = PartitionSpec(None, ("data", "fsdp"), None)
"""Batches are [parts, rows, time]; rows are shared out over both axes."""


def make_mesh(config: SettledTrainConfig) -> Mesh:
    """The devices that train, as [data, fsdp].

    Raises:
        ResourceError: there are fewer devices than the configuration asks for.
    """
    wanted = config.data_parallel * config.fsdp
    devices = jax.devices()
    if wanted > len(devices):
        raise ResourceError(
            f"train.data_parallel x train.fsdp asks for {wanted} devices, but there are {len(devices)} "
            f"({devices[0].platform}). Lower one of them."
        )
    return Mesh(np.asarray(devices[:wanted]).reshape(config.data_parallel, config.fsdp), ("data", "fsdp"))


def sharding_of(mesh: Mesh, shape: tuple[int, ...]) -> NamedSharding:
    """How an array of this shape is shared out: its largest axis that the FSDP axis divides, if any.

    This is fully sharded data parallelism (Zhao et al. 2023, arXiv:2304.11277).
    """
    fsdp = mesh.shape["fsdp"]
    axes = [axis for axis, size in enumerate(shape) if size % fsdp == 0 and size >= fsdp]
    if fsdp == 1 or not axes:
        return NamedSharding(mesh, PartitionSpec())
    largest = max(axes, key=lambda axis: shape[axis])
    names = ["fsdp" if axis == largest else None for axis in range(len(shape))]
    return NamedSharding(mesh, PartitionSpec(*names))


def shardings(mesh: Mesh, tree: Any) -> Any:
    """The sharding of every array of a tree, as a tree like it."""
    return jax.tree.map(lambda leaf: sharding_of(mesh, leaf.shape), tree)


def placed(mesh: Mesh, rows: np.ndarray) -> jax.Array:
    """Put one array of a batch, int32 [parts, rows, time], on the devices. Every process holds all of it."""
    sharding = NamedSharding(mesh, ROWS)
    return jax.make_array_from_callback(rows.shape, sharding, lambda index: rows[index])
