"""Rows 5, 9, 15, 16, 19 to 21 and 28, as someone at the command line meets them: on recorded runs of
golden-v1.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from core.errors import HallmarkError, IntegrityError, ResourceError
from evaluation.gate import GateConfig
from experiments.promoting import promote_run
from experiments.result import PromotionResult
from experiments.verifying import verify
from golden.datasets import BUILT_IN
from registry import Run, open_registry
from tests.support.killing import kill_at_random_moment
from tests.support.recorded_runs import record_baseline, record_trained, right_for, workspace_at
from tests.support.refusals import assert_refused
from tests.support.registry_entries import digest, edit, start

pytestmark = pytest.mark.unit


class Recorded:
    """A home with a base run at 40 %, and a candidate at 60 %."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.workspace = workspace_at(home)
        self.base = record_baseline(self.workspace)
        self.better = record_trained(self.workspace, right_for(0.6))

    def candidate(self, share: float, weights: str) -> Run:
        return record_trained(self.workspace, right_for(share), weights)


@pytest.fixture
def recorded(home: Path) -> Recorded:
    return Recorded(home)


def document(result: Any) -> Any:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_a_better_run_is_promoted_and_the_decision_tells_its_place(recorded: Recorded, hallmark) -> None:
    promotion = document(hallmark("promote", recorded.better.run_id, "--json"))
    assert (promotion["outcome"], promotion["version"]) == ("promoted", 1)
    assert promotion["comparison"]["baseline_run"] == recorded.base.run_id
    assert (promotion["decision"]["number"], promotion["decision"]["significant"]) == (1, True)
    assert promotion["decision"]["level"] == pytest.approx(0.02)
    assert document(hallmark("verify", "--json"))["problems"] == []


def test_a_run_that_was_promoted_already_gives_the_same_version(recorded: Recorded, hallmark) -> None:
    hallmark("promote", recorded.better.run_id)
    again = hallmark("promote", recorded.better.run_id)
    assert again.returncode == 0
    assert "NOTHING TO CHANGE: these very weights are tiny-reasoner v1" in again.stdout
    assert len(document(hallmark("models", "history", "tiny-reasoner", "--json"))) == 1


def test_unfinished_and_failed_runs_are_not_promoted(recorded: Recorded, hallmark) -> None:
    registry = recorded.workspace.registry
    running, failed = start(registry, "run-running"), start(registry, "run-failed")
    registry.runs.fail(failed.run_id, "the card caught fire")
    assert_refused(hallmark("promote", running.run_id), 2, "run run-running is not finished")
    assert_refused(
        hallmark("promote", failed.run_id), 2, "run run-failed failed and has no scores: the card caught fire"
    )
    assert registry.models.list() == []


def test_a_refusal_is_recorded_with_its_reason_and_the_same_offer_is_the_same_comparison(
    recorded: Recorded, hallmark
) -> None:
    hallmark("promote", recorded.better.run_id)
    luck = recorded.candidate(0.61, "lucky")
    for _ in range(2):
        refused = document(hallmark("promote", luck.run_id, "--json"))
        assert (refused["outcome"], refused["decision"]["number"]) == ("refused", 2)
    history = document(hallmark("models", "history", "tiny-reasoner", "--json"))
    assert [row["action"] for row in history] == ["promoted", "refused", "refused"]
    assert "may be luck" in history[-1]["reason"]
    assert hallmark("promote", luck.run_id, "--fail-unless-promoted").returncode == 5


def test_force_needs_a_reason_and_is_recorded_with_it(recorded: Recorded, hallmark) -> None:
    hallmark("promote", recorded.better.run_id)
    worse = recorded.candidate(0.3, "worse")
    assert_refused(hallmark("promote", worse.run_id, "--force"), 2, "--force and --reason go together")
    forced = document(hallmark("promote", worse.run_id, "--force", "--reason", "half the size", "--json"))
    assert (forced["outcome"], forced["version"], forced["decision"]["promote"]) == ("forced", 2, False)
    [_, row] = document(hallmark("models", "history", "tiny-reasoner", "--json"))
    assert (row["action"], row["reason"], row["decision"]["verdict"]) == (
        "forced",
        "half the size",
        "not_better",
    )


