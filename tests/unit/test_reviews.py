"""Reviews of golden items: recorded, never changed, the newest of a person counts, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from core.errors import InputError
from registry import Registry
from tests.support.registry_entries import base_run, digest, finish, finished, make_weights, start

pytestmark = pytest.mark.unit


def test_the_newest_review_of_an_item_and_a_person_counts(registry: Registry) -> None:
    run = base_run(registry)
    registry.reviews.add([run.run_id], "t0", "unclear", reviewer="ana", note="which year?\0")
    registry.reviews.add([run.run_id], "t0", "reference_wrong", answers=["7", "seven"], reviewer="ben")
    registry.reviews.add([run.run_id], "t1", "fine", reviewer="ana")
    registry.reviews.add([run.run_id], "t0", "fine", reviewer="ana")
    newest = registry.reviews.newest(digest("sample"))
    assert [(row.trace_id, row.reviewer, row.verdict, row.answers, row.note) for row in newest] == [
        ("t0", "ben", "reference_wrong", ["7", "seven"], ""),
        ("t1", "ana", "fine", [], ""),
        ("t0", "ana", "fine", [], ""),
    ]
    assert [row.trace_id for row in registry.reviews.newest(digest("sample"), ["t1"])] == ["t1"]
    assert [(dataset.name, number) for dataset, number in registry.reviews.datasets()] == [("sample-v1", 4)]
    assert registry.verify(quick=True) == []


def test_a_review_is_never_changed_nor_removed(registry: Registry) -> None:
    registry.reviews.add([base_run(registry).run_id], "t0", "unclear", reviewer="ana")
    for statement in ("UPDATE review SET verdict = 'fine'", "DELETE FROM review"):
        with pytest.raises(Exception, match="immutable"), registry.database.engine.begin() as connection:
            connection.execute(text(statement))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trace_id": "t9"}, "has no item t9. Its items begin with t1, t0"),
        ({"verdict": "wrong"}, "expected one of reference_wrong, both_right, unclear, fine"),
        ({"verdict": "unclear", "answers": ["7"]}, "an answer belongs to reference_wrong or both_right"),
        ({"answers": [" "]}, "an answer is empty"),
        ({"run_ids": []}, "name at least one run"),
        ({"run_ids": ["nothing"]}, "run nothing: there is none"),
        ({"run_ids": ["base-run", "unfinished"]}, "run unfinished is not finished"),
        ({"run_ids": ["base-run", "elsewhere"]}, "are on different datasets"),
        ({"note": "half \ud800"}, "note: cannot be recorded"),
    ],
)
def test_a_review_of_nothing_is_refused(
    changes: dict[str, object], message: str, registry: Registry, tmp_path: Path
) -> None:
    base_run(registry)
    start(registry, "unfinished")
    other = registry.datasets.register("other", "v1", digest("other"), 2)
    finish(registry, start(registry, "elsewhere", dataset_id=other.id), make_weights(tmp_path, "other"))
    review = {"run_ids": ["base-run"], "trace_id": "t0", "verdict": "reference_wrong", "reviewer": "ana"}
    with pytest.raises(InputError, match=message):
        registry.reviews.add(**{**review, **changes})  # type: ignore[arg-type]
    assert registry.reviews.newest(digest("sample")) == []


@pytest.mark.parametrize("name", ["", " ana", "a" * 81, "a\nb", "a\u200bb", "a\ud800"])
def test_a_reviewer_has_a_name_that_can_be_read(name: str, registry: Registry) -> None:
    base_run(registry)
    with pytest.raises(InputError, match="reviewer "):
        registry.reviews.add(["base-run"], "t0", "fine", reviewer=name)
    assert registry.reviews.datasets() == []


def test_the_queue_begins_with_what_all_runs_answer_alike_and_not_as_the_reference(
    registry: Registry, tmp_path: Path
) -> None:
    base, (trained, _) = base_run(registry), finished(registry, tmp_path, "trained")
    both = [base.run_id, trained.run_id]
    # of both, t0 is empty, so no answer is alike; t1 is wrong in the base's run alone
    assert [(item.trace_id, item.disagreement, item.wrong) for item in registry.reviews.queue(both)] == [
        ("t0", "all_wrong", 2),
        ("t1", "some_wrong", 1),
    ]
    assert registry.reviews.queued(both) == 2
    assert [item.trace_id for item in registry.reviews.queue(both, limit=1, offset=1)] == ["t1"]
