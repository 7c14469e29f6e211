"""Numbers of things are said as a person says them: 1 item, 2 items."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.text import counted, cut
from evaluation.comparison import RunScores, compare
from evaluation.gate import GateConfig
from experiments.promoting import promote_run
from reports.collecting import report_on
from reports.examples import examples
from reports.formats import write_report
from reports.github import github_markdown
from tests.support.recorded_runs import record_baseline, record_trained, right_for, workspace_at
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.unit

WRONG = re.compile(r"(?<![\d.,])1 (?!of )(?:\w+ )?(?:items|answers|completions|runs|groups|characters)\b")


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [
        (1, ("item",), "1 item"),
        (0, ("item",), "0 items"),
        (2000, ("run",), "2,000 runs"),
        (2, ("entry", "entries"), "2 entries"),
    ],
)
def test_a_number_of_things_is_said_as_a_person_says_it(number: int, words: tuple[str], said: str) -> None:
    assert counted(number, *words) == said


def test_a_text_that_is_one_character_too_long_says_so() -> None:
    assert cut("12345", 4) == "1234 … 1 more character"


def test_a_report_on_one_item_says_one_item(tmp_path: Path) -> None:
    place = workspace_at(tmp_path / "home")
    dataset = str(small_dataset(tmp_path, ["7"]))
    base = record_baseline(place, right_for(1), dataset=dataset)
    trained = record_trained(place, lambda _place, _item: "Answer: no idea", dataset=dataset)
    promote_run(trained.run_id, "m", GateConfig(), place, against=base.run_id)
    for baseline in (None, base.run_id):
        report = report_on(trained.run_id, place.registry, baseline)
        page = write_report(report, place.registry, tmp_path / "report.html").read_text()
        shown = re.sub(r"<script.*?</script>", "", page, flags=re.S)
        for text in (report.headline, shown, github_markdown(report, examples(report, place.registry))):
            assert not WRONG.search(text), WRONG.search(text)


def test_one_item_in_one_group_is_said_so() -> None:
    def run(name: str, score: float) -> RunScores:
        return RunScores(name, "d-v1", "a" * 64, "j@v1", "f", {}, {"t": score}, {"t": "sums"})

    assert not any(WRONG.search(note) for note in compare(run("a", 0), run("b", 1)).notes)
