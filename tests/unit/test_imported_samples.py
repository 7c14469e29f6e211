"""`hallmark predictions import` of several samples of each item, and the ways back."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from core.errors import InputError
from core.files import read_json
from evaluation.gate import GateConfig
from experiments.answers import answers
from experiments.comparing import compare_runs
from experiments.differing import diff_runs
from experiments.exchange.exporting import export_run
from experiments.exchange.importing import record_predictions
from experiments.promoting import promote_run
from experiments.rejudging import rejudge
from experiments.workspace import Workspace, open_workspace
from golden.datasets import read_items
from golden.schema import Item
from tests.conftest import CommandLine
from tests.support.foreign_predictions import (
    batch_line,
    epochs_log,
    lm_eval_file,
    lm_eval_results,
    lm_eval_sample,
    looked_at,
    pack_log,
    recorded,
    write_lines,
)
from tests.support.recorded_runs import recorded_run
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.unit

TEXTS = {
    "t0": ["Answer: 1", "no idea", "Answer: 1"],
    "t1": [" so\r\n2", "Answer: 3", "Answer: 3 \U0001f600"],
    "t2": ["", "Answer: 3", ""],
    "t3": ["Answer: 4", "Answer: 4", "Answer: 4"],
}
NO_NUMBER = "sample: expected the number of a sample, as in 1, got 'two'"
SAMPLED = {"generation": {"samples": 3, "temperature": 0.7, "max_new_tokens": 16}}


@pytest.fixture
def place(home: Path) -> Workspace:
    return open_workspace()


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return small_dataset(tmp_path)


@pytest.fixture
def items(dataset: Path) -> list[Item]:
    return list(read_items(dataset))


def listed(folder: Path, texts: dict[str, list[str]] = TEXTS) -> Path:
    rows = [{"trace_id": trace_id, "predictions": each} for trace_id, each in texts.items()]
    return write_lines(folder / "predictions.jsonl", rows)


def numbered() -> list[dict[str, Any]]:
    """A row for each sample, the last sample first."""
    return [
        {"trace_id": trace_id, "sample": number, "prediction": TEXTS[trace_id][number]}
        for number in (2, 0, 1)
        for trace_id in TEXTS
    ]


def every_format(folder: Path, items: list[Item]) -> dict[str, Path]:
    lm_eval_results(folder)
    log = epochs_log(items, TEXTS)
    (folder / "log.json").write_text(json.dumps(log, indent=2))
    parquet.write_table(
        arrow.table({"id": list(TEXTS), "outputs": list(TEXTS.values())}), folder / "answers.parquet"
    )
    with (folder / "answers.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ("trace_id", "sample", "prediction"))
        table.writeheader()
        table.writerows(numbered())
    samples = [lm_eval_sample(n, item, *TEXTS[item.trace_id]) for n, item in enumerate(items)]
    return {
        "lists": listed(folder),
        "a row each": write_lines(folder / "numbered.jsonl", numbered()),
        "a row each, CSV": folder / "answers.csv",
        "Parquet": folder / "answers.parquet",
        "lm-eval": lm_eval_file(folder, samples),
        "inspect": pack_log(folder / "log.eval", log),
        "inspect (JSON)": folder / "log.json",
        "openai-batch": write_lines(
            folder / "batch_output.jsonl", [batch_line(trace_id, *texts) for trace_id, texts in TEXTS.items()]
        ),
    }


def test_samples_of_each_format_are_scored_as_those_of_a_run_of_ours(
    tmp_path: Path, place: Workspace, dataset: Path, items: list[Item]
) -> None:
    ours = recorded_run(place, lambda _, item: TEXTS[item.trace_id], dataset=str(dataset), **SAMPLED)
    metrics = read_json(ours.files.metrics)["overall"]
    assert {"pass@2", "pass@3", "maj@3"} < metrics.keys()
    for kind, path in every_format(tmp_path, items).items():
        prepared = looked_at(path, dataset, place)
        assert (prepared.report.samples, prepared.report.blocked) == (3, False), kind
        run = record_predictions(prepared, place)
        assert run.files.predictions.read_bytes() == ours.files.predictions.read_bytes(), kind
        assert run.files.scores.read_bytes() == ours.files.scores.read_bytes(), kind
        assert read_json(run.files.metrics)["overall"] == metrics, kind
    assert place.registry.verify() == []


def test_what_nobody_knows_of_how_samples_were_drawn_is_unknown_and_the_gate_refuses(
    tmp_path: Path, place: Workspace, dataset: Path
) -> None:
    base = recorded_run(place, lambda *_: ["no idea"] * 3, dataset=str(dataset), **SAMPLED)
    known = ["prompt.system", "generation.max_new_tokens"]
    sixteen = {"generation.max_new_tokens": 16}
    run = recorded(listed(tmp_path), dataset, place, {**sixteen, "model": model(tmp_path)}, known=known)
    drawn = {"generation.temperature", "generation.top_p", "generation.seed"}
    assert run.predictions_meta is not None
    assert drawn < set(run.predictions_meta["unknown"])
    assert run.manifest["generation"]["samples"] == 3
    assert drawn.isdisjoint(f"generation.{name}" for name in run.manifest["generation"])
    assert compare_runs(base.run_id, run.run_id, place.registry).delta > 0.3
    result = promote_run(run.run_id, "support", GateConfig(), place, against=base.run_id)
    assert result.outcome == "refused"
    assert result.decision is not None
    assert all(name in " ".join(result.decision.reasons) for name in drawn)


def model(folder: Path) -> str:
    """A directory with weights that are not the tiny base's."""
    from tests.unit.test_imported_predictions import trained_model

    return str(trained_model(folder)["model"])


