"""Row 28: whoever edits the ledger of alpha gets no promotion for it: the next decision stops, and verify
names the row.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from core.errors import IntegrityError
from evaluation.alpha import spent_level
from evaluation.gate import GateConfig
from evaluation.suite import Requirement, Suite
from experiments.promoting import promote_run
from experiments.verifying import verify
from golden.datasets import load_dataset
from provenance.export import export
from provenance.head import write_head_file
from provenance.keys import make_key_pair
from registry import Registry, open_registry, upgrade
from registry.tables import AlphaSpending
from tests.conftest import CommandLine
from tests.faults.test_older_homes import weights
from tests.faults.test_registry_upgrade import make_registry
from tests.support.recorded_runs import record_baseline, record_trained, right_for, workspace_at
from tests.support.refusals import assert_refused
from tests.support.registry_entries import (
    edit,
    finished,
    plain_gate,
    promote,
    refusing_gate,
)
from tests.support.rewriting import rewrite
from tests.support.small_datasets import write_items

pytestmark = pytest.mark.unit

LAST = "(SELECT max(id) FROM alpha_spending)"
EDITS = {
    "id": "id + 100",
    "model": "'other'",
    "dataset_sha256": f"'{64 * '0'}'",
    "number": "number + 1",
    "comparison_sha256": f"'{64 * '0'}'",
    "opponent_run_id": "candidate_run_id",
    "candidate_run_id": "opponent_run_id",
    "p_value": "0.5",
    "level": "0.97",
    "significant": "NOT significant",
    "created_at": "'2026-11-24T00:00:00.000000+00:00'",
    "log_id": "1",
}


@pytest.fixture
def decided(registry: Registry, tmp_path: Path) -> Registry:
    """A registry in which two candidates were refused and a third was promoted."""
    for number, gate in enumerate((refusing_gate, refusing_gate, plain_gate)):
        promote(registry, *finished(registry, tmp_path, f"candidate {number}"), gate=gate)
    return registry


def refused_then(registry: Registry, folder: Path) -> str:
    """What the next decision says."""
    before = registry.models.history("m")
    with pytest.raises(IntegrityError) as refused:
        promote(registry, *finished(registry, folder, "the next"))
    assert len(registry.models.history("m")) == len(before)
    return str(refused.value)


def found(registry: Registry) -> list[str]:
    return [str(problem) for problem in registry.verify()]


def test_every_column_of_the_ledger_is_edited_here() -> None:
    assert EDITS.keys() == {column.name for column in AlphaSpending.__table__.columns}  # type: ignore[attr-defined]


@pytest.mark.parametrize("column", EDITS)
def test_an_edited_share_of_alpha_stops_the_next_decision_and_is_named(
    column: str, decided: Registry, tmp_path: Path
) -> None:
    assert found(decided) == []
    edit(decided, f"UPDATE alpha_spending SET {column} = {EDITS[column]} WHERE id = {LAST}")
    said = refused_then(decided, tmp_path)
    assert "alpha spending of m" in said
    assert "hallmark verify" in said
    assert any("alpha spending of m" in problem for problem in found(decided))


@pytest.mark.parametrize(
    ("cut", "named"),
    [
        ([f"DELETE FROM alpha_spending WHERE id = {LAST}"], "comparison 3: is missing"),
        (["DELETE FROM promotion_log WHERE id = 3"], "promotion log row 3"),
        (
            [
                f"DELETE FROM alpha_spending WHERE id = {LAST}",
                "DELETE FROM promotion_log WHERE id = 3",
                "UPDATE alias SET version = 1",
            ],
            "is missing",
        ),
        (["DELETE FROM alpha_spending WHERE number = 2"], "has 2 rows up to comparison 3"),
        (["DELETE FROM alpha_spending"], "comparison 1: is missing"),
    ],
)
def test_a_ledger_or_log_that_was_cut_stops_the_next_decision_and_is_named(
    cut: list[str], named: str, decided: Registry, tmp_path: Path
) -> None:
    edit(decided, *cut)
    assert named in refused_then(decided, tmp_path)
    assert found(decided)


def test_edited_scores_stop_the_decision_that_rests_on_them(decided: Registry, tmp_path: Path) -> None:
    champion = decided.models.aliased("m")
    assert champion is not None
    edit(decided, f"UPDATE prediction SET score = 0 WHERE run_id = '{champion.run_id}'")
    assert f"run {champion.run_id}" in refused_then(decided, tmp_path)


def test_a_decision_that_was_edited_with_its_share_of_alpha_stops_the_next_one(
    decided: Registry, tmp_path: Path
) -> None:
    level = 'replace(CAST(decision AS TEXT), \'"level":\', \'"level":0.97, "was":\')'
    cast = f"CAST({level} AS JSON)" if decided.database.engine.dialect.name == "postgresql" else level
    edit(
        decided,
        f"UPDATE alpha_spending SET level = 0.97 WHERE id = {LAST}",
        f"UPDATE promotion_log SET decision = {cast} WHERE id = 3",
    )
    refused_then(decided, tmp_path)
    assert any("promotion log row 3" in problem for problem in found(decided))


def test_the_same_run_offered_again_gets_the_same_answer_and_spends_nothing(
    registry: Registry, tmp_path: Path
) -> None:
    candidates = [finished(registry, tmp_path, f"candidate {number}") for number in range(3)]
    for candidate in (*candidates, candidates[1]):
        assert promote(registry, *candidate, gate=refusing_gate).outcome == "refused"
    first, again = (registry.models.history("m")[place].decision for place in (1, 3))
    assert first == again
    assert registry.counts()["alpha_spending"] == len(candidates)
    assert found(registry) == []


def test_an_older_ledger_goes_on_and_its_rows_are_checked_too(
    home: Path, registry_url: str | None, tmp_path: Path
) -> None:
    make_registry(home, registry_url, "0003")
    upgrade(home, registry_url)
    registry = open_registry(home, registry_url)
    for content in ("first", "fourth", "fifth"):
        registry.artifacts.put(weights(tmp_path, content))
    promote(registry, *finished(registry, tmp_path, "sixth"))
    entry = registry.models.history("m")[-1].decision["ledger"][0]
    assert (entry["number"], entry["carried"], entry["spent"]) == (6, 0.004, pytest.approx(0.04566666667))
    assert found(registry) == []
    registry.close()


def test_an_older_row_that_was_edited_before_the_upgrade_stops_the_next_decision(
    home: Path, tmp_path: Path
) -> None:
    """The audit log begins with the edited row; its decision still says the level."""
    make_registry(home, None, "0003")
    with sqlite3.connect(home / "registry.db") as connection:
        name = "alpha_spending_no_update"
        (trigger,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchone()
        connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE alpha_spending SET significant = 1, level = 0.97 WHERE number = 5")
        connection.execute(trigger)
    upgrade(home)
    registry = open_registry(home)
    said = "comparison 5: level is 0.97, but 0.004 was decided (promotion log row 5)"
    assert said in refused_then(registry, tmp_path)
    assert any(said in problem for problem in found(registry))
    registry.close()


# With the real gate


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which a candidate was refused, and one is recorded that is a single item better."""
    workspace = workspace_at(tmp_path_factory.mktemp("refused") / "home")
    record_baseline(workspace, right_for(0.4))
    worse = record_trained(workspace, right_for(0.39), "worse")
    assert promote_run(worse.run_id, "support", GateConfig(), workspace).outcome == "refused"
    record_trained(workspace, right_for(0.4028), "lucky")
    workspace.registry.close()
    return workspace.home


