"""What a person reads in Prefect's UI: whole, repeatable, and safe whatever a model wrote."""

from __future__ import annotations

import base64
import logging
import re
import sys
import unicodedata
import xml.etree.ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from core.text import cut, visible
from evaluation.comparison import Comparison, RunScores, compare
from evaluation.metrics import Metric, MetricsSnapshot
from evaluation.plots import draw_comparison
from experiments.comparing import Flip
from experiments.differences import Difference
from experiments.reproducing import Changed, Reproduction
from reports.markdown import code, prose, stacked, table
from reports.prefect_pages import comparison_report, reproduction_report
from reports.prefect_runs import metrics_report, training_report
from reports.prefect_text import SHOWN_ANSWER, SHOWN_TEXT, text_cell, whole_text
from tasks import logs
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
    assert "20 got better, 0 got worse." in text
    assert "### By category" in text
    assert re.search(r"\| `addition` \| [\d.]+ % \| [\d.]+ % \| ", text), "what a phone shows comes first"
    assert "### Got better: 20" in text
    assert "The first 1 of 20. All, side by side: `hallmark compare run-base run-trained --flips`" in text
    stacked = [
        "asked: `What is 1 + 1?`",
        "right answer: `2`",
        "baseline: `Answer: 3`",
        "candidate: `Answer: 2`",
    ]
    assert "**`t11`**\n\n- " + "\n- ".join(stacked) in text
    assert "### Got worse: 0\n\nNone." in text
    assert "- candidate: [run-trained](/runs/flow-run/1)" in text
    assert "- baseline: run-base" in text
    picture = re.search(r"!\[[^]]*\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", text)
    assert picture
    assert ET.fromstring(base64.b64decode(picture[1])).tag.endswith("svg")


def test_the_same_comparison_is_the_same_picture(comparison: Comparison) -> None:
    picture = draw_comparison(comparison)
    assert picture == draw_comparison(comparison)
    text = picture.decode()
    assert all(
        f">{name}<" in text
        for name in ("overall (40)", "addition (20)", "sorting (20)", "baseline", "candidate")
    )


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
    assert "1,000 loss-bearing tokens/s" in small
    large = training_report(result, b"x" * 1_000_000, "/home/loss_curve.svg", "r")
    assert "data:image/svg" not in large
    assert "`/home/loss_curve.svg`" in large


OTHERS = (
    "http://evil.example/x",
    "HTTPS://evil.example",
    "www.evil.example",
    "mail@evil.example",
    "mailto:mail@evil.example",
    "<http://evil.example>",
    "[x](javascript:alert(1))",
    "![p](http://evil.example/x.png)",
    "x.png)",
    "<script>alert(1)</script>",
    "<a href='http://evil.example'>x</a>",
    "&lt;b&gt; &amp;amp;",
    "a | b",
    r"a \| b",
    r"a \\| b\\",
    "|",
    "\\",
    "`",
    "`` a ` b ```",
    "big `code`",
    "# heading",
    "1. first",
    "$x$ ~~y~~ **z** __q__ {{ r }}",
    "",
)
"""What somebody else may write to get power over a page."""

anything = st.one_of(
    st.text(max_size=400), st.lists(st.sampled_from([*OTHERS, *"|`\\ \n\r<>&*_.)"]), max_size=12).map("".join)
)

POWERLESS = {"text", "code_inline"}


def inline(markdown: str) -> list[Token]:
    """What one paragraph or cell is made of, as a parser of its own reads it, with links where it finds
    addresses.
    """
    [content] = [token for token in MarkdownIt("gfm-like").parse(markdown) if token.type == "inline"]
    return content.children or []


def cells(markdown: str) -> list[list[Token]]:
    """The second row of a table, cell by cell."""
    tokens = MarkdownIt("gfm-like").parse(markdown)
    assert tokens[0].type == "table_open"
    assert tokens[-1].type == "table_close"
    body = tokens[next(place for place, token in enumerate(tokens) if token.type == "tbody_open") :]
    return [token.children or [] for token in body if token.type == "inline"]


def assert_shown(tokens: list[Token], text: str) -> None:
    """These parts of a page are a text and nothing else."""
    assert {token.type for token in tokens} <= POWERLESS
    assert "".join(token.content for token in tokens) == text


@pytest.mark.parametrize("text", OTHERS)
def test_a_prediction_has_no_power_over_the_page(text: str) -> None:
    row = cells(table(["prediction", ""], [[text_cell(text), "next"]]))
    assert len(row) == 2
    assert_shown(row[0], text)
    assert_shown(row[1], "next")


@given(anything)
def test_any_text_stays_one_cell_of_its_table(text: str) -> None:
    row = cells(table(["prediction", ""], [[text_cell(text), "next"]]))
    assert len(row) == 2
    assert_shown(row[0], visible(cut(" ".join(text.split()), SHOWN_TEXT)))


