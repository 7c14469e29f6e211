"""The whole loop through the command line, as a user runs it: real models, real training, real registry."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.references import TINY_BASE_DIRECTORY
from golden.datasets import BUILT_IN
from tests.support.chat_servers import ChatServer, Reply, chat_server, completion
from tests.support.engines import needs_vllm
from tests.support.judge_plugins import install_plugin
from tests.support.workplace import Workplace, wait_until

pytestmark = pytest.mark.e2e

SHORT = ("--steps", "60")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A workplace that the tests of this module share; each command that needs a server starts its own."""
    return Workplace(tmp_path_factory.mktemp("work place ü"))


@pytest.fixture(scope="module")
def place(alone: Workplace, plain_server: dict[str, str]) -> Workplace:
    """The same workplace where a server is up, which saves each command the start of one."""
    return Workplace(
        alone.folder, **{name: plain_server[name] for name in ("PREFECT_API_URL", "PREFECT_HOME")}
    )


@pytest.fixture(scope="module")
def first(alone: Workplace) -> Any:
    """The verdict of a first experiment."""
    return alone.json("experiment", *SHORT)


@pytest.fixture(scope="module")
def second(place: Workplace, first: Any) -> Any:
    """The verdict of the same experiment, repeated."""
    return place.json("experiment", *SHORT)


def test_a_first_experiment_promotes_a_model_that_is_really_better(first: Any) -> None:
    assert first["outcome"] == "promoted"
    assert first["version"] == first["champion"] == 1
    comparison = first["comparison"]
    assert comparison["n"] == 360
    assert 0.30 <= comparison["baseline"]["value"] <= 0.50
    assert comparison["delta"] >= 0.10
    assert comparison["p_value"] < 0.001
    assert len(comparison["gained"]) - len(comparison["lost"]) == round(360 * comparison["delta"])
    assert {group["name"] for group in comparison["bands"]} == {"easy", "medium", "hard"}


def test_both_runs_stand_in_the_registry_with_their_files(alone: Workplace, first: Any) -> None:
    listed = {run["run_id"]: run for run in alone.json("runs", "list")}
    for kind, name in (("baseline", "baseline"), ("trained", "trained")):
        run = listed[first[name]["run_id"]]
        assert (run["kind"], run["status"], run["metric"]["n"]) == (kind, "finished", 360)
        directory = Path(run["directory"])
        files = {
            "manifest.json",
            "dataset.jsonl",
            "predictions.jsonl",
            "predictions_meta.json",
            "scores.jsonl",
            "metrics.json",
        }
        assert files <= {path.name for path in directory.iterdir()}
        ids = [
            [json.loads(line)["trace_id"] for line in (directory / f"{part}.jsonl").open()]
            for part in ("dataset", "predictions", "scores")
        ]
        assert ids[0] == ids[1] == ids[2]
        golden = Path(__file__).parents[2] / "golden" / "data" / "golden-v1.jsonl"
        assert (directory / "dataset.jsonl").read_bytes() == golden.read_bytes()
    manifest = json.loads((Path(first["trained"]["directory"]) / "manifest.json").read_text())
    assert manifest["training"]["config"]["steps"] == 60
    assert manifest["training"]["contamination"]["overlaps"] == 0
    assert len(manifest["environment"]["uv_lock_sha256"]) == 64
    curve = (Path(first["trained"]["directory"]) / "training.jsonl").read_text().splitlines()
    assert len(curve) == 60


@pytest.mark.slow
def test_the_same_experiment_reuses_the_baseline_and_gives_the_same_bytes(first: Any, second: Any) -> None:
    assert second["baseline"] == {**first["baseline"], "reused": True}
    assert second["trained"]["run_id"] != first["trained"]["run_id"]
    assert second["predictions_sha256"] == first["predictions_sha256"]
    assert second["weights_sha256"] == first["weights_sha256"]
    assert second["repeats"] == first["trained"]["run_id"]
    assert second["outcome"] == "already_champion"
    assert second["champion"] == 1


def test_the_promoted_version_loads_and_gives_the_recorded_predictions(alone: Workplace, first: Any) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = alone.json("models", "show", "tiny-reasoner@champion")["path"]
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(path)
    directory = Path(first["trained"]["directory"])
    items = [json.loads(line) for line in (directory / "dataset.jsonl").open()]
    recorded = [json.loads(line)["prediction"] for line in (directory / "predictions.jsonl").open()]
    for item, prediction in list(zip(items, recorded, strict=True))[:25]:
        encoded = tokenizer(item["prompt"] + "\n", return_tensors="pt")
        written = model.generate(**encoded, do_sample=False, max_new_tokens=128)[
            0, encoded["input_ids"].shape[1] :
        ]
        assert tokenizer.decode(written, skip_special_tokens=True) == prediction


