"""What a person reads in Prefect's UI: whole, repeatable, and safe whatever a model wrote."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.comparison import Comparison, RunScores, compare
from evaluation.plots import draw_comparison
from experiments.comparing import Flip
from tasks.report import comparison_report, text_cell, training_report
from trainer.contract import TrainResult

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    ids = [f"t{number}" for number in range(40)]
    categories = {trace_id: "addition" if number % 2 else "sorting" for number, trace_id in enumerate(ids)}

    def run(name: str, right: int) -> RunScores:
        scores = {trace_id: float(number < right) for number, trace_id in enumerate(ids)}
        return RunScores(name, "golden-v1", "a" * 64, "answer_correctness@v1", "f", {}, scores, categories)

    return compare(run("run-base", 10), run("run-trained", 30))


def test_the_report_holds_tables_picture_flips_and_links(comparison: Comparison) -> None:
    flip = Flip("t11", "What is 1 + 1?", "2", "Answer: 3", "Answer: 2")
    text = comparison_report(comparison, ([flip], []), {"run-trained": "[run-trained](/runs/flow-run/1)"})
    assert "| 40 | 25.0 % | **75.0 %** | **+50.0** |" in text
    assert "| 20 / 0 |" in text
    assert "### By category" in text
    assert "| addition | 20 |" in text
    assert "### Got better: 20" in text
    assert "| t11 | What is 1 \\+ 1? | 2 | Answer: 3 | Answer: 2 |" in text
    assert "### Got worse: 0" in text
    assert "candidate [run-trained](/runs/flow-run/1)" in text
    assert "baseline run-base" in text
    picture = re.search(r"!\[[^]]*\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", text)
    assert picture
    assert ET.fromstring(base64.b64decode(picture[1])).tag.endswith("svg")


def test_the_same_comparison_is_the_same_picture(comparison: Comparison) -> None:
    picture = draw_comparison(comparison)
    assert picture == draw_comparison(comparison)
    text = picture.decode()
    assert all(f">{name}<" in text for name in ("overall (40)", "addition (20)", "sorting (20)", "baseline", "candidate"))


def test_a_large_curve_is_named_instead_of_shown() -> None:
    result = TrainResult(
        model_sha256="a" * 64,
        steps=1200,
        best_step=1200,
        first_loss=2.0,
        last_loss=0.5,
        held_out_loss=None,
        loss_tokens=10_000,
        seconds=10.0,
        resumed=False,
        stopped_early=False,
        memory_bytes=1,
    )
    small = training_report(result, b"<svg/>", "/home/loss_curve.svg", "r")
    assert "data:image/svg" in small
    assert "1,000 completion tokens/s" in small
    large = training_report(result, b"x" * 1_000_000, "/home/loss_curve.svg", "r")
    assert "data:image/svg" not in large
    assert "`/home/loss_curve.svg`" in large


def test_a_prediction_has_no_power_over_the_page() -> None:
    text = text_cell("<script>alert(1)</script> | [x](javascript:alert(1)) ![p](http://evil/x.png)\n# big `code`")
    assert "<" not in text
    assert re.search(r"(?<!\\)[|\[\]()!`#]", text) is None


@given(st.text(max_size=400))
def test_any_text_stays_one_cell_of_its_table(text: str) -> None:
    cell = text_cell(text)
    assert "\n" not in cell
    assert re.search(r"(?<!\\)(?:\\\\)*\|", cell) is None
    assert "<" not in cell
    assert ">" not in cell
