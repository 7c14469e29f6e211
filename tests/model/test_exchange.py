"""lm-evaluation-harness and inspect_ai, run for real: the same items, predictions and scores."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.files import read_jsonl
from experiments.comparing import compare_runs
from experiments.exchange.exporting import export_run
from experiments.exchange.importing import prepare_predictions, record_predictions
from experiments.exchange.tasks import export_task
from experiments.references import TINY_BASE_DIRECTORY
from experiments.runs import RunRef
from experiments.workspace import Workspace, open_workspace
from golden.datasets import load_dataset, read_items
from tests.support.recorded_runs import plan_of, record_planned
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.model

ITEMS, TOKENS = 8, 48
TEMPLATE = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"


@pytest.fixture
def place(home: Path) -> Workspace:
    return open_workspace()


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Items of every category, some of which the tiny base gets right."""
    items = list(load_dataset("golden-v1").items())
    path = tmp_path / "few-v1.jsonl"
    path.write_text(
        "".join(json.dumps(item.model_dump()) + "\n" for item in items[:: len(items) // ITEMS][:ITEMS])
    )
    return path


@pytest.fixture
def chat_model(tmp_path: Path) -> Path:
    """The tiny base with a chat template, which writes what it gets without one."""
    target = shutil.copytree(TINY_BASE_DIRECTORY, tmp_path / "chat")
    (target / "chat_template.jinja").write_text(TEMPLATE)
    return Path(target)


def ours(place: Workspace, model: str, dataset: Path) -> RunRef:
    """A run of ours, predicted in this process."""
    from experiments.phases import export_dataset, judge_run, record_run
    from experiments.runs import begin_run, owned
    from inference.contract import PredictSpec
    from inference.generate import predict

    settings: dict[str, Any] = {"generation": {"max_new_tokens": TOKENS}}
    plan = plan_of(place, model=model, dataset=str(dataset), **settings)
    run = begin_run(plan, place.registry)
    with owned(run, place.registry):
        export_dataset(run, plan)
        spec = PredictSpec(
            model=plan.model.path,
            dataset=run.files.dataset,
            output=run.directory,
            label="predict",
            generation=plan.generation,
            prompt=plan.prompt,
        )
        predict(spec, lambda _: None)
        record_run(run, plan, judge_run(run, plan), place.registry)
    return run


def brought(path: Path, model: str, dataset: Path, place: Workspace) -> RunRef:
    settings = {"model": model, "dataset": str(dataset)}
    return record_predictions(prepare_predictions(path, settings, place), place)


def scores_of(run: RunRef, place: Workspace) -> dict[str, float]:
    return place.registry.runs.scores(run.run_id)


def test_lm_eval_on_the_exported_task_agrees_item_by_item_and_its_samples_come_back(
    tmp_path: Path, place: Workspace, dataset: Path
) -> None:
    lm_eval = pytest.importorskip("lm_eval", reason="needs lm-eval, of the group peers")
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    task = export_task(dataset, tmp_path / "task", "lm-eval", max_new_tokens=TOKENS)[0]
    tracker = EvaluationTracker(output_path=str(tmp_path / "out"))
    found = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(TINY_BASE_DIRECTORY), "dtype": "float32", "device": "cpu"},
        tasks=[task.stem],
        task_manager=TaskManager(include_path=str(task.parent), include_defaults=False),
        batch_size=4,
        evaluation_tracker=tracker,
        bootstrap_iters=0,
    )
    samples = found.pop("samples")
    theirs = {each["doc"]["trace_id"]: each["answer_correctness"] for each in samples[task.stem]}
    run = ours(place, "tiny-base", dataset)
    assert theirs == scores_of(run, place)
    assert 0 < sum(theirs.values()) < ITEMS
    assert found["results"][task.stem]["answer_correctness,none"] == sum(theirs.values()) / ITEMS

    tracker.save_results_aggregated(results=found, samples=samples)
    tracker.save_results_samples(task_name=task.stem, samples=samples[task.stem])
    (path,) = (tmp_path / "out").rglob("samples_*.jsonl")
    back = brought(path, "tiny-base", dataset, place)
    assert back.files.predictions.read_bytes() == run.files.predictions.read_bytes()
    comparison = compare_runs(run.run_id, back.run_id, place.registry)
    assert comparison.unknown == {back.run_id: ["reached_max_new_tokens"]}