def test_a_run_of_other_weights_cannot_stand_in_for_the_champion(recorded: Recorded, hallmark) -> None:
    hallmark("promote", recorded.better.run_id)
    rival = recorded.candidate(0.58, "rival")
    refused = hallmark("promote", rival.run_id, "--against", recorded.base.run_id)
    assert_refused(
        refused,
        2,
        "did not judge tiny-reasoner@champion, which is v1",
        "hallmark evaluate registry:tiny-reasoner@champion",
    )


def test_rollback_and_aliases_from_the_command_line(recorded: Recorded, hallmark) -> None:
    hallmark("promote", recorded.better.run_id)
    hallmark("promote", recorded.candidate(0.95, "best").run_id)
    assert "tiny-reasoner v1 is champion again" in hallmark("rollback", "1", "--reason", "too slow").stdout
    assert (
        hallmark("models", "alias", "set", "tiny-reasoner", "staging", "2", "--reason", "to try").returncode
        == 0
    )
    assert_refused(
        hallmark("models", "alias", "set", "tiny-reasoner", "champion", "2", "--reason", "x"),
        2,
        "is protected",
    )
    hallmark("models", "alias", "protect", "tiny-reasoner", "staging", "--reason", "served")
    assert_refused(
        hallmark("models", "alias", "remove", "tiny-reasoner", "staging", "--reason", "x"), 2, "is protected"
    )
    aliases = document(hallmark("models", "alias", "list", "tiny-reasoner", "--json"))
    assert [(row["name"], row["version"], row["protected"]) for row in aliases] == [
        ("champion", 1, True),
        ("staging", 2, True),
    ]
    assert document(hallmark("verify", "--json"))["problems"] == []


