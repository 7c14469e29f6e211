"""Row 22: a registry that an older Hallmark wrote is read, verified and continued by this one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provenance import stored_document
from provenance.attestation import decision_of, tree_files
from provenance.statement import statement
from registry import Registry, open_registry, upgrade
from registry.alpha_ledger import comparison_sha256
from tests.faults.test_registry_upgrade import CONTENT, make_registry
from tests.support.registry_entries import finish, make_weights, promote, start

pytestmark = pytest.mark.unit

ROWS: dict[str, list[dict[str, Any]]] = json.loads(CONTENT["0003"].read_text())
"""Rows of every table as commit d953daa wrote them: each kind of decision, statements, spent alpha."""

WEIGHTS = ("first", "fourth", "fifth")
"""What the weights of its versions v1, v2 and v3 hold; the rows name the sha256 of these bytes."""


@pytest.fixture
def older(home: Path, registry_url: str | None, tmp_path: Path) -> Iterator[Registry]:
    """That registry, its artifacts put beside it, opened by this Hallmark."""
    make_registry(home, registry_url, "0003")
    upgrade(home, registry_url)
    registry = open_registry(home, registry_url)
    for content, version in zip(WEIGHTS, ROWS["model_version"], strict=True):
        assert registry.artifacts.put(weights(tmp_path, content)) == version["weights_sha256"]
    yield registry
    registry.close()


def weights(folder: Path, content: str) -> Path:
    path = make_weights(folder, content)
    (path / "README.md").write_text("# the card of the training")
    return path


def test_an_older_registry_verifies_without_a_problem(older: Registry) -> None:
    assert older.verify() == []


def test_an_older_registry_lists_its_runs_versions_history_and_aliases(older: Registry) -> None:
    assert [run.run_id for run in older.runs.list()] == [row["run_id"] for row in reversed(ROWS["run"])]
    assert [run.content_sha256 for run in older.runs.list()] == [
        row["content_sha256"] for row in reversed(ROWS["run"])
    ]
    for run in ROWS["run"]:
        assert len(older.runs.predictions(run["run_id"])) == sum(
            row["run_id"] == run["run_id"] for row in ROWS["prediction"]
        )
    assert [version.content_sha256 for version in older.models.versions("m")] == [
        row["content_sha256"] for row in reversed(ROWS["model_version"])
    ]
    assert [(row.action, row.reason, row.hash) for row in older.models.history("m")] == [
        (row["action"], row["reason"], row["hash"]) for row in ROWS["promotion_log"]
    ]
    by_gate, by_hand = "promoted passed refused forced", "rolled_back assigned protected unprotected removed"
    assert {row.action for row in older.models.history("m")} == {*by_gate.split(), *by_hand.split()}
    assert [(alias.name, alias.version, alias.protected) for alias in older.aliases.list("m")] == [
        ("champion", 1, True),
        ("stable", 2, False),
    ]


def test_the_statements_of_an_older_registry_are_the_ones_that_its_rows_give_today(older: Registry) -> None:
    for row in ROWS["attestation"]:
        version = older.models.get(f"m@v{row['number']}")
        again = statement(
            version, older.runs.get(version.run_id), decision_of(older, version), tree_files(older, version)
        )
        assert stored_document(older, version) == row["document"] == again


def test_the_comparison_behind_each_older_version_is_found(older: Registry) -> None:
    against = {
        row["to_version"]: row["decision"]["against"] for row in ROWS["promotion_log"] if row["decision"]
    }
    for version in older.models.versions("m"):
        found = older.comparisons.find(version)
        assert found is not None
        assert (found.baseline_run_id, found.candidate_run_id) == (against[version.number], version.run_id)


def test_a_comparison_that_an_older_registry_decided_is_the_same_one_today(
    older: Registry, tmp_path: Path
) -> None:
    for row in ROWS["alpha_spending"]:
        runs = older.runs.get(row["opponent_run_id"]), older.runs.get(row["candidate_run_id"])
        assert comparison_sha256([(row["dataset_sha256"], *runs)], [{}]) == row["comparison_sha256"]
    again = older.runs.get(ROWS["alpha_spending"][2]["candidate_run_id"])
    against = ROWS["alpha_spending"][2]["opponent_run_id"]
    assert promote(older, again, weights(tmp_path, "third"), against=against).outcome == "promoted"
    assert older.models.history("m")[-1].decision["number"] == 3
    fresh = start(older)
    assert (
        promote(older, finish(older, fresh, made := weights(tmp_path, "sixth")), made).outcome == "promoted"
    )
    assert older.models.history("m")[-1].decision["number"] == len(ROWS["alpha_spending"]) + 1
    assert older.verify() == []
