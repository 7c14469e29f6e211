"""The next version of a golden dataset, from what people said of its items."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from core.config import Record
from core.errors import InputError
from core.files import atomic_writer
from experiments.datasets import named_dataset
from experiments.linting import can_show, proved
from experiments.reviewing import Settled, settle
from experiments.revisions import new_count
from experiments.workspace import Workspace
from golden.datasets import BUILT_IN, Dataset, load_dataset
from golden.freezing import freeze
from golden.manifest import (
    DEFAULT_JUDGE,
    Change,
    ChangedItem,
    Manifest,
    Opinion,
    Revision,
    SeenRun,
    manifest_path,
)
from golden.revising import check_new_name, next_name, revised_lines
from judges import load_judge
from registry import Registry

CHANGES: dict[Change, str] = {
    "reference_replaced": "reference replaced",
    "answers_added": "further answers accepted",
    "removed": "removed",
}
"""What a revision does with an item, in words."""

SHOWN = 20
"""Conflicts that an error names."""


class Revised(Record):
    """A dataset that was revised.

    Attributes:
        path: the new file.
        manifest: what pins it.
        revision: every change, with its reasons.
        kept: how many items are as they were.
        warnings: in whole sentences, what to know before deciding on it.
        can_show: in words, how large a gain must be to be found with it.
        was_there: the very same revision was there already.
    """

    path: Path
    manifest: Manifest
    revision: Revision
    kept: int
    warnings: list[str]
    can_show: list[str]
    was_there: bool

    @property
    def counts(self) -> dict[Change, int]:
        """How many items each change was made to."""
        found = Counter(item.change for item in self.revision.items)
        return {change: found[change] for change in CHANGES}


def revise(
    reference: str | Path, workspace: Workspace, folder: Path | None = None, name: str | None = None
) -> Revised:
    """Write the next version of a golden dataset as its reviews say, and freeze it.

    A wrong reference is replaced where a reviewer named the right answer; where nobody did, and where it is
    unclear, the item is removed; where both are right, the other answers are accepted too. An item keeps its
    trace_id, so that recorded predictions can be judged again. The same reviews give the same bytes.

    Args:
        reference: the dataset: a path, a built-in name, or the name of one that runs were judged on.
        workspace: its registry holds the reviews.
        folder: where the new one is written; by default beside the file, for one that has no file of the
            person's own the working directory.
        name: KEY-vN; by default the next version.

    Raises:
        InputError: reviewers disagree, or nothing is to be changed; the new set cannot be won or is there
            already with another content; the name is taken.
        IntegrityError: the file is not the one that its manifest pins.

    Example:
        >>> revised = revise("support-v1", open_workspace())
        >>> revised.path, revised.counts["removed"]
        (PosixPath('support-v2.jsonl'), 2)
    """
    registry = workspace.registry
    dataset = named_dataset(reference, registry)
    name = next_name(dataset) if name is None else check_new_name(name, dataset)
    settled = _agreed(dataset, registry)
    target = (folder or _own_folder(reference, dataset)) / f"{name}.jsonl"
    with tempfile.TemporaryDirectory() as place:
        draft = Path(place) / target.name
        changed = list(_write(dataset, settled, draft))
        made = load_dataset(draft)
        _check_unused(made, registry)
        items = list(made.items())
        judge = _judge(dataset, settled, registry)
        proved(
            items,
            load_judge(judge or DEFAULT_JUDGE),
            f"{dataset.name}: not revised",
            f"`hallmark review list {dataset.name}` shows what was said of them",
            "Review these items again: the newest verdict of a person counts.",
        )
        revision = _revision(dataset, settled, changed, registry)
        manifest = freeze(
            made,
            dataset.manifest.licence if dataset.manifest else "unknown",
            dataset.manifest.made_by if dataset.manifest else "unknown",
            judge,
            revision=revision,
            bands=_bands(dataset, {item.trace_id for item in items}),
        )
        was_there = _publish(draft, target)
    return Revised(
        path=target,
        manifest=manifest,
        revision=revision,
        kept=len(items) - sum(item.change != "removed" for item in changed),
        warnings=[new_count(name, revision)],
        can_show=can_show(name, items),
        was_there=was_there,
    )


def _agreed(dataset: Dataset, registry: Registry) -> dict[str, Settled]:
    """What the reviews of a dataset come to, by item.

    Raises:
        InputError: reviewers disagree on an item; all of these are named.
    """
    settled = settle(registry.reviews.newest(dataset.sha256))
    if conflicts := [each for each in settled if each.is_conflict]:
        shown = "".join(f"\n  {each.sentence}" for each in conflicts[:SHOWN])
        more = f"\n  and {len(conflicts) - SHOWN} more" if len(conflicts) > SHOWN else ""
        raise InputError(
            f"{dataset.name}: not revised: reviewers disagree on {len(conflicts)} "
            f"item{'s' if len(conflicts) > 1 else ''}:{shown}{more}\n"
            "One of them reviews the item again: the newest verdict of a person counts."
        )
    return {each.trace_id: each for each in settled}


def _write(dataset: Dataset, settled: dict[str, Settled], draft: Path) -> Iterator[ChangedItem]:
    """Write the new file; gives the items that were changed.

    Raises:
        InputError: none is, or none is left.
    """
    changes = {each.trace_id: (each.change, each.answers) for each in settled.values() if each.change}
    written, changed = 0, 0
    with atomic_writer(draft) as file:
        for line, trace_id, change in revised_lines(dataset.path, changes):
            written += file.write(line)
            if change is not None:
                changed += 1
                yield _changed(settled[trace_id], change)
    if not changed:
        said = f"{len(settled)} of its items were reviewed" if settled else "none of its items was reviewed"
        raise InputError(
            f"{dataset.name} (sha256 {dataset.sha256}): nothing to revise: {said}, and no review changes "
            "one. Review items with: hallmark review add, or hallmark ui --review"
        )
    if not written:
        raise InputError(f"{dataset.name}: not revised: every item would be removed")


def _changed(settled: Settled, change: Change) -> ChangedItem:
    return ChangedItem(
        trace_id=settled.trace_id,
        change=change,
        reason=str(settled.verdict),
        by=[
            Opinion(reviewer=review.reviewer, note=review.note, at=review.created_at)
            for review in settled.reviews
        ],
    )


def _revision(
    dataset: Dataset, settled: dict[str, Settled], changed: Sequence[ChangedItem], registry: Registry
) -> Revision:
    before = dataset.manifest.revision if dataset.manifest else None
    seen = {run.run_id: run for run in (before.looked_at if before else [])}
    for run_id in _run_ids(settled.values()):
        seen[run_id] = SeenRun(run_id=run_id, model_sha256=registry.runs.get(run_id).model_sha256 or "")
    return Revision(
        parent=dataset.name,
        parent_sha256=dataset.sha256,
        changed=len(changed),
        looked_at=[seen[run_id] for run_id in sorted(seen)],
        items=list(changed),
    )


def _run_ids(settled: Iterable[Settled]) -> list[str]:
    """The runs that any reviewer looked at, of items that stayed as they are too."""
    return list(
        dict.fromkeys(run_id for each in settled for review in each.reviews for run_id in review.runs)
    )


def _judge(dataset: Dataset, settled: dict[str, Settled], registry: Registry) -> str | None:
    """The judge that the new set is meant for: the old one's, and where nothing says which that is, the one
    of the runs that were looked at.
    """
    if dataset.manifest is not None:
        return dataset.manifest.judge
    judges = {registry.runs.get(run_id).judge for run_id in _run_ids(settled.values())}
    return judges.pop() if len(judges) == 1 else None


def _bands(dataset: Dataset, left: set[str]) -> dict[str, list[str]]:
    bands = dataset.manifest.bands if dataset.manifest else {}
    found = {band: [trace_id for trace_id in ids if trace_id in left] for band, ids in bands.items()}
    return {band: ids for band, ids in found.items() if ids}


def _own_folder(reference: str | Path, dataset: Dataset) -> Path:
    """Where a person has a dataset; the working directory where it is Hallmark's own, or in the store."""
    own = str(reference).endswith(".jsonl") and dataset.path.parent.resolve() != BUILT_IN.resolve()
    return dataset.path.parent if own else Path()


def _check_unused(made: Dataset, registry: Registry) -> None:
    """Raise InputError where runs were judged on another file of the new name."""
    recorded = registry.datasets.named(made.key, made.version)
    if recorded is not None and recorded.sha256 != made.sha256:
        raise InputError(
            f"{made.name}: runs were judged on another file of this name (sha256 {recorded.sha256}). Give "
            f"the revision another name, as in --as {next_name(made)}"
        )


def _publish(draft: Path, target: Path) -> bool:
    """Copy a frozen dataset and its manifest to their place; whether they were there, byte for byte.

    Raises:
        InputError: another file is there.
        ResourceError: they cannot be written.
    """
    pairs = [(draft, target), (manifest_path(draft), manifest_path(target))]
    for new, place in pairs:
        if place.exists() and place.read_bytes() != new.read_bytes():
            raise InputError(
                f"{place}: is there already with another content, and a frozen dataset does not change. "
                f"Review {target.stem} itself and revise that, or give this revision another name (--as)."
            )
    if all(place.exists() for _, place in pairs):
        return True
    for new, place in pairs:
        with new.open("rb") as source, atomic_writer(place) as file:
            shutil.copyfileobj(source, file)
    return False