def test_lm_evals_own_tools_read_what_is_exported(tmp_path: Path, place: Workspace, dataset: Path) -> None:
    lm_eval = pytest.importorskip("lm_eval.utils", reason="needs lm-eval, of the group peers")
    plan = plan_of(place, dataset=str(dataset))
    run = record_planned(place, plan, lambda n, item: f"Answer: {item.reference if n % 2 else 'no'}", None)
    samples, results = export_run(run.run_id, tmp_path / "out", place.registry, "lm-eval")
    names = [str(path) for path in (samples, results)]
    assert lm_eval.get_sample_results_filenames(names) == [str(samples)]
    assert lm_eval.get_results_filenames(names) == [str(results)]
    assert lm_eval.get_file_task_name(samples.name) == "few-v1"
    assert lm_eval.get_file_datetime(samples.name) == lm_eval.get_file_datetime(results.name).removesuffix(
        ".json"
    )
    document = json.loads(results.read_text())
    assert "|few-v1|" in lm_eval.make_table(document)
    rows = [row["answer_correctness"] for _, row in read_jsonl(samples)]
    assert document["results"]["few-v1"]["answer_correctness,none"] == sum(rows) / len(rows)


def said_in_turn() -> Callable[[str], str]:
    """Answers of which the first to a question ends otherwise than the second and the third."""
    asked = Counter[str]()

    def said(question: str) -> str:
        asked[question] += 1
        return f"To {question.strip()}\nAnswer: {asked[question]}"

    return said


def test_repeats_of_lm_eval_come_back_and_its_filters_read_the_samples_that_are_exported(
    tmp_path: Path, place: Workspace
) -> None:
    lm_eval = pytest.importorskip("lm_eval", reason="needs lm-eval, of the group peers")
    from lm_eval.api.model import LM
    from lm_eval.filters.selection import TakeKFilter
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    class Said(LM):  # type: ignore[misc]
        def generate_until(self, requests: list[Any]) -> list[str]:
            said = said_in_turn()
            return [said(each.args[0]) for each in requests]

        def loglikelihood(self, requests: list[Any]) -> list[Any]:
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood

    dataset = small_dataset(tmp_path)
    task = export_task(dataset, tmp_path / "task", "lm-eval", max_new_tokens=TOKENS)[0]
    drawn = task.read_text().replace("do_sample: false", "do_sample: true").replace("0.0", "0.7")
    task.write_text(f"{drawn}repeats: 3\n")
    tracker = EvaluationTracker(output_path=str(tmp_path / "out"))
    manager = TaskManager(include_path=str(task.parent), include_defaults=False)
    found = lm_eval.simple_evaluate(
        Said(), tasks=[task.stem], task_manager=manager, evaluation_tracker=tracker, bootstrap_iters=0
    )
    samples = found.pop("samples")
    tracker.save_results_aggregated(results=found, samples=samples)
    tracker.save_results_samples(task_name=task.stem, samples=samples[task.stem])
    (path,) = (tmp_path / "out").rglob("samples_*.jsonl")
    run = brought(path, "tiny-base", dataset, place)
    assert list(scores_of(run, place).values()) == [1 / 3, 1 / 3, 1 / 3, 0]
    meta = place.registry.runs.get(run.run_id).predictions_meta or {}
    assert {"generation.seed", "generation.top_p"} < set(meta["unknown"])
    assert "generation.temperature" not in meta["unknown"]

    (exported, _) = export_run(run.run_id, tmp_path / "back", place.registry, "lm-eval")
    theirs, ours = ([row for _, row in read_jsonl(each, any_text=True)] for each in (path, exported))
    assert [row["resps"] for row in ours] == [row["resps"] for row in theirs]
    taken = TakeKFilter(k=2).apply([row["resps"][0] for row in ours], [row["doc"] for row in ours])
    assert list(taken) == [row["resps"][0][:2] for row in theirs]
    assert brought(exported, "tiny-base", dataset, place).files.predictions.read_bytes() == (
        run.files.predictions.read_bytes()
    )