@given(anything)
def test_any_text_stays_one_line_of_its_item(text: str) -> None:
    page = stacked([(whole_text(text), [("asked", whole_text(text)), ("answer", "next")])])
    parts = [token for token in MarkdownIt("gfm-like").parse(page) if token.type == "inline"]
    expected = visible(cut(" ".join(text.split()), SHOWN_ANSWER)) or "nothing"
    title, asked, answer = (each.children or [] for each in parts)
    assert "".join(token.content for token in title) == expected
    assert {token.type for token in title} <= {*POWERLESS, "strong_open", "strong_close"}
    assert_shown(asked, f"asked: {expected}")
    assert_shown(answer, "answer: next")


@given(anything)
@example(": .")
@example("( .")
def test_any_text_is_text_in_a_sentence_of_ours(text: str) -> None:
    sentence = f"Compared with {text} on 360 items (p = 7.3e-31, below 0.05)."
    tokens, marks = inline(prose(sentence)), {ord("`"): None}  # two of them mark what is code
    assert {token.type for token in tokens} <= POWERLESS
    shown = "".join(token.content for token in tokens)
    assert shown.translate(marks) == visible(sentence).translate(marks)
    assert_shown(inline(f"Compared with {code(text)}, once."), f"Compared with {visible(text)}, once.")


@pytest.mark.parametrize(
    ("sentence", "codes"),
    [
        ("40 of 40 are empty: `hallmark doctor --model MODEL` shows why.", ["hallmark doctor --model MODEL"]),
        (
            "It is so (`golden guard`), or `hallmark golden check my|set.jsonl`.",
            ["golden guard", "hallmark golden check my|set.jsonl"],
        ),
        ("`registry:` may be left out: `a` `b`", ["registry:", "a", "b"]),
        ("A `` torn ` one", ["``", "`"]),
        ("The set x`y`z and `half", ["x`y`z", "`half"]),
    ],
)
def test_what_a_sentence_marks_as_code_is_one_span(sentence: str, codes: list[str]) -> None:
    tokens = inline(prose(sentence))
    assert [token.content for token in tokens if token.type == "code_inline"] == codes
    in_table = cells(table(["", ""], [[prose(sentence), "next"]]))[0]
    assert [token.content for token in in_table if token.type == "code_inline"] == codes


def test_plain_words_of_a_sentence_stay_plain() -> None:
    sentence = (
        "PROMOTED: tiny-base's v1 gained +47.8 points (one-sided p = 7.3e-31, below 0.05); "
        "12/360 items/s left, 5 %."
    )
    assert prose(sentence) == sentence


@given(anything)
def test_nothing_unseen_is_left_in_a_text(text: str) -> None:
    assert not any(
        unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        for c in visible(text)
        if c not in "\u200c\u200d"
    )


def test_a_character_that_turns_or_hides_the_line_is_named() -> None:
    assert visible("a\x00b \x1b[31mred \u202egnp.exe\u2069 x\u200by") == (
        "a⟨U+0000⟩b ⟨U+001B⟩[31mred ⟨U+202E⟩gnp.exe⟨U+2069⟩ x⟨U+200B⟩y"
    )


def test_every_part_of_a_report_shows_the_text_of_others_as_text(comparison: Comparison) -> None:
    evil = "http://evil.example/x | www.evil.example mail@evil.example [x](http://evil.example) ![p](http://evil.example/p)"
    group = comparison.categories[0].model_copy(update={"name": evil})
    changed = comparison.model_copy(update={"dataset": evil, "judge": evil, "categories": [group]})
    metric = Metric(n=1, value=1.0, ci_low=0.0, ci_high=1.0, method="wilson")
    snapshot = MetricsSnapshot(overall={evil: metric}, categories={evil: {evil: metric}}, counts={evil: 1})
    difference = Difference(where=evil, recorded=evil, now=None)
    reproduction = Reproduction(
        run_id="r1",
        again="r2",
        identical=False,
        parts={"predictions": difference},
        environment=[Changed(field=evil, recorded=evil, now=evil)],
    )
    for text in (
        comparison_report(changed, ([Flip(evil, evil, evil, evil, evil)], []), {}),
        metrics_report(snapshot, "r1"),
        reproduction_report(reproduction),
    ):
        tokens = [part for token in MarkdownIt("gfm-like").parse(text) for part in token.children or [token]]
        assert "evil.example" in text
        assert not [token for token in tokens if token.type in ("link_open", "html_inline", "html_block")]
        assert all(str(token.attrs["src"]).startswith("data:") for token in tokens if token.type == "image")


@pytest.mark.parametrize("level", [logging.INFO, logging.ERROR])
def test_an_address_in_a_log_is_no_link(level: int) -> None:
    try:
        raise ValueError("at https://evil.example/x")
    except ValueError:
        record = logging.getLogger("prefect.flow_runs").makeRecord(
            "prefect.flow_runs", level, "f", 1, "see %s", ("http://evil.example",), sys.exc_info()
        )
    assert logs.without_links in logging.getLogger("prefect.task_runs").filters
    assert logging.getLogger("prefect.flow_runs").filter(record)
    shown = logging.Formatter("%(message)s").format(record)
    assert shown.startswith("see http[:]//evil.example\nTraceback")
    assert shown.endswith("ValueError: at https[:]//evil.example/x")
