"""Plots: repeatable, safe in a page whatever things are called, and with a name for each part."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.plots import COLOURS, SERIES, part_id
from evaluation.comparison import RunScores, compare
from evaluation.plots import draw_comparison
from reports.plots import Night, draw_nights
from trainer.curve import StepRecord
from trainer.plots import draw_curves

pytestmark = pytest.mark.unit

ASSETS = Path(__file__).parents[2] / "reports" / "assets"
HOSTILE = "a </title><script>alert(1)</script>\x00\x1b[2J \u202egpj \ufffe $x^2$ & 日本 \"'`" + "x" * 1_000
SVG = "{http://www.w3.org/2000/svg}"


def comparison(*categories: str) -> bytes:
    ids = [f"t{number}" for number in range(40)]
    named = {trace_id: categories[number % len(categories)] for number, trace_id in enumerate(ids)}

    def run(name: str, right: int) -> RunScores:
        scores = {trace_id: float(number < right) for number, trace_id in enumerate(ids)}
        return RunScores(name, "golden-v1", "a" * 64, "exact_match@v1", "f", {}, scores, named)

    return draw_comparison(compare(run("base", 10), run("trained", 30)))


def nights(label: str = "") -> bytes:
    night = {"interval": (0.4, 0.6), "champion": 0.5, "alpha_left": 0.03, "gain_found": 0.02, "label": label}
    return draw_nights(
        [
            Night(number=place, run_id=f"r{place}", score=0.5, promoted=place == 2, **night)
            for place in (1, 2, 3)
        ]  # type: ignore[arg-type]
    )


def curves(*runs: str) -> bytes:
    def record(step: int) -> StepRecord:
        held_out = 2 / step if step % 10 == 0 else None
        about = {"learning_rate": 1e-3, "gradient_norm": 1.0, "loss_tokens": 9}
        return StepRecord(step=step, loss=3 / step, held_out_loss=held_out, **about)  # type: ignore[arg-type]

    return draw_curves({run: [record(step) for step in range(1, 31)] for run in runs})


def every_plot(name: str = "x") -> list[bytes]:
    return [comparison(name, "other"), nights(name), curves(name, "other"), curves(name)]


def test_the_same_input_is_the_same_bytes() -> None:
    assert every_plot() == every_plot()


def test_a_page_may_hold_all_plots_at_once_under_a_strict_policy() -> None:
    roots = [ET.fromstring(picture) for picture in every_plot()[:3]]
    ids = Counter(element.get("id") for root in roots for element in root.iter() if element.get("id"))
    assert ids.most_common(1)[0][1] == 1, "ids are unique in the page"
    for root in roots:
        assert not any(element.tag == f"{SVG}style" or element.get("style") for element in root.iter())
        own = {element.get("id") for element in root.iter()}
        text = ET.tostring(root, encoding="unicode")
        references = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
        assert references <= own
        assert "http" not in text.replace("http://www.w3.org/", "")


@pytest.mark.parametrize("picture", every_plot(HOSTILE))
def test_names_can_be_any_text(picture: bytes) -> None:
    root = ET.fromstring(picture)
    assert not list(root.iter(f"{SVG}script"))
    shown = "".join(root.itertext())
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "⟨U+202E⟩" in shown or "⟨U+0000⟩" in shown or picture == nights(HOSTILE)
    assert len(picture) < 60_000


def test_a_plot_says_in_words_what_it_shows() -> None:
    root = ET.fromstring(comparison("billing", "refunds"))
    assert root.get("role") == "img"
    assert root.get("aria-label") == root.findtext(f"{SVG}title")
    description = root.findtext(f"{SVG}desc") or ""
    assert description.startswith("overall, 40 items: baseline 25.0 % (14.2 % to 40.2 %), candidate 75.0 %")
    assert "billing, 20 items" in description
    assert "Comparison 2: candidate r2 50.0 % (40.0 % to 60.0 %), promoted" in nights().decode()
    assert "r: 30 steps, loss 3.000 to 0.110, held-out loss 0.200 to 0.067" in curves("r").decode()


def test_each_part_has_an_id_that_follows_from_its_name_alone() -> None:
    text = comparison("two words", "two_words").decode()
    for name in ("two words", "two_words"):
        found = ET.fromstring(text).find(f".//*[@id='{part_id('comparison', 'category', name)}']")
        assert found is not None
        assert found.get("data-name") == name
        assert (found.findtext(f"{SVG}title") or "").startswith(f"{name}, 20 items")
    assert 'id="nights-night-3"' in nights().decode()
    assert part_id("training", "run", "r1") in curves("r1").decode()


@given(st.lists(st.text(max_size=8), min_size=2, max_size=2, unique=True))
@settings(max_examples=50)
def test_two_names_never_have_one_id(names: list[str]) -> None:
    assert len({part_id("p", "category", name) for name in names}) == 2


def test_every_colour_has_a_role_and_every_role_a_colour_on_dark_paper() -> None:
    css = (ASSETS / "plots.css").read_text()
    dark = css.partition("@media (prefers-color-scheme: dark)")[2]
    for role in COLOURS:
        assert re.search(rf"\.fill-{role}\b", dark), role
        assert re.search(rf"\.stroke-{role}\b", dark), role
    for picture in every_plot():
        for colour in re.findall(rb'(?:fill|stroke)="(#\w+)"', picture):
            assert colour.decode() in COLOURS.values()


def test_more_lines_than_colours_can_be_drawn() -> None:
    runs = [f"run-{number}" for number in range(len(SERIES) + 2)]
    assert all(part_id("training", "run", run) in curves(*runs).decode() for run in runs)


def test_nothing_yet_is_an_empty_plot() -> None:
    assert ET.fromstring(draw_nights([])).tag == f"{SVG}svg"
    assert ET.fromstring(draw_curves({})).tag == f"{SVG}svg"
    assert ET.fromstring(draw_curves({"r": []})).tag == f"{SVG}svg"
