"""Long work says how far it is; short work says nothing; results are never mixed up with it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core import progress
from core.files import sha256_tree
from core.progress import Progress, byte_meter, listening, quiet_meter
from golden.schema import Item
from judges import judge_items, load_judge
from provenance.export import export
from provenance.verification import verify_export
from registry import Registry, open_registry
from registry.artifacts.store import Store
from tests.conftest import CommandLine
from tests.support.artifact_stores import make_tree, new_bucket, use_s3
from tests.support.registry_entries import promoted

pytestmark = pytest.mark.unit

FILES = {"model.safetensors": bytes(3_000_000), "config.json": b"{}"}


@pytest.fixture
def reports() -> Iterator[list[Progress]]:
    """What is reported while the test runs."""
    heard: list[Progress] = []
    with listening(heard.append):
        yield heard


@pytest.fixture
def nothing_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Report also what takes only a moment."""
    monkeypatch.setattr(progress, "QUIET_S", 0.0)


def stages(reports: list[Progress]) -> dict[str, tuple[int, int, str]]:
    """The last report of each stage."""
    return {report.stage: (report.done, report.total, report.unit) for report in reports}


def test_what_takes_a_moment_is_not_worth_a_word(reports: list[Progress], tmp_path: Path) -> None:
    sha256_tree(make_tree(tmp_path / "model", FILES))
    Store(tmp_path / "artifacts", tmp_path / "checkouts").put(tmp_path / "model")
    assert reports == []


def test_what_takes_longer_is_reported_from_then_on_to_its_end(
    reports: list[Progress], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    meter = quiet_meter("count", 10, "sheep")
    for number in range(1, 11):
        now += 0.4
        meter.update(number)
    assert [report.done for report in reports] == [3, 4, 5, 6, 7, 8, 9, 10]
    assert (reports[0].rate, reports[0].seconds_left) == (pytest.approx(2.5), pytest.approx(2.8))


@pytest.mark.usefixtures("nothing_is_short")
def test_bytes_of_many_threads_are_counted_and_the_end_is_reported_once(reports: list[Progress]) -> None:
    with byte_meter("copy", 64 * 100_000) as count, ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: count(100_000), range(64)))
    assert [report.done for report in reports] == sorted(report.done for report in reports)
    assert [(report.done, report.total) for report in reports if report.done == report.total] == [(7, 7)]


@pytest.mark.usefixtures("nothing_is_short")
@pytest.mark.parametrize("place", ["folder", "s3"])
def test_storing_and_fetching_a_model_is_reported(
    place: str,
    reports: list[Progress],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    url: str | Path = tmp_path / "artifacts"
    if place == "s3":
        use_s3(monkeypatch, endpoint := request.getfixturevalue("s3"))
        url = f"s3://{new_bucket(endpoint)}"
    sha256 = Store(url, tmp_path / "checkouts").put(make_tree(tmp_path / "model", FILES))
    assert stages(reports) == {"copy": (4, 4, "MB"), "store": (4, 4, "MB")}
    Store(url, tmp_path / "elsewhere").get(sha256)
    assert stages(reports)["check out"] == (4, 4, "MB")
    Store(url, tmp_path / "elsewhere").get(sha256)
    assert stages(reports)["hash"] == (4, 4, "MB")


@pytest.mark.usefixtures("nothing_is_short")
def test_verification_and_export_are_reported(
    reports: list[Progress], registry: Registry, tmp_path: Path
) -> None:
    version = promoted(registry, tmp_path)
    reports.clear()
    assert registry.verify() == []
    found = stages(reports)
    assert found["verify runs"] == (2, 2, "runs")
    assert found["verify artifacts"] == (1, 1, "MB")
    assert found["verify alpha spending"] == (1, 1, "rows")
    reports.clear()
    export(registry, version, tmp_path / "out")
    verify_export(tmp_path / "out")
    assert stages(reports) == {"check out": (1, 1, "MB"), "hash": (1, 1, "MB")}


@pytest.mark.usefixtures("nothing_is_short")
def test_judging_is_reported(reports: list[Progress]) -> None:
    items = [
        Item(trace_id=f"t{number}", prompt="?", steps=[], final_answer="1", category="c")
        for number in range(5)
    ]
    assert (
        len(list(judge_items(items, {item.trace_id: "1" for item in items}, load_judge("exact_match@v1"))))
        == 5
    )
    assert stages(reports) == {"judge": (5, 5, "items")}


SLOW_VERIFY = """
import sys
from core import progress
from hallmark.cli import main
progress.QUIET_S = 0.0
sys.argv = ["hallmark", "verify", "--json"]
main()
"""


def test_results_go_to_standard_output_although_bars_are_on_the_terminal(home: Path, tmp_path: Path) -> None:
    registry = open_registry(home)
    promoted(registry, tmp_path)
    registry.close()
    terminal, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-c", SLOW_VERIFY],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environment,
        check=True,
        text=True,
    )
    os.close(theirs)
    assert json.loads(done.stdout)["problems"] == []
    shown = os.read(terminal, 1 << 16).decode()
    os.close(terminal)
    assert "verify artifacts" in shown
    assert "1/1" in shown
    assert "problems" not in shown


def test_a_command_that_takes_a_moment_shows_no_bar(
    home: Path, hallmark: CommandLine, tmp_path: Path
) -> None:
    registry = open_registry(home)
    promoted(registry, tmp_path)
    registry.close()
    done = hallmark("verify")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("everything matches what was recorded\nchecked: ")