def test_a_level_given_back_by_hand_promotes_nobody(refused: Path, home: Path, hallmark: CommandLine) -> None:
    shutil.copytree(refused, home)
    assert json.loads(hallmark("verify", "--json").stdout)["problems"] == []
    registry = open_registry(home)
    edit(registry, f"UPDATE alpha_spending SET significant = 1, level = 0.97 WHERE id = {LAST}")
    lucky = registry.runs.list(limit=1)[0].run_id
    registry.close()
    done = hallmark("promote", lucky, "--model-name", "support")
    assert_refused(done, 3, "alpha spending of support", "comparison 1", "hallmark verify")
    listed = json.loads(hallmark("models", "list", "--json").stdout)
    assert [model["champion"] for model in listed] == [None]
    checked = hallmark("verify")
    assert checked.returncode == 3
    assert "alpha spending of support" in checked.stdout


def test_a_level_that_no_share_of_alpha_gives_is_found_whatever_hashes_say(
    refused: Path, tmp_path: Path
) -> None:
    """The rows agree with one another, and every hash holds; the level is not what the rule gives."""
    shutil.copytree(refused, tmp_path / "home")
    workspace = workspace_at(tmp_path / "home")
    (row,) = workspace.registry.models.history("support")
    level = json.dumps(row.decision["level"])
    edit(
        workspace.registry,
        f"UPDATE promotion_log SET decision = replace(decision, '\"level\":{level}', '\"level\":0.03')",
        "UPDATE alpha_spending SET level = 0.03",
    )
    rewrite(workspace.registry)
    (problem,) = verify(workspace).problems
    assert problem.startswith(
        "promotion log row 1: was decided at level 0.03, but its share of alpha is 0.02"
    )
    workspace.registry.close()