def test_a_temperature_is_never_known_by_its_default_where_items_have_several_samples(
    tmp_path: Path, place: Workspace, dataset: Path
) -> None:
    path, sixteen = listed(tmp_path), {"generation.max_new_tokens": 16}
    assert looked_at(path, dataset, place, sixteen, known=["all"]).report.unknown == [
        "generation.temperature"
    ]
    with pytest.raises(InputError, match="by its default nothing is drawn"):
        looked_at(path, dataset, place, sixteen, known=["generation.temperature"])
    given = {**sixteen, "generation.temperature": 0.7}
    assert looked_at(path, dataset, place, given, known=["all"]).report.unknown == []


def test_greedy_samples_of_another_program_are_recorded_as_such(
    tmp_path: Path, place: Workspace, dataset: Path, items: list[Item]
) -> None:
    path = every_format(tmp_path, items)["inspect"]
    run = recorded(path, dataset, place)
    assert (run.manifest["generation"]["temperature"], run.manifest["generation"]["samples"]) == (0, 3)
    again = rejudge(run.run_id, "exact_match@v1", place)
    assert len(place.registry.runs.predictions(again.run_id)[0].samples or ()) == 3
    with pytest.raises(InputError, match="draw differently"):
        diff_runs(run.run_id, again.run_id, place)


def test_samples_are_judged_again_and_compared_where_nobody_knows_their_temperature(
    tmp_path: Path, place: Workspace, dataset: Path
) -> None:
    run = recorded(listed(tmp_path), dataset, place)
    again = rejudge(run.run_id, "exact_match@v1", place)
    assert len(place.registry.runs.predictions(again.run_id)[0].samples or ()) == 3
    one = recorded_run(place, dataset=str(dataset))
    with pytest.raises(InputError, match="samples"):
        compare_runs(one.run_id, run.run_id, place.registry)
    wrong = answers(run.run_id, place.registry, wrong=9)
    assert wrong[0].verdict == "2 of 3 samples right; this one wrong: found no idea"


@pytest.mark.parametrize("kind", ["run.jsonl", "run.parquet", "run.eval", "run.json", "lm-eval"])
def test_an_exported_run_comes_back_with_every_sample_and_which_were_cut_off(
    kind: str, tmp_path: Path, place: Workspace, dataset: Path
) -> None:
    cut = {1: [0, 2], 3: [1]}
    run = recorded_run(place, lambda _, item: TEXTS[item.trace_id], cut, dataset=str(dataset), **SAMPLED)
    path, *_ = export_run(
        run.run_id, tmp_path / kind, place.registry, "lm-eval" if kind == "lm-eval" else None
    )
    back = recorded(path, dataset, place)
    before = place.registry.runs.get(run.run_id)
    assert back.predictions_sha256 == before.predictions_sha256
    assert place.registry.runs.scores(back.run_id) == place.registry.runs.scores(run.run_id)
    assert back.predictions_meta is not None
    assert back.predictions_meta["cut_samples"] == {"t1": [0, 2], "t3": [1]}
    if kind != "run.jsonl":  # which says nothing of how it was made
        assert back.predictions_meta["unknown"] == []
        assert compare_runs(run.run_id, back.run_id, place.registry).unknown == {}


def uneven(place: Workspace, path: Path, dataset: Path, **given: Any) -> list[tuple[str, str]]:
    prepared = looked_at(path, dataset, place, given)
    assert prepared.report.blocked
    with pytest.raises(InputError, match="Nothing was recorded"):
        record_predictions(prepared, place)
    return [(each.where, each.reason) for each in prepared.report.uneven]