@pytest.mark.slow
def test_a_person_reads_the_decision_in_80_columns(place: Workplace, second: Any) -> None:
    compared = place.run("compare", second["baseline"]["run_id"], second["trained"]["run_id"], "--flips", "1")
    assert compared.returncode == 0
    assert "overall" in compared.stdout
    assert "got better" in compared.stdout
    table = compared.stdout.split("got better")[0].splitlines()[2:]  # sentences wrap on a terminal alone
    assert max(map(len, table)) <= 80
    history = place.run("models", "history", "tiny-reasoner").stdout
    assert "none -> v1" in history
    assert "is significant" in history
    assert place.run("verify").returncode == 0


@pytest.mark.slow
def test_a_useless_training_is_refused_and_the_refusal_recorded(place: Workplace, second: Any) -> None:
    done = place.run(
        "experiment", "--steps", "1", "--learning-rate", "1e-9", "--fail-unless-promoted", "--json"
    )
    assert done.returncode == 5, done.stderr
    verdict = json.loads(done.stdout)
    assert verdict["outcome"] == "refused"
    assert verdict["against"]["run_id"] != verdict["baseline"]["run_id"], (
        "the gate compares with the champion"
    )
    assert verdict["against"]["reused"]
    assert verdict["comparison"]["delta"] == pytest.approx(0, abs=0.02)
    assert [row["action"] for row in place.json("models", "history", "tiny-reasoner")] == [
        "promoted",
        "refused",
    ]
    again = place.run("promote", verdict["trained"]["run_id"])
    assert again.returncode == 0, "a refusal is an answer"
    assert "NOT PROMOTED" in again.stdout
    forced = place.json("promote", verdict["trained"]["run_id"], "--force", "--reason", "a demonstration")
    assert (forced["outcome"], forced["version"]) == ("forced", 2)
    back = place.json("rollback", "1", "--reason", "end of the demonstration")
    assert back["number"] == 1
    assert place.json("models", "history", "tiny-reasoner")[-1]["reason"] == "end of the demonstration"


@pytest.mark.slow
def test_the_champion_can_be_evaluated_by_its_name(place: Workplace, second: Any) -> None:
    run = place.json("evaluate", "registry:tiny-reasoner@v1")
    assert run["reused"], "the champion's scores are recorded already"
    assert run["run_id"] in (second["repeats"], second["trained"]["run_id"])


@pytest.mark.slow
def test_a_run_is_reproduced_to_the_byte(place: Workplace, first: Any) -> None:
    lines = (
        (Path(__file__).parents[2] / "golden" / "data" / "golden-v1.jsonl")
        .read_text()
        .splitlines(keepends=True)
    )
    (place.folder / "few-v1.jsonl").write_text("".join(lines[:16]))
    run = place.json("train", "--dataset", "few-v1.jsonl", "--steps", "3")
    done = place.run("reproduce", run["run_id"])
    assert done.returncode == 0, done.stderr
    assert f"IDENTICAL: weights, predictions, scores of run {run['run_id']} are the" in done.stdout
    assert "The environment is unchanged" in done.stdout
    newest = place.json("runs", "list", "--limit", "1")[0]
    assert newest["run_id"] != run["run_id"]
    assert (newest["model_sha256"], newest["predictions_sha256"]) == (
        run["model_sha256"],
        run["predictions_sha256"],
    )


@pytest.fixture
def slow_dataset(place: Workplace) -> Path:
    """Many items, so that a process can be caught while it predicts."""
    path = place.folder / "slow-v1.jsonl"
    rows = [
        json.loads(line) for line in (Path(__file__).parents[2] / "golden" / "data" / "train-v1.jsonl").open()
    ][:400]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def slow_server() -> Iterator[ChatServer]:
    """A server whose answers take their time."""

    def reply(*_: object) -> Reply:
        time.sleep(0.05)
        return completion("Answer: 1")

    with chat_server(reply) as served:
        yield served