def test_levels_of_a_suite_are_the_smallest_of_its_datasets(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path / "home")
    items = list(load_dataset("golden-v1").items())
    halves = {"a-v1.jsonl": items[:180], "b-v1.jsonl": items[180:]}
    sets = [str(write_items(tmp_path / name, half)) for name, half in halves.items()]
    for path in sets:
        record_baseline(workspace, right_for(0.4), dataset=path)
    for name, asked in (("one", sets[:1]), ("two", sets), ("three", sets[1:])):
        runs = [record_trained(workspace, right_for(0.41), name, dataset=path) for path in sets]
        suite = Suite(require=[Requirement(dataset=path) for path in asked])
        run = runs[sets.index(asked[0])]
        promote_run(run.run_id, "support", GateConfig(), workspace, suite=suite)
    history = workspace.registry.models.history("support")
    assert [[entry["number"] for entry in row.decision["ledger"]] for row in history] == [[1], [2, 1], [2]]
    alone, both, last = (row.decision["level"] for row in history)
    assert (alone, both) == pytest.approx((spent_level(0.05, 1), spent_level(0.05, 2)))
    assert last > spent_level(0.05, 2)  # the second set was tested below its own share before
    assert verify(workspace).problems == []
    workspace.registry.close()


# The end of the log, kept outside


@pytest.fixture(scope="module")
def rewritten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a champion whose head was written, signed, to a file beside it, and whose version was
    exported. Then 70 of the champion's wrong scores were set to right, and every hash was made to fit.
    """
    folder = tmp_path_factory.mktemp("rewritten")
    workspace = workspace_at(folder / "home")
    key = make_key_pair(folder / "key")
    record_baseline(workspace, right_for(0.4))
    run = record_trained(workspace, right_for(0.6), "better")
    promotion = promote_run(run.run_id, "support", GateConfig(), workspace)
    registry = workspace.registry
    (folder / "printed").write_text(str(promotion.head))
    write_head_file(folder / "plain.json", registry.head(), None)
    write_head_file(folder / "signed.json", registry.head(), key)
    export(registry, registry.models.get("support@v1"), folder / "out", key=key)
    assert verify(workspace, head=registry.head()).problems == []
    edit(
        registry,
        "UPDATE prediction SET score = 1 WHERE id IN (SELECT id FROM prediction "
        f"WHERE run_id = '{run.run_id}' AND score = 0 LIMIT 70)",
    )
    assert verify(workspace).problems != []
    rewrite(registry)
    registry.close()
    return folder


def test_a_registry_rewritten_with_new_hashes_looks_whole_from_inside(
    rewritten: Path, hallmark: CommandLine
) -> None:
    whole = hallmark("verify", HALLMARK_HOME=str(rewritten / "home"))
    assert (whole.returncode, whole.stdout.splitlines()[0]) == (0, "everything matches what was recorded")


@pytest.mark.parametrize("kept", ["printed", "plain.json", "signed.json", "out", "out/hallmark.intoto.jsonl"])
def test_a_head_that_was_kept_outside_shows_that_it_was_rewritten(
    kept: str, rewritten: Path, hallmark: CommandLine
) -> None:
    head = (rewritten / kept).read_text() if kept == "printed" else rewritten / kept
    keys = [] if kept in ("printed", "plain.json") else ["--public-key", rewritten / "key.pub"]
    checked = hallmark("verify", "--head", head, *keys, HALLMARK_HOME=str(rewritten / "home"))
    assert checked.returncode == 3, checked.stderr
    assert "the head" in checked.stdout


def test_every_decision_gives_the_end_of_the_log(refused: Path, home: Path, hallmark: CommandLine) -> None:
    shutil.copytree(refused, home)
    lucky = open_registry(home).runs.list(limit=1)[0].run_id
    printed = hallmark("promote", lucky, "--model-name", "support").stdout.splitlines()[-1]
    assert printed == hallmark("verify", "--quick").stdout.splitlines()[-1]
    given = json.loads(hallmark("promote", lucky, "--model-name", "support", "--json").stdout)["head"]
    assert printed.startswith("log: ")
    assert hallmark("verify", "--quick", "--head", given).returncode == 0


def test_a_head_that_is_not_signed_by_the_key_is_refused(rewritten: Path, hallmark: CommandLine) -> None:
    make_key_pair(rewritten / "other")
    at_home = {"HALLMARK_HOME": str(rewritten / "home")}
    for kept, key in (("plain.json", "key.pub"), ("signed.json", "other.pub")):
        checked = hallmark("verify", "--head", rewritten / kept, "--public-key", rewritten / key, **at_home)
        assert_refused(checked, 3, kept)
    for text in ("12", "12:ab", "no-such-file", str(rewritten / "home" / "registry.db")):
        assert_refused(hallmark("verify", "--head", text, **at_home), 2)
