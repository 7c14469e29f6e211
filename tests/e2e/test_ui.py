"""`hallmark ui` as a person uses it: the command itself, in a real browser."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.files import write_jsonl
from evaluation.gate import GateConfig
from experiments.promoting import promote_run
from golden.schema import Item
from tests.support.browser import scrolled_tables, what_axe_finds
from tests.support.recorded_runs import Answers, record_baseline, record_trained, workspace_at
from tests.support.warm_processes import run_hallmark

pytestmark = pytest.mark.e2e

PROJECT = Path(__file__).parents[2]
HALLMARK = str(Path(sys.executable).with_name("hallmark"))
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\x1b[31m \u202egpj.exe\nAnswer: no idea"


def right(places: int, but: int = -1) -> Answers:
    """Answers of which so many of five are right, and one more is not."""

    def answer(place: int, item: Item) -> str:
        if place == 0:
            return HOSTILE
        is_right = place % 5 < places and place != but
        return f"I count.\nAnswer: {item.final_answer if is_right else 'no idea'}"

    return answer


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a baseline, a promoted and a refused candidate."""
    home = tmp_path_factory.mktemp("ui") / "home"
    workspace = workspace_at(home)
    record_baseline(workspace, right(2))
    for place, answers in enumerate((right(3, but=5), right(3, but=10))):
        run = record_trained(workspace, answers, f"weights-{place}")
        promote_run(run.run_id, "support", GateConfig(), workspace)
    steps = {"gradient_norm": 1.0, "learning_rate": 0.1, "loss_tokens": 9}
    curve = [{**steps, "step": step, "loss": 1 / step} for step in range(1, 60)]
    write_jsonl(workspace.registry.runs.directory(run.run_id) / "training.jsonl", curve)
    workspace.registry.close()
    return home


class Served:
    """A running `hallmark ui`.

    Attributes:
        address: of its pages.
        said: what it printed.
    """

    def __init__(self, process: subprocess.Popen[str], port: int, sign_in: str, said: str) -> None:
        self.process = process
        self.port = port
        self.address = f"http://127.0.0.1:{port}"
        self.sign_in = sign_in
        self.said = said

    def get(self, path: str, **options: Any) -> httpx.Response:
        user, password = self.sign_in.split(":", 1)
        return httpx.get(self.address + path, auth=(user, password), timeout=60, **options)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(home: Path, *prefix: str) -> Iterator[Served]:
    """`hallmark ui` until the block ends; it then has to end as Ctrl-C ends it."""
    port = free_port()
    environment = {**os.environ, "HALLMARK_HOME": str(home), "COLUMNS": "200"}
    command = [*prefix, HALLMARK, "ui", "--port", str(port)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said = process.stdout.readline() + process.stdout.readline()
        assert f"http://127.0.0.1:{port}" in said, process.stderr.read()
        kept = home / "services" / "sign-in"
        sign_in = kept.read_text().strip() if kept.exists() else re.findall(r"hallmark:\S+", said)[0]
        try:
            yield Served(process, port, sign_in, said)
        finally:
            process.send_signal(signal.SIGINT)
            rest = process.communicate(timeout=30)
        assert process.returncode == 130, rest
        assert "Traceback" not in rest[1]


@pytest.fixture(scope="module")
def served(home: Path) -> Iterator[Served]:
    with serving(home) as found:
        yield found


@contextmanager
def opened(browser: Any, served: Served, width: int = 1300, **options: Any) -> Iterator[Any]:
    """A signed-in page. Nothing it does may ask another machine, break the policy, or open a dialog."""
    user, password = served.sign_in.split(":", 1)
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        http_credentials={"username": user, "password": password},
        **options,
    )
    context.set_default_timeout(30_000)
    wrong: list[str] = []
    context.on("request", lambda each: wrong.extend([each.url] if served.address not in each.url else []))
    page = context.new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda each: wrong.extend([each.text] if each.type == "error" else []))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    try:
        yield page
    finally:
        context.close()
    assert wrong == []


