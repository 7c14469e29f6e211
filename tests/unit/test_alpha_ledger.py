"""`hallmark models alpha`: what was spent on a golden dataset, what is left, and when a fresh one is due."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from core.errors import InputError
from evaluation.alpha import alpha_left, spent_level, weight
from evaluation.gate import GateConfig
from evaluation.power import gain_power
from experiments.alpha import alpha_reports
from experiments.promoting import promote_run
from experiments.workspace import Workspace
from hallmark.cli.models import app
from tests.support.recorded_runs import record_baseline, record_trained, right_for, workspace_at

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A model that was compared three times: no gain, a clear gain, no gain over that."""
    workspace = workspace_at(tmp_path_factory.mktemp("home"))
    record_baseline(workspace, right_for(0.4))
    for place, share in enumerate((0.41, 0.6, 0.61)):
        run = record_trained(workspace, right_for(share), f"weights-{place}")
        promote_run(run.run_id, "support", GateConfig(), workspace)
    return workspace


def test_the_ledger_shows_each_comparison_and_what_is_left(workspace: Workspace) -> None:
    (report,) = alpha_reports("support", workspace.registry)
    assert [row.number for row in report.spent] == [1, 2, 3]
    assert [row.significant for row in report.spent] == [False, True, False]
    assert (report.dataset, report.items, report.groups, report.alpha) == ("golden-v1", 360, 360, 0.05)
    assert report.spent[2].level == pytest.approx(spent_level(0.05, 3, carried=report.spent[1].level))
    assert report.next_level == pytest.approx(spent_level(0.05, 4))
    assert report.left == pytest.approx(0.05 * (1 - weight(1) - weight(2) - weight(3)))
    assert report.gain_found is not None
    assert gain_power(360, report.gain_found, report.changed, report.next_level) == pytest.approx(
        0.8, abs=0.01
    )


def test_a_fresh_set_is_due_when_the_gain_asked_for_is_not_found_any_more(workspace: Workspace) -> None:
    (small,) = alpha_reports("support", workspace.registry, gain=0.01)
    assert small.due
    assert (
        small.sentences()[-1]
        == "A fresh golden set is due: this one does not find a gain of 1.0 points any more."
    )
    (own,) = alpha_reports("support", workspace.registry)
    assert not own.due
    assert own.gain is not None
    assert gain_power(360, own.gain, own.changed, spent_level(0.05, own.due_at - 1)) >= 0.8
    assert gain_power(360, own.gain, own.changed, spent_level(0.05, own.due_at)) < 0.8
    assert f"A fresh golden set is due at comparison {own.due_at}" in own.sentences()[-1]


def test_a_huge_gain_is_found_for_ever(workspace: Workspace) -> None:
    (report,) = alpha_reports("support", workspace.registry, gain=0.4)
    assert (
        report.sentences()[-1] == "This golden set finds a gain of 40.0 points through a million comparisons."
    )


def test_the_command_prints_it_for_people_and_programs(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HALLMARK_HOME", str(workspace.home))
    (report,) = json.loads(CliRunner().invoke(app, ["alpha", "support", "--json"]).stdout)
    assert report["next_number"] == 4
    assert len(report["spent"]) == 3
    text = CliRunner().invoke(app, ["alpha", "support", "--gain", "1"], env={"COLUMNS": "200"}).stdout
    assert "support on golden-v1" in text
    assert "A fresh golden set is due" in text


def test_an_unknown_model_is_an_error_that_lists_the_known_ones(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="Registered: support"):
        alpha_reports("suport", workspace.registry)


def test_what_is_left_and_what_was_spent_are_alpha() -> None:
    spent = sum(spent_level(0.05, number) for number in range(1, 20))
    assert alpha_left(0.05, 20) + spent == pytest.approx(0.05)
