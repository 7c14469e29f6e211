"""`hallmark golden check` and `freeze` find datasets that cannot be won, or that count items twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError
from evaluation.groups import group_of
from evaluation.power import power_plan
from evaluation.statistics import holm, mcnemar_exact
from experiments.lint_rules import Finding, Lines, same_prompts, small_categories, too_long, unanswerable
from experiments.linting import Lint, freeze_dataset, lint
from golden.datasets import load_dataset
from golden.guard import find_near_copies
from golden.manifest import manifest_path, read_manifest
from golden.schema import Item
from judges import load_judge
from tests.support.refusals import assert_refused

pytestmark = pytest.mark.unit

JUDGE = load_judge("answer_correctness@v1")
STORY = (
    "If a train leaves Rome at nine in the morning and drives 84 miles per hour, when does it meet the one "
    "that left Milan at ten?"
)


def item(number: int, prompt: str, answer: str = "1", category: str = "c", **more: Any) -> Item:
    values = {"steps": [], **more}
    return Item(trace_id=f"q-{number}", prompt=prompt, final_answer=answer, category=category, **values)


def lines(*items: Item) -> Lines:
    return Lines(list(items), list(range(1, len(items) + 1)))


def write(folder: Path, *items: Item, name: str = "mine-v1") -> Path:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(each.model_dump()) + "\n" for each in items))
    return path


def places(findings: list[Finding], rule: str) -> list[list[int]]:
    return [finding.lines for finding in findings if finding.rule == rule]


NOBODY = ["<", ">", "*", "?!", '"', "a\nb", "The answer: 5", "x Answer: y", "Answer:", "\u00a0.\u00a0"]


@pytest.mark.parametrize("answer", NOBODY)
def test_an_answer_that_nobody_can_give_is_an_error(answer: str) -> None:
    [finding] = unanswerable(lines(item(1, "fine?"), item(2, "Which?", answer)), JUDGE)
    assert (finding.rule, finding.is_error, finding.lines, finding.ids) == (
        "unanswerable",
        True,
        [2],
        ["q-2"],
    )
    assert "scores 0: the judge" in finding.problem


@pytest.mark.parametrize(
    "answer", ["5", " 5 ", "1,000", "$5", "-3.50", "Yes.", "日本", "a b", "(x)", "Straße"]
)
def test_an_answer_that_can_be_given_is_none(answer: str) -> None:
    assert list(unanswerable(lines(item(1, "Which?", answer, steps=["Answer: 7"])), JUDGE)) == []


def test_a_judge_that_fails_on_a_reference_is_named() -> None:
    class Broken:
        name, version = "broken", "v1"

        def score(self, item: Item, prediction: str) -> Any:
            raise ValueError("no such sum")

    [finding] = unanswerable(lines(item(1, "Which?")), Broken())
    assert "the judge fails on it: ValueError: no such sum" in finding.problem


def test_equal_prompts_with_other_answers_are_a_contradiction_with_both_lines() -> None:
    found = list(
        same_prompts(
            lines(item(1, "What is 2 + 2?", "4"), item(2, "else?"), item(3, "what is  2+2 ?", "5")), JUDGE
        )
    )
    assert [(each.rule, each.is_error, each.lines, each.ids) for each in found] == [
        ("contradiction", True, [1, 3], ["q-1", "q-3"])
    ]
    assert '"4" and "5"' in found[0].problem


def test_equal_prompts_with_answers_that_the_judge_takes_for_equal_are_copies() -> None:
    found = list(
        same_prompts(lines(item(1, "2 + 2?", "4"), item(2, "2+2?", "4.0"), item(3, "2 + 2?", "4")), JUDGE)
    )
    assert [(each.rule, each.is_error, each.lines) for each in found] == [("copy", False, [1, 2, 3])]
    exact = load_judge("exact_match@v1")
    [found_by_another] = same_prompts(lines(item(1, "2 + 2?", "4"), item(2, "2+2?", "4.0")), exact)
    assert found_by_another.rule == "contradiction"


def test_one_prompt_with_another_end_is_one(tmp_path: Path) -> None:
    written = ["2 + 2?", "2 + 2", "2 + 2 =", "2+2.", "> **2 + 2**"]
    [finding] = same_prompts(lines(*(item(n, prompt, "4") for n, prompt in enumerate(written))), JUDGE)
    assert (finding.rule, len(finding.lines)) == ("copy", 5)
    [finding] = same_prompts(lines(item(1, "2 + 2?", "4"), item(2, "2 + 2", "5")), JUDGE)
    assert finding.rule == "contradiction"
    [finding] = small_categories(lines(*(item(n, prompt, "4") for n, prompt in enumerate(written))))
    assert "has 1 independent items" in finding.problem


def test_a_short_prompt_inside_another_one_is_told(tmp_path: Path) -> None:
    asked = [
        item(1, "Question: What is 9 + 2?"),
        item(2, "What is 9 + 2"),
        item(3, "Please answer: Reverse kabo"),
    ]
    asked += [item(4, "Reverse kabo"), item(5, "What is 9 + 2 + 4?"), item(6, "Reverse kabolu")]
    report = lint(write(tmp_path, *asked))
    assert places(report.warnings, "near_copy") == [[1, 2], [3, 4]]
    assert '"What is 9 + 2" is whole inside' in next(
        finding.problem for finding in report.warnings if finding.rule == "near_copy"
    )


def test_what_many_prompts_hold_is_their_template() -> None:
    items = [item(0, "Solve it now"), *(item(n, f"Solve it now: {n} + 1") for n in range(1, 40))]
    assert list(find_near_copies(items)) == []


def test_prompts_that_differ_in_a_sign_are_two() -> None:
    found = same_prompts(
        lines(item(1, "9 + 2?", "11"), item(2, "9 - 2?", "7"), item(3, "2²?", "4"), item(4, "22?")), JUDGE
    )
    assert list(found) == []


def test_sixty_items_four_times_are_told(tmp_path: Path) -> None:
    once = [item(n, f"What is {n} + {n}?", str(2 * n)) for n in range(60)]
    copies = [
        each.model_copy(update={"trace_id": f"{each.trace_id}-{copy}"}) for copy in range(4) for each in once
    ]
    report = lint(write(tmp_path, *copies))
    assert (report.errors, len(places(report.warnings, "copy"))) == ([], 60)
    assert places(report.warnings, "copy")[0] == [1, 61, 121, 181]


def test_prompts_that_nearly_repeat_another_are_told() -> None:
    items = [
        item(1, STORY),
        item(2, "What is 1 + 1?"),
        item(3, STORY.replace("Rome", "Bari")),
        item(4, STORY),
    ]
    found = list(find_near_copies(items))
    assert [(each.golden_id, each.train_id, each.kind) for each in found] == [("q-1", "q-3", "ngram")]


def test_a_prompt_that_holds_a_shorter_one_is_no_near_copy() -> None:
    longer = f"{STORY} {' '.join(f'word{n}' for n in range(40))}"
    assert list(find_near_copies([item(1, STORY), item(2, longer)])) == []


def test_items_of_one_group_may_resemble_each_other(tmp_path: Path) -> None:
    alike = [item(n, STORY.replace("84", str(n)), group="trains") for n in range(3)]
    assert places(lint(write(tmp_path, *alike)).warnings, "near_copy") == []


def test_a_template_of_many_items_is_no_near_copy() -> None:
    items = [item(n, f"{STORY.replace('84 miles per hour', '')} {n} and {n + 7}") for n in range(40)]
    assert list(find_near_copies(items)) == []


def test_answers_that_do_not_fit_are_told_apart_from_steps_that_do_not() -> None:
    checked = lines(item(1, "a?", "1"), item(2, "b?", "1", steps=["long " * 40]), item(3, "c?", "y" * 200))
    found = list(too_long(checked, lambda texts: [len(text) for text in texts], longest=100))
    assert [(each.rule, each.is_error, each.lines) for each in found] == [
        ("cut_steps", False, [2]),
        ("cut_answer", True, [3]),
    ]
    assert "209 tokens" in found[1].problem  # "Answer: ", the answer, and the end


@pytest.mark.parametrize("categories", [1, 2, 8])
def test_a_category_is_too_small_exactly_when_losing_all_of_it_is_not_significant(categories: int) -> None:
    def p_holm(n: int) -> float:
        return holm([mcnemar_exact(gained=0, lost=n), *[1.0] * (categories - 1)])[0]

    least = next(n for n in range(1, 30) if p_holm(n) < 0.05)
    for size, small in ((least, False), (least - 1, True)):
        items = [item(n, f"{n}?", category="a") for n in range(size)]
        items += [
            item(1000 * c + n, f"{c} {n}?", category=f"b{c}") for c in range(1, categories) for n in range(30)
        ]
        found = list(small_categories(lines(*items)))
        assert [each.problem for each in found] == (
            [f"a: has {size} independent items, needs {least}"] if small else []
        )


def test_copies_do_not_make_a_category_larger() -> None:
    [finding] = small_categories(lines(*(item(n, f"Sum {n % 3}?") for n in range(30))))
    assert finding.problem == "c: has 3 independent items, needs 6"


def broken_file(folder: Path) -> Path:
    path = write(folder, item(1, "Which?", "<"), item(2, "2 + 2?", "4"), item(3, "2+2?", "5"))
    with path.open("a") as file:
        file.write('{"trace_id": "q-1", "prompt": "a", "steps": [], "final_answer": "1", "category": "c"}\n')
        file.write('{"trace_id": "z", "prompt": 4, "stps": [], "final_answer": null}\n{"trace_id": \n\n')
        file.write("x" * 3_000_000 + "\n")
        file.write(
            '{"trace_id": "q-9", "prompt": "nine?", "steps": [], "final_answer": "9", "category": "c"}\n'
        )
    return path


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    report = lint(broken_file(tmp_path))
    assert places(report.errors, "not_an_item") == [[5]] * 4 + [[6], [7], [8]]
    assert [finding.problem for finding in report.errors if finding.lines == [5]] == [
        "category: missing field",
        "stps: unknown field",
        "prompt: expected a string, got a number",
        "final_answer: expected a string or a list of strings, got null",
    ]
    assert places(report.errors, "repeated_id") == [[4]]
    assert places(report.errors, "unanswerable") == [[1]]
    assert places(report.errors, "contradiction") == [[2, 3]]
    assert report.items == 4


def test_the_same_problem_of_many_lines_is_one_finding(tmp_path: Path) -> None:
    path = tmp_path / "mine-v1.jsonl"
    rows = [{"id": f"q-{n}", "question": f"{n}?", "answer": "1", "topic": "c"} for n in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = [finding for finding in lint(path).errors if finding.rule == "not_an_item"]
    assert [finding.problem for finding in found] == [
        "prompt: missing field; your `question` looks like it",
        "trace_id: missing field; your `id` looks like it",
        "final_answer: missing field; your `answer` looks like it",
        "category: missing field; your `topic` looks like it",
        "id: unknown field; it looks like `trace_id`",
        "question: unknown field; it looks like `prompt`",
        "answer: unknown field; it looks like `final_answer`",
        "topic: unknown field; it looks like `category`",
    ]
    assert {len(finding.lines) for finding in found} == {30}


def test_every_accepted_answer_must_score_1() -> None:
    accepted = item(1, "Which?").model_copy(update={"final_answer": ["5", "five", "<"]})
    [finding] = unanswerable(lines(accepted, item(2, "fine?")), JUDGE)
    assert finding.lines == [1]
    assert finding.problem.startswith('"<", written out, scores 0')


def test_answers_contradict_only_where_none_is_shared() -> None:
    def asked(number: int, *answers: str) -> Item:
        return item(number, "Capital?").model_copy(update={"final_answer": list(answers)})

    [copy] = same_prompts(
        lines(asked(1, "Bern", "Berne"), asked(2, "Berne"), item(3, "capital", "Bern")), JUDGE
    )
    assert copy.rule == "contradiction"  # 2 accepts nothing that 3 does
    assert copy.lines == [2, 3, 1]
    [copy] = same_prompts(lines(asked(1, "Bern", "Berne"), asked(2, "Berne")), JUDGE)
    assert copy.rule == "copy"
    [copy] = same_prompts(lines(asked(1, "Bern", "4"), asked(2, "4.0", "Rome")), JUDGE)
    assert copy.rule == "copy"


def test_system_text_is_part_of_what_is_asked_but_not_of_the_group() -> None:
    items = [
        item(1, "Capital?", "Bern", system="Of Switzerland."),
        item(2, "Capital?", "Rome", system="Of Italy."),
    ]
    items.append(
        Item.model_validate(
            {
                "trace_id": "q-3",
                "messages": [
                    {"role": "system", "content": "of italy"},
                    {"role": "user", "content": "Capital?"},
                ],
                "final_answer": "Milan",
                "category": "c",
            }
        )
    )
    found = list(same_prompts(lines(*items), JUDGE))
    assert [(finding.rule, finding.lines) for finding in found] == [("contradiction", [2, 3])]
    assert set(group_of(items).values()) == {"q-1"}


def test_check_exits_with_2_on_errors_and_with_0_on_warnings(hallmark, tmp_path: Path) -> None:
    broken = broken_file(tmp_path)
    result = hallmark("golden", "check", str(broken))
    assert result.returncode == 2
    assert "error: prompts with contradicting answers: 1\n  lines 2 (q-2), 3 (q-3)" in result.stdout
    assert "line 8: line longer than 1048576 bytes" in result.stdout
    assert "then check again:\n  hallmark golden check" in result.stdout
    assert all(len(line) <= 80 for line in result.stdout.splitlines() if "/" not in line)
    whole = hallmark("golden", "check", str(broken), "--json")
    assert whole.returncode == 2
    assert Lint.model_validate_json(whole.stdout) == lint(broken)
    warned = hallmark(
        "golden", "check", str(write(tmp_path, item(1, "1?"), item(2, "1 ?"), name="warned-v1"))
    )
    assert warned.returncode == 0
    assert "warning: prompts that occur more than once: 1\n  lines 1 (q-1), 2 (q-2)" in warned.stdout
    assert "hallmark golden freeze" in " ".join(warned.stdout.split())


def test_the_built_in_datasets_have_no_findings(hallmark) -> None:
    for name in ("golden-v1", "train-v1"):
        report = lint(name)
        assert (report.errors, report.warnings, report.frozen) == ([], [], True)
    assert "all good" in hallmark("golden", "check", "golden-v1").stdout


def test_of_a_file_without_items_nothing_is_good(hallmark, tmp_path: Path) -> None:
    path = tmp_path / "mine-v1.jsonl"
    path.write_text("no item\n")
    result = hallmark("golden", "check", str(path))
    assert result.returncode == 2
    assert "0 items" in result.stdout
    assert "good:" not in result.stdout


def test_a_set_that_cannot_be_won_is_not_frozen(hallmark, tmp_path: Path) -> None:
    path = write(tmp_path, *(item(n, f"{n}?", NOBODY[n % 3]) for n in range(14)), item(20, "20?", "20"))
    result = hallmark("golden", "freeze", str(path), "--licence", "MIT", "--made-by", "hand")
    assert_refused(
        result, 2, "mine-v1.jsonl: not frozen", 'line 1 (q-0): "<", written out, scores 0', "and 4 more"
    )
    assert "q-9" in result.stderr
    assert "q-10" not in result.stderr
    assert not manifest_path(path).exists()


def test_contradictions_are_not_frozen_and_copies_are(tmp_path: Path) -> None:
    path = write(tmp_path, item(1, "2 + 2?", "4"), item(2, "2+2?", "5"))
    with pytest.raises(InputError, match=r"lines 1 \(q-1\), 2 \(q-2\): .* is answered"):
        freeze_dataset(path, "MIT", "hand")
    write(tmp_path, item(1, "2 + 2?", "4"), item(2, "2+2?", "4"))
    frozen = freeze_dataset(path, "MIT", "hand")
    assert (frozen.manifest.items, frozen.manifest.judge) == (2, None)
    assert [warning.lines for warning in frozen.warnings] == [[1, 2]]


def test_freezing_says_what_the_set_can_show(hallmark, tmp_path: Path) -> None:
    path = write(tmp_path, *(item(n, f"What is {n} + {n}?", str(2 * n)) for n in range(300)))
    result = hallmark("golden", "freeze", str(path), "--licence", "MIT", "--made-by", "hand")
    told = " ".join(power_plan("mine-v1", items=300).sentences())
    assert "mine-v1 is frozen, 300 items" in " ".join(result.stdout.split())
    assert told in " ".join(result.stdout.split())
    assert lint(path).can_show == power_plan("mine-v1", items=300).sentences()


def test_a_set_is_proved_by_the_judge_that_it_is_meant_for(hallmark, tmp_path: Path) -> None:
    path = write(tmp_path, *(item(n, f"{n}?", answer) for n, answer in enumerate(("<", ">", "*"))))
    assert hallmark("golden", "check", str(path)).returncode == 2
    named = ("--judge", "exact_match@v1")
    checked = hallmark("golden", "check", str(path), *named)
    assert checked.returncode == 0
    assert "--judge exact_match@v1" in " ".join(checked.stdout.split())
    assert (
        hallmark("golden", "freeze", str(path), "--licence", "MIT", "--made-by", "hand", *named).returncode
        == 0
    )
    manifest = read_manifest(path)
    assert manifest is not None
    assert manifest.judge == load_dataset(path).judge == lint(path).judge == "exact_match@v1"


def test_a_model_without_a_tokenizer_file_skips_the_lengths(tmp_path: Path, monkeypatch) -> None:
    import builtins

    real = builtins.__import__

    def without(name: str, *arguments: Any, **named: Any) -> Any:
        if name == "tokenizers":
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    report = lint(write(tmp_path, item(1, "a?", "y" * 200)))
    assert "tokenizers" in report.skipped["cut_steps"]
    assert places(report.errors, "cut_answer") == []


def test_a_training_set_is_checked_and_frozen_as_one(hallmark, tmp_path: Path) -> None:
    path = tmp_path / "learn-v1.jsonl"
    rows: list[dict[str, Any]] = [{"trace_id": "a", "prompt": "2 + 2?", "completion": "4"}]
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    rows.append({"trace_id": "b", "messages": turns})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert hallmark("golden", "check", str(path)).returncode == 2
    checked = hallmark("golden", "check", str(path), "--train")
    assert checked.returncode == 0
    assert "good: every line is an item; ids are unique" in checked.stdout
    made = ("--licence", "MIT", "--made-by", "hand", "--train")
    assert hallmark("golden", "freeze", str(path), *made).returncode == 0
    manifest = read_manifest(path)
    assert manifest is not None
    assert (manifest.items, manifest.categories, manifest.purpose) == (2, {}, "training")
    assert hallmark("golden", "check", str(path)).returncode == 0
    with path.open("a") as file:
        file.write('{"trace_id": "a", "prompt": "x"}\n')
    manifest_path(path).unlink()
    found = lint(path, train=True)
    assert [finding.problem for finding in found.errors] == ["completion: missing field"]
