"""What is known of everything that a model was trained on, for one golden dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from core.config import Record
from core.text import counted

TrainingStatus = Literal["clean", "leaked", "unknown"]
SHOWN_RUNS = 3


class Ancestor(Record):
    """A training set that a model, or a model that it was trained from, was trained on.

    Attributes:
        run_id: the run that trained on it.
        dataset: its name.
        sha256: of its file.
        status: clean; leaked, when it holds golden items; unknown, when nobody can look any more.
        overlaps: how many of its items hold golden items, as far as is known.
    """

    run_id: str
    dataset: str
    sha256: str
    status: TrainingStatus
    overlaps: int = 0


class TrainingData(Record):
    """What is known of everything that a model was trained on.

    Attributes:
        status: leaked, when any training set holds golden items; unknown, when that cannot be said of one of
            them, or of the weights that training began with; else clean.
        golden: name of the golden dataset.
        ancestors: the model's own training set first, then that of the model that it was trained from, ...
        root: what a person called the weights that training began with, which no recorded run made.
        root_status: clean, where it is known what these were trained on; else unknown.
    """

    status: TrainingStatus
    golden: str
    ancestors: list[Ancestor] = Field(default_factory=list)
    root: str
    root_status: TrainingStatus = "unknown"

    @property
    def sentences(self) -> list[str]:
        """What a person should know, and what to do about it."""
        leaked, unknown = (self._by_training_set(status) for status in ("leaked", "unknown"))
        if leaked:
            remedy = (
                f"Begin again with a model from before {leaked[-1][1].lower()}, and train without these "
                "items: `hallmark golden guard --write-clean` removes them."
            )
            found = [
                f"{runs} trained on {each.dataset}, of which {_items(each.overlaps)} items of {self.golden}, "
                "so a gain may be memory."
                for each, runs in leaked
            ]
            return [*found, remedy]
        sentences = [
            f"Training data unknown: {each.dataset} (sha256 {each.sha256}), which {runs.lower()} trained on, "
            f"is not to be had, so items of {self.golden} may be among it."
            for each, runs in unknown
        ]
        if self.root_status == "unknown":
            sentences.append(
                f"Training data unknown: nothing is recorded of what {self.root} was trained on, so items of "
                f"{self.golden} may have been among it."
            )
        return sentences or [
            f"Training data clean: nothing that the model was trained on holds items of {self.golden}."
        ]

    def _by_training_set(self, status: TrainingStatus) -> list[tuple[Ancestor, str]]:
        """The training sets of this status, each once, with the runs that trained on it, oldest first."""
        found: dict[str, list[Ancestor]] = {}
        for each in reversed(self.ancestors):
            if each.status == status:
                found.setdefault(each.sha256, []).append(each)
        return [(those[0], _runs([each.run_id for each in those])) for those in reversed(found.values())]


def _items(count: int) -> str:
    return counted(count, "item holds", "items hold")


def _runs(ids: Sequence[str]) -> str:
    if len(ids) == 1:
        return f"Run {ids[0]}"
    more = f" and {len(ids) - SHOWN_RUNS} more" if len(ids) > SHOWN_RUNS else ""
    return f"Runs {', '.join(ids[:SHOWN_RUNS])}{more}"


def overall(statuses: Sequence[TrainingStatus]) -> TrainingStatus:
    """The status of several together: leaked where any is, else unknown where any is, else clean."""
    return next((status for status in ("leaked", "unknown") if status in statuses), "clean")
