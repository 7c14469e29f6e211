"""Where the datasets are that a recorded run was judged and trained on: on this machine, or in the store."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

from pydantic import BaseModel

from core.errors import InputError, IntegrityError
from core.files import atomic_writer, count_lines, open_for_reading, sha256_bytes, sha256_file
from experiments.run_files import files_of, is_here
from golden.datasets import BUILT_IN, built_in_names, dataset_path, load_dataset, parse_name
from golden.datasets import Dataset as GoldenDataset
from golden.mixing import Part, write_mixture
from registry import Dataset, Registry, Run
from registry.artifacts.store import Store
from trainer.contract import TrainConfig


def named_dataset(reference: str | Path, registry: Registry) -> GoldenDataset:
    """The dataset that a person names: the path of a file, a built-in name, or the name of a file here or of
    a dataset that runs were judged on.

    Args:
        reference: as in `data/support-v1.jsonl`, `golden-v1`, or `support-v1`.
        registry: knows what runs were judged on.

    Raises:
        InputError: there is no such dataset, or its items are not to be had.
        IntegrityError: the file is not the one that its manifest pins, or was recorded.

    Example:
        >>> named_dataset("golden-v1", registry).name
        'golden-v1'
    """
    name = str(reference)
    if name.endswith(".jsonl") or name in built_in_names():
        return load_dataset(reference)
    if (here := Path(f"{name}.jsonl")).is_file():
        return load_dataset(here)
    recorded = registry.datasets.named(*parse_name(name, name))
    if recorded is None:
        return load_dataset(reference)  # says what there is
    return GoldenDataset(
        recorded.key, recorded.version, dataset_file(None, recorded, registry), recorded.sha256, None
    )


class TrainingSource(BaseModel):
    """One of several training sets that were mixed.

    Attributes:
        name: key and version.
        sha256: of its file.
        items: how many traces it has.
        weight: how often each of them is seen per epoch.
    """

    name: str
    sha256: str
    items: int
    weight: float


def training_dataset(config: TrainConfig, home: Path) -> tuple[GoldenDataset, list[TrainingSource]]:
    """The training set that settings name, and what it was mixed from: nothing, where it is one file.

    Args:
        config: names one training set, or several with weights, which are written as one file.
        home: that file is kept below it.

    Raises:
        InputError: there is no such dataset, or a line of it is bad.
        IntegrityError: a file is not the one that its manifest pins.
    """
    if not config.mix:
        return load_dataset(config.dataset), []
    parts = [Part(load_dataset(each.dataset), each.weight) for each in config.mix]
    sources = [
        TrainingSource(
            name=part.dataset.name,
            sha256=part.dataset.sha256,
            items=count_lines(part.dataset.path),
            weight=part.weight,
        )
        for part in parts
    ]
    return write_mixture(parts, config.seed, home / "cache" / "datasets"), sources


def first_items(dataset: GoldenDataset, count: int, home: Path) -> GoldenDataset:
    """The first items of a dataset as a dataset of its own, for a quick look: `golden-v1` becomes
    `golden-first20-v1`. One that has no more items is given back as it is.

    Args:
        dataset: hashed and checked.
        count: how many items.
        home: the file is kept below it.

    Example:
        >>> first_items(load_dataset("golden-v1"), 20, Path(".hallmark")).name
        'golden-first20-v1'
    """
    with open_for_reading(dataset.path) as file:
        lines = list(islice(file, count))
        if not file.readline():
            return dataset
    content = b"".join(lines)
    key, sha256 = f"{dataset.key}-first{count}", sha256_bytes(content)
    parse_name(f"{key}-{dataset.version}", f"{dataset.name}, limited to {count} items")
    path = home / "cache" / "datasets" / sha256 / f"{key}-{dataset.version}.jsonl"
    if not path.is_file() or sha256_file(path) != sha256:
        with atomic_writer(path) as target:
            target.write(content)
    return replace(dataset, key=key, path=path, sha256=sha256, limit_items=count)


def refuse_quick_look(run: Run) -> None:
    """Refuse to decide on a run that judged only the first items of its dataset.

    Raises:
        InputError: it did.
    """
    if (limit := run.manifest.get("dataset", {}).get("limit_items")) is not None:
        raise InputError(
            f"run {run.run_id}: judged only the first {limit} items, and nothing is promoted on a quick "
            "look. Judge the model on all of them, without --limit."
        )


def dataset_file(run: Run | None, dataset: Dataset, registry: Registry | None = None) -> Path:
    """The items of a golden dataset: the copy of a run that was judged on them, else the built-in file, else
    the one in the artifact store; checked against the registered sha256. Equal sha256, equal items, wherever
    the file is.

    Args:
        run: a run that was judged on them; None where none is asked.
        dataset: the one it names.
        registry: knows the folder of the run, and the store; without it only what is built in is looked at.

    Raises:
        InputError: none of them is to be had.
        IntegrityError: the run's copy, or the stored one, was changed.
    """
    own = files_of(run, registry).dataset if run and registry else None
    artifacts = registry.artifacts if registry else None
    if own and is_here(own):
        if (found := sha256_file(own)) != dataset.sha256:
            raise IntegrityError(
                f"{own}: changed since the run: expected sha256 {dataset.sha256}, found {found}."
            )
        return own
    built_in = BUILT_IN / f"{dataset.name}.jsonl"
    if built_in.is_file() and sha256_file(built_in) == dataset.sha256:
        return built_in
    if artifacts is not None and artifacts.has_file(dataset.sha256):
        return artifacts.get_file(dataset.sha256)
    about = f"run {run.run_id}: " if run else ""
    store = f"the artifact store {artifacts.place}" if artifacts else ""
    places = ", ".join(filter(None, [str(own or ""), store])) or "what is built in"
    raise InputError(
        f"{about}the items of {dataset.name} (sha256 {dataset.sha256}) are not to be had; "
        f"looked in {places}. Bring the run's folder back, or judge any model on the same file: that puts it "
        "into the store."
    )


def training_file(reference: str, sha256: str, artifacts: Store) -> Path:
    """The training set that a run's manifest names: where it was, else in the artifact store.

    Args:
        reference: a built-in name, or a path that may be another machine's.
        sha256: of the file.
        artifacts: the store.

    Raises:
        InputError: it is in neither.
        IntegrityError: another file is where it was, or the stored one was changed.
    """
    path = dataset_path(reference) if reference.endswith(".jsonl") else BUILT_IN / f"{reference}.jsonl"
    found = sha256_file(path) if is_here(path) else None
    if found == sha256:
        return path.absolute()
    if artifacts is not None and artifacts.has_file(sha256):
        return artifacts.get_file(sha256)
    if found is None:
        raise InputError(
            f"{path}: no such file, and the training set with sha256 {sha256} is not in the artifact store "
            f"at {artifacts.place} either. Bring the file to this place."
        )
    raise IntegrityError(f"{path}: changed since the run: expected sha256 {sha256}, found {found}.")
