"""Running where it lives: server, worker, UI, nightly and CI on one machine, with a real browser, real kills
and real messages.

The tests share a workstation and run in the order of this file.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.text import visible
from tests.support.recorded_runs import recorded_run, workspace_at
from tests.support.workstation import TOKEN, Workstation, kill, listening_for_messages, message_server

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workstation]:
    """A workstation that is up; afterwards it is down and nothing of it is left running."""
    messages: list[str] = []
    server = message_server(messages)
    found = Workstation(tmp_path_factory.mktemp("work station") / "home", free_port(), server.server_port)
    found.messages = messages
    with listening_for_messages(messages, server):
        try:
            found.up()
            yield found
        finally:
            done = found.hallmark("down")
            assert done.returncode == 0, done.stderr
    assert "database is locked" not in (found.home / "services" / "server.log").read_text()
    deadline = time.monotonic() + 20
    while (left := found.processes()) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert left == []


@pytest.fixture(scope="module")
def asked_elsewhere() -> list[str]:
    """What the pages asked of another machine."""
    return []


@pytest.fixture(scope="module")
def page(place: Workstation, browser: Any, asked_elsewhere: list[str]) -> Iterator[Any]:
    """A signed-in page of the UI. Whatever was opened to get to it asked this machine only."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.on(
        "request", lambda request: asked_elsewhere.extend([request.url] if leaves(request.url, place) else [])
    )
    yield signed_in(context, place)
    context.close()
    assert asked_elsewhere == []


def leaves(url: str, place: Workstation) -> bool:
    return not url.startswith((f"{place.address}/", "data:", "blob:", "about:"))


def signed_in(context: Any, place: Workstation, path: str = "") -> Any:
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.goto(place.address + path)
    page.get_by_role("textbox").first.fill(place.sign_in)
    page.keyboard.press("Enter")
    page.get_by_text("Dashboard").first.wait_for()
    return page


def photograph(page: Any, name: str) -> None:
    """Keep a picture for the documentation, where one is wanted (`make pictures` sets HALLMARK_PICTURES)."""
    if folder := os.environ.get("HALLMARK_PICTURES"):
        page.wait_for_timeout(1500)
        page.screenshot(path=Path(folder) / f"{name}.png")


def test_up_again_leaves_what_runs_and_brings_the_rest_up_to_date(place: Workstation) -> None:
    before = place.services()
    for name, schedules in (("baseline", []), ("compare", [{"schedule": {"interval": 864000}}])):
        old = {**place.deployed(f"{name}/{name}"), "name": "gpu", "schedules": schedules}
        place.post("/deployments/", {key: old[key] for key in ("name", "flow_id", "tags", "schedules")})
    paused = place.deployed("experiment/nightly-smoke")
    [schedule] = paused["schedules"]
    place.patch(f"/deployments/{paused['id']}/schedules/{schedule['id']}", {"active": False})
    said = place.up()
    assert "deployments: 1 by the old name gpu removed; each has its flow's name now" in said
    assert "deployment gpu (hallmark, compare): has its flow's name now, and is left because of its" in said
    [schedule] = place.deployed("experiment/nightly-smoke")["schedules"]
    assert not schedule["active"], "whoever paused the nights meant it"
    place.patch(f"/deployments/{paused['id']}/schedules/{schedule['id']}", {"active": True})
    assert "server: runs already" in said
    assert "worker: runs already" in said
    assert f"http://127.0.0.1:{place.port}" in said
    assert {**place.services(), "at": ""} == {**before, "at": ""}
    names = sorted(
        (found["name"], *sorted(set(found["tags"]) - {"hallmark"}))
        for found in place.post("/deployments/filter")
        if found["name"] != "gpu"
    )
    flows = (
        "baseline",
        "compare",
        "evaluate",
        "experiment",
        "predict-part",
        "promote",
        "rejudge",
        "reproduce",
        "train",
    )
    assert names == sorted([*((flow, flow) for flow in flows), ("nightly-smoke", "experiment", "nightly")])
    assert len(place.post("/automations/filter")) == 6
    [pool] = place.post("/work_pools/filter")
    assert (pool["name"], pool["type"], pool["concurrency_limit"]) == ("gpu", "process", 1)


