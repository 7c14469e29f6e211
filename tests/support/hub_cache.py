"""A model as the client of the Hugging Face hub keeps it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from experiments.references import TINY_BASE_DIRECTORY


def hub_cache(folder: Path) -> Path:
    """The tiny base as the hub's client keeps it: links into a folder of blobs. Returns the snapshot."""
    snapshot = folder / "models--org--name" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    blobs = folder / "models--org--name" / "blobs"
    blobs.mkdir()
    for number, path in enumerate(sorted(TINY_BASE_DIRECTORY.iterdir())):
        shutil.copy(path, blobs / f"{number:040}")
        (snapshot / path.name).symlink_to(os.path.relpath(blobs / f"{number:040}", snapshot))
    return snapshot
