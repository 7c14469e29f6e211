"""The pages of `hallmark ui` on a real registry of recorded runs."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.testclient import TestClient

from core.files import write_jsonl
from evaluation.numbers import points
from experiments.comparing import compared, record
from experiments.side_by_side import ItemAnswers, side_by_side
from experiments.workspace import Workspace
from golden.schema import Item
from hallmark.ui.app import create_app
from registry import Run
from tests.support.recorded_runs import record_baseline, record_trained, right_for, workspace_at
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.unit

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)> [x](javascript:alert(3)) \x1b[2J\x00 \u202egpj.exe"
    " </div>{{ 7 * 7 }} @everyone "
)
LONG = "word " * 20_000


def text_of(answer: Any) -> str:
    """What a reader of a page sees."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", answer.text)))


class Recorded:
    """A home with a baseline and a trained run on ten items of three categories."""

    def __init__(self, folder: Path) -> None:
        self.workspace: Workspace = workspace_at(folder / "home")
        dataset = folder / "small-v1.jsonl"
        write_jsonl(dataset, [_item(number) for number in range(30)])
        settings = {"dataset": str(dataset), "judge": "answer_correctness@v2"}
        self.baseline: Run = record_baseline(self.workspace, _before, **settings)
        self.trained: Run = record_trained(self.workspace, _after, **settings)
        self.client = client_of(self.workspace)

    def compare(self, **query: str) -> Any:
        pair = {"baseline": self.baseline.run_id, "candidate": self.trained.run_id}
        return self.client.get(f"/compare?{urlencode({**pair, **query})}")


def client_of(workspace: Workspace) -> TestClient:
    return TestClient(create_app(workspace, patience_s=60), base_url="http://localhost")


def _item(number: int) -> dict[str, Any]:
    return {
        "trace_id": f"item-{number:02}",
        "prompt": f"What is {number} + 1? Ünïcode",
        "steps": ["add"],
        "final_answer": str(number + 1),
        "category": ("addition", "carrying", "counting")[number % 3],
    }


def _before(place: int, item: Item) -> str:
    if place == 0:
        return HOSTILE
    if place == 1:
        return LONG
    return f"Answer: {item.final_answer}" if place < 12 else f"I think it is {place}, so no"


def _after(place: int, item: Item) -> str:
    return f"Answer: {item.final_answer}" if place >= 4 else HOSTILE


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return Recorded(tmp_path_factory.mktemp("ui"))


