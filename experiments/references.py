"""From what a person calls a model to a checked directory. Never another model than the one asked for."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core.errors import InputError, IntegrityError, ResourceError
from core.files import sha256_tensors, sha256_tree
from experiments.weights import model_of
from experiments.workspace import Workspace
from inference.model_directory import check_model_directory

TINY_BASE = "tiny-base"
TINY_BASE_DIRECTORY = Path(__file__).parent.parent / "golden" / "base" / TINY_BASE
REGISTRY_PREFIX = "registry:"
RUN_PREFIX = "run:"
RUN_ID = re.compile(r"\d{8}-\d{6}(-[0-9a-f]*)?$")
HUB_ID = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*/[\w.-]+)(@(?P<revision>[\w./-]+))?", re.ASCII)
HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "tokenizer.model", "merges.txt"]


class ResolvedModel(BaseModel):
    """A model that is on this machine.

    Attributes:
        reference: what was asked for.
        path: its checked directory.
        sha256: over the directory's files.
        tensors_sha256: over its tensors alone, by which copies of it are known.
        revision: commit of a hub model, or version of a registered one; None for a plain directory.
    """

    reference: str
    path: Path
    sha256: str
    tensors_sha256: str | None = None
    revision: str | None = None

    @property
    def label(self) -> str:
        """A short name for tables and progress lines."""
        return self.reference if self.revision else short_name(self.reference)


def short_name(reference: str) -> str:
    """A model reference as a title has it: a directory's last part, and everything else as it is."""
    directory = "/" in reference and not reference.startswith(REGISTRY_PREFIX) and "@" not in reference
    return Path(reference).name if directory else reference


def resolve_model(reference: str, workspace: Workspace) -> ResolvedModel:
    """Find a model, fetch it when it is on the hub, and check it.

    Args:
        reference: `tiny-base`, a directory, `registry:NAME@ALIAS`, `registry:NAME@vN`, `run:RUN_ID`, or
            `ORG/NAME[@REVISION]`.
        workspace: its registry knows the registered models and the runs; hub models are kept in its home.

    Raises:
        InputError: there is no such model, or its directory is not whole.
        IntegrityError: a run's or a registered model is not what was recorded.
        ResourceError: the hub cannot be reached or does not have it.

    Example:
        >>> found = resolve_model("tiny-base", workspace)
        >>> found.path.name, found.sha256[:8]
        ('tiny-base', '561ddc96')
    """
    if reference == TINY_BASE:
        return _local(reference, TINY_BASE_DIRECTORY)
    if reference.startswith(REGISTRY_PREFIX):
        path, version = workspace.registry.models.directory(reference.removeprefix(REGISTRY_PREFIX))
        return _local(reference, path, version)
    if reference.startswith(RUN_PREFIX):
        return _made_by(reference.removeprefix(RUN_PREFIX), workspace)
    path = Path(reference).expanduser()
    match = HUB_ID.fullmatch(reference)
    if not path.exists() and RUN_ID.match(reference):
        raise InputError(
            f"{reference}: no such model directory. For the model that a run trained: {RUN_PREFIX}{reference}"
        )
    if path.exists() or match is None:
        return _local(reference, path)
    directory, revision = fetch_from_hub(match["id"], match["revision"], workspace.home)
    return _local(reference, directory, revision)


def recorded_model(recorded: Mapping[str, Any], workspace: Workspace) -> ResolvedModel:
    """The model that a run's manifest names, by the revision that it had: an alias may point elsewhere by
    now. Where it is not on this machine, it is taken from the artifact store.

    Args:
        recorded: `model` of the manifest.
        workspace: where to look.

    Raises:
        InputError: it is nowhere; says what to bring.
        IntegrityError: other weights are where it was.
        ResourceError: the hub cannot be reached or does not have it any more.
    """
    reference, revision, sha256 = recorded["reference"], recorded["revision"], recorded["sha256"]
    problem: InputError | IntegrityError | ResourceError
    try:
        found = resolve_model(_pinned(reference, revision), workspace)
    except (InputError, ResourceError) as error:
        problem = error
    else:
        if found.sha256 == sha256:
            return found.model_copy(update={"reference": reference, "revision": revision})
        problem = IntegrityError(
            f"{found.path}: is not the recorded model any more: expected sha256 {sha256}, found "
            f"{found.sha256}."
        )
    store = workspace.registry.artifacts
    if store.has(sha256):
        return _local(reference, store.get(sha256), revision)
    raise type(problem)(
        f"{str(problem).rstrip('.')}. The run had {reference} with sha256 {sha256}, which is not in the "
        "artifact store either: bring those files to this machine, to the same place."
    ) from problem


def _pinned(reference: str, revision: str | None) -> str:
    if revision and reference.startswith(REGISTRY_PREFIX):
        return REGISTRY_PREFIX + revision
    return f"{reference.partition('@')[0]}@{revision}" if revision else reference


def _made_by(run_id: str, workspace: Workspace) -> ResolvedModel:
    """The model that a trained run made, checked against what was recorded of it."""
    run = workspace.registry.runs.finished(run_id)
    if run.kind != "trained":
        raise InputError(
            f"{RUN_PREFIX}{run.run_id}: this run judged a model and made none. Name that model: "
            f"{run.base_model}"
        )
    found = _local(f"{RUN_PREFIX}{run.run_id}", model_of(run, workspace.registry))
    if found.sha256 != run.model_sha256:
        raise IntegrityError(
            f"{found.path}: changed since run {run.run_id} judged it: expected sha256 {run.model_sha256}, "
            f"found {found.sha256}."
        )
    return found


def _local(reference: str, path: Path, revision: str | None = None) -> ResolvedModel:
    check_model_directory(path)
    return ResolvedModel(
        reference=reference,
        path=path.absolute(),
        sha256=sha256_tree(path),
        tensors_sha256=sha256_tensors(path),
        revision=revision,
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
