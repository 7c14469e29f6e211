"""A gain is told apart: was it learnt how to end an answer, or how to find it? And: equal conditions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError
from core.files import read_jsonl, sha256_file, write_jsonl
from evaluation.comparison import Comparison, RunScores, compare
from experiments import phases
from experiments.comparing import compare_runs
from experiments.runs import begin_run, owned, why_not_reused
from experiments.workspace import Workspace
from golden.prompting import PromptConfig
from golden.schema import Item
from judges import load_judge
from registry import Run
from reports.prefect_pages import comparison_report
from tests.support.recorded_runs import plan_of, recorded_run, workspace_at, write_predictions
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.unit

Answer = tuple[float, str | None]


def compared(*answers: tuple[Answer, Answer]) -> Comparison:
    """A comparison of score and rung on each side, item by item."""
    ids = [f"t{place}" for place in range(len(answers))]

    def run(name: str, side: int) -> RunScores:
        return RunScores(
            name,
            "golden-v1",
            "a" * 64,
            "j@v2",
            "f",
            {},
            {trace_id: each[side][0] for trace_id, each in zip(ids, answers, strict=True)},
            dict.fromkeys(ids, "c"),
            rungs={
                trace_id: rung
                for trace_id, each in zip(ids, answers, strict=True)
                if (rung := each[side][1]) is not None
            },
        )

    return compare(run("base", 0), run("trained", 1))


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("marker", "marker", (1, 0, 0)),
        ("boxed", "marker", (1, 0, 0)),
        ("marker", "last_number", (1, 0, 0)),
        ("letter", "letter", (1, 0, 0)),
        ("bare", "marker", (1, 0, 0)),
        ("last_number", "marker", (0, 1, 0)),
        ("whole_text", "boxed", (0, 1, 0)),
        (None, "phrase", (0, 1, 0)),
        ("last_number", "last_number", (0, 0, 1)),
        ("whole_text", "last_number", (0, 0, 1)),
        (None, "whole_text", (0, 0, 1)),
    ],
)
def test_what_a_gained_and_a_lost_item_are_put_down_to(
    before: str | None, after: str | None, found: tuple[int, int, int]
) -> None:
    same: tuple[Answer, Answer] = ((1.0, "marker"), (1.0, "marker"))
    form = compared(((0.0, before), (1.0, after)), same).form
    assert form is not None
    assert (form.gained.skill, form.gained.form, form.gained.unclear) == found
    assert form.lost.total == 0
    form = compared(((1.0, after), (0.0, before)), same).form
    assert form is not None
    assert (form.lost.skill, form.lost.form, form.lost.unclear) == found


def test_a_gain_that_is_mostly_form_is_said_with_what_remains_without() -> None:
    comparison = compared(
        *[((0.0, "last_number"), (1.0, "marker"))] * 18,
        *[((0.0, "marker"), (1.0, "marker"))] * 2,
        *[((1.0, "marker"), (1.0, "marker"))] * 4,
        ((0.0, None), (0.0, None)),
    )
    form = comparison.form
    assert form is not None
    assert form.mostly_form
    assert (form.n, form.baseline_score, form.candidate_score) == (6, 4 / 6, 1.0)
    notes = " ".join(comparison.notes)
    assert "Gained: 20 items, 2 by skill, 18 by form." in notes
    assert "On the 6 items where both stated their answer: 66.7 % to 100.0 %, +33.3 points" in notes
    assert "in 18 of the 20 items gained, the baseline did not state its answer" in notes
    counts = {
        row.rung: (row.baseline_right, row.baseline_wrong, row.candidate_right, row.candidate_wrong)
        for row in form.rungs
    }
    assert counts == {"marker": (4, 2, 24, 0), "last_number": (0, 18, 0, 0), "none": (0, 1, 0, 1)}
    assert list(counts) == ["marker", "last_number", "none"]
    shown = comparison_report(comparison, ([], []), {})
    assert "| `last_number` | 0 | 18 | 0 | 0 |" in shown
    again = Comparison.model_validate(comparison.model_dump(mode="json"))
    assert again == comparison


def test_a_side_without_any_answer_is_the_plainest_case_of_form() -> None:
    form = compared(*[((0.0, None), (1.0, "marker"))] * 20).form
    assert form is not None
    assert (form.gained.form, form.n, form.mostly_form) == (20, 0, True)
    lost = compared(*[((1.0, "marker"), (0.0, None))] * 20).form
    assert lost is not None
    assert lost.lost.form == 20


@pytest.mark.parametrize(
    ("judge", "reference", "before", "after"),
    [
        ("choice@v1", "B", "C", "Answer: B"),
        ("answer_correctness@v2", "18", "17", "Answer: 18"),
        ("answer_correctness@v2", "18", "17 apples.", "Answer: 18"),
        ("answer_correctness@v2", "yes", "No.", "Answer: yes"),
    ],
)
def test_a_text_that_is_nothing_but_an_answer_states_it(
    judge: str, reference: str, before: str, after: str
) -> None:
    item = Item(trace_id="t", prompt="?", final_answer=reference, category="c")
    scores = [load_judge(judge).score(item, text) for text in (before, after)]
    form = compared(*[((scores[0].score, scores[0].rung), (scores[1].score, scores[1].rung))] * 20).form
    assert form is not None
    assert (form.gained.skill, form.gained.form, form.mostly_form) == (20, 0, False)


def test_a_judge_that_names_no_rungs_and_a_recorded_comparison_show_nothing_of_them() -> None:
    comparison = compared(((0.0, None), (1.0, None)), ((1.0, None), (1.0, None)))
    assert comparison.form is None
    assert comparison.notes == []
    older = comparison.model_dump(mode="json", exclude={"form"})
    assert Comparison.model_validate(older).form is None


def record(workspace: Workspace, rungs: str, right: int, **settings: Any) -> Run:
    """A finished run whose judge found each answer at one rung; the first `right` ones are right."""
    plan = plan_of(workspace, **settings)
    run = begin_run(plan, workspace.registry)
    with owned(run, workspace.registry):
        phases.export_dataset(run, plan)

        def answer(place: int, item: Item) -> str:
            return f"Answer: {item.reference if place < right else 'no idea'}"

        write_predictions(run, plan, answer)
        judged = phases.judge_run(run, plan)
        scores = [{**value, "rung": rungs} for _, value in read_jsonl(run.files.scores)]
        write_jsonl(run.files.scores, scores)
        judged.scores_sha256 = sha256_file(run.files.scores)
        phases.record_run(run, plan, judged, workspace.registry)
    return workspace.registry.runs.get(run.run_id)


def test_the_rungs_of_recorded_runs_are_compared(
    home: Path, tmp_path: Path, registry_url: str | None, hallmark
) -> None:
    workspace = workspace_at(home, registry_url)
    dataset = str(small_dataset(tmp_path, map(str, range(20))))
    base = record(workspace, "last_number", 2, dataset=dataset)
    assert workspace.registry.runs.rungs(base.run_id) == {f"t{n}": "last_number" for n in range(20)}
    other = record(workspace, "marker", 12, dataset=dataset)
    form = compare_runs(base.run_id, other.run_id, workspace.registry).form
    assert form is not None
    assert (form.gained.form, form.n) == (10, 0)
    environment = {} if registry_url is None else {"HALLMARK_REGISTRY_URL": registry_url}
    printed = hallmark("compare", base.run_id, other.run_id, **environment)
    assert "last_number" in printed.stdout
    assert "Mostly form: in 10 of the 10 items gained" in " ".join(printed.stdout.split())
    assert workspace.registry.verify(quick=True) == []
    workspace.registry.close()


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        ({"instruction": "End with Answer: X."}, 'prompt.instruction: null against "End with Answer: X."'),
        ({"system": "Be brief."}, 'prompt.system: null against "Be brief."'),
        ({"stop": ["\n\n"]}, 'prompt.stop: [] against ["\\n\\n"]'),
        (
            {"template_args": {"enable_thinking": False}},
            'prompt.template_args: {} against {"enable_thinking"',
        ),
        ({"date": "2027-02-03"}, 'prompt.date: "2026-01-01" against "2027-02-03"'),
        ({"few_shot": "train-v1", "num_fewshot": 2}, 'prompt.few_shot: null against ["train-v1"'),
    ],
)
def test_runs_that_were_asked_otherwise_are_not_compared(
    prompt: dict[str, Any], named: str, home: Path, tmp_path: Path
) -> None:
    workspace = workspace_at(home)
    dataset = str(small_dataset(tmp_path))
    runs = [recorded_run(workspace, dataset=dataset), recorded_run(workspace, dataset=dataset, prompt=prompt)]
    with pytest.raises(InputError) as raised:
        compare_runs(runs[0].run_id, runs[1].run_id, workspace.registry)
    assert named in str(raised.value)
    asked = PromptConfig.model_validate({**prompt, "thinking_end": "</think>"})
    reason = why_not_reused(plan_of(workspace, dataset=dataset, prompt=asked), workspace.registry)
    assert reason == f"run {runs[1].run_id} is not reused: it was asked otherwise (prompt.thinking_end)"


def test_a_run_from_before_prompts_were_recorded_was_asked_by_the_defaults(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from experiments.plan import RunPlan

    workspace = workspace_at(home)
    dataset = str(small_dataset(tmp_path))
    with monkeypatch.context() as patch:
        manifest = RunPlan.manifest
        patch.setattr(RunPlan, "manifest", lambda self, run_id: {**manifest(self, run_id), "prompt": None})
        older = recorded_run(workspace, dataset=dataset)
    newer = recorded_run(workspace, dataset=dataset, trained=True, train={"allow_contamination": True})
    assert compare_runs(older.run_id, newer.run_id, workspace.registry).delta == 0


def test_the_champion_is_met_with_the_run_that_was_asked_alike(home: Path, tmp_path: Path) -> None:
    workspace = workspace_at(home)
    registry = workspace.registry
    dataset = str(small_dataset(tmp_path))
    asked = {"instruction": "End with Answer: X."}
    alike = recorded_run(workspace, dataset=dataset, prompt=asked)
    recorded_run(workspace, dataset=dataset)
    like = recorded_run(workspace, dataset=dataset, prompt=asked, generation={"threads": 1})
    found = registry.runs.judging(
        registry.runs.get(like.run_id),
        registry.datasets.get(registry.runs.get(like.run_id).dataset_id).sha256,
        "answer_correctness@v1",
    )
    assert found is not None
    assert found.run_id == like.run_id
    assert found.run_id != alike.run_id
