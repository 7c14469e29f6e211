"""The registry keeps what it was told, on SQLite and on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from hallmark.errors import HallmarkError, InputError, IntegrityError
from registry import PromotionConflict, Registry
from tests.registry_support import DECISION, digest, finish, finished, make_weights, promote, start

pytestmark = pytest.mark.unit


def test_a_dataset_that_changed_under_its_name_is_refused_with_both_hashes(registry: Registry) -> None:
    registry.register_dataset("golden", "v1", digest("one"), 3)
    assert registry.register_dataset("golden", "v1", digest("one"), 3).sha256 == digest("one")
    with pytest.raises(IntegrityError, match=f"golden-v1: changed since .* expected sha256 {digest('one')}, found {digest('two')}"):
        registry.register_dataset("golden", "v1", digest("two"), 3)


def test_a_finished_run_gives_back_exactly_what_was_recorded(registry: Registry, tmp_path: Path) -> None:
    run, _ = finished(registry, tmp_path, "w")
    found = registry.get_run(run.run_id[:8])
    assert (found.status, found.manifest) == ("finished", {"seed": 0, "text": "é\0"})
    assert [(row.trace_id, row.prediction, row.score, row.extracted, row.reason) for row in registry.run_predictions(run.run_id)] == [
        ("t1", "Answer: 1\0é", 1.0, "1", "correct"),
        ("t0", "", 0.0, None, "empty"),
    ]
    assert [(row.category, row.value, row.ci_low) for row in registry.run_metrics(run.run_id)] == [("", 0.5, 0.1), ("addition", 1.0, None)]


def test_a_failed_run_keeps_its_reason_and_has_no_score(registry: Registry, tmp_path: Path) -> None:
    run = start(registry)
    registry.fail_run(run.run_id, "the card caught fire")
    found = registry.get_run(run.run_id)
    assert (found.status, found.error) == ("failed", "the card caught fire")
    assert registry.run_metrics(run.run_id) == []
    with pytest.raises(InputError, match="failed and cannot be finished: the card caught fire"):
        finish(registry, run, make_weights(tmp_path, "w"))


def test_an_unfinished_run_is_found_by_its_inputs_and_can_go_on(registry: Registry, tmp_path: Path) -> None:
    run = start(registry)
    registry.fail_run(run.run_id, "killed")
    assert [found.run_id for found in registry.unfinished_runs(digest("inputs"))] == [run.run_id]
    assert registry.unfinished_runs(digest("others")) == []
    registry.resume_run(run.run_id)
    weights = make_weights(tmp_path, "w")
    assert finish(registry, run, weights).status == "finished"
    assert registry.unfinished_runs(digest("inputs")) == []
    with pytest.raises(InputError, match="is finished already"):
        registry.fail_run(run.run_id, "too late")
    found = registry.find_evaluated(digest(str(weights)))
    assert found is not None
    assert found.run_id == run.run_id


def test_a_run_reference_that_fits_several_or_none_lists_the_runs(registry: Registry) -> None:
    for run_id in ("20260101-a", "20260101-b"):
        start(registry, run_id)
    with pytest.raises(InputError, match="more than one begins so: 20260101-b, 20260101-a"):
        registry.get_run("2026")
    with pytest.raises(InputError, match="there is none. The newest are 20260101-b"):
        registry.get_run("1999")
    with pytest.raises(InputError, match="there is none"):
        registry.get_run("%")


def test_promotions_number_the_versions_move_the_alias_and_extend_the_log(registry: Registry, tmp_path: Path) -> None:
    first, one = finished(registry, tmp_path, "one")
    second, two = finished(registry, tmp_path, "two")
    assert promote(registry, first, one, None).number == 1
    assert promote(registry, second, two, 1).number == 2
    champion = registry.champion("m")
    assert champion is not None
    assert (champion.number, champion.weights_sha256, champion.dataset_sha256) == (2, second.model_sha256, digest("golden"))
    assert champion.metrics[0]["value"] == 0.5
    assert registry.get_version("m@v1").run_id == first.run_id
    directory, version = registry.model_directory("m@champion")
    assert version == "m@v2"
    assert (directory / "model.safetensors").read_text() == "two"
    log = [(row.id, row.action, row.from_version, row.to_version) for row in registry.history("m")]
    assert log == [(1, "promoted", None, 1), (2, "promoted", 1, 2)]
    assert registry.verify() == []


def test_promoting_the_same_weights_again_returns_the_same_version(registry: Registry, tmp_path: Path) -> None:
    run, weights = finished(registry, tmp_path, "one")
    promote(registry, run, weights, None)
    again = finish(registry, start(registry), weights)
    assert promote(registry, again, weights, 1).number == 1
    assert len(registry.history("m")) == 1


def test_a_promotion_against_a_champion_that_is_no_longer_is_refused(registry: Registry, tmp_path: Path) -> None:
    first, one = finished(registry, tmp_path, "one")
    second, two = finished(registry, tmp_path, "two")
    promote(registry, first, one, None)
    with pytest.raises(PromotionConflict, match="was unset when the decision was made and is v1 now"):
        promote(registry, second, two, None)
    assert [version.number for version in registry.list_versions("m")] == [1]


def test_an_unfinished_or_failed_run_is_not_promoted(registry: Registry, tmp_path: Path) -> None:
    weights = make_weights(tmp_path, "w")
    run = start(registry)
    with pytest.raises(InputError, match="is not finished"):
        promote(registry, run, weights, None)
    registry.fail_run(run.run_id, "no disk")
    with pytest.raises(InputError, match="failed and cannot be promoted: no disk"):
        promote(registry, run, weights, None)
    assert registry.list_models() == []


def test_weights_that_changed_since_they_were_judged_are_not_promoted(registry: Registry, tmp_path: Path) -> None:
    run, weights = finished(registry, tmp_path, "one")
    (weights / "config.json").write_text("{ }")
    with pytest.raises(IntegrityError, match="changed since run"):
        promote(registry, run, weights, None)
    assert registry.champion("m") is None


def test_a_refusal_and_a_rollback_are_in_the_history(registry: Registry, tmp_path: Path) -> None:
    first, one = finished(registry, tmp_path, "one")
    second, two = finished(registry, tmp_path, "two")
    promote(registry, first, one, None)
    registry.refuse("m", second.run_id, DECISION, "worse", "someone")
    promote(registry, second, two, 1, forced=True)
    registry.rollback("m", 1, "too slow", "someone")
    assert [(row.action, row.reason) for row in registry.history("m")] == [
        ("promoted", "better"),
        ("refused", "worse"),
        ("forced", "better"),
        ("rolled_back", "too slow"),
    ]
    champion = registry.champion("m")
    assert champion is not None
    assert champion.number == 1
    with pytest.raises(InputError, match="is v1 already"):
        registry.rollback("m", 1, "again", "someone")
    with pytest.raises(InputError, match="has no version v9"):
        registry.rollback("m", 9, "", "someone")
    assert registry.verify() == []


@pytest.mark.parametrize("name", ["../x", "Model", "", "a" * 65, "a/b", "mödel"])
def test_a_model_name_of_another_form_is_refused(name: str, registry: Registry, tmp_path: Path) -> None:
    run, weights = finished(registry, tmp_path, "one")
    with pytest.raises(InputError, match="It must match"):
        registry.promote(name, run.run_id, DECISION, expected_champion=None, reason="", actor="", weights=weights)


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE prediction SET score = 1 WHERE trace_id = 't0'", "run "),
        ("UPDATE metric SET value = 0.99 WHERE category = ''", "run "),
        ("DELETE FROM prediction WHERE trace_id = 't0'", "run "),
        ("UPDATE run SET judge = 'other@v1'", "run "),
        ("UPDATE alias SET version = 1", "alias m@champion: points at v1, but the log says v2"),
    ],
)
def test_verify_names_the_row_that_was_edited_behind_our_back(statement: str, named: str, registry: Registry, tmp_path: Path) -> None:
    first, one = finished(registry, tmp_path, "one")
    second, two = finished(registry, tmp_path, "two")
    promote(registry, first, one, None)
    promote(registry, second, two, 1)
    assert registry.verify() == []
    with registry.database.engine.begin() as connection:
        connection.execute(text(statement))
    assert any(str(problem).startswith(named) for problem in registry.verify())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE model_version SET judge = 'x'",
        "DELETE FROM model_version",
        "UPDATE promotion_log SET reason = 'x'",
        "DELETE FROM promotion_log",
    ],
)
def test_versions_and_the_log_cannot_be_changed(statement: str, registry: Registry, tmp_path: Path) -> None:
    run, weights = finished(registry, tmp_path, "one")
    promote(registry, run, weights, None)
    with pytest.raises(Exception, match="immutable"), registry.database.engine.begin() as connection:
        connection.execute(text(statement))


def test_one_flipped_byte_in_an_artifact_is_named(registry: Registry, tmp_path: Path) -> None:
    run, weights = finished(registry, tmp_path, "one")
    promote(registry, run, weights, None)
    stored = registry.store.get_tree(run.model_sha256 or "") / "model.safetensors"
    stored.chmod(0o644)
    stored.write_text("onf")
    [problem] = registry.verify()
    assert str(problem).startswith(f"artifact {run.model_sha256}: model.safetensors: changed at")
    with pytest.raises(IntegrityError, match="changed at"):
        registry.model_directory("m@champion")


def test_a_version_reference_that_names_nothing_lists_what_there_is(registry: Registry, tmp_path: Path) -> None:
    run, weights = finished(registry, tmp_path, "one")
    promote(registry, run, weights, None)
    for reference, message in (
        ("m", "expected NAME@ALIAS or NAME@vN"),
        ("m@v7", "There are champion, v1"),
        ("m@staging", "has no alias staging. There are champion, v1"),
        ("other@champion", "not registered. Registered: m"),
    ):
        with pytest.raises(HallmarkError, match=message):
            registry.get_version(reference)
