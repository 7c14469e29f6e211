"""Resumable training state, kept by Orbax: written atomically, the newest few kept."""

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
    """The checkpoints of one training run.

    Args:
        folder: where they are; made when the first is saved.
        keep: how many of the newest are kept.
        inputs: everything that decides the result, as JSON; a checkpoint of other inputs is refused.
    """

    def __init__(self, folder: Path, keep: int, inputs: dict[str, Any]) -> None:
        self.folder = folder
        self.inputs = inputs
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep, enable_async_checkpointing=False, cleanup_tmp_directories=True
        )
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def save(self, step: int, state: Tree, position: dict[str, Any]) -> None:
        """Keep the state after a step; replaces those of this or a later step, from before an interruption.

        Args:
            step: number of the step, from 1.
            state: a tree of arrays, of any shapes and dtypes.
            position: whatever else is needed to resume, as JSON.

        Raises:
            ResourceError: the disk is full; earlier checkpoints stay.
        """
        for later in [known for known in self._manager.all_steps() if known >= step]:
            self._manager.delete(later)
        arrays = ocp.args.StandardSave(_numbered(state))
        about = ocp.args.JsonSave({"position": position, "inputs": self.inputs})
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
                f"{self.folder}: this training run began with other inputs and cannot resume: "
                f"{'; '.join(changed)}. Set them back, or start a new run."
            )
        wanted = ocp.args.Composite(arrays=ocp.args.StandardRestore(_numbered(abstract)))
        arrays = self._manager.restore(step, args=wanted)["arrays"]
        leaves = [arrays[name] for name in sorted(arrays)]
        return step, jax.tree.unflatten(jax.tree.structure(abstract), leaves), about["position"]

    def remove(self) -> None:
        """Delete all of them, once the training run is finished."""
        self._manager.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _numbered(tree: Tree) -> dict[str, Any]:
    """A tree's arrays by number: Orbax keeps a plain dictionary, and only the code knows the tree's types."""
    return {f"{number:06}": leaf for number, leaf in enumerate(jax.tree.leaves(tree))}


def differences(before: Any, now: Any, name: str = "") -> list[str]:
    """What differs between two JSON values, field by field.

    Example:
        >>> differences({"config": {"steps": 5, "seed": 0}}, {"config": {"steps": 6, "seed": 0}})
        ['config.steps: was 5, is 6']
    """
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted({*before, *now})
        return [
            line
            for key in keys
            for line in differences(before.get(key), now.get(key), f"{name}.{key}".lstrip("."))
        ]
    was, is_now = canonical_json(before), canonical_json(now)
    return [] if was == is_now else [f"{name}: was {was}, is {is_now}"]