def go(page: Any, served: Served, path: str) -> None:
    """Open a page, waiting where it is still being prepared."""
    page.goto(served.address + path)
    ready(page)


def ready(page: Any) -> None:
    page.locator("h1:not(:text-is('One moment'))").first.wait_for()
    page.wait_for_load_state()  # its scripts listen by then


def looked_at(page: Any, name: str) -> None:
    """axe finds nothing, and nothing is wider than the window."""
    assert what_axe_finds(page) == []
    fits(page, name)


def fits(page: Any, name: str) -> None:
    """Nothing is wider than the window."""
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is wider than {width}"


def test_it_says_where_it_is_and_asks_for_the_sign_in(served: Served, home: Path) -> None:
    assert f"the line in {home / 'services' / 'sign-in'}" in served.said
    assert served.sign_in.partition(":")[2] not in served.said
    assert httpx.get(served.address + "/runs").status_code == 401
    assert served.get("/runs").status_code == 200
    assert served.get("/runs", headers={"Host": "evil.example"}).status_code == 400
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {line[1] for line in lines if line[3] == "0A"}
    assert f"0100007F:{served.port:04X}" in listening
    assert f"00000000:{served.port:04X}" not in listening


def test_a_taken_port_and_an_address_for_others_are_refused(served: Served, home: Path) -> None:
    environment = {**os.environ, "HALLMARK_HOME": str(home)}
    for arguments, code, sentence in (
        (["--port", str(served.port)], 4, "is taken"),
        (["--host", "0.0.0.0"], 2, "--name NAME"),
        (["--host", "203.0.113.7", "--name", "x.example"], 4, "cannot listen on"),
    ):
        done = run_hallmark(["ui", *arguments], environment, PROJECT)
        assert (done.returncode, done.stdout) == (code, "")
        assert sentence in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"/runs?text=" + b"a" * 1_000_000, b"414"),
        (b"/../../../../etc/passwd", b"404"),
        (b"/assets/../../../pyproject.toml", b"404"),
        (b"/runs/..", b"404"),
        (b"/runs/\xff\xfe", b"400"),
        (b"http://evil.example/runs", b"404"),
    ],
)
def test_row_32_what_no_browser_would_send_is_answered(served: Served, target: bytes, status: bytes) -> None:
    import base64

    sign_in = base64.b64encode(served.sign_in.encode())
    request = b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic " + sign_in
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        connection.sendall(request + b"\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.split(b" ", 2)[1] == status, answer[:200]
    assert b"root:" not in answer
    assert b"Traceback" not in answer


@pytest.mark.parametrize(("width", "scheme"), [(1300, "light"), (400, "dark")])
def test_a_person_finds_what_got_worse(served: Served, browser: Any, width: int, scheme: str) -> None:
    with opened(browser, served, width, color_scheme=scheme) as page:
        go(page, served, "/runs")
        looked_at(page, f"runs-{width}")
        boxes = page.get_by_role("checkbox")
        boxes.nth(2).check()
        boxes.nth(1).check()
        page.get_by_role("button", name="compare", exact=True).click()
        ready(page)
        assert page.locator("h1").inner_text() == "PROMOTED: support v1 is champion now"
        page.locator(".plot .part").nth(1).focus()
        assert "baseline" in page.locator(".plot output").inner_text()
        looked_at(page, f"compare-{width}")
        assert page.get_by_role("combobox", name="show").input_value() == "worse"
        items = page.locator("article.item")
        items.locator("mark").first.wait_for()
        assert items.count() == 1
        assert items.locator("mark.gone").count() > 0
        assert items.locator("mark.new").count() > 0
        looked_at(page, f"worse-{width}")
        items.locator("h3 a").click()
        assert "1 of 1" in page.locator(".steps").inner_text()
        looked_at(page, f"item-{width}")


def test_keys_go_through_the_items_and_on_to_the_next_page(served: Served, browser: Any) -> None:
    with opened(browser, served) as page:
        go(page, served, "/runs")
        page.locator("tbody th a").last.click()
        ready(page)
        page.get_by_role("link", name="show all").click()
        page.wait_for_url("**show=all**")
        ready(page)
        assert "<img src=x onerror=alert(1)>" in page.locator("article.item .written").first.inner_text()
        assert "⟨U+202E⟩gpj.exe" in page.locator("article.item .written").first.inner_text()
        ids = page.locator("article.item").evaluate_all("found => found.map((each) => each.id)")
        assert len(ids) == 20
        focused = "document.activeElement.id"
        page.keyboard.press("j")
        page.keyboard.press("j")
        assert page.evaluate(focused) == ids[1]
        page.keyboard.press("k")
        assert page.evaluate(focused) == ids[0]
        for _ in range(19):
            page.keyboard.press("j")
        assert page.evaluate(focused) == ids[-1]
        page.keyboard.press("j")
        page.wait_for_url("**past=19**")
        assert page.locator(f"article.item[id='{ids[0]}']").count() == 0


def test_filters_work_without_a_script(served: Served, browser: Any) -> None:
    with opened(browser, served, java_script_enabled=False) as page:
        go(page, served, "/runs")
        page.get_by_role("combobox", name="kind").select_option("trained")
        page.get_by_role("button", name="filter").click()
        assert page.get_by_role("checkbox").count() == 2
        page.locator("tbody th a").first.click()
        page.get_by_role("combobox", name="category").select_option("counting")
        page.get_by_role("combobox", name="show").select_option("wrong")
        page.get_by_role("button", name="filter").click()
        shown = page.locator("article.item > p.bar").all_inner_texts()
        assert shown
        assert all("counting" in each and "wrong" in each for each in shown)


PATHS = ("/models", "/models/support", "/models/support/v1", "/nights", "/under-way", "/compare")


def test_every_page_can_be_read_by_everybody(served: Served, browser: Any) -> None:
    with opened(browser, served, color_scheme="dark") as page:
        for path in PATHS:
            go(page, served, path)
            looked_at(page, path.strip("/").replace("/", "-"))
            assert scrolled_tables(page) == []
        go(page, served, "/training")
        page.get_by_role("checkbox").first.check()
        page.get_by_role("button", name="show their curves").click()
        ready(page)
        assert page.locator(".plot .part").count() == 1
        looked_at(page, "training")


def test_every_page_fits_a_phone(served: Served, browser: Any) -> None:
    with opened(browser, served, 400) as page:
        for path in (*PATHS, "/runs", "/training", "/integrity"):
            go(page, served, path)
            fits(page, path)
            assert scrolled_tables(page) == []


def test_a_person_has_rows_and_logs_verified(served: Served, browser: Any) -> None:
    with opened(browser, served) as page:
        go(page, served, "/integrity")
        page.get_by_role("button", name="verify rows and logs now").click()
        page.get_by_text("Nothing was changed since it was recorded").wait_for()
        looked_at(page, "integrity")


@pytest.mark.slow
def test_a_home_that_can_only_be_read_has_its_pages(home: Path, tmp_path: Path) -> None:
    root = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    if root and shutil.which(root[0]) is None:
        pytest.skip("root can write everywhere; setpriv is needed to give that up")
    copy = tmp_path / "snapshot"
    shutil.copytree(home, copy)
    shutil.rmtree(copy / "services")
    paths = [*copy.rglob("*"), copy]
    for path in paths:
        path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        with serving(copy, *root) as served:
            assert "for this time only" in served.said
            for path in ("/runs", "/models/support/v1", "/nights", "/integrity"):
                answer = served.get(path)
                while answer.status_code == httpx.codes.ACCEPTED:
                    answer = served.get(path)
                assert answer.status_code == 200, answer.text[-800:]
            assert "read-only" in served.get("/integrity").text
    finally:
        for path in [copy, *paths]:
            path.chmod(0o700)
