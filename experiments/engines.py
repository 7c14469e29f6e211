"""Where an engine runs, and what of its environment decides predictions: found when a run is planned."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import core
from core.errors import ResourceError
from core.settings import get_settings
from inference.contract import GenerationConfig
from inference.engines.vllm_builds import INSTALL, Build, find_build

PROJECT = Path(core.__file__).parent.parent
VLLM_PYTHON = PROJECT / ".venv-vllm" / "bin" / "python"
"""What `make vllm` makes."""
ASKED_SECONDS = 60

_WHAT_IS_THERE = """
import json, platform
from importlib.metadata import distributions
found = {each.name.lower().replace("_", "-"): each.version for each in distributions() if each.name}
print(json.dumps({"python": platform.python_version(), "packages": found}))
"""


class Environment(NamedTuple):
    """What an interpreter has installed.

    Attributes:
        python: its version.
        packages: versions of all distributions, by their names.
    """

    python: str
    packages: dict[str, str]


class Elsewhere(NamedTuple):
    """An engine in an environment of its own.

    Attributes:
        python: its interpreter; None where it is ours.
        environment: what is installed there.
        build: which vLLM.
    """

    python: Path | None
    environment: Environment
    build: Build


def engine_python(generation: GenerationConfig) -> Path | None:
    """The interpreter that runs an engine; None for our own.

    Raises:
        ResourceError: the engine is not installed, or not for the device; says what to do.
    """
    return find_vllm(generation).python if generation.engine == "vllm" else None


def find_vllm(generation: GenerationConfig) -> Elsewhere:
    """The vLLM that will run: of the setting, else of `make vllm`, else our own environment's.

    Args:
        generation: names the device.

    Raises:
        ResourceError: it is not installed, or not for the device; says what to do.
    """
    chosen = get_settings().vllm_python
    python = chosen or (VLLM_PYTHON if VLLM_PYTHON.exists() else Path(sys.executable))
    environment = installed(python.absolute())
    build = find_build(environment.packages)
    if build is None:
        where = f"HALLMARK_VLLM_PYTHON: {python} has no vllm" if chosen else "vllm is not installed"
        raise ResourceError(f"generation.engine is vllm, and {where}. {INSTALL}")
    build.refuse_device(generation.device)
    return Elsewhere(None if python == Path(sys.executable) else python.absolute(), environment, build)


@cache
def installed(python: Path) -> Environment:
    """What an interpreter has, by its own word.

    Raises:
        ResourceError: it does not run.
    """
    command = [str(python), "-I", "-c", _WHAT_IS_THERE]
    try:
        done = subprocess.run(  # noqa: S603 - the interpreter that the settings name
            command, capture_output=True, text=True, timeout=ASKED_SECONDS, check=True
        )
        return Environment(**json.loads(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError) as error:
        raise ResourceError(
            f"{python}: does not run as a Python ({error}). Set HALLMARK_VLLM_PYTHON to one that has vllm, "
            "or make the environment again: make vllm"
        ) from error


def engine_environment(generation: GenerationConfig, packages: tuple[str, ...]) -> dict[str, Any]:
    """What decides predictions where the engine has an environment of its own; nothing where it is ours.

    Args:
        generation: names the engine.
        packages: distributions whose versions count beside the engine's own.
    """
    if generation.engine != "vllm":
        return {}
    found = find_vllm(generation)
    names = [found.build.name, *(name for name in packages if name in found.environment.packages)]
    return {
        "packages": {name: found.environment.packages[name] for name in names},
        "python": found.environment.python,
        "switches": found.build.switches,
    }