@pytest.mark.slow
@pytest.mark.parametrize(
    "engine", ["transformers", pytest.param("vllm", marks=[needs_vllm, pytest.mark.long]), "openai"]
)
def test_a_run_stopped_in_any_way_is_truthful_leaves_no_process_and_continues(
    alone: Workplace, first: Any, slow_dataset: Path, slow_server: ChatServer, engine: str
) -> None:
    served = ("endpoint:small", "--endpoint", slow_server.url)
    model = served if engine == "openai" else ("tiny-base", "--engine", engine)
    arguments = ("evaluate", *model, "--dataset", slow_dataset, "--batch-size", "8")
    known = {path.name for path in (alone.home / "runs").iterdir()}

    def partial() -> Path | None:
        return next(
            (
                path
                for path in (alone.home / "runs").glob("*/predictions.partial.jsonl")
                if path.parent.name not in known
            ),
            None,
        )

    size = 0
    for number, code in (
        (signal.SIGKILL, -9),
        (signal.SIGTERM, 143),
        (signal.SIGINT, 130),
    ):
        child = alone.start(*arguments)
        wait_until(
            lambda before=size: (path := partial()) is not None and path.stat().st_size > before + 2_000,
            child,
        )
        path = partial()
        assert path is not None
        child.send_signal(number)
        _, errors = child.communicate(timeout=60)
        assert child.returncode == code, errors
        assert "Traceback" not in errors
        run = alone.json("runs", "show", path.parent.name)
        assert run["status"] == "interrupted"
        if number != signal.SIGKILL:
            assert f"stopped by {number.name}" in errors
            assert f"stopped by {number.name}" in run["error"]
        deadline = time.monotonic() + 30
        while (left := alone.processes()) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert left == []
        size = path.stat().st_size
    resumed = alone.json(*arguments)
    assert resumed["run_id"] == path.parent.name
    assert resumed["status"] == "finished"
    assert resumed["metrics"][0]["n"] == 400


SLOW_JUDGE = '''"""A judge that takes its time."""

import time
from pathlib import Path

from judges.base import Score


class Generous:
    """Says yes."""

    name = "generous"
    version = "v1"

    def score(self, item, prediction):
        """Look at an item for a while, and leave a mark."""
        Path(__file__).with_name("judging").touch()
        time.sleep(0.05)
        return Score(trace_id=item.trace_id, score=1.0, extracted=None, reason="correct")
'''


@pytest.mark.slow
def test_a_run_stopped_while_it_is_judged_is_truthful_and_predicts_nothing_again(
    tmp_path: Path, slow_server: ChatServer
) -> None:
    place = Workplace(tmp_path, **install_plugin(tmp_path / "site", source=SLOW_JUDGE))
    mark = tmp_path / "site" / "acme_judges" / "judging"
    (tmp_path / "few-v1.jsonl").write_bytes(
        b"".join((BUILT_IN / "golden-v1.jsonl").read_bytes().splitlines(keepends=True)[:40])
    )
    arguments = (
        *("evaluate", "endpoint:small", "--endpoint", slow_server.url),
        *("--dataset", "few-v1.jsonl", "--judge", "generous@v1"),
    )
    run_ids = set()
    for number, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)):
        mark.unlink(missing_ok=True)
        child = place.start(*arguments)
        wait_until(mark.exists, child)
        child.send_signal(number)
        _, errors = child.communicate(timeout=60)
        assert child.returncode == code, errors
        assert "Traceback" not in errors
        [run] = place.json("runs", "list")
        assert run["status"] == "interrupted"
        run_ids.add(run["run_id"])
        if number != signal.SIGKILL:
            assert f"stopped by {number.name}" in errors
    asked = len(slow_server.asked)
    finished = place.json(*arguments)
    run_ids.add(finished["run_id"])
    assert len(run_ids) == 1
    assert finished["metrics"][0] | {"n": 40, "value": 1.0} == finished["metrics"][0]
    assert len(slow_server.asked) == asked


@pytest.mark.slow
def test_two_at_once_take_turns_and_the_second_says_for_whom_it_waits(
    place: Workplace, first: Any, slow_dataset: Path
) -> None:
    place.environment |= {"HALLMARK_EXCLUSIVE": "always", "HALLMARK_LOCKS": str(place.folder / "locks")}
    both = [
        place.start("baseline", "--dataset", slow_dataset, "--max-new-tokens", length) for length in (40, 41)
    ]
    said = [child.communicate(timeout=300)[1] for child in both]
    assert [child.returncode for child in both] == [0, 0], said
    waited = [
        re.search(r"waiting for the CPU, used by inference, run (\S+) \(process \d+, since", text)
        for text in said
    ]
    assert sum(found is not None for found in waited) == 1, said
    named = next(found[1] for found in waited if found)
    assert named in {path.name for path in (place.home / "runs").iterdir()}


@pytest.mark.slow
def test_damaged_weights_end_with_their_file_before_a_run_begins_never_with_a_score_of_zero(
    place: Workplace, first: Any
) -> None:
    before = place.json("runs", "list")
    broken = place.folder / "broken model"
    shutil.copytree(TINY_BASE_DIRECTORY, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5000])
    done = place.run("evaluate", broken)
    assert done.returncode == 3
    assert "damaged safetensors file" in done.stderr
    assert "Traceback" not in done.stderr
    assert place.json("runs", "list") == before
