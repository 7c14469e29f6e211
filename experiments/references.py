"""From what a person calls a model to a checked directory. Never another model than the one asked for."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core.errors import InputError, IntegrityError, ResourceError
from core.model_files import is_model_file, sha256_model
from core.progress import announce
from core.suggestions import did_you_mean
from core.tensors import refuse_nonfinite, survey_tensors
from experiments.names import REGISTRY_PREFIX, TINY_BASE, short_name
from experiments.weights import model_of
from experiments.workspace import Workspace
from inference.endpoint import ENDPOINT_PREFIX, Access, Endpoint, find_served, fingerprint, served_name
from inference.model_directory import check_model_directory
from registry import Registry
from registry.artifacts.checkouts import is_intact
from registry.models import CHAMPION

TINY_BASE_DIRECTORY = Path(__file__).parent.parent / "golden" / "base" / TINY_BASE
RUN_PREFIX = "run:"
RUN_ID = re.compile(r"\d{8}-\d{6}(-[0-9a-f]*)?$")
HUB_ID = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*/[\w.-]+)(@(?P<revision>[\w./-]+))?", re.ASCII)
REGISTERED = re.compile(r"(?P<name>[^@/:]+)(?P<which>[@/][^@/]+)?")
HUB_FILES = re.compile(r".*\.(json|safetensors|jinja|model)|(merges|vocab)\.txt")


class ResolvedModel(BaseModel):
    """A model that is on this machine, or that an endpoint serves.

    Attributes:
        reference: what was asked for.
        path: its checked directory; None for a served model, whose weights nobody here knows.
        sha256: over the files in it that are the model; of a served model over endpoint and name.
        tensors_sha256: over its tensors alone, by which copies of it are known.
        revision: commit of a hub model, or version of a registered one; None for a plain directory.
    """

    reference: str
    path: Path | None
    sha256: str
    tensors_sha256: str | None = None
    revision: str | None = None

    @property
    def directory(self) -> Path:
        """The directory of its weights.

        Raises:
            InputError: it is served.
        """
        if self.path is None:
            raise _without_weights(self.reference)
        return self.path

    @property
    def served(self) -> str | None:
        """The name under which an endpoint serves it; None for one that is here."""
        return served_name(self.reference)

    def recorded(self) -> dict[str, Any]:
        """What a manifest says of it, and `recorded_model` reads."""
        return self.model_dump(include={"reference", "sha256", "tensors_sha256", "revision"})

    @property
    def label(self) -> str:
        """A short name for tables and progress lines."""
        return self.reference if self.revision else short_name(self.reference)

    @property
    def on_hub(self) -> tuple[str, str] | None:
        """Its id and commit on the hub; None where it is not from there."""
        if self.revision is None or self.reference.startswith(REGISTRY_PREFIX):
            return None
        return self.reference.partition("@")[0], self.revision


def resolve_model(reference: str, workspace: Workspace, endpoint: Endpoint | None = None) -> ResolvedModel:
    """Find a model, fetch it when it is on the hub, and check it.

    Args:
        reference: `tiny-base`, a directory, `registry:NAME@ALIAS`, `registry:NAME@vN`, `run:RUN_ID`,
            `ORG/NAME[@REVISION]`, or `endpoint:NAME`. `registry:` may be left out where there is no such
            directory, and the alias where it is `champion`.
        workspace: its registry knows the registered models and the runs; hub models are kept in its home.
        endpoint: where a model named `endpoint:NAME` is served; without one, only models with weights do.

    Raises:
        InputError: there is no such model, and where it was looked for; or its directory is not whole.
        IntegrityError: a run's or a registered model is not what was recorded.
        ResourceError: the hub cannot be reached or does not have it; or the endpoint does not answer.

    Example:
        >>> found = resolve_model("tiny-base", workspace)
        >>> found.path.name, found.sha256[:8]
        ('tiny-base', '561ddc96')
    """
    if reference == TINY_BASE:
        return _local(reference, TINY_BASE_DIRECTORY)
    if (name := served_name(reference)) is not None:
        return _served(reference, name, endpoint)
    if reference.startswith(REGISTRY_PREFIX):
        return _registered(reference.removeprefix(REGISTRY_PREFIX), workspace.registry)
    if reference.startswith(RUN_PREFIX):
        return _made_by(reference.removeprefix(RUN_PREFIX), workspace)
    path = Path(reference).expanduser()
    if path.is_dir():
        _mention_registered(reference, path, workspace.registry)
        return _local(reference, path)
    if _is_registered(reference, workspace.registry):
        return _registered(reference, workspace.registry)
    if path.exists():
        return _local(reference, path)
    match = HUB_ID.fullmatch(reference)
    if match is None or RUN_ID.match(reference):
        raise InputError(_nowhere(reference, path, workspace.registry))
    try:
        directory, revision = fetch_from_hub(match["id"], match["revision"], workspace.home)
    except ResourceError as error:
        raise ResourceError(f"{error}{_meant(reference, path, workspace.registry)}") from error
    return _local(reference, directory, revision)


def _served(reference: str, name: str, endpoint: Endpoint | None) -> ResolvedModel:
    """A model that an endpoint has, which is asked whether it does."""
    if endpoint is None:
        raise _without_weights(reference)
    if not name:
        raise InputError(f"{reference}: name the model that {endpoint} serves, as in {ENDPOINT_PREFIX}llama3")
    find_served(Access.of(endpoint), name)
    return ResolvedModel(reference=reference, path=None, sha256=fingerprint(endpoint, name))


def _without_weights(reference: str) -> InputError:
    return InputError(
        f"{reference}: an endpoint serves this model, so its weights are not known here, and this needs "
        f"them. A served model can be judged and compared: hallmark evaluate {reference} --endpoint URL"
    )


def _is_registered(reference: str, registry: Registry) -> bool:
    """Whether a reference without a prefix names a registered model, or a version of one."""
    match = REGISTERED.fullmatch(reference)
    if match is None or match["name"] not in (model.name for model in registry.models.list()):
        return False
    if (match["which"] or "").startswith("/"):
        raise InputError(
            f"{reference}: {match['name']} is a registered model, and {reference} could be one of the hub. "
            f"Say {REGISTRY_PREFIX}{match['name']}@{match['which'][1:]} or {reference}@main."
        )
    return True


def _registered(reference: str, registry: Registry) -> ResolvedModel:
    """A version of a registered model: NAME@ALIAS, NAME@vN, or NAME, whose champion is meant."""
    if not ({"@", "/"} & set(reference)):
        reference = f"{reference}@{CHAMPION}"
    version = registry.models.get(reference)
    path = registry.artifacts.get(version.weights_sha256)  # every file was hashed
    return _local(
        f"{REGISTRY_PREFIX}{reference}", path, f"{version.model}@v{version.number}", version.weights_sha256
    )


def _mention_registered(reference: str, path: Path, registry: Registry) -> None:
    """Say which of the two is taken where a folder and a registered model have one name."""
    if "/" not in reference and _is_registered(reference, registry):
        there = f"{reference} is the folder {path.absolute()}"
        announce("model:", f"{there}; the registered model is {REGISTRY_PREFIX}{reference}")


def _nowhere(reference: str, path: Path, registry: Registry) -> str:
    """That there is no such model, with everything that was looked for."""
    if RUN_ID.match(reference):
        return (
            f"{reference}: no such model directory. For the model that a run trained: {RUN_PREFIX}{reference}"
        )
    names = [model.name for model in registry.models.list()]
    looked = ""
    if REGISTERED.fullmatch(reference):
        there_are = f"there are {', '.join(names[:10])}" if names else "nothing was promoted yet"
        looked = (
            f", nor a registered model of this name ({there_are}). Models of the hub are named "
            "ORG/NAME@REVISION"
        )
    return (
        f"{reference}: no such model directory: {path.absolute()} does not exist{looked}."
        f"{_meant(reference, path, registry)}"
    )


def _meant(reference: str, path: Path, registry: Registry) -> str:
    """The nearest names that there are, as a question."""
    parent = path.parent
    folders = [folder.name for folder in parent.iterdir() if folder.is_dir()] if parent.is_dir() else []
    names = {str(parent / name) if str(parent) != "." else name for name in folders}
    names |= {TINY_BASE, *(model.name for model in registry.models.list())}
    return did_you_mean(reference, names)


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
    if served_name(reference) is not None:
        raise _without_weights(reference)
    problem: InputError | IntegrityError | ResourceError
    try:
        found = resolve_model(_pinned(reference, revision), workspace)
    except (InputError, ResourceError) as error:
        problem = error
    else:
        if _is(found.directory, sha256, found.sha256):
            return found.model_copy(update={"reference": reference, "revision": revision, "sha256": sha256})
        problem = IntegrityError(
            f"{found.directory}: is not the recorded model any more: expected sha256 {sha256}, found "
            f"{found.sha256}."
        )
    store = workspace.registry.artifacts
    if store.has(sha256):
        return _local(reference, store.get(sha256), revision, sha256)
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
    if not _is(found.directory, run.model_sha256 or "", found.sha256):
        raise IntegrityError(
            f"{found.directory}: changed since run {run.run_id} judged it: expected sha256 "
            f"{run.model_sha256}, found {found.sha256}."
        )
    return found.model_copy(update={"sha256": run.model_sha256})


def _is(path: Path, recorded: str, found: str) -> bool:
    """Whether a directory is the recorded model. Older runs counted every file of it, whatever it was."""
    return found == recorded or is_intact(path, recorded)


def _local(
    reference: str, path: Path, revision: str | None = None, sha256: str | None = None
) -> ResolvedModel:
    """A directory as a model.

    Args:
        reference: what was asked for.
        path: the directory.
        revision: see `ResolvedModel`.
        sha256: its, where every file has been hashed already.
    """
    check_model_directory(path)
    tensors = survey_tensors(path)
    refuse_nonfinite(path, tensors.nonfinite)
    return ResolvedModel(
        reference=reference,
        path=path.absolute(),
        sha256=sha256 or sha256_model(path),
        tensors_sha256=tensors.sha256,
        revision=revision,
    )


def fetch_from_hub(repository: str, revision: str | None, home: Path) -> tuple[Path, str]:
    """Download a model from the Hugging Face hub once; a pinned one that is already here needs no network.
    Where the hub gives nothing, a pinned one is taken from its client's cache (HF_HOME, HF_HUB_CACHE).

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
        info = HfApi().model_info(repository, revision=revision)
        commit = info.sha or ""
        target = place(commit)
        if not target.is_dir():
            names = [file.rfilename for file in info.siblings or []]
            wanted = [name for name in names if is_model_file(name) and HUB_FILES.fullmatch(name)]
            partial = target.with_name(f".{target.name}.partial")
            snapshot_download(repository, revision=commit, local_dir=partial, allow_patterns=wanted)
            shutil.rmtree(partial / ".cache", ignore_errors=True)
            partial.replace(target)
    except HFValidationError as error:
        raise InputError(f"{repository}: not a hub model: {error}") from error
    except Exception as error:  # the hub's client lets the errors of its HTTP library through, whichever
        cached = _cached(repository, revision)
        if cached and revision:
            return cached, cached.name
        reason = " ".join(str(error).split())[:200]
        here = f" Its cache has {repository}@{cached.name}." if cached else ""
        raise ResourceError(
            f"{repository}: no directory {Path(repository).absolute()}, and the hub did not give it "
            f"({type(error).__name__}: {reason}). Check the name and the revision; offline, copy the model "
            f"to a local directory and give its path.{here}"
        ) from error
    return target, commit


def _cached(repository: str, revision: str | None) -> Path | None:
    """The snapshot of a model in the cache of the hub's client; None where it is not there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, OSError, ValueError):
        return None
