"""A checkpoint says which one it is, and a limit on the size of files is said as one."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

import pytest

from core.errors import ResourceError
from core.progress import listening

pytestmark = pytest.mark.model


def test_a_checkpoint_under_another_name_is_damage_and_the_older_one_is_taken(tmp_path: Path) -> None:
    import jax
    import numpy as np

    from trainer.checkpoints import Checkpoints

    latest, best = (Checkpoints(tmp_path / name, 3, {}) for name in ("latest", "best"))
    for step in (1, 2):
        latest.save(step, {"a": np.full(3, step)}, {})
    best.save(4, {"a": np.zeros(3, int)}, {})
    shutil.copytree(tmp_path / "latest" / "2", tmp_path / "latest" / "3")
    shutil.copytree(tmp_path / "best" / "4", tmp_path / "latest" / "4")
    said: list[str] = []
    with listening(lambda progress: said.append(progress.sentence())):
        found = latest.restore({"a": jax.ShapeDtypeStruct((3,), int)})
    assert found is not None
    assert found[0] == 2
    (line,) = said
    assert f"{tmp_path}/latest/4: is the best checkpoint of step 4" in line
    assert f"{tmp_path}/latest/3: is the latest checkpoint of step 2" in line
    assert latest.steps() == [1, 2]


def test_a_limit_on_the_size_of_files_is_said_as_one(tmp_path: Path) -> None:
    import numpy as np

    from trainer.checkpoints import Checkpoints

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(ResourceError, match="larger than files may be"):
            Checkpoints(tmp_path / "latest", 2, {}).save(
                1, {"a": np.random.default_rng(0).random(100_000)}, {}
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
