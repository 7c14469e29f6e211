"""Whether the rows agree with their own hashes and with each other: runs with their metrics and predictions,
versions with their runs, aliases with the promotion log. `alpha_check` looks at the ledger of alpha.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, text

from core.files import sha256_bytes
from core.progress import quiet_meter
from registry.content import run_sha256, version_sha256
from registry.log import MOVES, shown
from registry.models import CHAMPION
from registry.recorded import Chain, Found
from registry.stored import read

BY_HAND = ("assigned", "removed", "protected")
"""What cannot be done to an alias that is protected."""


def runs(connection: Connection) -> Iterator[Found]:
    """The content of each finished run."""
    count = connection.execute(text("SELECT count(*) FROM run WHERE status = 'finished'")).scalar_one()
    meter = quiet_meter("verify runs", count, "runs")
    for number, run in enumerate(read(connection, "run", rest="WHERE status = 'finished' ORDER BY id"), 1):
        meter.update(number)
        if run_sha256(connection, run) != run.content_sha256:
            yield (
                f"run {run.run_id}",
                "its row, its metrics or its predictions were changed after it finished",
            )


def parts(connection: Connection) -> Iterator[Found]:
    """No metrics and predictions but those of finished runs."""
    status = {row.run_id: row.status for row in read(connection, "run", "run_id", "status")}
    for table in ("metric", "prediction"):
        for (run,) in read(connection, table, "run_id", rest="GROUP BY run_id ORDER BY run_id"):
            if status.get(run) != "finished":
                state = status.get(run, "not recorded")
                yield f"run {run}", f"is {state}, and yet there are rows of it in table {table}"


def versions(connection: Connection) -> Iterator[Found]:
    """The content of each version and of its run."""
    contents = {row.run_id: row.content_sha256 for row in read(connection, "run", "run_id", "content_sha256")}
    for row in read(connection, "model_version"):
        if version_sha256(row, contents.get(row.run_id), connection.dialect.name) != row.content_sha256:
            yield f"version {row.model} v{row.number}", "its row or its run was changed after it was written"


def attestations(connection: Connection) -> Iterator[Found]:
    """The hash of each statement."""
    for row in read(connection, "attestation"):
        document = str(row.document).encode(errors="surrogateescape")
        if sha256_bytes(document) != row.sha256:
            yield f"attestation of {row.model} v{row.number}", "was changed after it was written"


def promotion_log(connection: Connection) -> Iterator[Found]:
    """The chain of the decisions, and the versions that they name."""
    chain = Chain("promotion_log", "promotion log row")
    versions = {
        (row.model, row.number): row.content_sha256
        for row in read(connection, "model_version", "model", "number", "content_sha256")
    }
    for row in read(connection, "promotion_log"):
        yield from chain.problems(connection, row)
        if row.to_version is not None and versions.get((row.model, row.to_version)) != row.version_sha256:
            yield (
                f"promotion log row {row.id}",
                f"names {row.model} v{row.to_version}, which is not the version that was promoted",
            )


def aliases(connection: Connection) -> Iterator[Found]:
    """Where each alias points, and whether it is protected, by the decisions about it."""
    logged: dict[tuple[str, str], tuple[int | None, bool]] = {}
    columns = ("id", "model", "alias", "action", "from_version", "to_version")
    for row in read(connection, "promotion_log", *columns):
        alias = (row.model, row.alias)
        version, protected = logged.get(alias, (None, row.alias == CHAMPION))
        if row.from_version != version:
            yield (
                f"promotion log row {row.id}",
                f"moves {row.model}@{row.alias} from {shown(row.from_version)}, but it was {shown(version)}",
            )
        if protected and row.action in BY_HAND:
            yield f"promotion log row {row.id}", f"{row.model}@{row.alias} was {row.action} though protected"
        if row.action in MOVES:
            logged[alias] = row.to_version, protected
        elif row.action == "removed":
            logged.pop(alias, None)
        elif row.action in ("protected", "unprotected"):
            logged[alias] = version, row.action == "protected"
    found = {
        (row.model, row.name): (row.version, bool(row.protected))
        for row in read(connection, "alias", "model", "name", "version", "protected")
    }
    nothing = (None, False)
    for alias in sorted(logged.keys() | found.keys(), key=repr):
        where = "alias {}@{}".format(*alias)
        (expected, guarded), (version, protected) = logged.get(alias, nothing), found.get(alias, nothing)
        if version != expected:
            yield where, f"points at {shown(version)}, but the log says {shown(expected)}"
        elif protected != guarded:
            state = "protected" if protected else "not protected"
            yield where, f"is {state}, but the log says otherwise"


def _document(stored: object) -> dict[str, Any]:
    """A document as it is stored; empty where it was damaged, which its row's hashes say."""
    try:
        document = json.loads(str(stored))
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def weights(connection: Connection) -> set[str]:
    """Hashes of the weights that versions name."""
    return {str(row.weights_sha256) for row in read(connection, "model_version", "weights_sha256")}


def dataset_files(connection: Connection) -> tuple[set[str], set[str]]:
    """Hashes of the datasets that finished runs put into the artifact store, and of all that runs name."""
    datasets = {row.id: str(row.sha256) for row in read(connection, "dataset", "id", "sha256")}
    stored, named = set[str](), set[str]()
    for row in read(connection, "run", "status", "dataset_id", "manifest"):
        manifest = _document(row.manifest)
        training = manifest.get("training")
        pins = [manifest.get("dataset"), training.get("dataset") if isinstance(training, dict) else None]
        named.add(datasets.get(row.dataset_id, ""))
        for pin in pins:
            if isinstance(pin, dict):
                sha256 = str(pin.get("sha256"))
                named.add(sha256)
                if row.status == "finished" and pin.get("stored"):
                    stored.add(sha256)
    return stored, named
