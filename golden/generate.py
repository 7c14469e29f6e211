"""Make golden-v1 and train-v1 from seeds: `python -m golden.generate`. Its output is committed, frozen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from core.files import sha256_file, write_jsonl
from golden.manifest import Manifest, write_manifest
from golden.schema import Item, trace_id_for
from golden.skills import BANDS, SKILLS, Band

DATA = Path(__file__).parent / "data"
GOLDEN_SEED, TRAIN_SEED = 20_261_101, 20_261_102
GOLDEN_PER_BAND, TRAIN_PER_BAND = 15, 400
ATTEMPTS = 200
"""After so many questions in a row that are not new, a skill has no more."""


class Banded(NamedTuple):
    """An item and the difficulty band it was made for."""

    band: Band
    item: Item


def questions(seed: int, per_band: int, taken: Container[str] = ()) -> Iterator[Banded]:
    """Different items of every skill and band, in a mixed but fixed order.

    Args:
        seed: decides everything.
        per_band: how many items to make for each skill in each band; fewer where a skill has no more
            different questions.
        taken: prompts that must not occur.
    """
    rng = Random(seed)
    made: list[Banded] = []
    for skill in SKILLS:
        for band in BANDS:
            made.extend(_distinct(rng, skill, band, per_band, taken))
    rng.shuffle(made)
    return iter(made)


def _distinct(rng: Random, skill: str, band: Band, count: int, taken: Container[str]) -> Iterator[Banded]:
    seen: set[str] = set()
    attempts = 0  # since the last question that was new
    while len(seen) < count and attempts < ATTEMPTS:
        prompt, steps, answer = SKILLS[skill](rng, band)
        if prompt in taken or prompt in seen:
            attempts += 1
            continue
        attempts = 0
        seen.add(prompt)
        item = Item(
            trace_id=trace_id_for(prompt, answer, skill),
            prompt=prompt,
            steps=steps,
            final_answer=answer,
            category=skill,
        )
        yield Banded(band, item)


def write_dataset(
    directory: Path, name: str, made: list[Banded], how: str, bands: tuple[Band, ...] = ()
) -> Path:
    """Write `name`.jsonl and its manifest into `directory`.

    Args:
        directory: where to write.
        name: key and version, as in golden-v1.
        made: the items.
        how: how they were made, for the manifest.
        bands: difficulty bands whose trace ids the manifest lists.
    """
    path = directory / f"{name}.jsonl"
    write_jsonl(path, (item.model_dump() for _, item in made))
    ids = {band: [item.trace_id for made_for, item in made if made_for == band] for band in bands}
    write_manifest(
        path,
        Manifest(
            name=name,
            items=len(made),
            sha256=sha256_file(path),
            categories=dict(sorted(Counter(item.category for _, item in made).items())),
            bands=ids,
            licence="CC0-1.0",
            made_by=how,
        ),
    )
    return path


def main(directory: Path = DATA) -> None:
    """Write both datasets into `directory`."""
    golden = list(questions(GOLDEN_SEED, GOLDEN_PER_BAND))
    taken = {item.question for _, item in golden}
    write_dataset(directory, "golden-v1", golden, f"python -m golden.generate, seed {GOLDEN_SEED}", BANDS)
    train = list(questions(TRAIN_SEED, TRAIN_PER_BAND, taken))
    write_dataset(
        directory,
        "train-v1",
        train,
        f"python -m golden.generate, seed {TRAIN_SEED}, golden-v1's prompts excluded",
    )


if __name__ == "__main__":
    main()
