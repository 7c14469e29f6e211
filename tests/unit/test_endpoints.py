"""Models that an endpoint serves: named, asked, judged; never taken for weights."""

from __future__ import annotations

import copy
import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import hallmark as hm
from core.errors import HallmarkError, InputError, ResourceError
from evaluation.gate import GateConfig
from experiments import phases
from experiments.comparing import compare_runs
from experiments.config import EvaluateConfig, ExperimentConfig, TrainRunConfig, configured, evaluation
from experiments.lineage import training_data
from experiments.plan import plan_evaluation
from experiments.promoting import promote_run
from experiments.references import resolve_model
from experiments.reproducing import plan_reproduction
from experiments.runs import begin_run, find_reusable, owned, why_not_reused
from experiments.verifying import verify
from experiments.workspace import Workspace
from golden.datasets import read_items
from golden.prompting import PromptConfig, ResolvedPrompt
from hallmark.cli.show.run import show_run
from inference.contract import GenerationConfig, PredictionMeta, PredictResult, PredictSpec
from inference.endpoint import Access, Endpoint, Served, look
from inference.engines.base import Request
from inference.engines.openai_engine import Conversation, OpenAIEngine, retry_after
from inference.generate import predict
from inference.partial import Row
from registry import Run
from tests.support.chat_servers import ChatServer, Reply, chat_server, completion
from tests.support.child_process import start_child_process
from tests.support.recorded_runs import record_baseline, workspace_at
from tests.support.refusals import assert_refused
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.unit

AWAY = "http://127.0.0.1:9/v1"
SIGN_IN = "me:s%33cret"
SECRET = "s3cret"
KILLS = int(os.environ.get("HALLMARK_TEST_KILLS", "20"))


def answer(body: dict[str, Any], _: int = 0) -> Reply:
    """Question n of the small dataset has the answer n + 1; every second one is answered wrongly."""
    number = int(body["messages"][-1]["content"].split()[1].rstrip("?"))
    return completion(f"Answer: {number + 1 if number % 2 else 'no idea'}")


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server(answer) as served:
        yield served


def spec(folder: Path, server: ChatServer, **settings: Any) -> PredictSpec:
    """A job for the small dataset."""
    (folder / "run").mkdir(exist_ok=True)
    prompt = ResolvedPrompt(config=PromptConfig.model_validate(settings.pop("prompt", {})))
    count = settings.pop("items", 4)
    generation = {"endpoint": server.url, "max_new_tokens": 16, **settings}
    return PredictSpec(
        model=None,
        served="small",
        dataset=small_dataset(folder, map(str, range(1, count + 1))),
        output=folder / "run",
        label="predict",
        generation=GenerationConfig.model_validate(generation),
        prompt=prompt,
    )


def predicted(wanted: PredictSpec) -> tuple[list[str], PredictionMeta]:
    """What is written for each item, and what is recorded of it."""
    predict(wanted, lambda _: None)
    lines = (wanted.output / "predictions.jsonl").read_text().splitlines()
    meta = PredictionMeta.model_validate_json((wanted.output / "predictions_meta.json").read_text())
    return [json.loads(line)["prediction"] for line in lines], meta


# how it is named


def test_a_sign_in_in_the_url_is_kept_beside_what_is_recorded() -> None:
    config = GenerationConfig.model_validate({"endpoint": f"http://{SIGN_IN}@localhost:8000/v1/"})
    assert config.endpoint == "http://localhost:8000/v1"
    assert "s%33cret" not in config.model_dump_json() + repr(config)
    for kept in (config, copy.deepcopy(config), GenerationConfig.model_validate(config.model_dump())):
        assert kept.endpoint is not None
        assert kept.endpoint.sign_in == ("me", SECRET)
    reread = GenerationConfig.model_validate_json(config.model_dump_json())
    assert reread == config
    assert reread.endpoint is not None
    assert reread.endpoint.sign_in is None


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "ftp://me:s3cret@x/v1",
        "http://",
        "http://me:s3cret@x:port/v1",
        "http://x/?k=s3cret",
        "http://x/v1/chat/completions",
    ],
)
def test_what_is_no_base_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(InputError, match="generation.endpoint: expected .*base URL") as refused:
        configured(EvaluateConfig, None, {"model": "endpoint:small", "generation.endpoint": url})
    assert SECRET not in str(refused.value)