def test_every_item_has_as_many_samples_as_the_others_or_nothing_is_recorded(
    tmp_path: Path, place: Workspace, dataset: Path
) -> None:
    more = {**TEXTS, "t1": TEXTS["t1"][:2], "t3": [*TEXTS["t3"], "5"]}
    assert uneven(place, listed(tmp_path, more), dataset) == [
        ("item t1", "has 2 samples, not 3 as most items have"),
        ("item t3", "has 4 samples, not 3 as most items have"),
    ]
    asked = uneven(place, listed(tmp_path), dataset, **{"generation.samples": 4})
    assert asked[0] == ("item t0", "has 3 samples, not 4 as was asked for")
    rows = [row | {"sample": 7} if row == numbered()[0] else row for row in numbered()]
    path = write_lines(tmp_path / "rows.jsonl", rows)
    assert uneven(place, path, dataset) == [("item t0", "has the samples 0, 1, 7, not 0 to 2")]
    assert place.registry.runs.count() == 0


def test_samples_that_all_items_lack_are_missed_where_the_file_says_how_many_there_were(
    tmp_path: Path, place: Workspace, dataset: Path, items: list[Item]
) -> None:
    log = epochs_log(items, TEXTS)
    log["samples"] = [sample for sample in log["samples"] if sample["epoch"] != 2]
    (tmp_path / "log.json").write_text(json.dumps(log, indent=2))
    assert len(uneven(place, tmp_path / "log.json", dataset)) == 4
    results = lm_eval_results(tmp_path)
    document = json.loads(results.read_text())
    document["configs"]["small"]["repeats"] = 4
    results.write_text(json.dumps(document))
    samples = [lm_eval_sample(n, item, *TEXTS[item.trace_id]) for n, item in enumerate(items)]
    assert len(uneven(place, lm_eval_file(tmp_path, samples), dataset)) == 4


def changed(place: int, **fields: Any) -> Callable[[list[dict[str, Any]]], None]:
    return lambda rows: rows[place].update(fields)


@pytest.mark.parametrize(
    ("change", "where", "reason"),
    [
        (changed(1, prediction=None), "line 2 (item t1)", "prediction: missing"),
        (changed(1, sample="two"), "line 2 (item t1)", NO_NUMBER),
        (changed(4, sample=2), "line 5", "answers item t0, as line 1 does"),
        (changed(4, sample=None), "line 5", "answers item t0, as line 1 does"),
        (changed(4, prediction=["a", "b"]), "line 5", "answers item t0, as line 1 does"),
        (changed(4, prompt="Question 1?"), "line 5 (item t0)", "was asked otherwise than line 1"),
    ],
)  # fmt: skip
def test_a_bad_row_of_a_sample_is_named(
    change: Callable[[list[dict[str, Any]]], None],
    where: str,
    reason: str,
    tmp_path: Path,
    place: Workspace,
    dataset: Path,
) -> None:
    rows = numbered()
    change(rows)
    path = write_lines(tmp_path / "rows.jsonl", rows)
    report = looked_at(path, dataset, place, columns={"sample": "sample"}).report
    found = (*report.bad, *report.doubled, *report.missing)
    assert [(each.where, each.reason) for each in found] == [(where, reason)]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"predictions": []}, "predictions: is empty"),
        ({"predictions": ["1", None, "1"]}, "predictions.1: missing"),
        ({"predictions": ["1", 2, "1"]}, "predictions.1: expected a text, got int"),
        ({"cut_off": [True]}, "cut_off: has 1 values for 3 texts"),
        ({"cut_off": True}, "cut_off: expected a list, which says of each of 3 texts whether it was cut off"),
        ({"samples": [{"prediction": "1"}, {"said": "1"}]}, "samples.1.prediction: missing"),
    ],
)
def test_a_bad_list_of_samples_is_named_with_line_and_field(
    fields: dict[str, Any], reason: str, tmp_path: Path, place: Workspace, dataset: Path
) -> None:
    rows = [{"trace_id": trace_id, "predictions": texts} for trace_id, texts in TEXTS.items()]
    path = write_lines(tmp_path / "rows.jsonl", [*rows[:2], {**rows[2], **fields}, rows[3]])
    report = looked_at(path, dataset, place).report
    assert [(each.where, each.reason) for each in report.bad] == [("line 3 (item t2)", reason)]
    assert report.uneven == []