def test_the_server_asks_for_a_sign_in_and_listens_to_this_machine_only(place: Workstation) -> None:
    assert httpx.get(f"{place.address}/api/admin/version").status_code == 401
    user, password = place.sign_in.split(":", 1)
    assert httpx.get(f"{place.address}/api/admin/version", auth=(user, password)).status_code == 200
    foreign = httpx.post(f"{place.address}/api/flows/count", auth=(user, password), json={})
    assert foreign.status_code == 403, "a page of somebody else cannot act with the browser's sign-in"
    listening = [
        line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines() if line.split()[3] == "0A"
    ]
    assert f"0100007F:{place.port:04X}" in listening
    assert f"00000000:{place.port:04X}" not in listening
    assert (place.home / "services" / "sign-in").stat().st_mode & 0o077 == 0


def test_a_second_home_on_the_same_port_is_told_so(place: Workstation, tmp_path: Path) -> None:
    done = place.hallmark("up", "--port", place.port, HALLMARK_HOME=str(tmp_path / "other"))
    assert done.returncode == 4
    assert f"port {place.port} is in use" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def first(place: Workstation, page: Any) -> str:
    """The flow run of an experiment that was started from the UI's form, at its end."""
    known = {found["id"] for found in place.post("/flow_runs/filter")}
    page.goto(f"{place.address}/deployments/deployment/{place.deployment('experiment/experiment')}/run")

    def field(label: str) -> Any:
        return page.locator(
            ".schema-form-property", has=page.get_by_text(f"{label} (Optional)", exact=True)
        ).last

    field("Steps").wait_for()
    photograph(page, "form")
    field("Steps").locator("input").fill("-1")
    page.get_by_role("button", name="Submit").click()
    page.get_by_text(
        "'config.train.steps'. Failure reason: -1 is less than the minimum of 1"
    ).first.wait_for()
    assert page.get_by_text("(Optional)").count() == 10, "seven settings, and what holds them"
    assert page.get_by_text("None", exact=True).count() == 0
    field("Advanced").get_by_text("Choose", exact=True).click()
    field("Gate").get_by_text("Choose", exact=True).click()
    field("Least gain").locator("input").fill("0.01")
    assert {
        found["id"]
        for found in place.post("/flow_runs/filter", {"flow_runs": {"tags": {"all_": ["experiment"]}}})
    } <= known
    field("Steps").locator("input").fill("90")
    field("Name in the registry").locator("textarea").fill("from-the-form")
    with page.expect_response(lambda answer: answer.url.endswith("/create_flow_run")) as created:
        page.get_by_role("button", name="Submit").click()
    assert created.value.ok

    def started() -> str | None:
        found = place.post(
            "/flow_runs/filter",
            {"flow_runs": {"tags": {"all_": ["experiment"]}}, "sort": "EXPECTED_START_TIME_DESC"},
        )
        fresh = [run["id"] for run in found if run["id"] not in known and run["state"]["type"] != "SCHEDULED"]
        return fresh[0] if fresh else None

    page.goto("about:blank")  # its animations take half a core
    flow_run: str = place.wait(started, "the form's run to start", 120)
    state, message = place.end_of(flow_run)
    assert state == "COMPLETED", message
    return flow_run


