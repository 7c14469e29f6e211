"""A shell completes what is recorded, without writing anything, and says nothing when it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from evaluation.gate import GateConfig
from experiments.promoting import promote_run
from tests.support.recorded_runs import record_baseline, record_trained, right_for, workspace_at
from tests.support.workplace import Workplace

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A home with two runs, of which the second is the champion of `support`."""
    place = Workplace(tmp_path_factory.mktemp("completed"))
    workspace = workspace_at(place.home)
    record_baseline(workspace, right_for(0.4))
    trained = record_trained(workspace, right_for(0.8))
    promote_run(trained.run_id, "support", GateConfig(), workspace)
    return place


def completed(place: Workplace, *words: str, **environment: str) -> list[str]:
    """What bash is answered, whose last word is the one that is completed."""
    asked = {
        "_HALLMARK_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(("hallmark", *words)),
        "COMP_CWORD": str(len(words)),
    }
    done = Workplace(place.folder, **{**asked, **environment}).run()
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_names_of_everything_that_is_recorded_or_installed(place: Workplace) -> None:
    runs = sorted((path.name for path in (place.home / "runs").iterdir() if path.is_dir()), reverse=True)
    assert sorted(completed(place, "runs", "show", ""), reverse=True) == runs
    assert completed(place, "compare", runs[0], runs[1]) == [runs[1]]
    assert completed(place, "models", "history", "su") == ["support"]
    assert completed(place, "models", "alias", "set", "support", "ch") == ["champion"]
    assert completed(place, "golden", "check", "gol") == ["golden-v1"]
    assert completed(place, "golden", "revise", "gol") == ["golden-v1"]
    assert completed(place, "golden", "diff", "golden-v1", "gol") == ["golden-v1"]
    assert completed(place, "rejudge", runs[0], "--dataset", "gol") == ["golden-v1"]
    assert completed(place, "review", "queue", runs[0], runs[1]) == [runs[1]]
    assert completed(place, "review", "add", runs[0], "--verdict", "f") == ["fine"]
    assert completed(place, "report", runs[0], "--format", "j") == ["junit", "json"]
    assert completed(place, "runs", "list", "--status", "f") == ["finished", "failed"]
    assert "answer_correctness@v2" in completed(place, "evaluate", "--judge", "answer")
    assert completed(place, "experiment", "--base-model", "tiny") == ["tiny-base"]
    assert completed(place, "runs", "sh") == ["show"]


def test_a_mistyped_model_is_suggested(place: Workplace) -> None:
    for command in (("models", "show", "suport"), ("models", "alias", "list", "Suport")):
        refused = place.run(*command)
        assert (refused.returncode, "Did you mean support?" in refused.stderr) == (2, True)


def test_what_bash_takes_apart_is_put_together(place: Workplace) -> None:
    assert completed(place, "models", "show", "support", "@", "ch") == ["champion"]
    assert completed(place, "models", "show", "support", "@") == ["champion", "v1"]
    assert completed(place, "evaluate", "--judge", "=", "exact") == ["exact_match@v1"]
    assert completed(place, "evaluate", "--judge", "=", "exact_match", "@") == ["v1"]


def test_zsh_and_fish_are_answered_too(place: Workplace) -> None:
    zsh = {"_HALLMARK_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "hallmark models history "}
    assert '"support":"registered model"' in Workplace(place.folder, **zsh).run().stdout
    fish = {
        "_HALLMARK_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": "hallmark models show support@",
    }
    assert "support@champion\tv1" in Workplace(place.folder, **fish).run().stdout


@pytest.mark.parametrize("content", [None, b"", b"no database", b"SQLite format 3\0"])
def test_without_a_registry_nothing_is_completed_said_or_made(content: bytes | None, tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    if content is not None:
        place.home.mkdir()
        (place.home / "registry.db").write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    assert completed(place, "runs", "show", "") == []
    assert sorted(tmp_path.rglob("*")) == before
    gone = "postgresql://nobody@127.0.0.1:9/none"
    assert completed(place, "runs", "show", "", HALLMARK_REGISTRY_URL=gone) == []


def test_a_registry_on_a_server(postgresql: str, tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path / "home", postgresql)
    run = record_baseline(workspace, right_for(0.4))
    workspace.registry.database.close()
    assert completed(Workplace(tmp_path), "runs", "show", "", HALLMARK_REGISTRY_URL=postgresql) == [
        run.run_id
    ]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_itself_completes(place: Workplace) -> None:
    script = """
    eval "$(hallmark --show-completion bash)"
    COMP_WORDS=(hallmark models history su) COMP_CWORD=3
    _hallmark_completion hallmark
    echo "${COMPREPLY[@]}"
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{place.environment['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env={**place.environment, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["support"]
