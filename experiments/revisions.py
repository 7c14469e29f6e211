"""That a golden dataset was changed after looking at answers to it, and what follows for decisions on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.text import counted
from golden.manifest import RevisedFrom
from registry import Run

NAMED = 3
"""Runs that a sentence names."""


def revision_in(*manifests: Mapping[str, Any]) -> RevisedFrom | None:
    """What the dataset of some runs was revised from, as the manifest of any of them says; None where it
    never was.
    """
    for manifest in manifests:
        if found := (manifest.get("dataset") or {}).get("revised_from"):
            return RevisedFrom.model_validate(found)
    return None


def new_count(name: str, revision: RevisedFrom) -> str:
    """That a revised dataset has a count of its own, in a sentence.

    Args:
        name: of the revised dataset.
        revision: what it was revised from.
    """
    items = counted(revision.changed, "item was", "items were")
    return (
        f"{name} is {revision.parent} revised: {items} changed after looking at the answers of "
        f"{_runs(revision)}. It starts a new count of alpha."
    )


def weighed(name: str, revision: RevisedFrom, candidate: Run, opponent: Run) -> str:
    """The same with what it means for a decision on a candidate.

    Args:
        name: of the revised dataset.
        revision: what it was revised from.
        candidate: its run on the revised dataset.
        opponent: the run that it is compared with.
    """
    if revision.is_about(candidate.model_sha256):
        about = (
            "The candidate's answers were among them, so its gain here is weaker evidence than one on items "
            "that were not changed after looking at it."
        )
    elif revision.is_about(opponent.model_sha256):
        about = "The candidate's answers were not among them; those of the model it is compared with were."
    else:
        about = "The candidate's answers were not among them."
    return f"{new_count(name, revision)} {about}"


def _runs(revision: RevisedFrom) -> str:
    ids = [run.run_id for run in revision.looked_at]
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return f"run{'s' if len(ids) > 1 else ''} {', '.join(ids[:NAMED])}{more}"
