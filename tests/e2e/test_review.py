"""A golden set that is improved by looking: reviewed in the browser, revised, judged again, decided again."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.linting import freeze_dataset
from golden.datasets import load_dataset
from golden.schema import Item
from registry import Run
from tests.support.browser import scrolled_tables, what_axe_finds
from tests.support.recorded_runs import record_from, workspace_at
from tests.support.small_datasets import write_items

pytestmark = [pytest.mark.e2e, pytest.mark.long]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A golden set in which the largest of some numbers is always said to be 1."""
    items = [item for place, item in enumerate(load_dataset("golden-v1").items()) if place % 9 == 0]
    wrong = {"final_answer": "1", "steps": []}
    mistaken = [item.model_copy(update=wrong) if item.category == "maximum" else item for item in items]
    path = write_items(tmp_path / "few-v1.jsonl", mistaken)
    freeze_dataset(path, "CC0-1.0", "by hand")
    return path


@pytest.fixture
def runs(home: Path, dataset: Path, hallmark: Any) -> tuple[Run, Run]:
    """The base model, which says what it says, and a candidate that knows everything."""
    right = {item.trace_id: item for item in load_dataset("golden-v1").items()}

    def answer(_place: int, item: Item) -> str:
        return f"Answer: {right[item.trace_id].final_answer}"

    done = hallmark("baseline", "--dataset", dataset, "--json")
    assert done.returncode == 0, done.stderr
    workspace = workspace_at(home)
    base = workspace.registry.runs.get(json.loads(done.stdout)["run_id"])
    return base, record_from(workspace, "tiny-base", answer, "knows all", dataset=str(dataset))


@pytest.fixture
def page(home: Path, browser: Any) -> Iterator[Any]:
    """A browser on `hallmark ui --review`, signed in."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("hallmark")), "ui", "--review", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = server.stdout.readline().split()[-1]
        where = Path(server.stdout.readline().partition("the line in ")[2].strip())
        user, _, password = where.read_text().strip().partition(":")
        signed_in = browser.new_context(
            base_url=address,
            http_credentials={"username": user, "password": password},
            viewport={"width": 400, "height": 900},
        )
        yield signed_in.new_page()
        signed_in.close()
        server.terminate()


def assert_accessible(page: Any) -> None:
    assert what_axe_finds(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert scrolled_tables(page) == []


def test_from_a_look_at_two_runs_to_a_decision_on_the_revised_set(
    runs: tuple[Run, Run], page: Any, dataset: Path, hallmark: Any
) -> None:
    base, candidate = runs
    # review: the first of the queue is one that both models answer alike, and not as the reference
    page.goto("/review")
    assert_accessible(page)
    page.get_by_label("baseline").fill(base.run_id)
    page.get_by_label("candidate").fill(candidate.run_id)
    page.get_by_role("button", name="go through").click()
    page.get_by_text(" reviewed.").wait_for()  # not the page that says that it is being prepared
    assert_accessible(page)
    page.keyboard.press("j")
    page.locator("section.review").wait_for()
    assert "every run is wrong, with the same answer" in page.locator("nav.steps").inner_text()
    assert_accessible(page)
    first = page.url
    trace_id = first.partition("/review/items/")[2].partition("?")[0]
    right = page.locator(".answers .bar").first.inner_text().partition("found ")[2].split()[0]
    page.keyboard.press("r")
    page.keyboard.type(right)
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    page.keyboard.type("it is 1 of <b>none</b>")
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    page.wait_for_url(lambda url: "/review/items/" in url and trace_id not in url)
    page.goto(first)
    page.locator("section.review").wait_for()
    assert "it is 1 of <b>none</b>" in page.locator("section.review li").inner_text()
    assert_accessible(page)

    # revise
    revised = hallmark("golden", "revise", dataset, "--from-review", "--json")
    assert revised.returncode == 0, revised.stderr
    assert json.loads(revised.stdout)["counts"] == {
        "answers_added": 0,
        "reference_replaced": 1,
        "removed": 0,
    }
    changed = hallmark("golden", "diff", "few-v1", "few-v2", "--json")
    assert json.loads(changed.stdout)["items"][0]["fields"] == {"final_answer": ["1", right]}

    # judge again, compare, decide
    again = []
    for run in runs:
        done = hallmark("rejudge", run.run_id, "--dataset", "few-v2", "--json")
        assert done.returncode == 0, done.stderr
        again.append(json.loads(done.stdout)["run_id"])
    compared = hallmark("compare", *again, "--json")
    assert json.loads(compared.stdout)["dataset"] == "few-v2"
    decided = hallmark("promote", again[1], "--model-name", "m", "--json")
    assert decided.returncode == 0, decided.stderr
    decision = json.loads(decided.stdout)["decision"]
    assert decision["number"] == 1
    assert (
        "few-v2 is few-v1 revised: 1 item was changed after looking at the answers of"
        in (decision["reasons"][-1])
    )
    assert "The candidate's answers were among them" in decision["reasons"][-1]
    page.goto(f"/compare?baseline={again[0]}&candidate={again[1]}")
    page.get_by_text("few-v2 is few-v1 revised").first.wait_for()
    assert hallmark("verify").returncode == 0
