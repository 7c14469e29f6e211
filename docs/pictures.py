"""Take the pictures of the documentation, from an experiment that just ended, in its home:
`hallmark experiment --json | python docs/pictures.py`. `make pictures` does it.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich._export_format import CONSOLE_SVG_FORMAT

from experiments.result import ExperimentResult
from experiments.workspace import open_workspace
from hallmark import api
from hallmark.cli.show.result import show_result
from hallmark.console import plain_console

IMAGES = Path(__file__).parent / "images"
WIDE = {"width": 1300, "height": 900}


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
            photograph(started, f"file://{report.absolute()}", "report", WIDE)
            photograph(started, f"file://{report.absolute()}#show=worse", "report-items", WIDE, "j")
            photograph(started, f"{address}/compare?{look}", "ui-compare", WIDE)
            photograph(started, f"{address}/models/{result.model_name}", "ui-model", WIDE)
    finally:
        report.unlink()


def terminal(result: ExperimentResult) -> None:
    """The end of `hallmark experiment`, as an SVG."""
    with Path(os.devnull).open("w") as nowhere:
        console = plain_console(record=True, width=102, file=nowhere, force_terminal=True)
        show_result(result, console)
    # without the fonts that Rich's format loads from elsewhere
    own = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    console.save_svg(str(IMAGES / "experiment.svg"), title="hallmark experiment", code_format=own)


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


def photograph(started: Any, address: str, name: str, size: dict[str, int], key: str | None = None) -> None:
    """Keep a picture of a page, in a window of this size, in light colours, after a key was pressed."""
    page = started.new_page(viewport=size, color_scheme="light", reduced_motion="reduce", locale="en")
    page.goto(address)
    page.wait_for_load_state("networkidle")
    if key is not None:
        page.keyboard.press(key)
        page.wait_for_load_state("networkidle")
    page.screenshot(path=IMAGES / f"{name}.png")
    page.close()


if __name__ == "__main__":
    main()
