"""A real browser that looks at pages of ours."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

WIDTHS = (1300, 400)
SCHEMES = ("light", "dark")


@contextmanager
def started_browser() -> Iterator[Any]:
    """Debian's chromium; skips the test where there is none."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def what_axe_finds(page: Any) -> list[str]:
    """What keeps people out of a page: rule and element of each, as axe-core says."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]


def too_wide(page: Any) -> int:
    """By how many pixels a page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


def scrolled_tables(page: Any) -> list[str]:
    """The tables of a page of which a reader sees a part only, and has to scroll sideways."""
    wide = "(all) => all.filter((each) => each.scrollWidth > each.clientWidth).map((each) => each.ariaLabel)"
    return list(page.locator(".scroll").evaluate_all(wide))