def test_an_endpoint_implies_its_engine_also_over_the_settings_of_an_experiment(tmp_path: Path) -> None:
    given = {"model": "endpoint:small", "generation.endpoint": AWAY}
    assert configured(EvaluateConfig, None, given).generation.engine == "openai"
    file = tmp_path / "experiment.toml"
    file.write_text("[generation]\nmax_new_tokens = 99\n[train]\nsteps = 3\n")
    found = evaluation(file, given)
    assert (found.model, found.generation.engine, found.generation.longest) == (
        "endpoint:small",
        "openai",
        99,
    )


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (
            EvaluateConfig,
            {"model": "endpoint:x"},
            "the engine transformers cannot load. Say where it is served",
        ),
        (EvaluateConfig, {"model": "endpoint:x", "generation.engine": "vllm"}, "the engine vllm cannot load"),
        (EvaluateConfig, {"generation.endpoint": AWAY}, "tiny-base names weights.* Say endpoint:NAME"),
        (EvaluateConfig, {"generation.engine": "openai"}, "the engine openai, which needs one"),
        (
            EvaluateConfig,
            {"model": "endpoint:x", "generation.engine": "transformers", "generation.endpoint": AWAY},
            "generation.endpoint: is for the engine openai",
        ),
        (TrainRunConfig, {"base_model": "endpoint:x"}, "without its weights nothing can be trained from it"),
        (
            ExperimentConfig,
            {"base_model": "endpoint:x"},
            "without its weights nothing can be trained from it",
        ),
        (
            ExperimentConfig,
            {"generation.endpoint": AWAY},
            "an endpoint, which does not serve what is trained",
        ),
        *(
            (
                EvaluateConfig,
                {"model": "endpoint:x", "generation.endpoint": AWAY, f"generation.{name}": value},
                name,
            )
            for name, value in (
                ("output", "log_probs"),
                ("dtype", "bfloat16"),
                ("device", "cuda"),
                ("on_truncation", "refuse"),
                ("shards", 2),
            )
        ),
    ],
)
def test_what_cannot_be_done_with_an_endpoint_is_refused_with_the_settings(
    kind: Any, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        configured(kind, None, given)


# what is sent


def test_an_item_is_sent_as_its_conversation_with_the_settings_of_the_run(
    tmp_path: Path, server: ChatServer
) -> None:
    prompt = {"system": "Be brief.", "stop": ["END"], "template_args": {"enable_thinking": False}}
    wanted = spec(tmp_path, server, prompt=prompt, temperature=0.7, top_p=0.9, seed=5, samples=2, items=1)
    engine = OpenAIEngine(wanted)
    [asked] = engine.prompts(list(read_items(wanted.dataset)))
    rows = [row for made in engine.complete([Request(asked, n) for n in range(2)], print) for row in made]
    assert sorted(row.key for row in rows) == [("t0", 0), ("t0", 1)]
    first, second = sorted(server.asked, key=lambda body: body["seed"])
    assert first["seed"] != second["seed"]
    assert (
        {**first, "seed": 0}
        == {**second, "seed": 0}
        == {
            "model": "small",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Question 0?"},
            ],
            "max_tokens": 16,
            "temperature": 0.7,
            "top_p": 0.9,
            "seed": 0,
            "stop": ["END"],
            "stream": False,
            "chat_template_kwargs": {"enable_thinking": False},
        }
    )


