"""A report as a person opens it: one file in a real browser, with a mouse, with keys, and on a phone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from core.text import visible_lines
from evaluation.gate import GateConfig
from experiments.promoting import promote_run
from reports.collecting import report_on
from reports.formats import write_report
from tests.support.browser import SCHEMES, WIDTHS, too_wide, what_axe_finds
from tests.support.recorded_runs import record_baseline, record_trained, two_of_three, workspace_at
from tests.support.reported_runs import HOSTILE, hostile_runs

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report on golden-v1 with a refusal, and one on texts that want power."""
    folder = tmp_path_factory.mktemp("a report")
    place = workspace_at(folder / "home")
    baseline, trained = record_baseline(place), record_trained(place, two_of_three)
    promote_run(trained.run_id, "tiny-reasoner", GateConfig(min_delta=0.9), place)
    hostile = hostile_runs(place, folder)
    wanted = {"golden": (trained, baseline), "hostile": hostile[::-1]}
    return {
        name: write_report(
            report_on(run.run_id, place.registry, against.run_id), place.registry, folder / f"{name}.html"
        )
        for name, (run, against) in wanted.items()
    }


class Opened:
    """A report in a window.

    Attributes:
        page: Playwright's.
        asked: every address that was asked for, the report's own left out.
        said: what the console said, such as what the page's policy forbade, and every dialog.
    """

    def __init__(self, browser: Any, path: Path, hash_: str = "", width: int = 1300, **settings: Any) -> None:
        context = browser.new_context(viewport={"width": width, "height": 900}, **settings)
        self.page = context.new_page()
        self.asked: list[str] = []
        self.said: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.said.append(dialog.message), dialog.dismiss()))
        self.page.goto(f"{path.as_uri()}{hash_}")
        self.asked = [url for url in self.asked if not url.startswith(path.as_uri())]

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.page.context.close()
        assert self.said == []
        assert self.asked == []

    @property
    def count(self) -> str:
        """How many items are chosen, as the page says."""
        return str(self.page.locator("#count").inner_text())

    @property
    def address(self) -> str:
        """What stands behind the # of the address."""
        return str(self.page.evaluate("location.hash"))


def test_a_person_finds_what_got_worse_and_reads_it(browser: Any, files: dict[str, Path]) -> None:
    with Opened(browser, files["golden"]) as opened:
        page = opened.page
        assert page.locator(".verdict h1").inner_text() == "NOT PROMOTED: the gate said no"
        worse = page.locator("h2#worse ~ .columns a[href*=worse]").first
        number = worse.inner_text()
        worse.click()
        page.wait_for_function("document.getElementById('count').textContent.includes(' of 360 items')")
        assert opened.count == f"{number} of 360 items"
        assert "show=worse" in opened.address
        assert page.locator("button[name=show][aria-pressed=true]").inner_text().startswith("got worse ")
        assert page.locator("select[name=category]").input_value() in opened.address
        page.keyboard.press("j")
        detail = page.locator("#items .detail")
        assert detail.locator(".badge").first.inner_text() == "got worse"
        assert detail.locator("mark.gone").count()
        assert detail.locator("mark.new").count()
        assert detail.locator(".bar .muted").inner_text() == f"1 of {number}"
        page.keyboard.press("j")
        assert detail.locator(".bar .muted").inner_text() == f"2 of {number}"
        page.keyboard.press("k")
        assert detail.locator(".bar .muted").inner_text() == f"1 of {number}"
        chosen = detail.locator("h2").inner_text()
        link = detail.locator("a", has_text="link to this item").get_attribute("href")
    with Opened(browser, files["golden"], link) as again:
        assert again.page.locator("#items .detail h2").inner_text() == chosen
        assert again.count == "All 360 items"


def test_a_report_opens_with_what_got_worse_and_all_is_a_click_away(
    browser: Any, files: dict[str, Path]
) -> None:
    with Opened(browser, files["golden"]) as opened:
        pressed = opened.page.locator("button[name=show][aria-pressed=true]")
        assert pressed.inner_text().startswith("got worse ")
        assert re.fullmatch(r"\d+ of 360 items", opened.count)
        opened.page.get_by_role("button", name="all 360").click()
        opened.page.wait_for_function("location.hash === '#show=all'")
        assert opened.count == "All 360 items"
    with Opened(browser, files["golden"], "#show=all") as opened:
        assert opened.count == "All 360 items"