def test_a_choice_without_a_text_and_a_repeat_that_is_none_are_named(
    tmp_path: Path, place: Workspace, dataset: Path, items: list[Item]
) -> None:
    lines = [batch_line(trace_id, *texts) for trace_id, texts in TEXTS.items()]
    lines[1] = batch_line("t1", "1", None, "1")
    report = looked_at(write_lines(tmp_path / "out.jsonl", lines), dataset, place).report
    assert [each.reason for each in report.bad] == ["choices.1.message.content: missing"]
    samples = [lm_eval_sample(n, item, *TEXTS[item.trace_id]) for n, item in enumerate(items)]
    samples[1]["resps"] = [["1", None, "1"]]
    samples[2]["resps"] = [[]]
    report = looked_at(lm_eval_file(tmp_path, samples), dataset, place).report
    assert [each.reason for each in report.bad] == ["resps.0.1: missing", "resps.0: is empty"]


def test_numbers_in_a_column_named_sample_are_no_samples_where_each_item_has_one_row(
    tmp_path: Path, place: Workspace, dataset: Path
) -> None:
    rows = [{"id": trace_id, "sample": 7 + n, "output": "1"} for n, trace_id in enumerate(TEXTS)]
    report = looked_at(write_lines(tmp_path / "rows.jsonl", rows), dataset, place).report
    assert (report.samples, report.blocked) == (1, False)
    rows = [{"id": trace_id, "sample": "a text", "output": "1"} for trace_id in TEXTS]
    assert not looked_at(write_lines(tmp_path / "rows.jsonl", rows), dataset, place).report.blocked


def test_epochs_with_other_ids_are_matched_by_their_prompts_and_else_by_order(
    tmp_path: Path, place: Workspace, dataset: Path, items: list[Item]
) -> None:
    for asked, by in (("{}", "prompt"), ("Q: {}\nA:", "order")):
        log = epochs_log(items, TEXTS)
        for sample in log["samples"]:
            question = asked.format(sample["input"])
            sample["id"] = int(sample["id"][1:]) + 1
            sample["input"] = sample["messages"][0]["content"] = question
        (tmp_path / "log.json").write_text(json.dumps(log, indent=2))
        prepared = looked_at(tmp_path / "log.json", dataset, place)
        assert (prepared.report.matched_by, prepared.report.blocked) == (by, False)
        assert {trace_id: list(row.predictions) for trace_id, row in prepared.taken.items()} == TEXTS


def test_the_command_says_how_many_samples_it_takes(
    tmp_path: Path, home: Path, hallmark: CommandLine, dataset: Path
) -> None:
    path = listed(tmp_path, {**TEXTS, "t1": ["2"]})
    arguments = ("predictions", "import", path, "--model", "tiny-base", "--dataset", dataset)
    refused = hallmark(*arguments)
    assert refused.returncode == 2
    assert "with another number of samples: 1\n  item t1: has 1 sample, not 3 as" in refused.stdout
    done = hallmark("predictions", "import", listed(tmp_path), *arguments[3:])
    assert done.returncode == 0, done.stderr
    assert "taken: 4 of 4 items of small-v1, 3 samples each" in done.stdout
    assert "pass@3" in done.stdout


@pytest.mark.parametrize(("engine", "unknown"), [("hf", True), ("vllm", False)])
def test_of_drawn_samples_a_top_p_that_is_not_said_is_the_models_own_or_that_of_the_engine(
    engine: str, unknown: bool, tmp_path: Path, place: Workspace, dataset: Path, items: list[Item]
) -> None:
    results = lm_eval_results(tmp_path)
    results.write_text(results.read_text().replace('"hf"', f'"{engine}"'))
    samples = [lm_eval_sample(n, item, *TEXTS[item.trace_id]) for n, item in enumerate(items)]
    for sample in samples:
        sample["arguments"]["gen_args_0"]["arg_1"].update(do_sample=True, temperature=0.7)
    report = looked_at(lm_eval_file(tmp_path, samples), dataset, place).report
    assert ("generation.top_p" in report.unknown) is unknown
    assert "generation.seed" in report.unknown
    given = {setting.name: setting.value for setting in report.settings}
    assert given["generation.temperature"] == 0.7


def test_settings_that_go_together_may_be_known_in_part(
    tmp_path: Path, place: Workspace, dataset: Path
) -> None:
    report = looked_at(listed(tmp_path), dataset, place, {"generation.top_p": 0.9}).report
    assert "generation.temperature" in report.unknown
    assert "generation.top_p" not in report.unknown
    run = recorded_run(place, dataset=str(dataset))
    (path,) = export_run(run.run_id, tmp_path / "run.json", place.registry)
    ours, served = '"generation.engine":"transformers"', '"generation.engine":"openai"'
    path.write_text(path.read_text().replace(ours, served))  # as of a run whose endpoint no export names
    assert looked_at(path, dataset, place).generation.engine == "openai"
    with pytest.raises(InputError, match="generation.samples: Input should be less"):
        looked_at(listed(tmp_path, dict.fromkeys(TEXTS, ["1"] * 1025)), dataset, place)
