"""`hallmark predictions import`: what other programs made a model answer, judged and recorded as a run."""

from __future__ import annotations

import json
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hallmark as hm
from core.errors import InputError
from core.files import canonical_json, read_json
from core.text import whole_characters
from evaluation.gate import GateConfig
from experiments.comparing import compare_runs
from experiments.exchange.importing import record_predictions
from experiments.exchange.known import KNOWABLE
from experiments.exchange.lm_eval_samples import LIKELIHOODS
from experiments.exchange.reading import read_predictions_file
from experiments.promoting import promote_run
from experiments.references import TINY_BASE_DIRECTORY
from experiments.rejudging import rejudge
from experiments.reproducing import plan_reproduction
from experiments.workspace import Workspace, open_workspace
from golden.datasets import read_items
from golden.schema import Item
from judges import read_predictions
from provenance.files import entries
from provenance.statement import statement
from tests.conftest import CommandLine
from tests.support.foreign_predictions import (
    batch_line,
    failed_line,
    inspect_log,
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

TEXTS = {"t0": "Answer: 1\x00", "t1": " so\r\n2", "t2": "", "t3": "Answer: 4 \U0001f600"}
FACTS = {"reached_max_new_tokens", "truncated_prompts"}


@pytest.fixture
def place(home: Path) -> Workspace:
    return open_workspace()


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return small_dataset(tmp_path)


@pytest.fixture
def items(dataset: Path) -> list[Item]:
    return list(read_items(dataset))


def plain(folder: Path, texts: dict[str, str] = TEXTS) -> Path:
    rows = [{"trace_id": trace_id, "prediction": text} for trace_id, text in texts.items()]
    return write_lines(folder / "predictions.jsonl", rows)


def every_format(folder: Path, items: list[Item]) -> dict[str, Path]:
    lm_eval_results(folder)
    log = inspect_log(items, TEXTS)
    (folder / "log.json").write_text(json.dumps(log, indent=2))
    table = arrow.table({"id": list(TEXTS), "output": list(TEXTS.values())})
    parquet.write_table(table, folder / "answers.parquet")
    samples = [lm_eval_sample(n, item, TEXTS[item.trace_id]) for n, item in enumerate(items)]
    return {
        "jsonl": plain(folder),
        "jsonl (Parquet)": folder / "answers.parquet",
        "lm-eval": lm_eval_file(folder, samples),
        "inspect": pack_log(folder / "log.eval", log),
        "inspect (JSON)": folder / "log.json",
        "openai-batch": write_lines(
            folder / "batch_output.jsonl", [batch_line(*each) for each in reversed(TEXTS.items())]
        ),
    }


def test_each_format_is_recognised_and_gives_the_same_predictions_in_dataset_order(
    tmp_path: Path, place: Workspace, dataset: Path, items: list[Item]
) -> None:
    scores = []
    for kind, path in every_format(tmp_path, items).items():
        prepared = looked_at(path, dataset, place)
        assert (prepared.report.format, prepared.report.detected) == (kind.partition(" ")[0], True), kind
        run = record_predictions(prepared, place)
        assert read_predictions(run.files.predictions, items) == TEXTS, kind
        scores.append(place.registry.runs.scores(run.run_id))
    assert len(scores) == 6
    assert all(each == scores[0] for each in scores)
    assert place.registry.verify() == []


def test_an_imported_run_is_a_finished_one_that_says_where_its_predictions_are_from(
    tmp_path: Path, place: Workspace, dataset: Path
) -> None:
    path = plain(tmp_path)
    run = recorded(path, dataset, place)
    assert (run.status, run.kind, run.base_model) == ("finished", "baseline", "tiny-base")
    imported = run.manifest["imported"]
    assert (imported["file"], imported["format"]) == ("predictions.jsonl", "jsonl")
    assert imported["sha256"] == read_predictions_file(path).sha256
    assert run.predictions_meta is not None
    assert run.predictions_meta["engine"]["name"] == "imported"
    assert set(run.predictions_meta["unknown"]) == set(KNOWABLE)
    assert "dtype" not in run.manifest["generation"], "what nobody knows is not written as if it were known"
    assert hm.run(run.run_id).truncated is None
    assert hm.run(run.run_id).wrong(9)[0].prediction in TEXTS.values()


def test_the_same_file_again_is_the_same_run_and_another_judge_another(
    tmp_path: Path, place: Workspace, dataset: Path
) -> None:
    path = plain(tmp_path)
    first, again = recorded(path, dataset, place), recorded(path, dataset, place)
    moved = path.rename(tmp_path / "elsewhere.jsonl")
    assert first.run_id == again.run_id == recorded(moved, dataset, place).run_id
    other = recorded(moved, dataset, place, {"judge": "exact_match@v1"})
    assert other.run_id != first.run_id
    more = recorded(moved, dataset, place, {"generation.max_new_tokens": 16})
    assert more.run_id != first.run_id, "more is known of it"


def test_an_imported_run_is_never_taken_for_a_fresh_evaluation_and_can_be_rejudged(
    tmp_path: Path, place: Workspace, dataset: Path
) -> None:
    run = recorded(plain(tmp_path), dataset, place, known=["all"])
    fresh = recorded_run(place, dataset=str(dataset))
    assert fresh.run_id != run.run_id
    again = rejudge(run.run_id, "exact_match@v1", place)
    manifest = place.registry.runs.get(again.run_id).manifest
    assert manifest["imported"] == run.manifest["imported"]
    with pytest.raises(InputError, match="imported from predictions.jsonl and not made here"):
        plan_reproduction(run.run_id, place)


def test_what_lm_eval_says_is_known_and_what_its_prompts_show_too(
    tmp_path: Path, place: Workspace, dataset: Path, items: list[Item]
) -> None:
    prepared = looked_at(every_format(tmp_path, items)["lm-eval"], dataset, place)
    known = {setting.name: (setting.value, setting.source) for setting in prepared.report.settings}
    assert known["generation.max_new_tokens"] == (16, "file")
    assert known["generation.dtype"] == ("float32", "file")
    assert known["generation.engine"] == ("transformers", "file")
    assert known["prompt.stop"] == ([], "file"), "the model's own end is no stop string"
    assert known["prompt.instruction"] == (None, "prompts"), "each prompt is the question and nothing else"
    assert set(prepared.report.unknown) == FACTS
    assert "SECRET" not in json.dumps(prepared.manifest("x"))


def test_what_an_inspect_log_says_is_known_with_the_answers_that_were_cut_off(
    tmp_path: Path, place: Workspace, dataset: Path, items: list[Item]
) -> None:
    path = every_format(tmp_path, items)["inspect"]
    run = recorded(path, dataset, place)
    assert run.predictions_meta is not None
    assert run.predictions_meta["reached_max_new_tokens"] == ["t0"]
    unknown = ["prompt.template_args", "prompt.date", "generation.dtype", "truncated_prompts"]
    assert run.predictions_meta["unknown"] == unknown


def test_a_file_that_says_otherwise_than_an_option_is_refused(
    tmp_path: Path, place: Workspace, dataset: Path, items: list[Item]
) -> None:
    files = every_format(tmp_path, items)
    with pytest.raises(InputError, match="says generation.max_new_tokens = 16, and 32 is given"):
        looked_at(files["lm-eval"], dataset, place, {"generation.max_new_tokens": 32})
    with pytest.raises(InputError, match="item t0 was asked otherwise than prompt.system would have it"):
        looked_at(files["inspect"], dataset, place, {"prompt.system": "Be brief."})
    with pytest.raises(InputError, match="--known prompt.sytem: expected all, or some of prompt.system"):
        looked_at(files["jsonl"], dataset, place, known=["prompt.sytem"])


def test_rows_with_other_ids_are_matched_by_their_prompts_and_else_by_order_where_prompts_agree(
    tmp_path: Path, place: Workspace, dataset: Path, items: list[Item]
) -> None:
    samples = [lm_eval_sample(n, item, TEXTS[item.trace_id], own_id=False) for n, item in enumerate(items)]
    by_prompt = looked_at(lm_eval_file(tmp_path, samples[::-1]), dataset, place)
    assert (by_prompt.report.matched_by, by_prompt.report.blocked) == ("prompt", False)
    assert {trace_id: row.predictions[0] for trace_id, row in by_prompt.taken.items()} == TEXTS

    for sample in samples:
        asked = sample["doc"].pop("question")
        sample["arguments"]["gen_args_0"]["arg_0"] = f"Q: {asked}\nA:"
    by_order = looked_at(lm_eval_file(tmp_path, samples[::-1]), dataset, place)
    assert (by_order.report.matched_by, by_order.report.blocked) == ("order", False)
    assert {trace_id: row.predictions[0] for trace_id, row in by_order.taken.items()} == TEXTS

    samples[1]["arguments"]["gen_args_0"]["arg_0"] = "Q: something else?\nA:"
    other = looked_at(lm_eval_file(tmp_path, samples), dataset, place)
    assert other.report.blocked, "as many rows as items are not enough"


def test_rows_without_ids_and_prompts_are_never_taken_by_their_order(
    tmp_path: Path, place: Workspace, dataset: Path
) -> None:
    path = write_lines(tmp_path / "texts.jsonl", [{"output": text} for text in TEXTS.values()])
    report = looked_at(path, dataset, place).report
    assert report.counts == {"missing": 4, "uneven": 0, "doubled": 0, "unknown": 4, "bad": 0}
    assert report.unknown_rows[0].reason == "has no id"


def test_every_item_exactly_once_or_nothing_is_recorded(
    tmp_path: Path, place: Workspace, dataset: Path
) -> None:
    rows: list[Any] = [
        {"trace_id": "t0", "prediction": "1"},
        {"trace_id": "t0", "prediction": "1"},
        {"trace_id": "t1", "prediction": None},
        {"trace_id": "t9", "prediction": "1"},
        ["t2"],
    ]
    path = write_lines(tmp_path / "predictions.jsonl", rows)
    path.write_bytes(path.read_bytes() + b'{"trace_id": "t2", "predic')
    prepared = looked_at(path, dataset, place)
    report = prepared.report
    assert report.counts == {"missing": 2, "uneven": 0, "doubled": 1, "unknown": 1, "bad": 3}
    said = [(each.where, each.reason) for each in (*report.doubled, *report.unknown_rows, *report.bad)]
    assert said[:3] == [
        ("line 2", "answers item t0, as line 1 does"),
        ("line 4", "t9 is no item of the dataset"),
        ("line 3 (item t1)", "prediction: missing"),
    ]
    assert said[3][0] == "line 5"
    assert said[4][0] == "line 6"
    assert "not valid JSON" in said[4][1]
    assert report.missing[0].reason == "number 3 of the dataset has no row"
    with pytest.raises(InputError, match="Nothing was recorded"):
        record_predictions(prepared, place)
    assert place.registry.runs.count() == 0


def test_requests_of_a_batch_that_failed_are_named(tmp_path: Path, place: Workspace, dataset: Path) -> None:
    lines = [batch_line("t0", "1"), failed_line("t1", "too many"), batch_line("t2", None, message={})]
    lines.append(batch_line("t3", "12345", finish_reason="length"))
    report = looked_at(write_lines(tmp_path / "out.jsonl", lines), dataset, place).report
    assert [(each.where, each.reason) for each in report.bad] == [
        ("line 2 (item t1)", "the request failed (status 429): too many"),
        ("line 3 (item t2)", "choices.0.message.content: missing"),
    ]
    refused = [batch_line(trace_id, "1") for trace_id in ("t0", "t1", "t2")]
    refused.append(batch_line("t3", None, message={"content": None, "refusal": "I will not."}))
    taken = looked_at(write_lines(tmp_path / "out.jsonl", refused), dataset, place).taken
    assert taken["t3"].predictions == ("I will not.",)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gone.jsonl", None, "no such file"),
        ("empty.jsonl", b"", "is empty"),
        ("log.eval", b"PK\x03\x04 broken", "is no log of inspect_ai, or is damaged"),
        ("results_x.json", b'{"results": {}, "configs": {}}', "samples_TASK_DATE.jsonl"),
        ("what.jsonl", b'{"a": 1}\n', "no column looks like predictions; columns are a"),
        ("half.json", b'{"eval": {', "neither lines of JSON nor one JSON document"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_the_reason(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_predictions_file(path)


def damaged_in_the_middle(path: Path) -> None:
    data = bytearray(path.read_bytes())
    place = data.index(b"samples/") + 60
    data[place : place + 8] = b"\xff" * 8
    path.write_bytes(data)


def cut_at_the_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def doubled(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.writestr("header.json", "{}")


def encrypted(path: Path) -> None:
    """Every file of it is marked as encrypted."""
    data = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = -1
        while (start := data.find(mark, start + 1)) >= 0:
            data[start + place] |= 1
    path.write_bytes(data)


def huge(path: Path) -> None:
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("samples/zeros.json", b"0" * 5000)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (damaged_in_the_middle, "samples/.*: damaged"),
        (cut_at_the_end, "is no log of inspect_ai, or is damaged"),
        (doubled, "holds header.json 2 times; once is expected"),
        (encrypted, "header.json: damaged: .*encrypted"),
        (huge, "unpacks to [0-9,]+ bytes, and 5,000 is the most"),
    ],
)
def test_a_packed_log_that_is_not_whole_is_refused_with_the_reason(
    harm: Callable[[Path], None],
    said: str,
    tmp_path: Path,
    items: list[Item],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = pack_log(tmp_path / "log.eval", inspect_log(items, TEXTS))
    monkeypatch.setattr("experiments.exchange.inspect_logs.LARGEST", 5000)
    assert len(read_predictions_file(path).content.rows) == len(items)
    harm(path)
    with pytest.raises(InputError, match=said):
        read_predictions_file(path)


def test_the_statement_holds_what_a_file_says_of_the_model(tmp_path: Path, place: Workspace) -> None:
    dataset = twenty(tmp_path)
    base = recorded_run(place, lambda *_: "no idea", dataset=str(dataset), generation={"max_new_tokens": 16})
    known = ["reached_max_new_tokens", "truncated_prompts"]
    run = recorded(all_right(tmp_path, dataset), dataset, place, trained_model(tmp_path), known=known)
    promote_run(run.run_id, "support", GateConfig(), place, against=base.run_id)
    version = place.registry.models.aliased("support")
    assert version is not None
    files = entries(place.registry.artifacts.get(version.weights_sha256))
    said = canonical_json(statement(version, run, {}, files))
    assert '"said_of_model":{"model":"hf","model_args":{"pretrained":"tiny-base"}}' in said
    assert "SECRET" not in said


def test_log_likelihoods_are_no_predictions(
    tmp_path: Path, place: Workspace, dataset: Path, items: list[Item]
) -> None:
    samples = [lm_eval_sample(n, item, "1") for n, item in enumerate(items)]
    samples[0]["resps"] = [[["-1.5", "False"]], [["-2.5", "False"]]]
    samples[1]["resps"] = [[["-1.5", "False"]]]
    samples[2]["resps"] = [["1"], ["2"]]
    report = looked_at(lm_eval_file(tmp_path, samples), dataset, place).report
    assert [each.reason for each in report.bad] == [
        *[f"resps: {LIKELIHOODS}"] * 2,
        "resps: has 2 requests; one is expected",
    ]


def test_a_document_that_several_filters_saw_is_one_row(
    tmp_path: Path, place: Workspace, dataset: Path, items: list[Item]
) -> None:
    samples = [lm_eval_sample(n, item, TEXTS[item.trace_id]) for n, item in enumerate(items)]
    again = [{**sample, "filter": "flexible-extract"} for sample in samples]
    report = looked_at(lm_eval_file(tmp_path, [*samples, *again]), dataset, place).report
    assert (report.rows, report.blocked) == (4, False)


def test_columns_of_other_names_are_mapped(tmp_path: Path, place: Workspace, dataset: Path) -> None:
    rows = [{"nr": trace_id, "said": text, "gold": "1"} for trace_id, text in TEXTS.items()]
    path = write_lines(tmp_path / "answers.jsonl", rows)
    with pytest.raises(InputError, match="no column looks like predictions; columns are nr, said, gold"):
        looked_at(path, dataset, place)
    mapped = {"trace_id": "nr", "prediction": "said"}
    assert not looked_at(path, dataset, place, columns=mapped).report.blocked
    with pytest.raises(InputError, match="has no column sad"):
        looked_at(path, dataset, place, columns={"prediction": "sad"})


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(st.characters(codec=None)), min_size=4, max_size=4))
def test_any_text_comes_through(tmp_path: Path, place: Workspace, dataset: Path, texts: list[str]) -> None:
    named = dict(zip(TEXTS, texts, strict=True))
    taken = looked_at(plain(tmp_path, named), dataset, place).taken
    assert {trace_id: row.predictions[0] for trace_id, row in taken.items()} == {
        trace_id: whole_characters(text) for trace_id, text in named.items()
    }


def right(_: int, item: Item) -> str:
    return f"Answer: {item.reference}"


def trained_model(folder: Path, weights: bytes = b"\0") -> dict[str, Any]:
    """A directory with weights that are not the tiny base's."""
    place = folder / f"trained{weights.hex()}"
    shutil.copytree(TINY_BASE_DIRECTORY, place)
    tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    header = json.dumps({"more": tensor}).encode()
    more = len(header).to_bytes(8, "little") + header + (weights + b"\0\x80\x3f") * 2
    (place / "more.safetensors").write_bytes(more)
    return {"model": str(place)}


def twenty(folder: Path) -> Path:
    return small_dataset(folder, map(str, range(20)))


def all_right(folder: Path, dataset: Path) -> Path:
    items = list(read_items(dataset))
    lm_eval_results(folder)
    samples = [lm_eval_sample(n, item, right(n, item)) for n, item in enumerate(items)]
    return lm_eval_file(folder, samples)


def test_unknown_conditions_are_noted_by_a_comparison_and_forbid_a_promotion(
    tmp_path: Path, place: Workspace
) -> None:
    dataset = twenty(tmp_path)
    base = recorded_run(place, lambda *_: "no idea", dataset=str(dataset), generation={"max_new_tokens": 16})
    path = plain(tmp_path, {item.trace_id: right(0, item) for item in read_items(dataset)})
    imported = recorded(path, dataset, place, trained_model(tmp_path))
    comparison = compare_runs(base.run_id, imported.run_id, place.registry)
    assert comparison.delta == 1
    assert "generation.dtype" in comparison.unknown[imported.run_id]
    assert "nobody knows its" in comparison.notes[-1]
    assert "prompt_template" not in comparison.of_model
    result = promote_run(imported.run_id, "support", GateConfig(), place, against=base.run_id)
    assert result.outcome == "refused"
    assert result.decision is not None
    assert "generation.dtype" in " ".join(result.decision.reasons)
    assert place.registry.models.aliased("support") is None


def test_an_import_of_which_all_is_known_can_be_promoted_and_says_that_it_was_brought(
    tmp_path: Path, place: Workspace
) -> None:
    dataset = twenty(tmp_path)
    base = recorded_run(place, lambda *_: "no idea", dataset=str(dataset), generation={"max_new_tokens": 16})
    known = ["reached_max_new_tokens", "truncated_prompts"]
    run = recorded(all_right(tmp_path, dataset), dataset, place, trained_model(tmp_path), known=known)
    assert compare_runs(base.run_id, run.run_id, place.registry).unknown == {}
    result = promote_run(run.run_id, "support", GateConfig(), place, against=base.run_id)
    assert result.outcome == "promoted"
    exported = hm.export("support@v1", tmp_path / "export")
    card = (exported.directory / "README.md").read_text()
    assert "The predictions were made by another program and imported." in card
    assert "hallmark reproduce" not in card


def test_weights_are_not_promoted_against_another_import_of_themselves(
    tmp_path: Path, place: Workspace
) -> None:
    dataset = twenty(tmp_path)
    items, known = list(read_items(dataset)), {"known": ["all"]}
    model = {**trained_model(tmp_path), "generation.max_new_tokens": 16}
    bad = recorded(
        plain(tmp_path, {item.trace_id: "no idea" for item in items}), dataset, place, model, **known
    )
    path = plain(tmp_path, {item.trace_id: right(0, item) for item in items})
    good = recorded(path, dataset, place, model, **known)
    with pytest.raises(InputError, match="nothing to compare it with"):
        promote_run(good.run_id, "support", GateConfig(), place)
    with pytest.raises(InputError, match="judged the same weights as run"):
        promote_run(good.run_id, "support", GateConfig(), place, against=bad.run_id)
    assert place.registry.models.aliased("support") is None


def test_an_imported_opponent_that_was_named_is_named_in_the_decision(
    tmp_path: Path, place: Workspace
) -> None:
    dataset = twenty(tmp_path)
    items, sixteen = list(read_items(dataset)), {"generation.max_new_tokens": 16}
    path = plain(tmp_path, {item.trace_id: "no idea" for item in items})
    base = recorded(path, dataset, place, sixteen, known=["all"])
    path = plain(tmp_path, {item.trace_id: right(0, item) for item in items})
    run = recorded(path, dataset, place, {**trained_model(tmp_path), **sixteen}, known=["all"])
    result = promote_run(run.run_id, "support", GateConfig(), place, against=base.run_id)
    assert result.decision is not None
    said = f"The predictions of run {base.run_id}, which it was compared with, were imported"
    assert said in result.decision.reasons[-1]


def test_a_champion_of_which_only_an_import_is_known_is_no_opponent_until_it_is_named(
    tmp_path: Path, place: Workspace
) -> None:
    dataset = twenty(tmp_path)
    items, sixteen = list(read_items(dataset)), {"generation.max_new_tokens": 16}
    half = {item.trace_id: right(n, item) if n % 2 else "no idea" for n, item in enumerate(items)}
    path = plain(tmp_path, half)
    champion = recorded(path, dataset, place, {**trained_model(tmp_path), **sixteen}, known=["all"])
    base = recorded_run(place, lambda *_: "no idea", dataset=str(dataset), generation={"max_new_tokens": 16})
    promote_run(champion.run_id, "support", GateConfig(), place, against=base.run_id)
    path = plain(tmp_path, {item.trace_id: right(0, item) for item in items})
    better = recorded(path, dataset, place, {**trained_model(tmp_path, b"\1"), **sixteen}, known=["all"])
    with pytest.raises(InputError, match=f"were imported, and no run of it .*--against {champion.run_id}"):
        promote_run(better.run_id, "support", GateConfig(), place)
    result = promote_run(better.run_id, "support", GateConfig(), place, against=champion.run_id)
    assert result.outcome == "promoted"
    assert result.decision is not None
    assert f"The predictions of run {champion.run_id}" in result.decision.reasons[-1]


@pytest.mark.parametrize(
    ("asked", "problem"),
    [("Say 4.", True), ("Not 1{}", True), ("Q: {}\nA:", False), ("{}", False)],
)
def test_a_row_that_asked_something_else_is_bad_whatever_its_id(
    tmp_path: Path, place: Workspace, dataset: Path, items: list[Item], asked: str, problem: bool
) -> None:
    rows = [
        {"trace_id": item.trace_id, "prompt": asked.format(item.question), "prediction": "1"}
        for item in items
    ]
    report = looked_at(write_lines(tmp_path / "run.jsonl", rows), dataset, place).report
    expected = "its prompt does not hold the item's question"
    assert {each.reason for each in report.bad} == ({expected} if problem else set())


def test_known_conditions_that_differ_forbid_a_comparison(tmp_path: Path, place: Workspace) -> None:
    dataset = twenty(tmp_path)
    base = recorded_run(place, lambda *_: "no idea", dataset=str(dataset), generation={"max_new_tokens": 64})
    run = recorded(all_right(tmp_path, dataset), dataset, place)
    with pytest.raises(InputError, match="generation.max_new_tokens: 64 against 16"):
        compare_runs(base.run_id, run.run_id, place.registry)


def test_predictions_of_a_served_model_are_judged_and_compared_and_never_promoted(
    tmp_path: Path, place: Workspace
) -> None:
    dataset = twenty(tmp_path)
    lines = [batch_line(item.trace_id, right(0, item)) for item in read_items(dataset)]
    path, served = write_lines(tmp_path / "out.jsonl", lines), {"model": "endpoint:gpt-x"}
    run = recorded(path, dataset, place, served, known=["all"])
    assert run.base_model == "endpoint:gpt-x"
    base = recorded_run(place, lambda *_: "no idea", dataset=str(dataset))
    assert compare_runs(base.run_id, run.run_id, place.registry).delta == 1
    with pytest.raises(InputError, match="Its weights are not known"):
        promote_run(run.run_id, "support", GateConfig(), place, against=base.run_id)


def test_how_another_engine_was_switched_is_unknown(tmp_path: Path, place: Workspace) -> None:
    dataset = twenty(tmp_path)
    base = recorded_run(place, lambda *_: "no idea", dataset=str(dataset), generation={"max_new_tokens": 16})
    path, runs = all_right(tmp_path, dataset), []
    results = lm_eval_results(tmp_path)
    results.write_text(results.read_text().replace('"hf"', '"vllm"'))
    for _ in range(2):
        runs.append(recorded(path, dataset, place, known=["all"]).run_id)
        path.write_text(path.read_text() + "\n")  # another file with the same rows
    with pytest.raises(InputError, match='generation.engine: "transformers" against "vllm"'):
        compare_runs(base.run_id, runs[0], place.registry)
    names = ["generation.engine_switches", "generation.engine_version"]
    assert compare_runs(*runs, place.registry).unknown == dict.fromkeys(runs, names)


def test_a_number_that_has_no_default_is_not_known_by_saying_so(
    tmp_path: Path, place: Workspace, dataset: Path
) -> None:
    path = plain(tmp_path)
    assert looked_at(path, dataset, place, known=["all"]).report.unknown == ["generation.max_new_tokens"]
    with pytest.raises(InputError, match="has no default. Give the number"):
        looked_at(path, dataset, place, known=["generation.max_new_tokens"])


def test_judges_that_read_log_probabilities_read_no_imported_text(
    tmp_path: Path, place: Workspace, dataset: Path
) -> None:
    with pytest.raises(InputError, match="reads log-probabilities"):
        looked_at(plain(tmp_path), dataset, place, {"judge": "likelihood@v1"})


def test_the_command_shows_what_it_takes_and_says_what_it_refuses(
    tmp_path: Path, home: Path, hallmark: CommandLine, dataset: Path
) -> None:
    path = plain(tmp_path)
    arguments = ("predictions", "import", path, "--model", "tiny-base", "--dataset", dataset)
    looked = hallmark(*arguments, "--dry-run")
    assert (looked.returncode, "Nothing was recorded." in looked.stdout) == (0, True)
    done = hallmark(*arguments, "--max-new-tokens", "8", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["run"]["manifest"]["generation"]["max_new_tokens"] == 8
    assert read_json(home / "runs" / found["run"]["run_id"] / "manifest.json")["imported"]
    shown = hallmark("runs", "show", found["run"]["run_id"], "--wrong", "1")
    assert "imported  predictions.jsonl" in shown.stdout
    path.write_text('{"trace_id": "t0", "prediction": "1"}\n')
    refused = hallmark(*arguments)
    assert refused.returncode == 2
    assert "item t1: number 2 of the dataset has no row" in refused.stdout


@pytest.mark.parametrize(
    ("kwargs", "config", "unknown"),
    [
        ({"num_beams": 5}, {}, "generation.num_beams"),
        ({"repetition_penalty": 1.5}, {}, "generation.repetition_penalty"),
        ({"num_beams": 1, "top_k": 50, "repetition_penalty": 1.0}, {}, None),
        ({}, {"model_dtype": "torch.float16"}, "generation.dtype"),
        ({}, {"model": "gguf"}, "generation.engine"),
        ({}, {"model_args": {"pretrained": "x", "peft": "some/adapter"}}, "model.peft"),
        ({}, {"model_args": "pretrained=x,load_in_4bit=True"}, "model.load_in_4bit"),
    ],
)
def test_what_a_file_says_and_no_setting_of_ours_says_stays_unknown(
    tmp_path: Path,
    place: Workspace,
    dataset: Path,
    items: list[Item],
    kwargs: dict[str, Any],
    config: dict[str, Any],
    unknown: str | None,
) -> None:
    results = lm_eval_results(tmp_path)
    document = json.loads(results.read_text())
    document["config"].update(config)
    results.write_text(json.dumps(document))
    samples = [lm_eval_sample(n, item, "1") for n, item in enumerate(items)]
    for sample in samples:
        sample["arguments"]["gen_args_0"]["arg_1"].update(kwargs)
    path = lm_eval_file(tmp_path, samples)
    assert looked_at(path, dataset, place, known=["all"]).report.unknown == ([unknown] if unknown else [])
    if unknown in KNOWABLE:
        with pytest.raises(InputError, match="stays unknown"):
            looked_at(path, dataset, place, known=[unknown])


def test_settings_of_some_rows_alone_are_known_of_none(
    tmp_path: Path, place: Workspace, dataset: Path, items: list[Item]
) -> None:
    samples = [lm_eval_sample(n, item, "1") for n, item in enumerate(items)]
    del samples[2]["arguments"]["gen_args_0"]["arg_1"]
    report = looked_at(lm_eval_file(tmp_path, samples), dataset, place, known=["all"]).report
    assert "generation.max_new_tokens" in report.unknown
    assert "generation.temperature" in report.unknown


def test_the_results_beside_the_samples_are_part_of_the_run(
    tmp_path: Path, place: Workspace, dataset: Path
) -> None:
    items = list(read_items(dataset))
    path = all_right(tmp_path, dataset)
    before = looked_at(path, dataset, place)
    results = lm_eval_results(tmp_path)
    results.write_text(results.read_text() + "\n")
    after = looked_at(path, dataset, place)
    assert len(items) == len(after.taken)
    assert before.evaluation_sha256() != after.evaluation_sha256()
    assert list(after.manifest("x")["imported"]["beside"]) == [results.name]


@pytest.mark.parametrize(
    ("reason", "cut"), [("stop", False), ("MAX_TOKENS", True), ("content_filter", None), (None, None)]
)
def test_whether_an_answer_was_cut_off_is_known_by_known_words(
    tmp_path: Path, reason: str | None, cut: bool | None
) -> None:
    lines = [batch_line("t0", "1", finish_reason=reason)]
    assert read_predictions_file(write_lines(tmp_path / "o.jsonl", lines)).content.rows[0].cut_off == (cut,)
    lines = [{"id": "t0", "output": "1", "finish_reason": reason}]
    assert read_predictions_file(write_lines(tmp_path / "t.jsonl", lines)).content.rows[0].cut_off == (cut,)


@pytest.mark.parametrize("value", ["text", ["text"], 7])
@pytest.mark.parametrize("field", ["response", "body", "choice", "message"])
def test_a_part_of_another_kind_makes_a_bad_row(tmp_path: Path, field: str, value: Any) -> None:
    line = batch_line("t0", "1")
    body = line["response"]["body"]
    if field == "response":
        line["response"] = value
    elif field == "body":
        line["response"]["body"] = value
    elif field == "choice":
        body["choices"] = [value]
    else:
        body["choices"][0]["message"] = value
    row = read_predictions_file(write_lines(tmp_path / "o.jsonl", [line])).content.rows[0]
    assert "expected an object" in str(row.problem)


def test_a_sample_of_another_kind_is_a_bad_row_and_a_header_of_another_kind_refused(
    tmp_path: Path, items: list[Item]
) -> None:
    path = tmp_path / "log.json"
    log = inspect_log(items, TEXTS)
    log["samples"][0]["attachments"] = {}
    log["samples"][1]["output"] = "text"
    log["samples"][2] = None
    path.write_text(json.dumps(log, indent=2))
    problems = [row.problem for row in read_predictions_file(path).content.rows]
    assert problems == [
        "attachments: has no abc, which is a text of this sample",
        "output: expected an object, got str",
        "expected an object, got NoneType",
        None,
    ]
    path.write_text(json.dumps(inspect_log(items, TEXTS, model_args=["x"]), indent=2))
    with pytest.raises(InputError, match="eval.model_args: expected an object, got list"):
        read_predictions_file(path)


def test_utf_16_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"id": "t0", "output": "1"}\n'.decode().encode("utf-16"))
    with pytest.raises(InputError, match="is UTF-16"):
        read_predictions_file(path)
