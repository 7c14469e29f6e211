"""Take the pictures of the documentation, from an experiment that just ended, in its home:
`hallmark experiment --json | python docs/pictures.py`. `make pictures` does it.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.result import ExperimentResult
from experiments.workspace import open_workspace
from hallmark import api
from hallmark.cli.show.result import show_result

IMAGES = Path(__file__).parent / "images"
WIDE, NARROW = {"width": 1300, "height": 900}, {"width": 400, "height": 800}


def main() -> None:
    """Photograph the result on standard input: as a terminal, as a report, on the pages of `hallmark ui`."""
    result = ExperimentResult.model_validate_json(sys.stdin.read())
    baseline, candidate = result.against.run_id, result.trained.run_id
    IMAGES.mkdir(exist_ok=True)
    terminal(result)
    report = api.report(baseline, candidate, path=IMAGES / "report.html", force=True)
    try:
        with browser() as started, pages() as address:
            look = f"baseline={baseline}&candidate={candidate}"
            photograph(started, f"file://{report.absolute()}#show=worse", "report", WIDE)
            photograph(started, f"file://{report.absolute()}", "report-phone", NARROW)
            photograph(started, f"{address}/runs", "ui-runs", WIDE)
            photograph(started, f"{address}/compare?{look}", "ui-compare", WIDE)
            photograph(started, f"{address}/models/{result.model_name}", "ui-model", WIDE)
    finally:
        report.unlink()


def terminal(result: ExperimentResult) -> None:
    """The end of `hallmark experiment`, as an SVG."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=102, file=nowhere, force_terminal=True, highlight=False)
        show_result(result, console)
    console.save_svg(str(IMAGES / "experiment.svg"), title="hallmark experiment")


@contextmanager
def browser() -> Iterator[Any]:
    """Debian's chromium."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@contextmanager
def pages() -> Iterator[str]:
    """The pages of `hallmark ui`, without a sign-in; gives their address."""
    import uvicorn

    from hallmark.ui.app import create_app

    config = uvicorn.Config(create_app(open_workspace(), patience_s=60), port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def photograph(started: Any, address: str, name: str, size: dict[str, int]) -> None:
    """Keep a picture of a page, in a window of this size, in light colours."""
    page = started.new_page(viewport=size, color_scheme="light", reduced_motion="reduce", locale="en")
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=IMAGES / f"{name}.png")
    page.close()


if __name__ == "__main__":
    main()
