"""What pages ask of the registry, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from core.files import write_jsonl
from evaluation.gate import GateConfig
from experiments.promoting import promote_run
from golden.schema import Item
from hallmark.ui.app import create_app
from registry.pages import run_page
from registry.runs import RunFilter
from tests.support.recorded_runs import record_baseline, record_trained, workspace_at

pytestmark = pytest.mark.unit


def answer(place: int, item: Item) -> str:
    return f'100% "sure"_\\ \x00 of {place}\nAnswer: {item.final_answer if place % 2 else "no"}'


def better(place: int, item: Item) -> str:
    return f"Answer: {item.final_answer}"


def test_every_page_is_the_same_on_both_databases(tmp_path: Path, registry_url: str) -> None:
    workspace = workspace_at(tmp_path / "home", registry_url)
    dataset = tmp_path / "small-v1.jsonl"
    items = [
        {
            "trace_id": f"item-{number:02}",
            "prompt": f"What is {number} + 1?",
            "steps": ["add"],
            "final_answer": str(number + 1),
            "category": "addition",
        }
        for number in range(24)
    ]
    write_jsonl(dataset, items)
    baseline = record_baseline(workspace, answer, dataset=str(dataset))
    trained = record_trained(workspace, better, dataset=str(dataset))
    promote_run(trained.run_id, "support", GateConfig(), workspace)
    database = workspace.registry.database
    for order in ("started", "score", "name", "dataset", "judge", "status"):
        for descending in (True, False):
            terms = {"order": order, "descending": descending, "limit": 1}
            first = run_page(database, RunFilter(), **terms)  # type: ignore[arg-type]
            second = run_page(database, RunFilter(), after=first.lines[-1].run.id, **terms)  # type: ignore[arg-type]
            back = run_page(database, RunFilter(), before=second.lines[0].run.id, **terms)  # type: ignore[arg-type]
            assert {first.lines[0].run.id, second.lines[0].run.id} == {baseline.id, trained.id}
            assert (first.earlier, first.later, second.earlier, second.later) == (False, True, True, False)
            assert [line.run.id for line in back.lines] == [line.run.id for line in first.lines]
    client = TestClient(create_app(workspace, patience_s=60), base_url="http://localhost")
    pair = f"baseline={baseline.run_id}&candidate={trained.run_id}"
    for path in (
        "/runs?text=TINY&sort=score",
        f"/runs/{trained.run_id}",
        f"/compare?{pair}&show=better",
        "/models",
        "/models/support",
        "/models/support/v1",
        "/nights",
        "/training",
        "/under-way",
        "/integrity",
    ):
        assert client.get(path).status_code == 200, path
    runs = {"baseline": baseline.run_id, "candidate": trained.run_id}
    for text, number in (
        ('100% "SURE"_\\', 24),
        ("sure%of", 0),
        ("of 13", 1),
        ("what is 1", 11),
        ("nanswer", 0),
    ):
        page = client.get("/compare", params={**runs, "text": text})
        assert f"{number} of 24 items" in page.text, text
    workspace.registry.close()
