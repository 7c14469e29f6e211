"""The registry keeps what it was told, on SQLite and on PostgreSQL."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlmodel import select

from core.errors import HallmarkError, InputError, IntegrityError
from registry import Evidence, Registry, Ruling, open_registry
from registry.tables import Dataset
from tests.support.registry_entries import (
    digest,
    edit,
    finish,
    finished,
    make_weights,
    plain_gate,
    promote,
    refusing_gate,
    start,
)

pytestmark = pytest.mark.unit


def test_a_reader_sees_one_state_while_others_write(registry: Registry) -> None:
    with registry.database.reading() as session:
        before = session.exec(select(Dataset)).all()
        registry.datasets.register("later", "v1", digest("later"), 1)
        assert session.exec(select(Dataset)).all() == before
    with registry.database.reading() as session:
        assert [dataset.key for dataset in session.exec(select(Dataset))] == [
            *(dataset.key for dataset in before),
            "later",
        ]


def test_a_dataset_that_changed_under_its_name_is_refused_with_both_hashes(registry: Registry) -> None:
    registry.datasets.register("golden", "v1", digest("one"), 3)
    assert registry.datasets.register("golden", "v1", digest("one"), 3).sha256 == digest("one")
    with pytest.raises(
        IntegrityError,
        match=f"golden-v1: changed since .* expected sha256 {digest('one')}, found {digest('two')}",
    ):
        registry.datasets.register("golden", "v1", digest("two"), 3)


def test_a_finished_run_gives_back_exactly_what_was_recorded(registry: Registry, tmp_path: Path) -> None:
    run, _ = finished(registry, tmp_path, "w")
    found = registry.runs.get(run.run_id[:8])
    assert (found.status, found.manifest) == ("finished", {"seed": 0, "text": "é\0"})
    assert [
        (row.trace_id, row.prediction, row.score, row.extracted, row.reason)
        for row in registry.runs.predictions(run.run_id)
    ] == [
        ("t1", "Answer: 1\0é", 1.0, "1", "correct"),
        ("t0", "", 0.0, None, "empty"),
    ]
    assert [(row.category, row.value, row.ci_low) for row in registry.runs.metrics(run.run_id)] == [
        ("", 0.5, 0.1),
        ("addition", 1.0, None),
    ]


def test_a_failed_run_keeps_its_reason_and_has_no_score(registry: Registry, tmp_path: Path) -> None:
    run = start(registry)
    registry.runs.fail(run.run_id, "the card caught fire")
    found = registry.runs.get(run.run_id)
    assert (found.status, found.error) == ("failed", "the card caught fire")
    assert registry.runs.metrics(run.run_id) == []
    with pytest.raises(InputError, match="failed and cannot be finished: the card caught fire"):
        finish(registry, run, make_weights(tmp_path, "w"))


def test_an_unfinished_run_is_found_by_its_inputs_and_can_go_on(registry: Registry, tmp_path: Path) -> None:
    run = start(registry)
    registry.runs.fail(run.run_id, "killed")
    assert [found.run_id for found in registry.runs.unfinished(digest("inputs"))] == [run.run_id]
    assert registry.runs.unfinished(digest("others")) == []
    registry.runs.resume(run.run_id)
    weights = make_weights(tmp_path, "w")
    assert finish(registry, run, weights).status == "finished"
    assert registry.runs.unfinished(digest("inputs")) == []
    with pytest.raises(InputError, match="is finished already"):
        registry.runs.fail(run.run_id, "too late")
    found = next(iter(registry.runs.evaluated(digest(str(weights)))), None)
    assert found is not None
    assert found.run_id == run.run_id


def test_a_run_reference_that_fits_several_or_none_lists_the_runs(registry: Registry) -> None:
    for run_id in ("20260101-a", "20260101-b"):
        start(registry, run_id)
    with pytest.raises(InputError, match="several ids begin or end with this: 20260101-b, 20260101-a"):
        registry.runs.get("2026")
    with pytest.raises(InputError, match="there is none. The newest are 20260101-b"):
        registry.runs.get("1999")
    with pytest.raises(InputError, match="there is none"):
        registry.runs.get("%")


def test_promotions_number_the_versions_move_the_alias_and_extend_the_log(
    registry: Registry, tmp_path: Path
) -> None:
    first, one = finished(registry, tmp_path, "one")
    second, two = finished(registry, tmp_path, "two")
    assert promote(registry, first, one).version.number == 1
    assert promote(registry, second, two).version.number == 2
    champion = registry.models.aliased("m")
    assert champion is not None
    assert (champion.number, champion.weights_sha256, champion.dataset_sha256) == (
        2,
        second.model_sha256,
        digest("sample"),
    )
    assert champion.metrics[0]["value"] == 0.5
    assert registry.models.get("m@v1").run_id == first.run_id
    directory, version = registry.models.directory("m@champion")
    assert version == "m@v2"
    assert (directory / "model.safetensors").read_text() == "two"
    log = [(row.id, row.action, row.from_version, row.to_version) for row in registry.models.history("m")]
    assert log == [(1, "promoted", None, 1), (2, "promoted", 1, 2)]
    assert registry.verify() == []


def test_promoting_the_same_weights_again_returns_the_same_version(
    registry: Registry, tmp_path: Path
) -> None:
    run, weights = finished(registry, tmp_path, "one")
    promote(registry, run, weights)
    again = finish(registry, start(registry), weights)
    offer = promote(registry, again, weights)
    assert (offer.outcome, offer.version.number) == ("already_champion", 1)
    assert len(registry.models.history("m")) == 1


def test_the_gate_is_asked_again_in_the_transaction_about_the_champion_of_that_moment(
    registry: Registry, tmp_path: Path
) -> None:
    first, one = finished(registry, tmp_path, "one")
    second, two = finished(registry, tmp_path, "two")
    third, three = finished(registry, tmp_path, "three")
    promote(registry, first, one)
    asked: list[str] = []

    def gate(evidence: Evidence) -> Ruling:
        asked.append(evidence.pairs[0].opponent.run_id)
        return plain_gate(evidence)

    def weights() -> Path:  # while the weights are stored, another is promoted
        assert promote(registry, second, two).outcome == "promoted"
        return three

    offer = registry.offer("m", third.run_id, gate, weights=weights, actor="someone")
    assert asked == [first.run_id, second.run_id]
    assert (offer.outcome, offer.opponent) == ("promoted", second.run_id)
    assert [(row.from_version, row.to_version) for row in registry.models.history("m")] == [
        (None, 1),
        (1, 2),
        (2, 3),
    ]


def test_a_gate_that_changes_its_mind_in_the_transaction_is_obeyed(
    registry: Registry, tmp_path: Path
) -> None:
    run, weights = finished(registry, tmp_path, "one")
    answers = iter([True, False])
    offer = promote(registry, run, weights, lambda evidence: plain_gate(evidence, says_yes=next(answers)))
    assert offer.outcome == "refused"
    assert registry.models.aliased("m") is None


def test_a_run_of_other_weights_than_the_champions_is_no_way_round_the_gate(
    registry: Registry, tmp_path: Path
) -> None:
    first, one = finished(registry, tmp_path, "one")
    second, two = finished(registry, tmp_path, "two")
    promote(registry, first, one)
    assert promote(registry, second, two, against="base-run").opponent == first.run_id


def test_without_a_champion_and_a_base_run_there_is_nothing_to_compare_with(
    registry: Registry, tmp_path: Path
) -> None:
    run, weights = finished(registry, tmp_path, "one")
    with pytest.raises(
        InputError, match="nothing to compare it with.*hallmark baseline --base-model tiny-base"
    ):
        registry.offer("m", run.run_id, plain_gate, weights=lambda: weights, actor="someone")
    assert registry.models.list() == []


def test_an_unfinished_or_failed_run_is_not_promoted(registry: Registry, tmp_path: Path) -> None:
    weights = make_weights(tmp_path, "w")
    run = start(registry)
    with pytest.raises(InputError, match="is not finished"):
        promote(registry, run, weights)
    registry.runs.fail(run.run_id, "no disk")
    with pytest.raises(InputError, match="failed and has no scores: no disk"):
        promote(registry, run, weights)
    assert registry.models.list() == []


def test_weights_that_changed_since_they_were_judged_are_not_promoted(
    registry: Registry, tmp_path: Path
) -> None:
    run, weights = finished(registry, tmp_path, "one")
    (weights / "config.json").write_text("{ }")
    with pytest.raises(IntegrityError, match="changed since run"):
        promote(registry, run, weights)
    assert registry.models.aliased("m") is None


def test_an_alias_of_a_version_that_is_not_there_is_damage_and_no_missing_alias(tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    run, weights = finished(registry, tmp_path, "one")
    promote(registry, run, weights)
    with closing(sqlite3.connect(tmp_path / "registry.db", isolation_level=None)) as editor:
        editor.execute("UPDATE alias SET version = 7")
    with pytest.raises(IntegrityError, match=r"champion points at v7, which is not there: .*hallmark verify"):
        registry.models.get("m@champion")
    with pytest.raises(IntegrityError, match="v7"):
        promote(registry, run, weights)


def test_a_refusal_and_a_rollback_are_in_the_history(registry: Registry, tmp_path: Path) -> None:
    first, one = finished(registry, tmp_path, "one")
    second, two = finished(registry, tmp_path, "two")
    promote(registry, first, one)
    assert promote(registry, second, two, refusing_gate).outcome == "refused"
    assert promote(registry, second, two, refusing_gate, force_reason="we must").outcome == "forced"
    registry.aliases.rollback("m", 1, "too slow", "someone")
    assert [(row.action, row.reason) for row in registry.models.history("m")] == [
        ("promoted", "better"),
        ("refused", "worse"),
        ("forced", "we must"),
        ("rolled_back", "too slow"),
    ]
    champion = registry.models.aliased("m")
    assert champion is not None
    assert champion.number == 1
    with pytest.raises(InputError, match="is v1 already"):
        registry.aliases.rollback("m", 1, "again", "someone")
    with pytest.raises(InputError, match="has no version v9"):
        registry.aliases.rollback("m", 9, "", "someone")
    assert registry.verify() == []


@pytest.mark.parametrize("name", ["../x", "Model", "", "a" * 65, "a/b", "mödel"])
def test_a_model_name_of_another_form_is_refused(name: str, registry: Registry, tmp_path: Path) -> None:
    run, weights = finished(registry, tmp_path, "one")
    with pytest.raises(InputError, match="It must match"):
        registry.offer(name, run.run_id, plain_gate, weights=lambda: weights, actor="someone")


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE prediction SET score = 1 WHERE trace_id = 't0'", "run "),
        ("UPDATE metric SET value = 0.99 WHERE category = ''", "run "),
        ("DELETE FROM prediction WHERE trace_id = 't0'", "run "),
        ("UPDATE run SET judge = 'other@v1'", "run "),
        ("UPDATE alias SET version = 1", "alias m@champion: points at v1, but the log says v2"),
        ("DELETE FROM alias", "alias m@champion: points at nothing, but the log says v2"),
    ],
)
def test_verify_names_the_row_that_was_edited_behind_our_back(
    statement: str, named: str, registry: Registry, tmp_path: Path
) -> None:
    first, one = finished(registry, tmp_path, "one")
    second, two = finished(registry, tmp_path, "two")
    promote(registry, first, one)
    promote(registry, second, two)
    assert registry.verify() == []
    edit(registry, statement)
    assert any(str(problem).startswith(named) for problem in registry.verify())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE model_version SET judge = 'x'",
        "DELETE FROM model_version",
        "UPDATE promotion_log SET reason = 'x'",
        "DELETE FROM promotion_log",
        "UPDATE alpha_spending SET level = 0.5",
        "DELETE FROM alpha_spending",
        "UPDATE attestation SET sha256 = sha256",
        "DELETE FROM attestation",
        "UPDATE run SET name = 'x' WHERE status = 'finished'",
        "DELETE FROM run",
        "UPDATE metric SET value = 1",
        "DELETE FROM metric",
        "UPDATE prediction SET score = 1",
        "DELETE FROM prediction",
        "UPDATE dataset SET items = 1",
        "DELETE FROM dataset",
        "UPDATE registered_model SET name = 'x'",
        "UPDATE audit_log SET row_key = 'x'",
        "DELETE FROM audit_log",
    ],
)
def test_what_is_recorded_for_good_cannot_be_changed(
    statement: str, registry: Registry, tmp_path: Path
) -> None:
    run, weights = finished(registry, tmp_path, "one")
    promote(registry, run, weights, attest=lambda version, *_: {"version": version.number})
    with pytest.raises(Exception, match="immutable"), registry.database.engine.begin() as connection:
        connection.execute(text(statement))


def test_one_flipped_byte_in_an_artifact_is_named(registry: Registry, tmp_path: Path) -> None:
    run, weights = finished(registry, tmp_path, "one")
    promote(registry, run, weights)
    stored = registry.artifacts.get(run.model_sha256 or "") / "model.safetensors"
    stored.chmod(0o644)
    stored.write_text("onf")
    [problem] = registry.verify()
    assert str(problem).startswith(f"artifact {run.model_sha256}: model.safetensors: changed at")
    with pytest.raises(IntegrityError, match="changed at"):
        registry.models.directory("m@champion")


def test_a_version_reference_that_names_nothing_lists_what_there_is(
    registry: Registry, tmp_path: Path
) -> None:
    run, weights = finished(registry, tmp_path, "one")
    promote(registry, run, weights)
    for reference, message in (
        ("m", "expected NAME@ALIAS or NAME@vN"),
        ("m@v7", "There are champion, v1"),
        ("m@staging", "has no alias staging. There are champion, v1"),
        ("other@champion", "not registered. Registered: m"),
    ):
        with pytest.raises(HallmarkError, match=message):
            registry.models.get(reference)


def numbers_and_levels(registry: Registry) -> list[tuple[int, float]]:
    return [(row.decision["number"], row.decision["level"]) for row in registry.models.history("m")]


def test_the_same_candidate_offered_twice_is_one_comparison(registry: Registry, tmp_path: Path) -> None:
    first, one = finished(registry, tmp_path, "one")
    second, two = finished(registry, tmp_path, "two")
    for run, weights in ((first, one), (second, two), (first, one)):
        promote(registry, run, weights, refusing_gate)
    again = finish(registry, start(registry), one)
    promote(registry, again, one, refusing_gate)
    assert numbers_and_levels(registry) == [(1, 0.02), (2, 0.01), (1, 0.02), (1, 0.02)]
    assert registry.verify() == []


def test_the_level_of_a_comparison_that_passed_goes_on_to_the_next(
    registry: Registry, tmp_path: Path
) -> None:
    for name in ("one", "two", "three"):
        promote(registry, *finished(registry, tmp_path, name))
    assert numbers_and_levels(registry) == [(1, 0.02), (2, 0.01 + 0.02), (3, pytest.approx(0.02 / 3 + 0.03))]
    promote(registry, *finished(registry, tmp_path, "four"), refusing_gate)
    promote(registry, *finished(registry, tmp_path, "five"), refusing_gate)
    assert numbers_and_levels(registry)[-1] == (5, 0.004)


def test_a_pass_without_promotion_is_recorded_and_spends_its_level_once(
    registry: Registry, tmp_path: Path
) -> None:
    run, weights = finished(registry, tmp_path, "one")
    assert promote(registry, run, weights, promote=False).outcome == "passed"
    assert registry.models.aliased("m") is None
    assert promote(registry, run, weights).outcome == "promoted"
    assert [row.action for row in registry.models.history("m")] == ["passed", "promoted"]
    assert numbers_and_levels(registry) == [(1, 0.02), (1, 0.02)]
    assert registry.verify() == []


def test_an_unprotected_alias_is_set_moved_and_removed_with_its_history(
    registry: Registry, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        promote(registry, *finished(registry, tmp_path, name))
    registry.aliases.set("m", "staging", 1, "to try", "someone")
    registry.aliases.set("m", "staging", 2, "to try more", "someone")
    assert registry.models.get("m@staging").number == 2
    registry.aliases.remove("m", "staging", "tried", "someone")
    with pytest.raises(InputError, match="has no alias staging. There are champion"):
        registry.aliases.remove("m", "staging", "again", "someone")
    assert [
        (row.alias, row.action, row.from_version, row.to_version) for row in registry.models.history("m")[2:]
    ] == [
        ("staging", "assigned", None, 1),
        ("staging", "assigned", 1, 2),
        ("staging", "removed", 2, None),
    ]
    assert registry.verify() == []


def test_a_protected_alias_moves_only_by_gate_rollback_and_force(registry: Registry, tmp_path: Path) -> None:
    for name in ("one", "two"):
        promote(registry, *finished(registry, tmp_path, name))
    for alias in ("champion", "stable"):
        if alias == "stable":
            registry.aliases.set("m", alias, 2, "first", "someone")
            registry.aliases.protect("m", alias, "served", "someone")
        with pytest.raises(InputError, match=f"m@{alias}: is protected. It moves by: hallmark promote"):
            registry.aliases.set("m", alias, 1, "", "someone")
        with pytest.raises(InputError, match="is protected"):
            registry.aliases.remove("m", alias, "", "someone")
        assert registry.aliases.rollback("m", 1, "too slow", "someone", alias).number == 1
    with pytest.raises(InputError, match="m@champion: stays protected"):
        registry.aliases.unprotect("m", "champion", "", "someone")
    registry.aliases.unprotect("m", "stable", "no longer served", "someone")
    assert registry.aliases.set("m", "stable", 2, "", "someone").number == 2
    assert registry.verify() == []


def test_even_a_champion_that_was_never_set_cannot_be_set_by_hand(registry: Registry, tmp_path: Path) -> None:
    promote(registry, *finished(registry, tmp_path, "one"), alias="other")
    with pytest.raises(InputError, match="m@champion: is protected"):
        registry.aliases.set("m", "champion", 1, "", "someone")
