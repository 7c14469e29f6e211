"""A report as one file: whole, repeatable, and without power for what a model wrote."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError
from core.text import visible, visible_lines
from evaluation.gate import GateConfig
from evaluation.metrics import Metric, MetricsSnapshot, Truncation
from evaluation.plots import draw_scores
from experiments.promoting import promote_run
from experiments.run_checking import check_runs
from experiments.run_files import files_of
from experiments.side_by_side import side_by_side
from experiments.workspace import Workspace
from registry import Run
from reports.beside import with_report
from reports.changes import Changes, InCommon
from reports.collecting import report_on, reported_run
from reports.formats import write_report
from reports.html import CHUNK, write_html
from reports.tables import judged, link, provenance
from reports.templating import environment
from tests.conftest import CommandLine
from tests.support.recorded_runs import record_baseline, record_trained, right_for, workspace_at
from tests.support.reported_runs import HOSTILE, hostile_runs

pytestmark = pytest.mark.unit


class Page(HTMLParser):
    """A page as a browser takes it apart.

    Attributes:
        tags: every element with its attributes.
        inside: the text of each script and style, in order, by tag.
        text: all other text.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[tuple[str, dict[str, str | None], str]] = []
        self.text = ""
        self.raw: tuple[str, dict[str, str | None]] | None = None
        self.feed(data.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.raw = tag, dict(attrs)
            self.inside.append((*self.raw, ""))

    def handle_endtag(self, tag: str) -> None:
        self.raw = None if self.raw and self.raw[0] == tag else self.raw

    def handle_data(self, data: str) -> None:
        if self.raw is None:
            self.text += data
        else:
            tag, attributes, text = self.inside.pop()
            self.inside.append((tag, attributes, text + data))

    def json(self, name: str) -> list[Any]:
        """What the scripts of an id or class hold."""
        return [json.loads(text) for _, of, text in self.inside if name in (of.get("id"), of.get("class"))]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return workspace_at(tmp_path_factory.mktemp("reports") / "home")


@pytest.fixture(scope="module")
def golden(place: Workspace) -> tuple[Run, Run]:
    """golden-v1: more items than are read at a time; and the candidate was promoted."""
    runs = record_baseline(place), record_trained(place, right_for(0.6))
    promote_run(runs[1].run_id, "tiny-reasoner", GateConfig(), place)
    return runs


@pytest.fixture(scope="module")
def hostile(place: Workspace, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    return hostile_runs(place, tmp_path_factory.mktemp("hostile"))


def written(place: Workspace, *runs: Run) -> bytes:
    """The page about one run, or about a baseline and a candidate."""
    report = report_on(runs[-1].run_id, place.registry, runs[0].run_id if len(runs) > 1 else None)
    page = BytesIO()
    write_html(report, side_by_side(runs, place.registry), page)
    return page.getvalue()


def test_the_page_begins_with_the_decision_and_says_what_got_worse(
    place: Workspace, golden: tuple[Run, Run]
) -> None:
    page = Page(written(place, *golden))
    text = " ".join(page.text.split()).partition("Provenance")[2]  # behind the links to the parts
    order = (
        "PROMOTED: tiny-reasoner v1 is champion now",
        "is significant",
        "What got worse",
        "of 360 items got worse",
        "golden-v1 better than base",
        "By category",
        "By difficulty",
        "Answer correctness of run",
        "shown with JavaScript",
        "weights sha256",
        "The same runs give the same file.",
    )
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    links = {of["href"] for tag, of in page.tags if tag == "a" and of.get("href")}
    assert "#show=worse" in links
    assert any(str(each).startswith("#show=worse&category=") for each in links)


def test_the_page_asks_for_nothing_and_lets_nothing_but_its_own_script_run(
    place: Workspace, hostile: tuple[Run, Run]
) -> None:
    page = Page(written(place, *hostile))
    for _, attributes in page.tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes), (
            "the policy forbids them"
        )
        for name in ("src", "href", "xlink:href", "action", "data", "srcset"):
            assert str(attributes.get(name) or "#").startswith("#")
    [policy] = [of["content"] for tag, of in page.tags if of.get("http-equiv") == "Content-Security-Policy"]
    run = [(tag, text) for tag, of, text in page.inside if of.get("type") != "application/json"]
    assert [tag for tag, _ in run] == ["style", "script"]
    for tag, text in run:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in str(policy)
    assert str(policy).startswith("default-src 'none'; ")


def test_whatever_a_model_wrote_is_in_the_page_as_it_is_and_as_data_only(
    place: Workspace, hostile: tuple[Run, Run]
) -> None:
    data = written(place, *hostile)
    page = Page(data)
    assert b"<script>alert" not in data
    assert b"<img" not in data
    assert not re.search(rb"[\x00-\x08\x0b-\x1f]", data), "of controls there are escapes only"
    [about], [index], [texts] = map(page.json, ("about", "index", "texts"))
    items = list(side_by_side(hostile, place.registry))
    assert [run["role"] for run in about["runs"]] == ["baseline", "candidate"]
    assert [row[0] for row in index] == [f"item-{name}" for name in HOSTILE]
    for item, facts, found in zip(items, index, texts, strict=True):
        assert found["answers"][1]["prediction"] == item.answers[1].prediction
        assert [*about["lead"][: found["lead"]], *found["asked"]] == item.asked
        assert found["accepted"] == item.accepted
        assert facts[3] == [answer.score for answer in item.answers]
        assert facts[4] == [answer.rung for answer in item.answers]


def test_the_same_runs_are_the_same_bytes(
    place: Workspace, golden: tuple[Run, Run], hostile: tuple[Run, Run]
) -> None:
    for runs in (golden, hostile, golden[:1]):
        assert written(place, *runs) == written(place, *runs)


def test_items_of_a_large_dataset_are_all_there_in_its_order(
    place: Workspace, golden: tuple[Run, Run]
) -> None:
    page = Page(written(place, *golden))
    chunks = page.json("index")
    assert [len(chunk) for chunk in chunks] == [CHUNK, 360 - CHUNK]
    assert [row[0] for chunk in chunks for row in chunk] == list(place.registry.runs.scores(golden[0].run_id))


def test_a_run_alone_has_its_scores_and_what_is_wrong(place: Workspace, hostile: tuple[Run, Run]) -> None:
    page = Page(written(place, hostile[1]))
    assert "Nothing was decided about this run." in page.text
    assert "What got worse" not in page.text
    assert {of.get("value") for tag, of in page.tags if of.get("name") == "show"} == {"all", "wrong", "right"}
    said = " ".join(page.text.split())
    command = f"hallmark report OTHER {hostile[1].run_id}"
    assert f"nothing in it is compared. {command} compares it with another run on hostile-v1." in said
    assert any(str(of.get("href")).startswith("#show=wrong&after=") for _, of in page.tags)
    assert "<svg" in written(place, hostile[1]).decode()


def test_a_run_that_was_decided_about_names_the_run_to_compare_it_with(
    place: Workspace, golden: tuple[Run, Run]
) -> None:
    against = report_on(golden[1].run_id, place.registry).decided.against  # type: ignore[union-attr]
    assert against == golden[0].run_id
    alone = report_on(golden[1].run_id, place.registry).alone
    assert alone is not None
    assert f"`hallmark report {against} {golden[1].run_id}`" in alone
    assert report_on(golden[1].run_id, place.registry, against).alone is None


def test_what_nobody_here_knows_is_said_with_the_reason(place: Workspace, golden: tuple[Run, Run]) -> None:
    run = reported_run(golden[0], place.registry, "run")
    for manifest, why in (
        ({}, "known to the endpoint only"),
        ({"imported": {"file": "a.jsonl"}}, "not in the file that the predictions were imported from"),
    ):
        unknown = run.model_copy(update={"model_sha256": None, "manifest": manifest})
        assert ("weights sha256", why) in provenance([unknown]).rows
    cut = Truncation(prompts=None, completions=3, completions_below_one=2)
    metrics = run.metrics.model_copy(update={"truncated": cut})
    rows = judged(run.model_copy(update={"metrics": metrics})).rows
    assert ("prompt cut to fit the context", "what ran the model does not say") in rows
    assert ("text cut off at max_new_tokens", link("3", show="all", cut="yes")) in rows


def test_a_score_that_is_no_share_has_no_plot() -> None:
    metric = Metric(n=2, value=12.5, ci_low=11.0, ci_high=14.0, method="bootstrap")
    snapshot = MetricsSnapshot(overall={"perplexity": metric}, categories={}, counts={"likelihood": 2})
    assert draw_scores(snapshot, "likelihood@v1") is None


def test_what_a_page_is_given_is_escaped_and_seen() -> None:
    template = environment().from_string(
        "{% import 'macros.html' as m %}{{ m.table(text, [text], [[text]]) }}"
    )
    for text in HOSTILE.values():
        page = Page(template.render(text=text).encode())
        assert "script" not in dict(page.tags)
        assert page.text.count(visible_lines(text)) == 3 or not text
    assert visible(HOSTILE["bidi"]).startswith("safe⟨U+202E⟩gpj.exe")


def test_a_link_to_items_holds_any_name() -> None:
    assert link("<6>", show="worse", category='a "b" & c') == (
        '<a href="#show=worse&amp;category=a+%22b%22+%26+c">&lt;6&gt;</a>'
    )


def test_what_got_worse_is_said_with_the_reason() -> None:
    def common(worse: int, **chosen: str) -> InCommon:
        return InCommon(what=" → ".join(chosen.values()), chosen=chosen, worse=worse, better=1)

    found = Changes(
        n=360,
        worse=10,
        better=141,
        categories=[
            common(6, category="sorting"),
            common(2, category="maximum"),
            common(1, category="dates"),
            common(1, category="sums"),
            common(0, category="units"),
        ],
        rungs=[
            common(5, before="marker", after="marker"),
            common(3, before="marker", after="none"),
            common(2, before="boxed", after="whole_text"),
        ],
        cut=[common(4, cut="candidate"), common(0, cut="baseline")],
    )
    what, why = found.sentences
    assert what == (
        "10 of 360 items got worse, 141 got better. Worse: 6 in sorting, 2 in maximum, 1 in dates, 1 in sums."
    )
    assert why == (
        "Of the items that got worse: in 5 the candidate stated an answer that is not right; in 2 it did not "
        "say which part of its text is the answer; in 3 no answer was found in what it wrote; in 4 the "
        "candidate's text was cut off at max_new_tokens."
    )
    many = found.model_copy(
        update={"categories": [common(2, category=name) for name in ("a", "b", "c", "d", "e")]}
    )
    assert many.sentences[0].endswith("Worse: 2 in a, 2 in b, 2 in c, 4 elsewhere.")
    silent = found.model_copy(update={"rungs": [], "cut": [], "said": {"wrong": 9, "empty": 1}})
    assert silent.sentences[1] == (
        "Of the items that got worse: in 9 the candidate's answer was judged wrong; "
        "in 1 the candidate's answer was judged empty."
    )
    none = found.model_copy(update={"worse": 0})
    assert none.sentences == ["No item of 360 got worse; 141 got better."]


def test_a_report_replaces_a_report_and_nothing_else(
    place: Workspace, golden: tuple[Run, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = report_on(golden[0].run_id, place.registry)
    monkeypatch.chdir(tmp_path)
    path = write_report(report, place.registry)
    assert path.name == f"report-{golden[0].run_id}.html"
    assert write_report(report, place.registry) == path, "an older report is replaced"
    mine = tmp_path / "mine.html"
    mine.write_text("<!doctype html><title>mine</title>")
    with pytest.raises(InputError, match=r"mine\.html: is there already, and is no report"):
        write_report(report, place.registry, mine)
    assert mine.read_text().endswith("<title>mine</title>")
    write_report(report, place.registry, mine, force=True)
    assert mine.read_bytes() == path.read_bytes()
    with pytest.raises(InputError, match="is a directory"):
        write_report(report, place.registry, tmp_path, force=True)
    with pytest.raises(InputError, match="--format pdf: unknown; formats are html"):
        write_report(report, place.registry, format="pdf")


def test_a_decision_leaves_its_page_beside_the_run_and_no_harm(tmp_path: Path) -> None:
    place = workspace_at(tmp_path / "home")
    record_baseline(place)
    run = record_trained(place, right_for(0.6))
    path = files_of(run, place.registry).report
    decided = promote_run(run.run_id, "tiny-reasoner", GateConfig(), place)
    assert with_report(decided, place.registry).report == path
    assert "PROMOTED: tiny-reasoner v1 is champion now" in path.read_text()
    assert check_runs(place).problems == ()
    assert path.name not in (place.registry.runs.get(run.run_id).files or {})
    path.unlink()
    path.mkdir()  # what cannot be replaced
    assert with_report(decided, place.registry).report is None
    shutil.rmtree(path.parent)  # as on another machine
    assert with_report(decided, place.registry).report is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_can_only_be_read_gets_no_page(place: Workspace, golden: tuple[Run, Run]) -> None:
    decided = promote_run(golden[1].run_id, "tiny-reasoner", GateConfig(), place)
    folder = files_of(golden[1], place.registry).directory
    folder.chmod(0o500)
    try:
        assert with_report(decided, place.registry).report is None
    finally:
        folder.chmod(0o700)


def test_the_command_says_where_the_page_is(
    hallmark: CommandLine, place: Workspace, golden: tuple[Run, Run], tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    runs = (golden[0].run_id, golden[1].run_id)
    done = hallmark("report", *runs, "-o", path, "--json", HALLMARK_HOME=str(place.home))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["path"] == str(path)
    assert path.read_bytes() == written(place, *golden)
