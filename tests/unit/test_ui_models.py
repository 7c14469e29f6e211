"""The pages of `hallmark ui` about models, decisions, training and integrity."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from core.files import write_jsonl
from evaluation.gate import GateConfig
from experiments.promoting import promote_run
from experiments.workspace import Workspace
from hallmark.ui.app import create_app
from hallmark.ui.forms import TOKEN
from tests.support.recorded_runs import record_baseline, record_trained, right_for, workspace_at
from tests.support.small_datasets import small_dataset
from trainer.curve import StepRecord

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A model that was compared twice: a clear gain, then none over that."""
    workspace = workspace_at(tmp_path_factory.mktemp("home"))
    record_baseline(workspace, right_for(0.4))
    for place, share in enumerate((0.6, 0.61)):
        run = record_trained(workspace, right_for(share), f"weights-{place}")
        promote_run(run.run_id, "support", GateConfig(), workspace)
    return workspace


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> TestClient:
    return TestClient(create_app(workspace, patience_s=60), base_url="http://localhost")


def said(client: TestClient, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text[-600:]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", answer.text)))


def trained_ids(workspace: Workspace) -> list[str]:
    return [run.run_id for run in workspace.registry.runs.list(kind="trained")][::-1]


def test_models_are_listed_with_their_champion(client: TestClient) -> None:
    assert "support v1 1" in said(client, "/models")
    assert 'href="/models/support/v1"' in client.get("/models").text


def test_a_model_shows_versions_aliases_and_why_each_decision_was_made(client: TestClient) -> None:
    page = said(client, "/models/support")
    assert "champion: v1 protected" in page
    assert "promoted to v1" in page
    assert "refused" in page
    assert "The gain of +20.0 points" in page


def test_the_lists_of_a_model_go_on(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hallmark.ui.models.ROWS", 1)
    page = client.get("/models/support").text
    assert "refused" in page
    assert "promoted to v1" not in page
    [address] = re.findall(r'rel="next" href="([^"]*)"', page)
    assert "promoted to v1" in client.get(unescape(address)).text


def test_a_version_shows_what_it_was_trained_from_and_whether_it_is_attested(
    client: TestClient, workspace: Workspace
) -> None:
    page = said(client, "/models/support/v1")
    assert f"trained by run {trained_ids(workspace)[0]} on train-v1 clean" in page
    assert "began with tiny-base clean" in page
    assert "model is in the store" in page
    assert "attested" in page
    assert "not signed" in page
    assert said(client, "/models/support/champion") == page


def test_a_version_says_when_its_model_is_gone(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path)
    record_baseline(workspace, right_for(0.4))
    run = record_trained(workspace, right_for(0.6))
    promote_run(run.run_id, "support", GateConfig(), workspace)
    version = workspace.registry.models.get("support@v1")
    workspace.registry.artifacts.blobs.delete([version.weights_sha256])
    client = TestClient(create_app(workspace, patience_s=60), base_url="http://localhost")
    assert "model is not in the store" in said(client, "/models/support/v1")


def test_nights_show_scores_the_champion_the_alpha_left_and_the_gain_that_can_be_shown(
    client: TestClient, workspace: Workspace
) -> None:
    page = said(client, "/nights?model=support")
    first, second = trained_ids(workspace)
    assert re.search(r"0\.025 of alpha 0\.05 is left; comparison 3 is tested at", page)
    assert "comparison 3 finds a true gain of" in page
    assert f"Comparison 1: candidate {first} 60.0 %" in page
    assert re.search(
        rf"{second} 60\.8 % \(\S+ % to \S+ %\), not promoted, champion 60\.0 %, alpha left", page
    )
    assert "smallest gain found next" in page
    assert said(client, "/nights") == page
    assert client.get("/nights?model=support&dataset=other-v1").status_code == 404


def test_nights_open_with_the_model_that_was_compared_last(tmp_path: Path) -> None:
    place, dataset = workspace_at(tmp_path / "home"), str(small_dataset(tmp_path, map(str, range(20))))
    record_baseline(place, right_for(0.2), dataset=dataset)
    run = record_trained(place, right_for(0.9), dataset=dataset)
    for name in ("ant", "zebra"):
        promote_run(run.run_id, name, GateConfig(), place)
    client = TestClient(create_app(place, patience_s=60), base_url="http://localhost")
    assert "Nights: zebra" in said(client, "/nights")
    assert "Nights: ant" in said(client, "/nights?model=ant")


def test_nights_go_on_with_older_ones(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hallmark.ui.nights.NIGHTS", 1)
    page = client.get("/nights?model=support&below=3").text
    [address] = re.findall(r'rel="next" href="([^"]*)"', page)
    assert "Comparison 1" in client.get(unescape(address)).text
    assert "Comparison 1" not in page


def test_training_curves_are_overlaid_where_their_files_are_here(
    client: TestClient, workspace: Workspace
) -> None:
    first, second = trained_ids(workspace)
    assert f"Run {first} has no training.jsonl on this machine" in said(client, f"/training?run={first}")
    for run_id, steps in ((first, 30), (second, 2_500)):
        records = [
            StepRecord(step=n, loss=1 / n, learning_rate=0.1, gradient_norm=1.0, loss_tokens=10)
            for n in range(1, steps + 1)
        ]
        path = workspace.registry.runs.directory(run_id) / "training.jsonl"
        write_jsonl(path, [record.model_dump() for record in records])
    with path.open("ab") as file:
        file.write(b'{"step": 25')  # a line that is being written
    page = said(client, f"/training?run={first}&run={second}")
    assert f"{first}: 30 steps" in page
    assert "a point is the mean of 3 steps" in page
    assert "2,500" in page


def test_integrity_is_verified_when_somebody_asks_for_it(client: TestClient, workspace: Workspace) -> None:
    page = said(client, "/integrity")
    assert str(workspace.registry.head()) in page
    assert "Nothing was verified since this server started" in page
    token = client.app.state.csrf_token  # type: ignore[attr-defined]
    ours = {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}
    assert client.get("/integrity/verify").status_code == 405
    assert client.post("/integrity/verify", data={TOKEN: token}).status_code == 403
    asked = client.post("/integrity/verify", data={TOKEN: token}, headers=ours, follow_redirects=False)
    assert (asked.status_code, asked.headers["location"]) == (303, "/integrity")
    client.app.state.pages.verifying.peek("verify").result(60)  # type: ignore[attr-defined]
    assert "Nothing was changed since it was recorded" in said(client, "/integrity")


def test_runs_of_another_machine_are_shown_without_their_folders(
    workspace: Workspace, tmp_path: Path
) -> None:
    from registry import Registry

    registry = workspace.registry
    elsewhere = Registry(registry.database, registry.artifacts, tmp_path / "runs")
    client = TestClient(
        create_app(Workspace(tmp_path, elsewhere), patience_s=60), base_url="http://localhost"
    )
    first, second = trained_ids(workspace)
    assert "60.0 %" in said(client, f"/runs/{first}")
    assert "got better" in said(client, f"/compare?baseline={first}&candidate={second}")
    assert "no training.jsonl" in said(client, f"/training?run={first}")
