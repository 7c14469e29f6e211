"""Whatever a model writes can be stored, judged, compared and shown, and has no power over who reads it."""

from __future__ import annotations

import io
import json
import unicodedata
from pathlib import Path

import pytest

from core.errors import InputError
from core.files import MAX_LINE_BYTES, read_json, read_jsonl, write_jsonl
from core.text import cut
from evaluation.metrics import MetricsSnapshot
from experiments.comparing import compare_runs, flips
from experiments.rejudging import rejudge
from experiments.verifying import verify
from golden.schema import Item
from hallmark.console import plain_console
from inference.partial import PartialPredictions, Row
from judges import JudgeError, judge_items, load_judge
from reports.prefect_pages import comparison_report
from reports.prefect_runs import metrics_report
from tests.support.recorded_runs import recorded_run, workspace_at
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.unit

LONG = "A step of many.\n" * (2 * MAX_LINE_BYTES // 16)
WRITTEN = (
    "a NUL: \0",
    "\0\0\0",
    "clears the screen: \x1b[2J\x9b2J\a\b\r",
    "turned around: \u202eAnswer: 1",
    "line separators: \u2028 \u2029 \x85 \x0b \x0c",
    "🙂 \U0010ffff \ufeff \ufffd",
    "[bold]markup[/] :smile: | <b>",
    "",
    LONG,
)


def answers(place: int, item: Item) -> str:
    return f"{WRITTEN[place]}\nAnswer: {item.reference if place % 3 else chr(0)}"


def acting(text: str) -> set[str]:
    """The characters of a text that do something to a terminal or a page."""
    return {
        letter for letter in text if unicodedata.category(letter) in ("Cc", "Cf", "Cs") and letter != "\n"
    }


def test_whatever_a_model_writes_is_recorded_judged_compared_and_shown(
    home: Path, tmp_path: Path, registry_url: str | None, hallmark
) -> None:
    workspace = workspace_at(home, registry_url)
    registry = workspace.registry
    dataset = str(small_dataset(tmp_path, map(str, range(len(WRITTEN)))))
    run = recorded_run(workspace, answers, dataset=dataset)
    rows = registry.runs.predictions(run.run_id)
    assert [row.prediction.rpartition("\nAnswer: ")[0] for row in rows] == list(WRITTEN)
    assert [row.score for row in rows] == [float(place % 3 > 0) for place in range(len(WRITTEN))]
    again = rejudge(run.run_id, "exact_match@v1", workspace)
    assert [row.prediction for row in registry.runs.predictions(again.run_id)] == [
        row.prediction for row in rows
    ]
    run.files.predictions.unlink()
    once_more = rejudge(run.run_id, "math_equivalence@v1", workspace)  # from the registry's rows
    assert once_more.files.predictions.read_bytes() == again.files.predictions.read_bytes()
    other = recorded_run(
        workspace,
        lambda place, item: answers(place + 1 if place % 2 else place, item),
        trained=True,
        dataset=dataset,
    )
    comparison = compare_runs(run.run_id, other.run_id, registry)
    shown = comparison_report(comparison, flips(comparison, 10, registry), {})
    assert acting(shown) == set()
    snapshot = MetricsSnapshot.model_validate(read_json(run.files.metrics))
    assert acting(metrics_report(snapshot, run.run_id)) == set()
    environment = {} if registry_url is None else {"HALLMARK_REGISTRY_URL": registry_url}
    for command in (["compare", run.run_id, other.run_id, "--flips", 9], ["runs", "show", run.run_id]):
        for options in ([], ["--json"]):
            printed = hallmark(*command, *options, **environment)
            assert printed.returncode == 0, printed.stderr
            assert acting(printed.stdout) == set()
            assert len(printed.stdout) < 100_000
    assert verify(workspace, quick=True).problems == []
    registry.close()


def test_half_a_character_is_written_as_no_character(tmp_path: Path) -> None:
    partial = PartialPredictions(tmp_path / "partial.jsonl", "a job", 4096)
    partial.resume()
    rows = [
        Row(trace_id=f"t{place}", prediction=text, tokens=1, cut_off=False)
        for place, text in enumerate(("\ud800 half", "\ud83d\ude42 whole", *WRITTEN))
    ]
    partial.append(rows)
    assert [row.prediction for row in partial.rows()] == ["\ufffd half", "🙂 whole", *WRITTEN]


def test_what_people_write_still_has_no_nul_and_no_endless_line(tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    for value, problem in (("\0", "NUL"), ("x" * MAX_LINE_BYTES, "line longer than 1048576 bytes")):
        write_jsonl(path, [value])
        with pytest.raises(InputError, match=problem):
            list(read_jsonl(path))
        assert [read for _, read in read_jsonl(path, any_text=True)] == [value]
    path.write_text('"\\ud800"\n')
    with pytest.raises(InputError, match="unpaired surrogate"):
        list(read_jsonl(path, any_text=True))


def test_a_judge_that_quotes_an_answer_when_it_fails_has_its_error_recorded(
    home: Path, registry_url: str | None
) -> None:
    class Quoting:
        name, version = "quoting", "v1"

        def score(self, item: Item, prediction: str) -> None:
            raise ValueError(f"cannot read {prediction}")

    items = [Item(trace_id=f"t{n}", prompt="?", final_answer="1", category="c") for n in range(3)]
    texts = {"t0": "\0\x1b", "t1": LONG, "t2": "\ud800"}
    with pytest.raises(JudgeError) as raised:
        list(judge_items(items, texts, Quoting()))  # type: ignore[arg-type]
    assert "cannot read ⟨U+0000⟩⟨U+001B⟩" in str(raised.value)
    assert acting(str(raised.value)) == set()
    assert len(str(raised.value)) < 2000
    json.dumps(raised.value.failures, ensure_ascii=False).encode()


def test_a_run_that_failed_with_any_text_is_recorded(home: Path, registry_url: str | None) -> None:
    from tests.support.registry_entries import start

    registry = workspace_at(home, registry_url).registry
    failed = registry.runs.fail(start(registry).run_id, "the library said \0\x1b[2J\ud800\nand stopped")
    assert registry.runs.get(failed.run_id).error == (
        "the library said ⟨U+0000⟩⟨U+001B⟩[2J⟨U+D800⟩\nand stopped"
    )
    registry.close()


def test_nothing_that_is_printed_has_power_over_a_terminal() -> None:
    page = io.StringIO()
    console = plain_console(file=page, width=200, force_terminal=True, color_system=None)
    console.print("\x1b[2J\x9b31m\u202e :smile:", markup=False)
    assert page.getvalue() == "⟨U+001B⟩[2J⟨U+009B⟩31m⟨U+202E⟩ :smile:\n"


def test_what_is_left_out_is_counted() -> None:
    assert cut("x" * 12_345, 10) == "xxxxxxxxxx … 12,335 more characters"
    assert cut("short", 10) == "short"


def test_the_judges_read_any_text() -> None:
    item = Item(trace_id="t", prompt="?", final_answer="72", category="c")
    for name in ("answer_correctness@v1", "exact_match@v1", "math_equivalence@v1"):
        [score] = judge_items([item], {"t": f"{LONG}\0Answer: 72"}, load_judge(name))
        assert score.trace_id == "t"