def test_epochs_of_inspect_come_back_and_it_scores_those_that_are_exported_alike(
    tmp_path: Path, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspect_ai = pytest.importorskip("inspect_ai", reason="needs inspect-ai, of the group peers")
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.log import read_eval_log
    from inspect_ai.model import GenerateConfig, ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import includes

    said = said_in_turn()

    def output(turns: list[Any], *_: Any) -> Any:
        return ModelOutput(
            choices=ModelOutput.from_content("mockllm", said(turns[-1].text)).choices, usage=ModelUsage()
        )

    monkeypatch.chdir(tmp_path)
    dataset = small_dataset(tmp_path)
    asked = [
        Sample(id=each.trace_id, input=each.prompt, target=f"Answer: {each.reference}")
        for each in read_items(dataset)
    ]
    config = GenerateConfig(temperature=0.7, max_tokens=TOKENS)
    task = inspect_ai.Task(MemoryDataset(asked), scorer=includes(), epochs=3, config=config)
    model = get_model("mockllm/model", custom_outputs=output)
    (log,) = inspect_ai.eval(task, model=model, display="none", log_dir=str(tmp_path / "logs"))
    assert log.status == "success", log.error
    run = brought(Path(log.location), "tiny-base", dataset, place)
    scores = scores_of(run, place)
    assert {each.sample_id: each.value for each in log.reductions[0].samples} == scores
    assert sorted(scores.values()) == [0, 1 / 3, 1 / 3, 1 / 3]

    for name in ("run.eval", "run.json"):
        (path,) = export_run(run.run_id, tmp_path / name, place.registry)
        read = read_eval_log(str(path))
        theirs, ours = (
            {(each.id, each.epoch): each.output.completion for each in found.samples} for found in (log, read)
        )
        assert ours == theirs
        again = inspect_ai.score(read, includes(), model="none", display="none", action="overwrite")
        assert again.results.scores[0].metrics == log.results.scores[0].metrics
        assert read.results.scores[0].metrics["mean"].value == pytest.approx(1 / 4)
    assert brought(path, "tiny-base", dataset, place).files.predictions.read_bytes() == (
        run.files.predictions.read_bytes()
    )


def test_inspect_on_the_exported_task_agrees_item_by_item_and_its_log_comes_back(
    tmp_path: Path, place: Workspace, dataset: Path, chat_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspect_ai = pytest.importorskip("inspect_ai", reason="needs inspect-ai, of the group peers")
    from inspect_ai.log import read_eval_log
    from inspect_ai.model import get_model

    monkeypatch.chdir(tmp_path)
    task = export_task(dataset, tmp_path / "task", "inspect", max_new_tokens=TOKENS)[0]
    model = get_model(f"hf/{chat_model}", device="cpu", do_sample=False, dtype="float32")
    (log,) = inspect_ai.eval(
        f"task/{task.name}", model=model, display="none", log_dir=str(tmp_path / "logs"), max_connections=4
    )
    assert log.status == "success", log.error
    theirs = {str(each.id): each.scores["answer_correctness"].value for each in log.samples}
    run = ours(place, str(chat_model), dataset)
    assert theirs == scores_of(run, place)
    assert 0 < sum(theirs.values()) < ITEMS
    assert log.results.scores[0].metrics["mean"].value == sum(theirs.values()) / ITEMS

    back = brought(Path(log.location), str(chat_model), dataset, place)
    assert back.files.predictions.read_bytes() == run.files.predictions.read_bytes()

    unknown = ["prompt.date", "prompt.template_args", "reached_max_new_tokens"]
    assert compare_runs(run.run_id, back.run_id, place.registry).unknown == {back.run_id: unknown}

    for name in ("run.eval", "run.json"):
        (path,) = export_run(run.run_id, tmp_path / name, place.registry)
        read = read_eval_log(str(path))
        assert {str(each.id): each.scores["answer_correctness"].value for each in read.samples} == theirs
        assert read.results.scores[0].metrics["mean"].value == sum(theirs.values()) / ITEMS
        said = (
            {str(each.id): each.output.completion for each in samples}
            for samples in (read.samples, log.samples)
        )
        assert next(said) == next(said)
