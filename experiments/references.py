"""From what a person calls a model to a checked directory. Never another model than the one asked for."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel

from core.errors import InputError, ResourceError
from core.files import sha256_tree
from inference.model_directory import check_model_directory

TINY_BASE = "tiny-base"
TINY_BASE_DIRECTORY = Path(__file__).parent.parent / "golden" / "base" / TINY_BASE
REGISTRY_PREFIX = "registry:"
HUB_ID = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*/[\w.-]+)(@(?P<revision>[\w./-]+))?", re.ASCII)
HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "tokenizer.model", "merges.txt"]


class ResolvedModel(BaseModel):
    """A model that is on this machine.

    Attributes:
        reference: what was asked for.
        path: its checked directory.
        sha256: over the directory's files.
        revision: commit of a hub model, or version of a registered one; None for a plain directory.
    """

    reference: str
    path: Path
    sha256: str
    revision: str | None = None

    @property
    def label(self) -> str:
        """A short name for tables and progress lines."""
        return self.reference if self.revision else short_name(self.reference)


def short_name(reference: str) -> str:
    """A model reference as a title has it: a directory's last part, and everything else as it is."""
    directory = "/" in reference and not reference.startswith(REGISTRY_PREFIX) and "@" not in reference
    return Path(reference).name if directory else reference


def resolve_model(reference: str, home: Path, registered: Callable[[str], tuple[Path, str]]) -> ResolvedModel:
    """Find a model, fetch it when it is on the hub, and check it.

    Args:
        reference: `tiny-base`, a directory, `registry:NAME@ALIAS`, `registry:NAME@vN`, or
            `ORG/NAME[@REVISION]`.
        home: hub models are kept below it.
        registered: gives the verified directory and the version name of a registered model.

    Raises:
        InputError: there is no such model, or its directory is not whole.
        ResourceError: the hub cannot be reached or does not have it.

    Example:
        >>> found = resolve_model("tiny-base", workspace.home, workspace.registry.models.directory)
        >>> found.path.name, found.sha256[:8]
        ('tiny-base', '561ddc96')
    """
    if reference == TINY_BASE:
        return _local(reference, TINY_BASE_DIRECTORY)
    if reference.startswith(REGISTRY_PREFIX):
        path, version = registered(reference.removeprefix(REGISTRY_PREFIX))
        return _local(reference, path, version)
    path = Path(reference).expanduser()
    match = HUB_ID.fullmatch(reference)
    if path.exists() or match is None:
        return _local(reference, path)
    directory, revision = fetch_from_hub(match["id"], match["revision"], home)
    return _local(reference, directory, revision)


def _local(reference: str, path: Path, revision: str | None = None) -> ResolvedModel:
    check_model_directory(path)
    return ResolvedModel(
        reference=reference, path=path.absolute(), sha256=sha256_tree(path), revision=revision
    )


def fetch_from_hub(repository: str, revision: str | None, home: Path) -> tuple[Path, str]:
    """Download a model from the Hugging Face hub once; a pinned one that is already here needs no network.

    Args:
        repository: ORG/NAME.
        revision: commit, tag or branch; None means the default branch. What it stands for is resolved to a
            commit.
        home: models are kept in `home/hub/ORG--NAME@COMMIT`.

    Returns:
        The directory and the commit.

    Raises:
        ResourceError: not reachable, not there, or not allowed; says what to do offline.
    """
    try:
        from huggingface_hub import HfApi, snapshot_download
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        raise ResourceError(
            f"{repository}: no directory here, and fetching it from the hub needs the inference extra: pip "
            "install 'hallmark[inference]'"
        ) from None

    def place(commit: str) -> Path:
        return home.absolute() / "hub" / f"{repository.replace('/', '--')}@{commit}"

    if revision and place(revision).is_dir():
        return place(revision), revision
    try:
        commit = HfApi().model_info(repository, revision=revision).sha or ""
        target = place(commit)
        if not target.is_dir():
            partial = target.with_name(f".{target.name}.partial")
            snapshot_download(repository, revision=commit, local_dir=partial, allow_patterns=HUB_FILES)
            shutil.rmtree(partial / ".cache", ignore_errors=True)
            partial.replace(target)
    except HFValidationError as error:
        raise InputError(f"{repository}: not a hub model: {error}") from error
    except (
        Exception
    ) as error:  # the hub's client lets the errors of its HTTP library through, whichever that is
        reason = " ".join(str(error).split())[:200]
        raise ResourceError(
            f"{repository}: no directory here, and the hub did not give it ({type(error).__name__}: "
            f"{reason}). Check the name and the "
            "revision; offline, copy the model to a local directory and give its path."
        ) from error
    return target, commit