class Powers(HTMLParser):
    """Whatever a page has that acts, beside the files of ours that it loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    @classmethod
    def of(cls, page: str) -> list[str]:
        reader = cls()
        reader.feed(page)
        return reader.found

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        said = dict(attributes)
        if tag == "script" and not str(said.get("src")).startswith("/assets/"):
            self.found.append(tag)
        for name, value in attributes:
            leads_out = name in ("href", "src", "action") and not re.match(r"[/?#]", value or "")
            if name.startswith("on") or name == "style" or leads_out:
                self.found.append(f"{tag} {name}={value}")


def ids(answer: Any) -> list[str]:
    """The items of a page."""
    return re.findall(r'<article class="item" id="([^"]*)"', answer.text)


def test_the_list_of_runs_can_be_filtered_and_sorted(recorded: Recorded) -> None:
    get = recorded.client.get
    both = get("/runs")
    assert both.status_code == 200
    for run in (recorded.baseline, recorded.trained):
        assert f'href="/runs/{run.run_id}"' in both.text
    trained = get("/runs?kind=trained&dataset=&judge=&status=finished&text=TINY")
    assert recorded.trained.run_id in trained.text
    assert f'href="/runs/{recorded.baseline.run_id}"' not in trained.text
    for order in ("started", "score", "name", "dataset", "judge", "status"):
        page = get(f"/runs?sort={order}&order=asc")
        assert page.status_code == 200
        assert 'aria-sort="ascending"' in page.text
    best = get("/runs?sort=score").text
    assert best.index(recorded.trained.run_id) < best.index(recorded.baseline.run_id)
    assert "No run is like that" in get("/runs?text=nothing-like-it").text
    unknown = get("/runs?model=nothing-like-it")
    assert unknown.status_code == 400
    assert "Recorded are" in text_of(unknown)


def test_a_page_goes_on_behind_its_last_run_in_every_order(recorded: Recorded, monkeypatch: Any) -> None:
    monkeypatch.setattr("hallmark.ui.runs.RUNS", 1)
    for query in ("", "sort=score", "sort=score&order=asc", "sort=dataset", "sort=kind"):
        first = recorded.client.get(f"/runs?{query}")
        if query == "sort=kind":
            assert first.status_code == 400
            continue
        [link] = re.findall(r'rel="next" href="([^"]*)"', first.text)
        second = recorded.client.get(unescape(link))
        shown = [re.findall(r'name="run" value="([^"]*)"', page.text) for page in (first, second)]
        assert sorted(shown[0] + shown[1]) == sorted([recorded.baseline.run_id, recorded.trained.run_id])
        [back] = re.findall(r'rel="prev" href="([^"]*)"', second.text)
        assert re.findall(r'name="run" value="([^"]*)"', recorded.client.get(unescape(back)).text) == shown[0]


def test_a_run_shows_its_scores_and_what_it_answered(recorded: Recorded) -> None:
    page = recorded.client.get(f"/runs/{recorded.trained.run_id}")
    said = text_of(page)
    assert "86.7 %" in said
    assert "addition" in said
    assert ids(page) == ["item-00", "item-01", "item-02", "item-03"], "a page opens with what is wrong"
    assert "4 of 30 items. show all" in said
    page = recorded.client.get(f"/runs/{recorded.trained.run_id}?show=all")
    assert ids(page) == [f"item-{number:02}" for number in range(20)]
    [link] = re.findall(r'rel="next" href="([^"]*)"', page.text)
    rest = recorded.client.get(f"/runs/{recorded.trained.run_id}{unescape(link)}")
    assert ids(rest) == [f"item-{number:02}" for number in range(20, 30)]
    wrong = recorded.client.get(f"/runs/{recorded.trained.run_id}?show=wrong")
    assert ids(wrong) == ["item-00", "item-01", "item-02", "item-03"]
    assert ids(recorded.client.get(f"/runs/{recorded.trained.run_id}?category=carrying&show=wrong")) == [
        "item-01"
    ]
    assert ids(recorded.client.get(f"/runs/{recorded.baseline.run_id}?text=I+THINK+it+is+29")) == ["item-29"]
    assert len(ids(recorded.client.get(f"/runs/{recorded.baseline.run_id}?text=ünïcode"))) == 20


def test_a_comparison_has_the_answer_on_top_and_the_items_that_a_filter_finds(recorded: Recorded) -> None:
    page = recorded.compare()
    assert page.status_code == 200
    assert "NOT DECIDED: 33.3 % to 86.7 %, +53.3 points" in text_of(page)
    assert "2 of 30 items got worse, 18 got better" in text_of(page)
    assert ids(page) == ["item-02", "item-03"], "a page opens with what got worse"
    assert len(ids(recorded.compare(show="all"))) == 20
    assert ids(recorded.compare(show="worse")) == ["item-02", "item-03"]
    assert ids(recorded.compare(show="worse", category="addition")) == ["item-03"]
    assert ids(recorded.compare(show="better", text="I think it is 13")) == ["item-13"]
    rung = recorded.workspace.registry.runs.rungs(recorded.trained.run_id).get("item-02", "none")
    assert ids(recorded.compare(before="marker", after=rung)) == ["item-02", "item-03"]
    assert ids(recorded.compare(text="%")) == []
    assert "<svg" in page.text
    for link in re.findall(r'href="(\?[^"#]*)#items"', page.text):
        found = recorded.client.get(f"/compare{unescape(link)}")
        assert found.status_code == 200
        assert "No item is like that" not in found.text


@pytest.mark.parametrize("text", ["nanswer", "u0000", "ANSWER: 9", "ünïcode", "last_NUMBER"])
def test_a_text_finds_what_has_it_and_nothing_else(recorded: Recorded, text: str) -> None:
    runs = [recorded.baseline, recorded.trained]
    has = [
        item.trace_id
        for item in side_by_side(runs, recorded.workspace.registry)
        if any(text.lower() in each.lower() for each in texts_of(item))
    ]
    assert ids(recorded.compare(text=text)) == has[:20]


def texts_of(item: ItemAnswers) -> list[str]:
    """What a reader would look for in an item."""
    wrote = [each for answer in item.answers for each in (answer.prediction, answer.extracted, answer.reason)]
    return [item.trace_id, *(turn["content"] for turn in item.asked), *item.accepted, *filter(None, wrote)]


def test_a_text_is_found_in_every_sample(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path / "home")
    settings = {"dataset": str(small_dataset(tmp_path)), "generation": {"samples": 2, "temperature": 0.7}}
    run = record_baseline(workspace, lambda place, item: ["Answer: 1", f"Zebra {place}"], **settings)
    assert ids(client_of(workspace).get(f"/runs/{run.run_id}?text=zebra+2")) == ["t2"]


def test_a_text_is_found_in_all_that_the_model_was_asked(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path / "home")
    own = {"trace_id": "own", "system": "Quagga speaks", "prompt": "1 + 1?", "steps": []}
    turns = [("system", "Okapi hums"), ("user", "Hm?"), ("assistant", "A kudu."), ("user", "And?")]
    said = {"trace_id": "said", "messages": [{"role": role, "content": text} for role, text in turns]}
    plain = {"trace_id": "plain", "prompt": "2 + 2?", "steps": []}
    dataset = tmp_path / "asked-v1.jsonl"
    write_jsonl(dataset, [{**row, "final_answer": "2", "category": "sums"} for row in (own, said, plain)])
    prompt = {"system": "Zebra rules", "instruction": "End like a gnu."}
    run = record_baseline(workspace, right_for(0), dataset=str(dataset), prompt=prompt)
    get = client_of(workspace).get
    for text, found in (
        ("QUAGGA", ["own"]),
        ("okapi", ["said"]),
        ("kudu", ["said"]),
        ("zebra", ["plain"]),
        ("a gnu", ["own", "said", "plain"]),
    ):
        assert ids(get(f"/runs/{run.run_id}?text={text}")) == found, text


def test_a_comparison_says_what_hallmark_compare_says_whatever_was_recorded(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    registry = recorded.workspace.registry
    found = compared(recorded.baseline, recorded.trained, registry)
    record(found.model_copy(update={"delta": 0.777}), registry)
    page = text_of(recorded.compare())
    assert points(found.delta) in page
    assert "+77.7" not in page


def test_two_marked_runs_are_compared_older_against_newer(recorded: Recorded) -> None:
    two = [recorded.trained.run_id, recorded.baseline.run_id]
    answer = recorded.client.get(f"/compare?{urlencode({'run': two}, doseq=True)}", follow_redirects=False)
    assert answer.status_code == 303
    expected = urlencode({"baseline": recorded.baseline.run_id, "candidate": recorded.trained.run_id})
    assert answer.headers["location"] == f"/compare?{expected}"
    for marked in (two[:1], [*two, "third"]):
        refused = recorded.client.get(f"/compare?{urlencode({'run': marked}, doseq=True)}")
        assert refused.status_code == 400
        assert "Mark two runs" in refused.text


def test_looking_at_a_comparison_records_nothing(recorded: Recorded) -> None:
    before = recorded.workspace.registry.head()
    assert recorded.compare().status_code == 200
    assert recorded.workspace.registry.head() == before


def test_each_item_has_an_address_and_knows_its_neighbours(recorded: Recorded) -> None:
    list_page = recorded.compare(show="worse")
    address = re.findall(r'<h3><a class="id" href="([^"]*)"', list_page.text)[0]
    page = recorded.client.get(unescape(address))
    assert page.status_code == 200
    assert "1 of 2" in text_of(page)
    [following] = re.findall(r'rel="next" href="([^"]*)"', page.text)
    assert "item-03" in following
    assert recorded.client.get(unescape(following)).status_code == 200
    assert recorded.client.get(unescape(address).replace("item-02", "nothing")).status_code == 404


def test_what_a_model_wrote_has_no_power_over_any_page(recorded: Recorded) -> None:
    pages = [
        recorded.client.get(f"/runs/{recorded.baseline.run_id}"),
        recorded.compare(),
        recorded.client.get(f"/runs/{recorded.baseline.run_id}/items/item-00"),
        recorded.client.get(f"/runs/{recorded.baseline.run_id}?text=%3Cscript%3Ealert(1)"),
    ]
    for page in pages:
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "<img" not in page.text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
        assert "{{ 7 * 7 }}" in unescape(page.text)
        for unseen in "\x1b\x00\u202e":
            assert unseen not in page.text
        assert "⟨U+202E⟩gpj.exe" in page.text
        assert "⟨U+001B⟩[2J⟨U+0000⟩" in page.text
        assert Powers.of(page.text) == []


def test_a_long_answer_is_cut_in_a_list_and_whole_on_its_own_page(recorded: Recorded) -> None:
    listed = recorded.client.get(f"/runs/{recorded.baseline.run_id}")
    assert "all 100,000 characters" in listed.text
    assert len(listed.text) < 100_000
    whole = recorded.client.get(f"/runs/{recorded.baseline.run_id}/items/item-01")
    assert LONG in whole.text


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/runs/nothing", 404),
        ("/runs/..%2f..", 404),
        ("/runs/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404),
        ("/runs/%3Cscript%3E", 404),
        ("/runs?after=x", 400),
        ("/runs?after=-1", 400),
        ("/runs?after=99999999999999999999999", 400),
        ("/runs?after=9223372036854775807", 200),
        ("/runs?kind=other", 400),
        ("/runs?since=yesterday", 400),
        ("/runs?text=" + "a" * 400, 400),
        ("/runs?text=%25%5F%5C", 200),
        ("/runs?text=%ff%fe", 200),
        ("/runs?unknown=1", 200),
        ("/compare?baseline=nothing&candidate=nothing", 404),
        ("/compare/items/item-00", 404),
        ("/models/nothing", 404),
        ("/models/..%2f..", 404),
        ("/models/nothing/v1", 404),
        ("/models/nothing/v99999999999999999999", 404),
        ("/nights?model=nothing", 404),
        ("/training?run=nothing", 404),
        ("/training?" + "&".join(f"run={n}" for n in range(9)), 400),
    ],
)
def test_what_is_not_there_is_said_and_never_a_trace(recorded: Recorded, address: str, status: int) -> None:
    answer = recorded.client.get(address)
    assert answer.status_code == status
    assert "Traceback" not in answer.text
    assert "<script>" not in answer.text


def test_runs_on_different_terms_are_not_compared_and_the_page_says_why(recorded: Recorded) -> None:
    other = record_baseline(recorded.workspace, _before, dataset="golden-v1")
    answer = recorded.client.get(f"/compare?baseline={other.run_id}&candidate={recorded.trained.run_id}")
    assert answer.status_code == 400
    assert "cannot be compared, because they differ in dataset" in text_of(answer)


def test_a_run_that_failed_says_why_and_one_under_way_how_far_it_is(tmp_path: Path) -> None:
    from experiments.runs import begin_run, owned
    from tests.support.recorded_runs import plan_of

    workspace = workspace_at(tmp_path)
    client = client_of(workspace)
    run = begin_run(plan_of(workspace), workspace.registry)
    with owned(run, workspace.registry):
        run.files.predictions_partial.write_text('{"owner": 1}\n{"row": 1}\n{"row": 2}\n')
        page = client.get("/under-way")
        assert "answering: 2 of 360 items" in text_of(page)
        assert page.headers["refresh"]
        assert "answering: 2 of 360 items" in text_of(client.get(f"/runs/{run.run_id}"))
    assert "interrupted" in text_of(client.get("/under-way"))
    assert run.run_id in client.get("/runs?status=interrupted").text
    assert run.run_id not in client.get("/runs?status=running").text
    workspace.registry.runs.fail(run.run_id, "no room for <b>it</b>")
    assert "no room for &lt;b&gt;it&lt;/b&gt;" in client.get(f"/runs/{run.run_id}").text
    assert "Nothing is under way" in client.get("/under-way").text


def test_an_empty_registry_has_pages_too(tmp_path: Path) -> None:
    client = client_of(workspace_at(tmp_path))
    for path in ("/runs", "/compare", "/models", "/nights", "/training", "/under-way", "/integrity"):
        assert client.get(path).status_code == 200, path