def test_an_experiment_started_from_the_form_runs_to_its_end(
    place: Workstation, first: str, page: Any
) -> None:
    [found] = place.post("/flow_runs/filter", {"flow_runs": {"id": {"any_": [first]}}})
    settings = "steps=90, model_name=from-the-form, min_delta=0.01"
    assert found["name"] == f"experiment tiny-base with train-v1 on golden-v1, {settings}"
    assert found["parameters"]["config"]["train"]["steps"] == 90
    assert found["parameters"]["config"]["advanced"]["gate"]["min_delta"] == 0.01
    assert {run["kind"]: run["status"] for run in place.runs()} == {
        "baseline": "finished",
        "trained": "finished",
    }
    page.goto(f"{place.address}/runs/flow-run/{first}")
    page.get_by_text("PROMOTED: from-the-form v1 is champion now").first.wait_for()
    photograph(page, "run")
    stages = [
        "planned: tiny-base, 90 steps of 32 rows on train-v1, judged on golden-v1 (360 items)",
        "predicted: tiny-base on golden-v1: 360 items in",
        "judged: tiny-base on golden-v1:",
        "trained: 90 steps in",
        "predicted: trained on golden-v1: 360 items in",
        "judged: trained on golden-v1:",
        "compared: ",
        "decided: PROMOTED",
    ]
    own = {"logs": {"flow_run_id": {"any_": [first]}}, "sort": "TIMESTAMP_ASC"}
    logged = [line["message"] for line in place.post("/logs/filter", own)]
    told = [line for line in logged if any(line.startswith(stage) for stage in stages)]
    assert len(told) == len(stages)
    assert all(line.startswith(stage) for line, stage in zip(told, stages, strict=True))
    [progress] = [
        found
        for found in place.post("/artifacts/filter", {"artifacts": {"key": {"any_": ["progress"]}}})
        if found["flow_run_id"] == first
    ]
    assert (progress["data"], progress["description"]) == (100, "done")


def test_the_ui_shows_the_comparison_the_loss_curve_and_the_decision(
    place: Workstation, first: str, page: Any
) -> None:
    shown = place.artifacts(first)
    assert {"comparison", "decision", "loss-curve", "metrics", "progress-train"} <= shown.keys()
    assert shown["progress-train"]["data"] == 100
    for key, expected in (
        ("comparison", ["By category", "By difficulty", "Got better", "Got worse", "substitution"]),
        ("loss-curve", ["loss, first step", "loss-bearing tokens/s"]),
        (
            "decision",
            ["PROMOTED: from-the-form v1 is champion now", "is significant", "sha256", "report.html"],
        ),
    ):
        page.goto(f"{place.address}/artifacts/artifact/{shown[key]['id']}")
        for text in expected:
            page.get_by_text(text).first.wait_for()
        if key != "decision":
            picture = page.locator("img[src^='data:image/svg']").first
            drawn = "image => image.complete && image.naturalWidth > 100"
            page.wait_for_function(drawn, arg=picture.element_handle())
        if key == "comparison":
            photograph(page, key)
            candidates = page.get_by_role("columnheader", name="candidate")
            assert candidates.count() >= 3
            for width in (420, 1280):
                page.set_viewport_size({"width": width, "height": 1000})
                for place_of in [
                    candidates.nth(number).bounding_box() for number in range(candidates.count())
                ]:
                    assert place_of["x"] + place_of["width"] < width
        if key == "decision":
            page.get_by_role("link", name="what got better and what got worse").wait_for()
    link = page.get_by_role(
        "link", name=next(run["run_id"] for run in place.runs() if run["kind"] == "trained")
    ).first
    with page.expect_popup() as opened:
        link.click()
    opened.value.get_by_text("train tiny-base with train-v1 on golden-v1").first.wait_for()
    opened.value.close()
    page.goto("about:blank")


@pytest.fixture(scope="module")
def night(place: Workstation, first: str) -> set[str]:
    """Set the nightly schedule to soon, as a person would: by the environment and `hallmark deploy`. Gives
    the runs before it.
    """
    nightly = {"any_": [place.deployment("experiment/nightly-smoke")]}
    scheduled = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}, "deployment_id": nightly}}
    place.wait(lambda: place.post("/flow_runs/filter", scheduled) or None, "scheduled nights", 60)
    known = {run["run_id"] for run in place.runs()}
    moment = datetime.now(UTC) + timedelta(seconds=100)
    soon = {"HALLMARK_NIGHTLY_CRON": f"{moment.minute} {moment.hour} * * *", "HALLMARK_TIMEZONE": "UTC"}
    assert place.hallmark("deploy", **soon).returncode == 0
    return known


