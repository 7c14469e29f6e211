"""5,000 categories: a person is shown those that matter, and JSON has all."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from evaluation.comparison import Comparison, RunScores, compare
from evaluation.metrics import Metric, MetricsSnapshot
from evaluation.plots import draw_comparison
from evaluation.shown import SHOWN
from experiments.comparing import compare_runs, flips
from hallmark.cli.show.tables import comparison_table
from reports.prefect_pages import comparison_report
from reports.prefect_runs import metrics_report
from tests.support.recorded_runs import record_baseline, record_trained, right_for, workspace_at

pytestmark = pytest.mark.unit

MANY = 200


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    """Ten items in each category; in one of them most answers got worse."""
    ids = [f"t{number}" for number in range(10 * MANY)]
    skill = {trace_id: f"skill-{number // 10}" for number, trace_id in enumerate(ids)}
    before = dict.fromkeys(ids, 1.0)
    after = {trace_id: float(skill[trace_id] != "skill-150") for trace_id in ids}
    fixed = ("big-v1", "a" * 64, "j@v1", "f", {})
    return compare(
        RunScores("base", *fixed, before, skill, {}), RunScores("trained", *fixed, after, skill, {})
    )


def printed(comparison: Comparison, every: bool = False) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(comparison_table(comparison, "first", "second", every))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_categories_that_changed_are_shown_and_the_others_counted(comparison: Comparison) -> None:
    assert "skill-150" in printed(comparison)
    assert printed(comparison).count("skill-") == SHOWN
    assert printed(comparison, every=True).count("skill-") == MANY
    report = comparison_report(comparison, ([], []), {})
    assert report.count("skill-") - draw_comparison(comparison).decode().count("skill-") <= SHOWN
    assert "and 180 more" in report


def test_a_run_shows_its_largest_categories() -> None:
    def metric(n: int) -> dict[str, Metric]:
        return {"m": Metric(value=0.5, n=n, ci_low=0.4, ci_high=0.6, method="wilson")}

    snapshot = MetricsSnapshot(
        overall=metric(9),
        categories={f"skill-{number}": metric(number) for number in range(1, MANY)},
        counts={f"reason-{number}": number for number in range(1, MANY)},
    )
    report = metrics_report(snapshot, "run")
    assert f"skill-{MANY - 1}" in report
    assert report.count("skill-") == SHOWN
    assert report.count("reason-") == SHOWN
    assert f"{MANY - 1 - SHOWN} other reasons" in report


def test_the_command_line_shows_all_when_asked(hallmark, home: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "big-v1.jsonl"
    with dataset.open("w") as file:
        for number in range(60):
            item = {"trace_id": f"t{number}", "prompt": f"What is {number} + 1?", "steps": []}
            more = {"final_answer": str(number + 1), "category": f"skill-{number % 30}"}
            file.write(json.dumps({**item, **more}) + "\n")
    workspace = workspace_at(home)
    first = record_baseline(workspace, dataset=str(dataset))
    second = record_trained(workspace, right_for(0.9), dataset=str(dataset))
    compared = hallmark("compare", first.run_id, second.run_id)
    assert compared.stdout.count("skill-") == SHOWN
    assert "and 10 more" in compared.stdout
    every = hallmark("compare", first.run_id, second.run_id, "--all-categories")
    assert every.stdout.count("skill-") == 30
    assert "and 10 more" in hallmark("runs", "show", first.run_id).stdout


def test_flips_are_the_texts_of_their_runs(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path / "home")
    first = record_baseline(workspace, lambda place, _: f"first {place}")
    second = record_trained(workspace, right_for(0.9))
    better, worse = flips(
        compare_runs(first.run_id, second.run_id, workspace.registry), 3, workspace.registry
    )
    assert worse == []
    rows = {row.trace_id: row.prediction for row in workspace.registry.runs.predictions(second.run_id)}
    assert [flip.before.split()[0] for flip in better] == ["first"] * 3
    assert [flip.after for flip in better] == [rows[flip.trace_id] for flip in better]
