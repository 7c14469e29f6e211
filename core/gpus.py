"""One job per GPU: work on a GPU waits until no other process of Hallmark on this machine is using it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from core.locks import Holder, acquire_when_free, holder
from core.progress import Listener, Progress
from core.settings import get_settings

CPU = "cpu"
SHARED_FOLDER = Path("/tmp/hallmark-locks")  # noqa: S108 - for every user, so not below a TMPDIR of one's own


def ask_driver(fields: str) -> list[str]:
    """One line for every GPU that the NVIDIA driver lists; none where there is no driver.

    Args:
        fields: what to ask for, as `nvidia-smi --help-query-gpu` names it, separated by commas.
    """
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in found.stdout.splitlines() if line.strip()]


@cache
def _installed_gpus() -> tuple[tuple[str, str], ...]:
    """Index and UUID of every GPU."""
    rows = [line.split(",") for line in ask_driver("index,uuid") if line.count(",") == 1]
    return tuple((index.strip(), uuid.strip()) for index, uuid in rows)


def visible_gpus() -> list[str]:
    """UUIDs of the GPUs that CUDA_VISIBLE_DEVICES leaves visible.

    They are sorted, so that everybody takes several locks in the same order and nobody waits in a circle.
    """
    installed = _installed_gpus()
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return sorted(uuid for _, uuid in installed)
    names = [name.strip() for name in wanted.split(",") if name.strip()]

    def is_named(index: str, uuid: str) -> bool:
        return any(name == index or (len(name) > 1 and uuid.startswith(name)) for name in names)

    return sorted({uuid for index, uuid in installed if is_named(index, uuid)})


def lock_folder() -> Path:
    """Where the locks are: one folder per machine, whatever HALLMARK_HOME, since its GPUs are everybody's."""
    folder = get_settings().locks or SHARED_FOLDER
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):
            folder.chmod(0o777)
    return folder


def held_devices() -> dict[str, Holder]:
    """Who uses which device of this machine now, by the device's name, as in GPU 0."""
    folder = get_settings().locks or SHARED_FOLDER
    found = ((_name(path.stem), holder(path)) for path in sorted(folder.glob("*.lock")))
    return {name: owner for name, owner in found if owner is not None}


@contextmanager
def own_device(what: str, listener: Listener, *, cpu: bool = False) -> Iterator[tuple[int, ...]]:
    """Hold every visible GPU for the length of the block; wait for whoever holds one, and say for whom.

    Args:
        what: what this job is, for those who wait for it.
        listener: gets whom this job waits for, and since when that one holds the GPU.
        cpu: the work stays on the CPU although there are GPUs.

    Yields:
        Descriptors to hand to the process that uses the device: the lock then lives as long as that process
        does, even when this one is killed. Empty on the CPU, unless HALLMARK_EXCLUSIVE=always makes CPU work
        wait too.

    Raises:
        ResourceError: the folder of the locks cannot be written.
    """
    devices = [] if cpu else visible_gpus()
    if not devices and get_settings().exclusive == "always":
        devices = [CPU]
    held: list[int] = []
    try:
        held.extend(_wait_for(device, what, listener) for device in devices)
        yield tuple(held)
    finally:
        for descriptor in held:
            os.close(descriptor)


def _wait_for(device: str, what: str, listener: Listener) -> int:
    def say(owner: Holder) -> None:
        note = f"for {_name(device)}, used by {owner.sentence()}"
        listener(Progress(stage="waiting", done=0, total=0, unit="", note=note))

    return acquire_when_free(lock_folder() / f"{device}.lock", what, say, shared=True)


def _name(device: str) -> str:
    index = next((index for index, uuid in _installed_gpus() if uuid == device), None)
    return "the CPU" if device == CPU else f"GPU {index}"