def test_unlike_runs_are_not_compared_and_every_differing_field_is_named(
    recorded: Recorded, hallmark, tmp_path: Path
) -> None:
    lines = (BUILT_IN / "golden-v1.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "other-v1.jsonl").write_text("".join(lines[:50]))
    other = record_baseline(
        recorded.workspace, dataset=str(tmp_path / "other-v1.jsonl"), generation={"max_new_tokens": 32}
    )
    refused = hallmark("compare", recorded.base.run_id, other.run_id)
    assert_refused(
        refused, 2, "dataset:", '"golden-v1"', '"other-v1"', "generation.max_new_tokens: 128 against 32"
    )
    assert_refused(
        hallmark("promote", recorded.better.run_id, "--against", other.run_id), 2, "cannot be compared"
    )


def test_a_run_is_not_compared_with_itself_and_no_alpha_is_spent_on_it(recorded: Recorded, hallmark) -> None:
    run = recorded.better.run_id
    assert_refused(hallmark("compare", run, run), 2, f"run {run}: cannot be compared with itself")
    assert_refused(hallmark("promote", run, "--against", run), 2, "cannot be compared with itself")
    promoted = document(hallmark("promote", run, "--json"))
    assert "comparison 1 on golden-v1" in promoted["decision"]["reasons"][0]


def test_a_dataset_that_changed_since_it_was_registered_is_refused_before_anything_starts(
    home: Path, hallmark, tmp_path: Path
) -> None:
    lines = (BUILT_IN / "golden-v1.jsonl").read_text().splitlines(keepends=True)
    path = tmp_path / "mine-v1.jsonl"
    path.write_text("".join(lines[:50]))
    run = record_baseline(workspace_at(home), dataset=str(path))
    path.write_text("".join(lines[:49]))
    refused = hallmark("baseline", "--dataset", str(path))
    expected = workspace_at(home).registry.datasets.get(run.dataset_id).sha256
    assert_refused(
        refused,
        3,
        "dataset mine-v1: changed since it was registered",
        f"expected sha256 {expected}",
        "found ",
    )


def test_a_runs_own_items_that_were_changed_are_not_compared(recorded: Recorded, hallmark) -> None:
    path = recorded.workspace.runs / recorded.better.run_id / "dataset.jsonl"
    path.write_text(path.read_text().replace('"category":"addition"', '"category":"subtraction"', 1))
    assert_refused(hallmark("promote", recorded.better.run_id), 3, str(path), "changed since the run")


def flip_a_byte(path: Path) -> None:
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_weights_that_changed_since_they_were_judged_are_not_promoted(recorded: Recorded, hallmark) -> None:
    flip_a_byte(recorded.workspace.runs / recorded.better.run_id / "model" / "model.safetensors")
    assert_refused(hallmark("promote", recorded.better.run_id), 3, "changed since run", "expected sha256")
    assert recorded.workspace.registry.models.aliased("tiny-reasoner") is None


def test_one_flipped_byte_in_a_registered_version_is_refused_wherever_it_is_used(
    recorded: Recorded, hallmark
) -> None:
    hallmark("promote", recorded.better.run_id)
    blobs = (path for path in (recorded.home / "artifacts").rglob("*") if path.is_file())
    flip_a_byte(next(path for path in blobs if path.read_bytes() == b"model.safetensors trained"))
    for command in (
        ("evaluate", "registry:tiny-reasoner@champion"),
        ("models", "show", "tiny-reasoner@champion"),
    ):
        assert_refused(
            hallmark(*command),
            3,
            recorded.better.model_sha256 or "",
            "Restore it from a backup, or promote its run again",
        )
    verified = hallmark("verify")
    assert verified.returncode == 3
    assert recorded.better.model_sha256 or "" in verified.stdout


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE prediction SET score = 1 WHERE score = 0", "run 2"),
        ("UPDATE prediction SET prediction = '\"x\"' WHERE position = 0", "run 2"),
        ("UPDATE metric SET value = 0.99", "run 2"),
        ("UPDATE promotion_log SET reason = 'because'", "promotion log row 1: was changed"),
        ("DELETE FROM promotion_log WHERE id = 1", "row 1 before it is missing"),
        ("UPDATE model_version SET judge = 'x@v1'", "version tiny-reasoner v1"),
        ("DELETE FROM alpha_spending WHERE number = 1", "comparison 1: was removed"),
        ("UPDATE alpha_spending SET number = 9 WHERE number = 2", "the ledger of alpha does not have"),
        ("UPDATE alias SET version = 2", "alias tiny-reasoner@champion"),
    ],
)
def test_whatever_is_edited_behind_our_back_is_named(
    statement: str, named: str, decided: Path, home: Path, hallmark
) -> None:
    shutil.copytree(decided, home)
    registry = open_registry(home)
    edit(registry, statement)
    registry.close()
    result = hallmark("verify")
    assert result.returncode == 3
    assert named in " ".join(result.stdout.split())
    assert "Traceback" not in result.stderr


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two versions and a rollback, made once; its tests work on copies."""
    recorded = Recorded(tmp_path_factory.mktemp("decided") / "home")
    for run in (recorded.better, recorded.candidate(0.95, "best")):
        promote_run(run.run_id, "tiny-reasoner", GateConfig(), recorded.workspace)
    recorded.workspace.registry.aliases.rollback("tiny-reasoner", 1, "too slow", "someone")
    recorded.workspace.registry.close()
    return recorded.home


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_promotion_that_is_killed_at_any_moment_is_made_or_not_begun(
    recorded: Recorded, number: signal.Signals
) -> None:
    candidates = [recorded.candidate(0.6, f"weights {number}").run_id for number in range(20)]
    recorded.workspace.registry.close()

    def promoted(run_id: str) -> PromotionResult:
        workspace = workspace_at(recorded.home)
        try:
            return promote_run(run_id, "m", GateConfig(), workspace, force_reason="killed")
        finally:
            workspace.registry.close()

    killed = 0
    for place, run_id in enumerate(candidates, start=1):
        killed += kill_at_random_moment(lambda offered=run_id: promoted(offered), 0.4, number)
        with closing(open_registry(recorded.home)) as registry:
            assert registry.verify() == []
            champion = registry.models.aliased("m")
            assert (champion.number if champion else 0) in {place - 1, place}
        assert promoted(run_id).version == place
    assert killed > 0
    workspace = workspace_at(recorded.home)
    assert verify(workspace).problems == []
    moves = [(move.from_version or 0, move.to_version) for move in workspace.registry.models.history("m")]
    assert moves == [(number, number + 1) for number in range(20)]
    weights = {version.weights_sha256 for version in workspace.registry.models.versions("m")}
    assert len(weights) == 20
    left = sorted(path.name for path in (recorded.home / "artifacts").iterdir())
    assert left == ["blobs"], "the next promotion removes what a killed one left"


def test_a_full_disk_under_the_database_is_told_and_loses_nothing(home: Path) -> None:
    registry = open_registry(home)
    registry.datasets.register("golden", "v1", "a" * 64, 1)

    @event.listens_for(registry.database.engine, "connect")
    def no_more_pages(connection: Any, _record: Any) -> None:
        connection.execute(
            "PRAGMA max_page_count = 1"
        )  # cannot be less than there are: the next new page is one too many

    registry.close()  # connections are kept; the next one is new
    with pytest.raises(ResourceError, match=r"registry\.db: the disk is full") as caught:
        for number in range(2000):
            start(registry, f"run-{number}", manifest={"text": "x" * 4000})
    assert caught.value.exit_code == 4
    event.remove(registry.database.engine, "connect", no_more_pages)
    registry.close()
    assert registry.datasets.register("golden", "v1", "a" * 64, 1).id == 1
    assert registry.verify() == []
    assert start(registry, "run-after").status == "running"


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o555)
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:  # root may write anywhere, so the attempt is made by somebody who is not
        answer = "no error"
        try:
            for folder in (tmp_path.parent, tmp_path):
                folder.chmod(0o755)
            if os.getuid() == 0:
                os.setuid(65534)
            open_registry(home)
        except HallmarkError as error:
            answer = f"{error.exit_code} {error}"
        except BaseException as error:
            answer = repr(error)
        os.write(writer, answer.encode())
        os._exit(0)
    os.waitpid(child, 0)
    answer = os.read(reader, 65536).decode()
    assert answer.startswith("4 ")
    assert str(home) in answer


def test_a_wrong_postgresql_password_is_told_without_showing_it(postgresql: str, hallmark) -> None:
    import psycopg

    with psycopg.connect(postgresql, autocommit=True) as connection:
        [(path,)] = connection.execute("SHOW hba_file").fetchall()
        connection.execute("DROP ROLE IF EXISTS careful")
        connection.execute("CREATE ROLE careful LOGIN PASSWORD 'the-right-one'")
        before = Path(path).read_text()
        Path(path).write_text(f"local all careful scram-sha-256\n{before}")
        connection.execute("SELECT pg_reload_conf()")
        try:
            url = postgresql.replace("//postgres:@", "//careful:hunter2secret@")
            assert url != postgresql
            result = hallmark("runs", "list", HALLMARK_REGISTRY_URL=url)
        finally:
            Path(path).write_text(before)
            connection.execute("SELECT pg_reload_conf()")
    assert_refused(
        result, 4, "cannot connect", "careful", "Check user, password and database in HALLMARK_REGISTRY_URL"
    )
    assert "hunter2" not in result.stdout + result.stderr


def test_an_edited_attestation_is_named(home: Path) -> None:
    from tests.support.registry_entries import finished, promote

    registry = open_registry(home)
    promote(
        registry,
        *finished(registry, home, "one"),
        attest=lambda version, *_: {"number": version.number, "by": digest("us")},
    )
    assert registry.models.attestation("m", 1) == {"number": 1, "by": digest("us")}
    assert registry.verify() == []
    edit(registry, "UPDATE attestation SET document = '{}'")
    assert [str(problem) for problem in registry.verify()] == [
        "attestation of m v1: was changed after it was written"
    ]


def test_an_artifact_that_is_gone_is_an_integrity_error(home: Path) -> None:
    from tests.support.registry_entries import finished, promote

    registry = open_registry(home)
    run, weights = finished(registry, home, "one")
    promote(registry, run, weights)
    for folder in ("artifacts", "checkouts"):
        shutil.rmtree(home / folder)
    with pytest.raises(IntegrityError, match="missing"):
        registry.models.directory("m@champion")
    with pytest.raises(IntegrityError, match="missing"):
        registry.aliases.rollback("m", 1, "again", "someone")
