"""Resumable training state, kept by Orbax: written whole or not at all, the newest few kept."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from core.errors import InputError
from core.files import canonical_json, raise_for_os_error

Tree = Any
NO_SPACE = os.strerror(errno.ENOSPC)


class Checkpoints:
    """The checkpoints of one training.

    Args:
        folder: where they are; made when the first is saved.
        keep: how many of the newest are kept.
        inputs: everything that decides the training's result; a checkpoint of other inputs is refused.
    """

    def __init__(self, folder: Path, keep: int, inputs: dict[str, Any]) -> None:
        self.folder, self.inputs = folder, inputs
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep, enable_async_checkpointing=False, cleanup_tmp_directories=True
        )
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def save(self, step: int, state: Tree, position: dict[str, Any]) -> None:
        """Keep the state after a step; one of the same or a later step, from before an interruption, is replaced.

        Args:
            step: number of the step, from 1.
            state: a tree of arrays.
            position: whatever else is needed to go on, as JSON.

        Raises:
            ResourceError: the disk is full; earlier checkpoints stay.
        """
        for later in [known for known in self._manager.all_steps() if known >= step]:
            self._manager.delete(later)
        arrays, about = (
            ocp.args.StandardSave(_numbered(state)),
            ocp.args.JsonSave({"position": position, "inputs": self.inputs}),
        )
        try:
            self._manager.save(step, args=ocp.args.Composite(arrays=arrays, about=about))
        except Exception as error:  # Orbax and the library below it say "no space" in several types of errors
            if NO_SPACE in str(error):
                needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
                raise_for_os_error(OSError(errno.ENOSPC, NO_SPACE), self.folder, needed)
            raise

    def restore(self, abstract: Tree) -> tuple[int, Tree, dict[str, Any]] | None:
        """The newest checkpoint as step, state and position; None where there is none.

        Args:
            abstract: a tree like the saved state, of `jax.ShapeDtypeStruct` with shardings.

        Raises:
            InputError: the checkpoint was made from other inputs; names what changed, with both values.
        """
        step = self._manager.latest_step()
        if step is None:
            return None
        about = self._manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore()))["about"]
        if changed := differences(about["inputs"], self.inputs):
            raise InputError(
                f"{self.folder}: this training was begun with other inputs and cannot go on: {'; '.join(changed)}. "
                "Set them back, or start a new run."
            )
        arrays = self._manager.restore(
            step, args=ocp.args.Composite(arrays=ocp.args.StandardRestore(_numbered(abstract)))
        )["arrays"]
        leaves = [arrays[name] for name in sorted(arrays)]
        return step, jax.tree.unflatten(jax.tree.structure(abstract), leaves), about["position"]

    def remove(self) -> None:
        """Delete all of them, when the training is finished."""
        self._manager.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _numbered(tree: Tree) -> dict[str, Any]:
    """A tree's arrays by number. Orbax keeps a plain dictionary; what the leaves belong to is decided by the code."""
    return {f"{number:06}": leaf for number, leaf in enumerate(jax.tree.leaves(tree))}


def differences(before: Any, now: Any, name: str = "") -> list[str]:
    """What differs between two JSON values, as `field: before, now`."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted({*before, *now})
        return [
            line
            for key in keys
            for line in differences(before.get(key), now.get(key), f"{name}.{key}".lstrip("."))
        ]
    before, now = canonical_json(before), canonical_json(now)
    return [] if before == now else [f"{name}: was {before}, is {now}"]
