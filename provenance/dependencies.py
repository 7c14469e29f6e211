"""What a model version was made from, as ResourceDescriptors with digests.

Format: https://github.com/in-toto/attestation/blob/main/spec/v1/resource_descriptor.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from provenance.public import REGISTERED, public_model

if TYPE_CHECKING:
    from registry import ModelVersion, Run

REPOSITORY = "git+https://github.com/hallmark-ml/hallmark"
LISTING = "application/vnd.hallmark.tree+jsonl"
"""Media type of the list of a directory's files: one line `["name",size,"sha256"]` per file, in name order.
The list's sha256 is the directory's."""

JSONL = "application/jsonl"
COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?", re.ASCII)


def resolved_dependencies(version: ModelVersion, run: Run) -> list[dict[str, Any]]:
    """Base model, golden and training dataset, uv.lock and Hallmark's commit, as far as recorded."""
    manifest = version.manifest
    environment = manifest.get("environment") or {}
    code = environment.get("code") or {}
    golden = {"name": f"{version.dataset_key}-{version.dataset_version}", "sha256": version.dataset_sha256}
    found = [_base_model(manifest.get("model") or {}, run), _dataset(golden, "judgedOn")]
    if training := manifest.get("training"):
        found.append(_dataset(training["dataset"], "trainedOn"))
    if lock := environment.get("uv_lock_sha256"):
        found.append({"name": "uv.lock", "digest": {"sha256": lock}})
    if COMMIT.fullmatch(commit := code.get("git_commit") or ""):
        # A policy may ask for a clean checkout; one that ignores the annotation never accepts more for it.
        clean = (
            {"annotations": {"hallmark_clean": not code["git_dirty"]}}
            if code.get("git_dirty") is not None
            else {}
        )
        found.append(
            {"name": "hallmark", "uri": f"{REPOSITORY}@{commit}", "digest": {"gitCommit": commit}, **clean}
        )
    return found


def _base_model(model: dict[str, Any], run: Run) -> dict[str, Any]:
    reference, revision = model.get("reference") or run.base_model, model.get("revision")
    sha256 = model.get("sha256") or run.parent_model_sha256 or run.model_sha256
    name = public_model(reference, revision)
    descriptor = {
        "name": name,
        "digest": {"sha256": sha256},
        "mediaType": LISTING,
        "annotations": {"hallmark_role": "baseModel"},
    }
    if revision is not None:
        registered = reference.startswith(REGISTERED)
        descriptor["uri"] = f"{REGISTERED}{revision}" if registered else f"pkg:huggingface/{name}@{revision}"
    return descriptor


def _dataset(pin: dict[str, Any], role: str) -> dict[str, Any]:
    return {
        "name": pin["name"],
        "digest": {"sha256": pin["sha256"]},
        "mediaType": JSONL,
        "annotations": {"hallmark_role": role},
    }