def test_filters_are_in_the_address_and_are_taken_from_it(browser: Any, files: dict[str, Path]) -> None:
    with Opened(browser, files["golden"], "#show=better&category=sorting") as opened:
        page = opened.page
        better = opened.count
        assert re.fullmatch(r"\d+ of 360 items", better)
        rows = page.locator("#items [role=option]")
        assert {text.split()[0] for text in rows.all_inner_texts()} == {"got"}
        page.locator("input[name=text]").fill("no idea")
        page.wait_for_function("location.hash.includes('text=no+idea')")
        page.locator("button[name=none]").click()
        page.wait_for_function("document.getElementById('count').textContent === 'All 360 items'")
        assert opened.address == "#show=all"
        page.locator("select[name=band]").select_option("hard")
        assert opened.count == "120 of 360 items"
        page.locator("input[name=text]").fill("zzzz")
        page.wait_for_function("document.getElementById('count').textContent === '0 of 360 items'")
        assert page.locator("#items .detail").inner_text() == "No item is like that."


def test_the_plot_says_its_numbers_and_chooses_with_mouse_and_keys(
    browser: Any, files: dict[str, Path]
) -> None:
    with Opened(browser, files["golden"]) as opened:
        page = opened.page
        rows = page.locator(".plot .part.category")
        rows.nth(2).hover()
        said = page.locator(".plot output")
        assert re.match(r"\w+, 45 items: baseline [\d.]+ % \(", said.inner_text())
        rows.nth(2).click()
        page.wait_for_function("location.hash.startsWith('#category=')")
        assert opened.count == "45 of 360 items"
        page.locator(".plot .part.overall").focus()
        assert said.inner_text().startswith("overall, 360 items: baseline")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        name = rows.nth(0).get_attribute("data-name")
        page.wait_for_function(f"location.hash === '#category={name}'")


def test_a_place_in_the_page_leaves_what_is_chosen(browser: Any, files: dict[str, Path]) -> None:
    with Opened(browser, files["golden"], "#show=worse") as opened:
        before = opened.count
        opened.page.get_by_role("link", name="Provenance").click()
        opened.page.wait_for_function("location.hash === '#provenance'")
        assert opened.count == before != "All 360 items"


def test_whatever_a_model_wrote_is_shown_as_it_is_and_does_nothing(
    browser: Any, files: dict[str, Path]
) -> None:
    with Opened(browser, files["hostile"], width=400) as opened:
        page = opened.page
        for place, (name, text) in enumerate(HOSTILE.items()):
            page.evaluate("hash => { location.hash = hash; }", f"#item=item-{name}")
            page.locator("#items .detail h2", has_text=f"item-{name}").wait_for()
            box = page.locator("#items .detail [aria-label^=candidate] .text").first
            wrote = text + (f"\nAnswer: {place}" if place < 3 else "")
            if len(wrote) > 4_000:
                assert len(box.inner_text()) < 4_100
                page.get_by_role("button", name=f"show all {len(wrote):,} characters").click()
            assert box.evaluate("box => box.textContent") == (visible_lines(wrote) or "(empty)")
            assert box.locator("script, img, a").count() == 0
            assert too_wide(page) <= 0
        assert page.evaluate("window.caught") is None


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_nothing(width: int, scheme: str, browser: Any, files: dict[str, Path]) -> None:
    for name, hash_ in (("golden", ""), ("hostile", "#show=worse&item=item-script")):
        with Opened(browser, files[name], hash_, width, color_scheme=scheme) as opened:
            page = opened.page
            page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
            assert what_axe_finds(page) == []
            assert too_wide(page) <= 0


def test_on_a_phone_an_item_takes_the_place_of_the_list(browser: Any, files: dict[str, Path]) -> None:
    with Opened(browser, files["golden"], width=400, has_touch=True) as opened:
        page = opened.page
        page.locator("#items [role=option]").nth(1).tap()
        assert page.locator("#items .detail h2").is_visible()
        assert not page.locator("#items .list").is_visible()
        page.go_back()
        page.locator("#items .list").wait_for(state="visible")
        page.locator("#items [role=option]").nth(1).tap()
        page.get_by_role("button", name="← list").click()
        assert page.locator("#items .list").is_visible()


def test_without_javascript_everything_but_the_items_is_there(browser: Any, files: dict[str, Path]) -> None:
    with Opened(browser, files["golden"], java_script_enabled=False) as opened:
        page = opened.page
        assert page.locator(".verdict h1").inner_text() == "NOT PROMOTED: the gate said no"
        assert page.locator(".plot svg").is_visible()
        assert page.locator("table.data").count() > 5
        assert "hallmark compare" in page.locator("noscript").inner_text()
        assert not page.locator("#filters").is_visible()


def test_on_paper_there_are_no_controls(browser: Any, files: dict[str, Path]) -> None:
    with Opened(browser, files["golden"]) as opened:
        opened.page.emulate_media(media="print")
        for hidden in ("#filters", "nav.pages", "#items .list"):
            assert not opened.page.locator(hidden).is_visible()
        assert opened.page.locator(".verdict").is_visible()


def test_an_item_that_is_not_there_is_said_to_be_not_there(browser: Any, files: dict[str, Path]) -> None:
    with Opened(browser, files["golden"], "#item=%3Cb%3Enone") as opened:
        assert "There is no item <b>none here." in opened.page.locator("#items .detail").inner_text()
