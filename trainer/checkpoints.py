"""Resumable training state, saved by Orbax: written atomically, hashed, the newest few kept."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from core.errors import InputError
from core.files import canonical_json, raise_for_os_error
from core.progress import announce
from core.sealed import SUMS, damage, seal

Tree = Any
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The disk is full, the quota is used up, or files may not be that large."""


class Checkpoints:
    """The checkpoints of one training run, each in a folder that is named after its step, with a list of the
    hashes of its files. One without a whole list was cut short; one that differs from its list is damaged.

    Args:
        folder: where they are; made when the first is saved.
        keep: how many of the newest are kept.
        inputs: everything that decides the result, as JSON; a checkpoint of other inputs is refused.
    """

    def __init__(self, folder: Path, keep: int, inputs: dict[str, Any]) -> None:
        self.folder = folder.absolute()
        self.keep = keep
        self.inputs = inputs
        self._orbax = ocp.Checkpointer(ocp.CompositeCheckpointHandler())

    def steps(self) -> list[int]:
        """The steps of which there is a checkpoint, whole or not, oldest first."""
        names = (path.name for path in self.folder.glob("*"))
        return sorted(int(name) for name in names if name.isdecimal() and name == str(int(name)))

    def save(self, step: int, state: Tree, position: dict[str, Any]) -> None:
        """Keep the state after a step; replaces those of this or a later step, from before an interruption.

        Args:
            step: number of the step, from 1.
            state: a tree of arrays, of any shapes and dtypes.
            position: whatever else is needed to resume, as JSON.

        Raises:
            ResourceError: the disk is full, or files may not be that large; earlier checkpoints stay.
        """
        self._remove(*(known for known in self.steps() if known >= step))
        arrays = ocp.args.StandardSave(_numbered(state))
        about = ocp.args.JsonSave({**self._identity(step), "position": position, "inputs": self.inputs})
        place = self.folder / str(step)
        try:
            self._orbax.save(place, ocp.args.Composite(arrays=arrays, about=about))
        except Exception as error:  # Orbax and the library below it say "no space" in several types of errors
            for number in NO_ROOM:
                if (reason := os.strerror(number)) in str(error):
                    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
                    raise_for_os_error(OSError(number, reason), self.folder, needed)
            raise
        if jax.process_index() == 0:  # of several hosts one writes it
            seal(place / SUMS, [place])
        self._remove(*self.steps()[: -self.keep])

    def damage(self, step: int) -> str | None:
        """What is wrong with the checkpoint of a step; None where it is there as it was saved."""
        place = self.folder / str(step)
        if (problem := damage(place / SUMS)) is not None:
            return problem
        about, identity = self._about(step), self._identity(step)
        here = {name: about.get(name) for name in identity} == identity
        return None if here else f"{place}: is the {about.get('kind')} checkpoint of step {about.get('step')}"

    def _identity(self, step: int) -> dict[str, Any]:
        """What a checkpoint says of itself, so that one under another name is found."""
        return {"kind": self.folder.name, "step": step}

    def _about(self, step: int) -> dict[str, Any]:
        """What a checkpoint holds beside the arrays."""
        wanted = ocp.args.Composite(about=ocp.args.JsonRestore())
        about: dict[str, Any] = self._orbax.restore(self.folder / str(step), wanted)["about"]
        return about

    def restore(
        self, abstract: Tree, wrong: Callable[[int, dict[str, Any]], str | None] = lambda *_: None
    ) -> tuple[int, Tree, dict[str, Any]] | None:
        """The newest whole checkpoint as step, state and position; None where there is none. A damaged one is
        removed, and named to whoever listens.

        Args:
            abstract: a tree like the saved state, of `jax.ShapeDtypeStruct` with shardings.
            wrong: says what is wrong with the position after a step, or with what that needs elsewhere.

        Raises:
            InputError: the checkpoint was made from other inputs; names what changed, with both values.
        """
        found, problems = self._newest(abstract, wrong)
        if problems:
            where = f"resumes from step {found[0]}" if found else "starts from the beginning"
            announce("damaged:", f"{'; '.join(problems)}. Training {where}")
        return found

    def _newest(
        self, abstract: Tree, wrong: Callable[[int, dict[str, Any]], str | None]
    ) -> tuple[tuple[int, Tree, dict[str, Any]] | None, list[str]]:
        """The newest checkpoint that is whole and usable, and what is wrong with newer ones."""
        problems: list[str] = []
        for path in self.folder.glob("*.orbax-checkpoint-tmp*"):
            shutil.rmtree(path, ignore_errors=True)  # of a run that was killed
        for step in reversed(self.steps()):
            place = self.folder / str(step)
            if (problem := self.damage(step)) is not None:
                problems.append(problem)
                self._remove(step)
                continue
            about = self._about(step)
            if changed := differences(about["inputs"], self.inputs):
                raise InputError(
                    f"{self.folder}: this training run began with other inputs and cannot resume: "
                    f"{'; '.join(changed)}. Set them back, or start a new run."
                )
            if (problem := wrong(step, about["position"])) is not None:
                problems.append(problem)
                continue
            wanted = ocp.args.Composite(arrays=ocp.args.StandardRestore(_numbered(abstract)))
            arrays = self._orbax.restore(place, wanted)["arrays"]
            leaves = [arrays[name] for name in sorted(arrays)]
            state = jax.tree.unflatten(jax.tree.structure(abstract), leaves)
            return (step, state, about["position"]), problems
        return None, problems

    def close(self) -> None:
        """Nothing more is saved or restored."""
        self._orbax.close()

    def _remove(self, *steps: int) -> None:
        """The list goes first: what a kill leaves of the rest is known for that."""
        for place in (self.folder / str(step) for step in steps):
            if place.is_dir() and not place.is_symlink():
                (place / SUMS).unlink(missing_ok=True)
                shutil.rmtree(place, ignore_errors=True)
            else:
                place.unlink(missing_ok=True)


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
