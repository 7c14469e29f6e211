"""The pages of registered models: their versions, aliases and history, and one version with its lineage."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException
from fastapi import Query as FromQuery
from starlette.responses import Response

from core.errors import HallmarkError, InputError
from evaluation.training_data import TrainingData
from experiments.lineage import training_data
from hallmark.ui.looking import Query, RowId, found_run
from hallmark.ui.pages import Pages, ThePages
from provenance import configured_key
from provenance.signing import is_envelope, key_ids, signature_of
from registry import ModelVersion
from registry.pages import decisions_page, newest_log_id, run_lines, version_of_weights, versions_page

router = APIRouter()
ROWS = 50
"""Versions, and decisions, in a page."""
FRESH_S = 60
"""How long it is taken for granted that an artifact is still there, in seconds."""


class ModelQuery(Query):
    """Where the lists of a model go on.

    Attributes:
        below: versions with a smaller number.
        before: decisions with a smaller row id.
    """

    below: RowId | None = None
    before: RowId | None = None


@router.get("/models")
def models(pages: ThePages) -> Response:
    """All registered models."""
    return pages.show("models.html", here="/models", models=pages.registry.models.list())


@router.get("/models/{name}")
def model(pages: ThePages, name: str, query: Annotated[ModelQuery, FromQuery()]) -> Response:
    """One model."""
    registry = pages.registry
    try:
        newest = registry.models.versions(name, limit=1)
    except InputError as error:
        raise HTTPException(404, str(error)) from None
    database = registry.database
    versions = versions_page(database, name, ROWS + 1, query.below) if newest else []
    decisions = decisions_page(database, name, ROWS + 1, query.before)
    return pages.show(
        "model.html",
        here="/models",
        name=name,
        query=query,
        aliases=registry.aliases.list(name),
        versions=versions[:ROWS],
        more_versions=len(versions) > ROWS,
        decisions=decisions[:ROWS],
        more_decisions=len(decisions) > ROWS,
        score=score,
    )


def score(version: ModelVersion) -> float | None:
    """The overall score of a version when it was promoted."""
    overall = (each["value"] for each in version.metrics if not each.get("category"))
    return next(overall, None)


@router.get("/models/{name}/{number}")
def version(pages: ThePages, name: str, number: str) -> Response:
    """One version."""
    registry = pages.registry
    try:
        found = registry.models.get(f"{name}@{number}")
    except InputError as error:
        raise HTTPException(404, str(error)) from None
    run = found_run(pages, found.run_id)
    comparison = registry.comparisons.find(found)
    lineage = _lineage(pages, found)
    makers = run_lines(registry.database, [each.run_id for each in lineage.ancestors])
    parent = version_of_weights(registry.database, name, found.parent_sha256 or "")
    return pages.show(
        "version.html",
        here="/models",
        version=found,
        run=run,
        comparison=comparison,
        lineage=lineage,
        makers=makers,
        parent=parent,
        aliases=[alias for alias in registry.aliases.list(name) if alias.version == found.number],
        score=score(found),
        provenance=_provenance(pages, found),
        is_present=_is_present(pages, found.weights_sha256),
    )


def _lineage(pages: Pages, found: ModelVersion) -> TrainingData:
    """What is known of everything that a version was trained on."""
    registry = pages.registry

    def look() -> TrainingData:
        run = registry.runs.get(found.run_id)
        return training_data(run, registry.datasets.get(run.dataset_id), pages.workspace)

    key = ("lineage", found.content_sha256, newest_log_id(registry.database))
    return pages.prepared.get(key, f"what {found.model} v{found.number} was trained on", look)


def _provenance(pages: Pages, found: ModelVersion) -> dict[str, Any]:
    """Whether a version has a statement, who signed it, and whether that holds by the configured key."""
    document = pages.registry.models.attestation(found.model, found.number)
    if document is None:
        return {"attested": False, "keys": [], "signature": "none", "problem": ""}
    keys = key_ids(document) if is_envelope(document) else []
    try:
        own, problem = configured_key(), ""
    except HallmarkError as error:
        own, problem = None, str(error)
    signature = signature_of(document, (), own)
    return {"attested": True, "keys": keys, "signature": signature, "problem": problem}


def _is_present(pages: Pages, sha256: str) -> bool | str:
    """Whether an artifact is in the store with all of its files; else why nobody can say."""

    def look() -> bool | str:
        try:
            return pages.registry.artifacts.has(sha256)
        except HallmarkError as error:
            return str(error)

    key = ("present", sha256, int(time.monotonic() / FRESH_S))
    return pages.prepared.get(key, "whether the model is in the store", look)
