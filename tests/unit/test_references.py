"""A model is found by what a person calls it, and what is not found says where it was looked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core.errors import InputError, ResourceError
from core.progress import Progress, listening
from experiments.references import TINY_BASE_DIRECTORY, resolve_model
from experiments.workspace import Workspace
from tests.support.hub_cache import hub_cache
from tests.support.recorded_runs import workspace_at
from tests.support.registry_entries import base_run, finish, plain_gate, start

pytestmark = pytest.mark.unit


@pytest.fixture
def workspace(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A registry in which the tiny base is the champion of `support`, seen from an empty folder."""
    found = workspace_at(home)
    run = finish(found.registry, start(found.registry), TINY_BASE_DIRECTORY)
    base_run(found.registry)
    offered = found.registry.offer(
        "support",
        run.run_id,
        plain_gate,
        actor="someone",
        weights=lambda: TINY_BASE_DIRECTORY,
        parent_model="tiny-base",
    )
    assert offered.outcome == "promoted"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return found


@pytest.mark.parametrize(
    "reference", ["support", "support@champion", "support@v1", "registry:support", "registry:support@v1"]
)
def test_a_registered_model_is_found_with_and_without_its_prefix(
    reference: str, workspace: Workspace
) -> None:
    found = resolve_model(reference, workspace)
    assert found.revision == "support@v1"
    assert found.sha256[:8] == "561ddc96"
    assert found.reference.startswith("registry:support@")
    assert found.on_hub is None


def test_a_folder_of_the_same_name_is_taken_and_both_are_named(workspace: Workspace) -> None:
    shutil.copytree(TINY_BASE_DIRECTORY, "support")
    notes: list[Progress] = []
    with listening(notes.append):
        assert resolve_model("support", workspace).path == Path("support").absolute()
    assert [note.note for note in notes if note.stage == "model:"] == [
        f"support is the folder {Path('support').absolute()}; the registered model is registry:support"
    ]


def test_what_could_be_registered_or_of_the_hub_names_both(workspace: Workspace) -> None:
    with pytest.raises(InputError, match=r"Say registry:support@v1 or support/v1@main"):
        resolve_model("support/v1", workspace)


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (
            "suport",
            [
                r"here/suport does not exist",
                "a registered model of this name (there are support)",
                "mean support?",
            ],
        ),
        ("support@v7", ["support: has no version v7. There are champion, v1"]),
        ("./models/final/one", ["models/final/one does not exist"]),
        ("tiny_base", ["ORG/NAME@REVISION", "Did you mean tiny-base?"]),
        ("20260101-000000-ab12", ["run:20260101-000000-ab12"]),
    ],
)
def test_what_is_not_found_says_where_it_was_looked_for(
    reference: str, words: list[str], workspace: Workspace
) -> None:
    with pytest.raises(InputError) as refused:
        resolve_model(reference, workspace)
    for part in words:
        assert part in str(refused.value)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of the hub's client, with one model in it, on a machine without the hub."""
    import huggingface_hub.constants

    cache = tmp_path / "cache"
    cache.mkdir()
    snapshot = hub_cache(cache)
    refs = snapshot.parent.parent / "refs"
    refs.mkdir()
    (refs / "main").write_text(snapshot.name)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return snapshot


def test_a_pinned_model_is_taken_from_the_cache_of_the_hubs_client(
    offline: Path, workspace: Workspace
) -> None:
    found = resolve_model(f"org/name@{offline.name}", workspace)
    assert (found.path, found.revision, found.sha256[:8]) == (offline, offline.name, "561ddc96")
    assert found.on_hub == ("org/name", offline.name)


def test_without_a_revision_the_cached_one_is_named_and_not_taken(
    offline: Path, workspace: Workspace
) -> None:
    with pytest.raises(
        ResourceError, match=rf"here/org/name, and the hub .* Its cache has org/name@{offline.name}"
    ):
        resolve_model("org/name", workspace)