@pytest.mark.parametrize(
    ("sign_in", "key", "sent"),
    [("", None, None), ("", "k3y", "Bearer k3y"), (f"{SIGN_IN}@", "k3y", "Basic bWU6czNjcmV0")],
)
def test_a_key_of_the_environment_is_sent_unless_the_url_has_a_sign_in(
    sign_in: str,
    key: str | None,
    sent: str | None,
    server: ChatServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    if key:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    given = spec(tmp_path, server, endpoint=server.url.replace("://", f"://{sign_in}"))
    predicted(given)
    assert {headers.get("authorization") for headers in server.headers} == {sent}


def test_many_are_asked_at_once_and_never_more_than_the_batch_size(tmp_path: Path) -> None:
    at_work, most, lock = 0, 0, threading.Lock()
    three = threading.Barrier(3)

    def reply(body: dict[str, Any], _: int) -> Reply:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        three.wait(60)  # nobody is answered before three are asked
        with lock:
            at_work -= 1
        return answer(body)

    with chat_server(reply) as server:
        predicted(spec(tmp_path, server, items=9, batch_size=3))
    assert most == 3


# what is answered


def test_answers_and_what_only_the_server_knows_are_recorded(tmp_path: Path, server: ChatServer) -> None:
    texts, meta = predicted(spec(tmp_path, server))
    assert texts == ["Answer: no idea", "Answer: 2", "Answer: no idea", "Answer: 4"]
    assert (meta.items, meta.prompt_tokens, meta.completion_tokens, meta.batching) == (4, 20, 28, "engine")
    assert {meta.device, meta.dtype, meta.tokenizer_sha256, meta.prompt_template} == {"unknown"}
    used = meta.engine
    assert (used.name, used.version, used.reproducible) == ("openai", "small-server/1", False)
    assert used.switches == {
        "endpoint": server.url,
        "model": "small",
        "answered_as": "small",
    }
    assert meta.unknown == ["truncated_prompts"]


@pytest.mark.parametrize(
    ("prompt", "reply", "prediction"),
    [
        ({}, completion("4", reasoning_content="2 and 2"), "4"),
        ({"thinking_end": "</t>"}, completion("4", reasoning_content="2 and 2"), "2 and 2</t>4"),
        ({"thinking_end": "</t>"}, completion("4", reasoning="2 and 2"), "2 and 2</t>4"),
        ({"thinking_end": "</t>"}, completion(None, "length", reasoning_content="2 and"), "2 and"),
        ({"thinking_end": "</t>"}, completion("2 and 2</t>4"), "2 and 2</t>4"),
        ({}, completion(None), ""),
        ({}, completion([{"type": "text", "text": "4"}, {"type": "text", "text": "2"}]), "42"),
        ({"stop": ["END"]}, completion("4 END 5"), "4 "),
        ({}, completion("half \ud800 of it"), "half \ufffd of it"),
    ],
)
def test_whatever_a_server_answers_becomes_a_prediction(
    prompt: dict[str, Any], reply: Reply, prediction: str, tmp_path: Path
) -> None:
    with chat_server(lambda *_: reply) as server:
        texts, _ = predicted(spec(tmp_path, server, items=1, prompt=prompt))
    assert texts == [prediction]


def test_how_an_answer_ended_is_recorded(tmp_path: Path) -> None:
    ends = {"Question 0?": "stop", "Question 1?": "length", "Question 2?": "content_filter"}
    with chat_server(lambda body, _: completion("4", ends[body["messages"][-1]["content"]])) as server:
        _, meta = predicted(spec(tmp_path, server, items=3))
    assert (meta.reached_max_new_tokens, meta.ended_otherwise) == (["t1"], {"t2": "content_filter"})


def test_the_newer_name_of_the_longest_answer_is_taken_where_the_server_wants_it(tmp_path: Path) -> None:
    said = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."

    def reply(body: dict[str, Any], _: int) -> Reply:
        return Reply({"error": {"message": said}}, 400) if "max_tokens" in body else answer(body)

    with chat_server(reply) as newer:
        texts, _ = predicted(spec(tmp_path, newer, batch_size=1))
        assert len(texts) == 4
        assert [each.get("max_completion_tokens") for each in newer.asked] == [None, 16, 16, 16, 16]


def test_refusals_and_calls_of_tools_are_recorded_as_such(tmp_path: Path) -> None:
    calls = [{"function": {"name": "f"}}]
    replies = [completion(None, refusal="I will not."), completion(None, "tool_calls", tool_calls=calls)]
    with chat_server(lambda body, _: replies["1?" in body["messages"][-1]["content"]]) as server:
        texts, meta = predicted(spec(tmp_path, server, items=2))
    assert texts == ["I will not.", ""]
    assert meta.ended_otherwise == {"t0": "refusal", "t1": "tool_calls"}


@pytest.mark.parametrize("sign_in", ["", f"{SIGN_IN}@"])
def test_a_server_that_repeats_what_it_was_sent_reveals_no_secret(
    sign_in: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k3y-of-mine")

    def reply(*_: Any) -> Reply:
        sent = f"{echoing.headers[-1]['authorization']} \ud800"
        return Reply({**completion(sent, sent).body, "model": sent, "system_fingerprint": sent})

    with chat_server(reply) as echoing:
        url = echoing.url.replace("://", f"://{sign_in}")
        predicted(wanted := spec(tmp_path, echoing, items=1, endpoint=url))
    for path in wanted.output.iterdir():
        assert not any(word in path.read_bytes() for word in (b"k3y-of-mine", b"s3cret", b"bWU6czNjcmV0"))


def test_a_server_that_tells_the_key_as_its_version_reveals_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k3y-of-mine")
    for told in ({"version": "1 k3y-of-mine"}, None):
        folder = tmp_path / str(told is None)
        folder.mkdir()
        with chat_server(answer, version=told, software="small k3y-of-mine") as telling:
            _, meta = predicted(wanted := spec(folder, telling, items=1))
        assert meta.engine.version is not None
        assert "***" in meta.engine.version
        assert not any(b"k3y-of-mine" in path.read_bytes() for path in wanted.output.iterdir())


def test_an_answer_that_takes_too_long_as_a_whole_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.engines.openai_engine.ANSWER_SECONDS", 0.3)
    with (
        chat_server(lambda *_: Reply(completion("4").body, drips=True)) as server,
        pytest.raises(ResourceError, match="item t0: .*gave no answer within .*generation.batch_size"),
    ):
        predicted(spec(tmp_path, server, items=1))


def test_an_answer_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.engines.openai_engine.LONGEST_ANSWER", 1000)
    with (
        chat_server(lambda *_: completion("x" * 2000)) as server,
        pytest.raises(InputError, match="an answer has more than"),
    ):
        predicted(spec(tmp_path, server, items=1))


# trouble


def said(usage: Any = None, **choice: Any) -> Reply:
    """A completion, with fields that a test gets wrong."""
    return Reply(
        {"choices": [{"message": {"content": "4"}, "finish_reason": "stop", **choice}], "usage": usage}
    )


PASSING = [
    Reply({"error": {"message": "slow down"}}, 429, {"Retry-After": "0"}),
    Reply("overloaded", 503, {"Retry-After": "Thu, 01 Jan 2026 00:00:00 GMT"}),
    Reply({"error": "failed"}, 500, {"Retry-After": "0"}),
    Reply(hangs_up=True),
    Reply('{"choices": [{"mess'),
    Reply({"error": {"message": "no provider", "code": 502}}),
]


def test_trouble_that_passes_is_waited_for(tmp_path: Path) -> None:
    def reply(body: dict[str, Any], before: int) -> Reply:
        number = int(body["messages"][-1]["content"].split()[1].rstrip("?"))
        return answer(body) if before else PASSING[number]

    with chat_server(reply) as server:
        texts, _ = predicted(spec(tmp_path, server, items=len(PASSING)))
        assert texts == [
            answer({"messages": [{"content": f"Question {n}?"}]}).body["choices"][0]["message"]["content"]
            for n in range(len(PASSING))
        ]
        assert len(server.asked) == 2 * len(PASSING)


@pytest.mark.parametrize(
    ("reply", "error", "message"),
    [
        (
            Reply({"error": {"message": "context is 8 tokens"}}, 400),
            InputError,
            "item t0: .*HTTP 400: context is 8 tokens",
        ),
        (Reply({"detail": "no field n"}, 422), InputError, "HTTP 422: no field n"),
        (
            Reply({"error": "bad key k3y"}, 401),
            InputError,
            r"the key in OPENAI_API_KEY is refused.*bad key \*\*\*",
        ),
        (
            Reply({"object": "error", "message": "gone"}, 404),
            InputError,
            "model 'small': gone. It serves small",
        ),
        (
            Reply("", 301, {"Location": "https://x/v1"}),
            InputError,
            "sends on to https://x/v1. Give that address",
        ),
        (Reply({"error": "busy"}, 503, {"Retry-After": "3600"}), ResourceError, "item t0: .*HTTP 503: busy"),
        (
            Reply({"error": "broken"}, 500, {"Retry-After": "0"}),
            ResourceError,
            "HTTP 500: broken. Look at the server",
        ),
        (
            Reply(
                {"error": {"message": "CUDA out of memory. Tried to allocate 2 GiB"}},
                500,
                {"Retry-After": "0"},
            ),
            ResourceError,
            "item t0: .*CUDA out of memory.*fewer at once by generation.batch_size",
        ),
        (Reply([]), ResourceError, "no chat completion"),
        (Reply("<html>log in k3y</html>"), InputError, r"item t0: .*no JSON.*<html>log in \*\*\*"),
        (Reply("[" * 200_000), InputError, "no JSON"),
        (said(message="hi"), InputError, r"item t0: .*choices.0.message: .*got 'hi'"),
        (said(finish_reason=["stop"]), InputError, "choices.0.finish_reason"),
        (said({"completion_tokens": "many"}), InputError, "usage.completion_tokens: .*got 'many'"),
        (said({"completion_tokens": -5}), InputError, "usage.completion_tokens"),
        (said({"prompt_tokens": 10**30}), InputError, "usage.prompt_tokens"),
        (said({"completion_tokens": float("inf")}), InputError, "usage.completion_tokens"),
        (said([1]), InputError, "usage: "),
        (Reply({"choices": [{}, {}]}), InputError, "item t0: .*choices: has 2; one is expected"),
        (Reply("no gzip", 200, {"Content-Encoding": "gzip"}), ResourceError, "cannot be read"),
    ],
)
def test_trouble_that_stays_is_said_in_the_words_of_the_server(
    reply: Reply, error: type[HallmarkError], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k3y")
    with chat_server(lambda *_: reply) as server:
        engine = OpenAIEngine(wanted := spec(tmp_path, server, items=1), patience=2)
        requests = list(map(Request, engine.prompts(list(read_items(wanted.dataset)))))
        with pytest.raises(error, match=message) as refused:
            list(engine.complete(requests, lambda _: None))
    assert "k3y" not in str(refused.value)


def test_what_was_answered_before_trouble_is_kept(tmp_path: Path) -> None:
    refusing = True

    def reply(body: dict[str, Any], _: int) -> Reply:
        last = body["messages"][-1]["content"] == "Question 3?"
        return Reply({"error": "too long"}, 400) if last and refusing else answer(body)

    with chat_server(reply) as server:
        wanted = spec(tmp_path, server, batch_size=1)
        with pytest.raises(InputError, match="item t3: .*too long"):
            predict(wanted, lambda _: None)
        refusing = False
        assert predict(wanted, lambda _: None).resumed == 3
    assert server.questions() == [f"Question {n}?" for n in (0, 1, 2, 3, 3)]


def test_a_disk_that_is_full_is_told_and_with_room_again_only_what_is_missing_is_asked_for(
    tmp_path: Path, small_disk: Path, server: ChatServer
) -> None:
    wanted = spec(tmp_path, server, items=40, batch_size=2)
    expected, _ = predicted(wanted)
    (small_disk / "run").mkdir()
    full = wanted.model_copy(update={"output": small_disk / "run"})
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * ((1 << 20) - (8 << 10)))
    with pytest.raises(ResourceError, match=f"{small_disk}/run/.*the disk is full"):
        predicted(full)
    before = len(server.asked)
    filler.unlink()
    assert predicted(full)[0] == expected
    assert len(server.asked) - before < 40


def test_no_more_than_a_window_of_prompts_and_answers_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.generate.WINDOW", 8)
    alive: list[int] = []

    def reply(body: dict[str, Any], _: int) -> Reply:
        alive.append(sum(isinstance(each, Conversation | Row) for each in gc.get_objects()))
        return answer(body)

    gc.collect()
    gc.freeze()  # what other tests have left is not counted
    try:
        with chat_server(reply) as server:
            predict(spec(tmp_path, server, items=40), lambda _: None)
    finally:
        gc.unfreeze()
    assert len(alive) == 40
    assert max(alive) <= 3 * 8, "prompts, answers, and those that are written"


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("2.5", 2.5), ("-1", 0.0), ("soon", None), ("", None), ("Thu, 01 Jan 2026 00:00:00 GMT", 0.0)]
    + [(each, None) for each in ("nan", "inf", "1e400", "1e9", "Thu, 01 Jan 9999999999 00:00:00 GMT")]
    + [("Fri, 31 Dec 9999 00:00:00 GMT", None)],
)
def test_how_long_to_wait_is_read_in_both_forms(said: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": said}) == seconds


def test_killed_in_the_middle_it_resumes_with_what_is_missing(tmp_path: Path) -> None:
    killed = threading.Event()

    def reply(body: dict[str, Any], _: int) -> Reply:
        if len(server.asked) > 3:
            killed.wait(60)
        return answer(body)

    with chat_server(reply) as server:
        wanted = spec(tmp_path, server, items=3 * KILLS + 6, batch_size=2)
        partial, known = wanted.output / "predictions.partial.jsonl", 0
        for _ in range(KILLS):
            server.asked.clear()
            killed.clear()
            child = start_child_process("inference", wanted, OPENAI_API_KEY="")
            while len(answered(partial)) < known + 3:
                time.sleep(0.02)
            child.kill()
            child.wait()
            known = len(answered(partial))
            killed.set()
            assert not (wanted.output / "predictions.jsonl").exists()
        server.asked.clear()
        result = predict(wanted, lambda _: None)
        assert result.resumed == known
        assert len(server.asked) == 3 * KILLS + 6 - known
    with chat_server(answer) as server:
        (tmp_path / "other").mkdir()
        undisturbed = predict(spec(tmp_path / "other", server, items=3 * KILLS + 6), lambda _: None)
    assert result.predictions_sha256 == undisturbed.predictions_sha256
    left = sorted(path.name for path in wanted.output.iterdir())
    assert left == ["predictions.jsonl", "predictions.sha256", "predictions_meta.json"]


def answered(partial: Path) -> list[bytes]:
    """The lines of answers that are there; the first line of the file names the job."""
    return partial.read_bytes().splitlines()[1:] if partial.exists() else []


def test_the_process_that_asks_needs_no_torch() -> None:
    source = (
        "import sys, httpx, inference.generate, inference.engines.openai_engine\n"
        "print(sorted({'torch', 'transformers', 'jax', 'safetensors'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# what a server says of itself


@pytest.mark.parametrize(
    ("models", "name", "there"),
    [
        (["a", "b"], "a", True),
        (["a"], "c", False),
        (["llama3:latest"], "llama3", True),
        ([], "c", True),
        (None, "c", True),
    ],
)
def test_a_model_is_there_as_far_as_the_server_says(models: list[str] | None, name: str, there: bool) -> None:
    assert Served(models, None).has(name) is there


@pytest.mark.parametrize("models", [["small"], None])
def test_a_server_may_list_its_models_or_not(models: list[str] | None) -> None:
    with chat_server(answer, models) as server:
        assert look(Access(Endpoint(server.url))) == Served(models, "small-server/1")


def test_a_machine_is_checked_for_a_served_model(hallmark: Any, server: ChatServer) -> None:
    good = hallmark("doctor", "--model", "endpoint:small", "--endpoint", server.url)
    assert good.returncode == 0, good.stderr
    assert "small is served" in " ".join(good.stdout.split())
    bad = hallmark("doctor", "--model", "endpoint:large", "--endpoint", server.url)
    assert (bad.returncode, "large is not served" in " ".join(bad.stdout.split())) == (4, True)
    away = hallmark("doctor", "--endpoint", AWAY.replace("://", f"://{SIGN_IN}@"))
    assert (away.returncode, "no answer" in away.stdout, "cret" in away.stdout) == (4, True, False)


def test_a_machine_is_shown_what_a_server_is_sent(hallmark: Any, server: ChatServer, tmp_path: Path) -> None:
    wanted = spec(tmp_path, server)
    given = ("--dataset", wanted.dataset, "--set", "prompt.system=Be brief.", "--json")
    shown = hallmark("doctor", "--endpoint", server.url, *given)
    assert shown.returncode == 0, shown.stderr
    turns = {each["name"]: each["detail"] for each in json.loads(shown.stdout)}
    assert (turns["system"], turns["user"]) == ("Be brief.", "Question 0?")
    assert turns["dataset"].startswith(str(wanted.dataset))
    assert server.asked == []


# a whole run


def test_an_endpoint_that_is_not_there_or_lacks_the_model_is_named_before_anything_starts(
    hallmark: Any, server: ChatServer
) -> None:
    url = AWAY.replace("://", f"://{SIGN_IN}@")
    away = hallmark("evaluate", "endpoint:small", "--endpoint", url)
    assert_refused(away, 4, f"{AWAY}: no answer", f"curl {AWAY}/models")
    assert SECRET not in away.stderr
    lacking = hallmark("evaluate", "endpoint:large", "--endpoint", server.url)
    assert_refused(lacking, 2, f"endpoint:large: {server.url} does not serve it. It serves small")


Recorded = Callable[..., Run]


@pytest.fixture
def workspace(home: Path) -> Workspace:
    return workspace_at(home)


def recorded_served(workspace: Workspace, server: ChatServer, dataset: str, **settings: Any) -> Run:
    """A finished run of the served model, made as in production but for Prefect."""
    given = {"model": "endpoint:small", "dataset": dataset, "generation.endpoint": server.url}
    plan = plan_evaluation(configured(EvaluateConfig, None, {**given, **settings}), workspace)
    run = begin_run(plan, workspace.registry)
    with owned(run, workspace.registry):
        phases.export_dataset(run, plan)
        made: PredictResult = phases.predict_items(run, plan, lambda _: None)
        assert made.items == 4
        phases.record_run(run, plan, phases.judge_run(run, plan), workspace.registry)
    assert find_reusable(plan, workspace.registry) is None
    reason = why_not_reused(plan, workspace.registry)
    assert reason is not None
    assert f"nobody knows whether {plan.generation.endpoint} still serves the same weights" in reason
    return workspace.registry.runs.get(run.run_id)


@pytest.fixture
def record(workspace: Workspace, server: ChatServer, tmp_path: Path) -> Recorded:
    """`recorded_served` on the small dataset."""
    dataset = str(small_dataset(tmp_path))
    return lambda **settings: recorded_served(workspace, server, dataset, **settings)


def test_a_served_model_is_judged_compared_and_verified_and_nothing_secret_is_kept(
    record: Recorded,
    workspace: Workspace,
    server: ChatServer,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k3y-of-mine")
    first = record(**{"generation.endpoint": server.url.replace("://", f"://{SIGN_IN}@")})
    second = record()
    registry = workspace.registry
    comparison = compare_runs(first.run_id, second.run_id, registry)
    assert (comparison.delta, len(comparison.gained)) == (0.0, 0)
    assert first.manifest["generation"]["max_new_tokens"] == 1024
    assert first.manifest["generation"]["endpoint"] == server.url
    assert first.model_sha256 == second.model_sha256
    assert training_data(first, registry.datasets.get(first.dataset_id), workspace).status == "unknown"
    assert not verify(workspace).problems
    show_run(hm.run(first.run_id))
    assert f"unknown, served by {server.url}" in capsys.readouterr().out
    for path in home.rglob("*"):
        if path.is_file():
            assert not any(word in path.read_bytes() for word in (b"s3cret", b"s%33cret", b"k3y-of-mine")), (
                path
            )


def test_models_of_two_servers_are_compared(record: Recorded, workspace: Workspace) -> None:
    first = record()
    with chat_server(lambda *_: completion("Answer: 1"), ["large"]) as another:
        second = record(model="endpoint:large", **{"generation.endpoint": another.url})
    comparison = compare_runs(first.run_id, second.run_id, workspace.registry)
    assert (len(comparison.gained), len(comparison.lost)) == (1, 2)
    assert first.model_sha256 != second.model_sha256


def test_answers_of_a_served_model_that_differ_are_counted_without_its_weights(
    workspace: Workspace, tmp_path: Path, hallmark: Any
) -> None:
    told = iter(range(100))
    with chat_server(lambda *_: completion(f"Answer: {next(told) // 6}")) as fickle:
        dataset = str(small_dataset(tmp_path))
        one, two = (
            recorded_served(workspace, fickle, dataset, **{"generation.batch_size": 1}) for _ in range(2)
        )
    found = hm.diff(one.run_id, two.run_id)
    assert [(each.trace_id, each.token, each.margin) for each in found.differing] == [
        (f"t{n}", None, None) for n in (0, 1, 2, 3) if n // 6 != (n + 4) // 6
    ]
    assert found.headline == "2 of 4 answers differ"
    local = record_baseline(workspace, dataset=dataset)
    assert_refused(hallmark("runs", "diff", one.run_id, local.run_id), 2, "not asked alike", "model")


def test_a_served_model_is_never_promoted_and_never_reproduced(
    record: Recorded, workspace: Workspace, server: ChatServer
) -> None:
    run = record()
    for force in (None, "because"):
        with pytest.raises(InputError, match="served by an endpoint. Its weights are not known"):
            promote_run(run.run_id, "support", GateConfig(), workspace, force_reason=force)
    assert workspace.registry.models.aliased("support") is None
    with pytest.raises(InputError, match="Nobody knows whether the same weights are still served"):
        plan_reproduction(run.run_id, workspace)
    with pytest.raises(InputError, match="weights are not known here, and this needs them"):
        resolve_model("endpoint:small", workspace)


def test_a_served_model_is_not_compared_with_one_that_ran_here(
    record: Recorded, workspace: Workspace, tmp_path: Path
) -> None:
    served = record()
    local = record_baseline(workspace, dataset=str(tmp_path / "small-v1.jsonl"))
    with pytest.raises(InputError, match="engine"):
        compare_runs(local.run_id, served.run_id, workspace.registry)


@pytest.mark.parametrize(
    ("reference", "thinking", "longest"),
    [("4", None, 1024), ("4", "</t>", 1024 + 2048), ("long " * 600, None, 2304)],
)
def test_without_a_tokenizer_completions_get_room_for_what_chat_models_write(
    reference: str,
    thinking: str | None,
    longest: int,
    workspace: Workspace,
    server: ChatServer,
    tmp_path: Path,
) -> None:
    dataset = small_dataset(tmp_path, [reference])
    given = {
        "model": "endpoint:small",
        "dataset": str(dataset),
        "generation.endpoint": server.url,
        "generation.max_new_tokens": "fit",
        "prompt.thinking_end": thinking,
    }
    plan = plan_evaluation(configured(EvaluateConfig, None, given), workspace)
    assert plan.generation.max_new_tokens == longest
