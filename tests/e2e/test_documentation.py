"""The Python page and the notebook of the documentation, run as a reader runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.pages import PAGES, blocks, materials, recorded, run_blocks

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.long]

DOCS = Path(__file__).parents[2] / "docs"


TUTORIAL = DOCS / "tutorial.md"


def runnable(page: Path) -> list[Any]:
    return [block for block in blocks(page) if block.why is None]


HOW_TO = [page for page in PAGES if page != TUTORIAL and runnable(page)]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A home for all pages: each finds what those before it recorded."""
    return recorded(tmp_path_factory.mktemp("home"))


def test_the_tutorial_leads_from_an_empty_folder_to_a_promoted_model(tmp_path: Path) -> None:
    done = run_blocks(runnable(TUTORIAL), tmp_path)
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-2000:]
    assert "items leak from shop-v1" in done.stdout
    assert "THE GATE SAID YES; promotion was switched off" in done.stdout
    assert "PROMOTED: shop v1 is champion now" in done.stdout
    report = (tmp_path / "shop" / "report.html").read_text()
    assert "belt" in report
    assert "Shelf of item" in report


@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_the_commands_of_a_page_run(page: Path, reader: dict[str, str], tmp_path: Path) -> None:
    materials(tmp_path, Path(reader["HALLMARK_HOME"]))
    done = run_blocks(runnable(page), tmp_path, HOME=str(tmp_path), **reader)
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-2000:]


def test_the_python_page_runs_from_top_to_bottom_and_leaves_standard_output_alone(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / "python.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 6
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("HALLMARK_")},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    score, headline, refusal = done.stdout.splitlines()
    assert 0 < float(score) < 1
    assert headline == "NOT PROMOTED: the gate said no"
    assert refusal.startswith("configuration: train.steps: Input should be greater than or equal to 1, got 0")
    assert "train: 20/20 steps" in done.stderr, "progress is shown"
    imported = {"tickets.csv", "support-v1.jsonl", "support-v1.manifest.json", "support.json"}
    assert {path.name for path in tmp_path.iterdir()} == {"my-experiments", *imported}


def test_the_first_notebook_runs_and_shows_tables(tmp_path: Path) -> None:
    notebook = nbformat.read(DOCS / "first-experiment.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] for cell in cells), "committed without outputs"
    assert sum(len(cell.source.splitlines()) for cell in cells) <= 12
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [output for cell in cells for output in cell.outputs]
    assert [output for output in outputs if output.output_type == "stream"] == []
    tables = [
        output.data["text/html"]
        for output in outputs
        if "<table" in output.get("data", {}).get("text/html", "")
    ]
    assert len(tables) >= 5
    assert "overall" in tables[-3]
    shown = [output.data["text/html"] for output in cells[2].outputs if output.output_type == "display_data"]
    assert "train: 60/60 steps" in shown[-1], "progress is shown, in one place"