def test_a_promotion_is_told_to_whoever_wants_to_know(place: Workstation, first: str, night: object) -> None:
    assert "is significant" in place.told("from-the-form v1 is champion")
    assert len([message for message in place.messages if "champion" in message]) == 1


def test_promotions_and_rollbacks_by_hand_are_told_too(place: Workstation, first: str) -> None:
    base, trained = (
        next(run["run_id"] for run in place.runs() if run["kind"] == kind) for kind in ("baseline", "trained")
    )
    assert place.hallmark("promote", trained, "-n", "by-hand").returncode == 0
    assert "is significant" in place.told("by-hand v1 is champion")
    assert place.hallmark("promote", base, "-n", "by-hand").returncode == 0
    assert "a gain is required" in place.told("by-hand: not promoted")
    assert (
        place.hallmark("promote", base, "-n", "by-hand", "--force", "--reason", "to see it").returncode == 0
    )
    assert place.told("by-hand v2 is champion")
    assert place.hallmark("rollback", 1, "-n", "by-hand", "--reason", "v2 answers in French").returncode == 0
    assert "v2 answers in French" in place.told("by-hand v1 is champion again")


def test_a_command_uses_the_server_that_is_up(place: Workstation, first: str) -> None:
    done = place.hallmark("baseline", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["reused"]
    newest = place.started()[0]
    assert (newest["name"], newest["state"]["type"]) == ("baseline tiny-base on golden-v1", "COMPLETED")


def test_ci_waits_for_the_answer_and_fails_when_the_gate_says_no(place: Workstation, first: str) -> None:
    config = {
        "model_name": "useless",
        "train": {"steps": 2, "learning_rate": 1e-6},
        "fail_unless_promoted": True,
    }
    done = place.prefect(
        "deployment", "run", "experiment/experiment", "--watch", "--param", f"config={json.dumps(config)}"
    )
    assert done.returncode == 1, done.stdout
    flow_run = next(run for run in place.started() if run["name"].startswith("experiment"))
    assert flow_run["state"]["type"] == "FAILED"
    assert flow_run["state"]["message"].startswith("not promoted: The score ")
    shown = " ".join(done.stdout.split())
    assert "not promoted: The score " in shown[shown.index("decided: ") :]
    assert "Traceback" not in shown
    assert "NOT PROMOTED: the gate said no" in place.log(flow_run["id"])
    assert place.told("useless: not promoted")
    assert not [message for message in place.messages if "failed" in message], (
        "a refusal is an answer, not a failure"
    )


def test_bad_input_fails_at_once_with_its_reason_and_is_never_tried_again(place: Workstation) -> None:
    refused = place.prefect(
        "deployment", "run", "train/train", "--watch", "--param", 'config={"train": {"steps": -1}}'
    )
    assert refused.returncode == 1
    assert "steps" in refused.stdout + refused.stderr
    flow_run = place.start("evaluate/evaluate", "a typed name", model="/no/such/model")
    state, message = place.end_of(flow_run)
    assert state == "FAILED"
    assert message.startswith("/no/such/model: no such model directory")
    [found] = place.post("/flow_runs/filter", {"flow_runs": {"id": {"any_": [flow_run]}}})
    assert found["name"] == "a typed name"
    assert "Retry" not in place.log(flow_run)
    assert "no such model directory" in place.told("failed")


OTHERS = (
    "http://evil.example/x",
    "www.evil.example",
    "mail@evil.example",
    "[x](http://evil.example) ![p](http://evil.example/x.png)",
    "x.png)",
    "a | b \\| `c` \\",
    "``d` e`",
    "<a href='http://evil.example'>x</a> &lt;b&gt;",
    "\x1b[31mred \u202egnp.exe",
)
"""What the prompts and the predictions of a model may say."""


@pytest.fixture(scope="module")
def others(place: Workstation, first: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The comparison of two runs that are full of such text: its artifact."""
    rows = [
        {
            "trace_id": f"www.evil.example{n}",
            "prompt": text,
            "steps": [],
            "final_answer": "1",
            "category": "c_a_t",
        }
        for n, text in enumerate(OTHERS)
    ]
    dataset = tmp_path_factory.mktemp("others") / "others-v1.jsonl"
    dataset.write_text("".join(json.dumps(row) + "\n" for row in rows))
    workspace = workspace_at(place.home)
    before = recorded_run(workspace, lambda n, _: OTHERS[n], dataset=str(dataset)).run_id
    after = recorded_run(workspace, lambda n, _: f"{OTHERS[n]}\nAnswer: 1", dataset=str(dataset)).run_id
    workspace.registry.close()
    runs = ("--param", f"baseline={before}", "--param", f"candidate={after}")
    done = place.prefect("deployment", "run", "compare/compare", "--watch", *runs)
    assert done.returncode == 0, done.stdout
    [flow_run] = re.findall(r"flow-run/([0-9a-f-]{36})", done.stdout.replace("\n", ""))[:1]
    return str(place.artifacts(flow_run)["comparison"]["id"])


@pytest.mark.long
@pytest.mark.parametrize("path", ["", "/v2"])
def test_the_text_of_others_is_text_in_both_uis(
    place: Workstation, browser: Any, others: str, path: str
) -> None:
    context = browser.new_context()
    context.route(
        lambda url: leaves(url, place), lambda route: route.abort()
    )  # /v2 asks for more than it needs
    page = signed_in(context, place, path)
    page.goto(f"{place.address}{path}/artifacts/artifact/{others}")
    page.get_by_text("Got better: 9").wait_for()
    expected = {visible(text) for text in OTHERS} | {visible(f"{text} Answer: 1") for text in OTHERS}
    expected |= {f"www.evil.example{number}" for number in range(len(OTHERS))}
    place.wait(lambda: expected <= lines(page) or None, "every text in a line of its own", 60)
    assert targets(page) == []
    context.close()


def test_no_log_no_state_and_no_name_of_a_run_is_a_link_to_elsewhere(place: Workstation, page: Any) -> None:
    flow_run = place.start("evaluate/evaluate", dataset="http://evil.example/x")
    state, message = place.end_of(flow_run)
    assert state == "FAILED"
    assert "'http://evil.example/x': not a dataset name" in message
    page.goto(f"{place.address}/runs/flow-run/{flow_run}")
    page.get_by_text("'http[:]//evil.example/x': not a dataset name").first.wait_for()
    assert targets(page) == []
    page.get_by_text("Details", exact=True).click()
    page.get_by_text("See More").click()
    page.get_by_text("'http://evil.example/x': not a dataset name").first.wait_for()
    assert targets(page) == []
    assert "`'http://evil.example/x'`: not a dataset name" in place.told("on `http://evil.example/x` failed")
    page.goto("about:blank")


def lines(page: Any) -> set[str]:
    """What the titles of items and the facts about them say so far."""
    found = page.locator("code, li").all_text_contents()
    return {text.strip().split(": ", 1)[-1].strip() for text in found} | {text.strip() for text in found}


def targets(page: Any) -> list[str]:
    """Where the links and pictures of a page lead that somebody else chose."""
    found: list[str] = page.eval_on_selector_all(
        "a[href], img[src]", "all => all.map(each => each.href || each.src)"
    )
    return [target for target in found if "evil" in target]


def test_no_page_asks_another_machine(place: Workstation, page: Any, asked_elsewhere: list[str]) -> None:
    pages = """dashboard runs flows deployments work-pools work-pools/work-pool/gpu blocks blocks/catalog
        variables automations automations/create events concurrency-limits artifacts settings"""
    for path in (*pages.split(), f"deployments/deployment/{place.deployment('experiment/experiment')}"):
        page.goto(f"{place.address}/{path}", wait_until="networkidle")
        page.get_by_text("Event Feed").first.wait_for()
        assert asked_elsewhere == [], path
    page.goto("about:blank")


def test_the_nightly_schedule_fires_and_leaves_a_run(place: Workstation, night: set[str]) -> None:
    def nightly() -> dict[str, Any] | None:
        found = [
            run
            for run in place.runs()
            if run["run_id"] not in night and run["status"] == "finished" and run["kind"] == "trained"
        ]
        return next((run for run in found if run["manifest"]["training"]["config"]["steps"] == 60), None)

    assert place.wait(nightly, "the nightly run", 300)["name"] == "tiny-base trained golden-v1"
    assert place.hallmark("deploy").returncode == 0
    history = place.hallmark("models", "history", "from-the-form", "--json")
    assert len(json.loads(history.stdout)) == 1, "a night is no try at the champion"


@pytest.mark.long
def test_whatever_dies_ends_truthfully_and_the_next_run_continues(place: Workstation, first: str) -> None:
    """One experiment, whose flow process is killed, then its worker, then stopped in order, and at last its
    server goes away.
    """
    config = {
        "model_name": "killed",
        "train": {"steps": 150, "seed": 7, "checkpoint_every": 5, "batch_size": 8},
    }
    known = {run["run_id"] for run in place.runs()}

    flow_run = place.start("experiment/experiment", **config)
    folder = place.wait_for_training(known)
    kill(place.flow_process())
    state, message = place.end_of(flow_run, 60)
    assert (state, "SIGKILL" in message) == ("CRASHED", True)
    assert place.runs()[0]["status"] == "interrupted"

    flow_run = place.start("experiment/experiment", **config)
    place.wait_for_training(known)
    kill(place.services()["worker"]["pid"])
    assert place.end_of(flow_run, 60)[0] == "CRASHED"
    assert (place.runs()[0]["status"], "its worker is gone" in place.runs()[0]["error"]) == (
        "interrupted",
        True,
    )
    left_behind = place.start("experiment/experiment", **config)
    place.pretend_it_runs(left_behind, pid=2**22 - 1)
    said = place.up()
    assert "server: runs already" in said
    assert "worker: started" in said
    state, message = place.state(left_behind)
    assert (state, "Its process stopped reporting" in message) == ("CRASHED", True), (
        "else it would hold the pool's only place for ever"
    )

    flow_run = place.start("experiment/experiment", **config)
    place.wait_for_training(known)
    done = place.hallmark("down")
    assert "worker: stopped" in done.stderr
    assert "server: stopped" in done.stderr
    assert place.processes() == []
    assert place.hallmark("status").returncode == 4
    assert (place.runs()[0]["status"], "SIGTERM" in place.runs()[0]["error"]) == ("interrupted", True)
    place.up()
    assert place.state(flow_run)[0] == "CRASHED"

    flow_run = place.start("experiment/experiment", **config)
    place.wait_for_training(known)
    kill(place.services()["server"]["pid"])
    time.sleep(8)
    said = place.up()
    assert "server: started" in said
    assert "worker: runs already" in said
    assert place.end_of(flow_run) == ("COMPLETED", "")
    runs = [run for run in place.runs() if run["run_id"] not in known and run["kind"] == "trained"]
    assert [(run["directory"], run["status"]) for run in runs] == [(str(folder), "finished")], (
        "one run, continued three times"
    )
    assert json.loads((folder / "training_result.json").read_text())["resumed"]
    assert [json.loads(line)["step"] for line in (folder / "training.jsonl").open()] == list(range(1, 151))


def test_no_secret_is_seen_anywhere(place: Workstation, first: str) -> None:
    password = place.sign_in.split(":", 1)[1]
    temporary = place.home / "tmp"
    assert temporary.stat().st_mode & 0o077 == 0, (
        "Prefect hands its flow runs their environment in files there"
    )
    for path in sorted(place.home.rglob("*")):
        if (
            path.is_file()
            and path != place.home / "services" / "sign-in"
            and not path.is_relative_to(temporary)
        ):
            content = path.read_bytes()
            assert TOKEN.encode() not in content, path
            assert password.encode() not in content, path
    for kind in ("artifacts", "logs", "flow_runs", "block_documents", "automations", "deployments"):
        seen = json.dumps(place.post(f"/{kind}/filter"))
        assert TOKEN not in seen, kind
        assert password not in seen, kind
