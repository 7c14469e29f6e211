"""regex, contains, json_fields, f1, choice: judges that need no package of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from golden.datasets import load_dataset
from golden.rendering import render_completion
from golden.schema import Item
from judges import Score, available_judges, judge_fingerprint, judge_reference, list_judges, load_judge
from tests.support.recorded_runs import recorded_run
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.unit

NEW = {
    "regex@v1": {"pattern": "(?s)Answer: (.*)"},
    "contains@v1": {},
    "json_fields@v1": {},
    "f1@v1": {},
    "choice@v1": {},
}
OPTIONS = {"options": ["Paris", "London", "A dog"]}
WANTED = '{"a": 1, "b": "x", "c": [1, 2]}'


def said(judge: str, reference: str, text: str, metadata: Any = None, **parameters: Any) -> Score:
    item = Item(trace_id="t", prompt="?", final_answer=reference, category="c", metadata=metadata)
    score = load_judge({"name": judge, **parameters}).score(item, text)
    return Score.model_validate(score, from_attributes=True)


@pytest.mark.parametrize(
    ("reference", "text", "parameters", "reason"),
    [
        ("1,234", "Total: 5\nTotal: 1,234", {"pattern": "Total: ([0-9,]+)"}, "correct"),
        ("5", "Total: 5\nTotal: 1,234", {"pattern": "Total: ([0-9,]+)", "take": "first"}, "correct"),
        ("1234", "Total: 1,234", {"pattern": "Total: ([0-9,]+)"}, "wrong"),
        ("1234", "Total: 1,234", {"pattern": "Total: ([0-9,]+)", "compare": "answer"}, "correct"),
        ("b", "a=1 b=2", {"pattern": "(?P<key>[a-z])=(?P<value>[0-9])", "group": "key"}, "correct"),
        ("2", "a=1 b=2", {"pattern": "(?P<key>[a-z])=(?P<value>[0-9])", "group": 2}, "correct"),
        (
            "x",
            "I cannot help with that.",
            {"pattern": "(?i)^i (cannot|can't)", "compare": "found"},
            "correct",
        ),
        ("x", "Of course!", {"pattern": "(?i)^i (cannot|can't)", "compare": "found"}, "no_match"),
        ("x", "a\ud800x", {"pattern": "x"}, "correct"),
        ("a", "a" * 100_000 + "b", {"pattern": "^(a+)+$"}, "no_match"),  # by backtracking it never ends
        ("a", "a" * 100_000 + "b", {"pattern": "^(a|a)*c"}, "no_match"),
    ],
)
def test_regex(reference: str, text: str, parameters: dict[str, Any], reason: str) -> None:
    score = said("regex@v1", reference, text, **parameters)
    assert (score.reason, score.score) == (reason, float(reason == "correct"))


@pytest.mark.parametrize(
    ("reference", "text", "parameters", "reason"),
    [
        ("Paris", "I love PARIS!", {}, "correct"),
        ("Paris", "I love PARIS!", {"ignore_case": False}, "wrong"),
        ("Paris", "I am a Parisian", {}, "wrong"),
        ("Paris", "I am a Parisian", {"words": False}, "correct"),
        ("New York", "new\n  york", {}, "correct"),
        ("5", "it is 5.", {}, "correct"),
        ("5", "15 or 5.5 or -5 or 0,5", {}, "wrong"),
        ("C++", "I like C++.", {}, "correct"),
        ("東京", "私は東京に住む", {"words": False}, "correct"),
        ("x", "a dog", {"any": ["cat", "dog"]}, "correct"),
        ("x", "a cow", {"any": ["cat", "dog"]}, "wrong"),
        ("x", "red and blue", {"all": ["red", "blue"]}, "correct"),
        ("x", "red", {"all": ["red", "blue"]}, "wrong"),
        ("Paris", "Paris, not sure", {"none": ["not sure"]}, "forbidden"),
        ("Paris", " \u200f", {}, "empty"),
    ],
)
def test_contains(reference: str, text: str, parameters: dict[str, Any], reason: str) -> None:
    score = said("contains@v1", reference, text, **parameters)
    assert (score.reason, score.score) == (reason, float(reason == "correct"))


@pytest.mark.parametrize(
    ("text", "parameters", "share"),
    [
        ('Answer: {"a": 1.0, "b": "x", "c": [1, 2], "more": 0}', {}, 1),
        ('Sure!\n```json\n{"a": 1, "b": "y", "c": [1, 2]}\n```\nAnything else? {}', {}, 2 / 3),
        ('{"a": 0} no, {"a": 1, "b": "x", "c": [2, 1]}', {}, 2 / 3),
        ('{"a": 1, "b": "}{", "c": [1, 2]}', {}, 2 / 3),
        ('{"in": {"a": 1, "b": "x", "c": [1, 2]}}', {}, 0),
        ('{"a": "1", "b": " X", "c": [1, 2]}', {}, 1 / 3),
        ('{"a": "1", "b": " X", "c": [1, 2]}', {"compare": "answer"}, 1),
        ('{"a": true, "b": "x", "c": [1, 2]}', {}, 2 / 3),
        ('{"a": 1}', {"fields": ["a"]}, 1),
        ('{"a": 1}', {"score": "all"}, 0),
        ("[1, 2]", {}, None),
        ('{"a": 1, "b": ', {}, None),
        ('{"a": NaN}', {}, None),
        ('{"a":' * 50_000 + "1" + "}" * 50_000, {}, None),
        ("{" * 100_000, {}, None),
    ],
)
def test_json_fields(text: str, parameters: dict[str, Any], share: float | None) -> None:
    score = said("json_fields@v1", WANTED, text, **parameters)
    assert score.score == pytest.approx(share or 0)
    assert (score.reason == "no_json") == (share is None)


def test_json_fields_at_a_path_and_of_a_right_answer_that_has_none() -> None:
    nested = '{"address": {"city": "Bonn"}}'
    assert said("json_fields@v1", nested, nested, fields=["address.city"]).score == 1
    assert said("json_fields@v1", nested, '{"address": 1}', fields=["address.city"]).score == 0
    for reference, fields, problem in (("x", [], "not a JSON object"), (nested, ["zip"], "no field zip")):
        with pytest.raises(InputError, match=problem):
            said("json_fields@v1", reference, "{}", fields=fields)


@pytest.mark.parametrize(
    ("reference", "text", "score"),
    [
        ("the red cat", "Answer: A red dog!", 0.5),
        ("red cat", "The answer follows.\nAnswer: red cat", 1),
        ("red cat", "red red cat", 0.8),
        ("red cat", "a dog", 0),
        ("the", "a", 1),
        ("東京都", "東京", 0.8),
        ("red cat", "", 0),
        ("red cat", "Answer: red cat\n\nQuestion: and blue?\nAnswer: dog", 1),
    ],
)
def test_f1(reference: str, text: str, score: float) -> None:
    assert said("f1@v1", reference, text).score == pytest.approx(score)


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("B", "B"),
        ("(B)", "B"),
        ("B)", "B"),
        ("b.", "B"),
        ("**B**", "B"),
        ("Answer: B", "B"),
        ("Answer: (B) London", "B"),
        ("Answer: B. London", "B"),
        ("Answer: B because it is large", "B"),
        ("The answer is B.", "B"),
        ("\\boxed{\\text{B}}", "B"),
        ("London", "B"),
        ("Answer: a dog", "C"),
        ("The correct option is (B).", "B"),
        ("A cannot be, C is an animal.\nSo it must be B", "B"),
        ("Option A is wrong; I choose option B, the larger city of the two", "B"),
        ("A dog is nice", None),
        ("I saw a dog", None),
        ("B or C", None),
        ("Answer: A, B", None),
        ("D", None),
    ],
)
def test_choice(text: str, chosen: str | None) -> None:
    for letter in "ABC":
        score = said("choice@v1", letter, text, OPTIONS)
        assert (score.extracted, score.score) == (chosen, float(chosen == letter))
        assert score.reason == ("no_choice" if chosen is None else "correct" if chosen == letter else "wrong")


CAPITALS = {"options": ["Paris", "Rome", "London", "Berlin"]}


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("Not option B", None),
        ("Anything but option B", None),
        ("The answer cannot be option A", None),
        ("B. is wrong", None),
        ("A) is false", None),
        ("Answer: not B", None),
        ("Choice B seems best, but option C is the right one.", None),
        ("A. Paris\nB. Rome\nC. London\nD. Berlin", None),
        ("The capital is neither Rome nor Paris.", None),
        ("It is Rome or Paris.", None),
        ("Option A is wrong. Option B is wrong too. So it's C.", "C"),
        ("The right answer is B.\n\nOption D is incorrect because Berlin is in Germany.", "B"),
        ("B\n\nA: Paris", "B"),
        ("Answer: B?", "B"),
        ("B</s>", "B"),
        ("B<|im_end|>", "B"),
        ('{"answer": "B"}', "B"),
        ("Option B is correct.", "B"),
        ("The capital of Italy is Rome.", "B"),
        ("Among the options, Rome (B) is correct.", "B"),
    ],
)
def test_choice_hears_what_is_denied_and_what_is_only_repeated(text: str, chosen: str | None) -> None:
    score = said("choice@v1", "B", text, CAPITALS)
    assert (score.extracted, score.score) == (chosen, float(chosen == "B"))


def test_choice_takes_options_by_letter_and_a_right_answer_in_words() -> None:
    assert said("choice@v1", "London", "Answer: B", OPTIONS).score == 1
    assert said("choice@v1", "B", "Answer: B").score == 1
    by_letter = {"answers": {"a": "x", "b": "y"}}
    assert said("choice@v1", "b", "Answer: y", by_letter, options="answers").score == 1
    with pytest.raises(InputError, match="neither a letter nor one of the options"):
        said("choice@v1", "Rome", "Answer: B", OPTIONS)
    with pytest.raises(InputError, match=r"metadata\.options: expected a list"):
        said("choice@v1", "B", "Answer: B", {"options": "AB"})


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("regex@v1", "parameter pattern is missing"),
        ('regex@v1{"pattern":"(?=a)"}', "parameter pattern: .*no lookaround"),
        ('regex@v1{"pattern":"(a"}', "parameter pattern: missing"),
        ('regex@v1{"pattern":"a","group":1}', "the pattern has no group 1"),
        ('regex@v1{"pattern":"a","group":"x"}', "the pattern has no group 'x'"),
        ('regex@v1{"pattern":"a","take":"all","flags":1}', "parameter take.*; there is no parameter flags"),
        ('contains@v1{"any":"cat"}', "parameter any"),
        ('contains@v1{"all":["a"],"none":["a"]}', "'a' is in both"),
        ('json_fields@v1{"compare":"found"}', "parameter compare"),
        ('choice@v1{"options":""}', "parameter options"),
        ('f1@v1{"language":"en"}', "takes no parameters"),
    ],
)
def test_a_bad_parameter_is_named(reference: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        load_judge(reference)


def test_parameters_are_part_of_the_fingerprint_and_defaults_of_no_name() -> None:
    plain, same = load_judge("contains@v1"), load_judge('contains@v1{"words":true,"all":[]}')
    other = load_judge('contains@v1{"words":false}')
    assert judge_reference(plain) == judge_reference(same) == "contains@v1"
    assert judge_reference(other) == 'contains@v1{"words":false}'
    assert judge_fingerprint(plain) == judge_fingerprint(same) != judge_fingerprint(other)
    listed = {info.judge: info for info in list_judges()}
    assert {*NEW} <= {*available_judges()} == {*listed}
    assert listed["contains@v1"].fingerprint == judge_fingerprint(plain)
    assert [each.name for each in listed["regex@v1"].parameters if each.required] == ["pattern"]
    assert all(info.error is None and info.specification for info in listed.values())
    assert all(each.help for info in listed.values() for each in info.parameters)


@given(st.text(max_size=80))
def test_no_text_makes_them_fail(text: str) -> None:
    for judge, parameters in NEW.items():
        reference = WANTED if judge == "json_fields@v1" else "B"
        assert 0 <= said(judge, reference, text, OPTIONS, **parameters).score <= 1


def test_the_right_answer_as_it_is_written_out_is_right() -> None:
    for judge, parameters in NEW.items():
        for reference in [WANTED] if judge == "json_fields@v1" else ["B"]:
            assert said(judge, reference, render_completion([], reference), OPTIONS, **parameters).score == 1


def test_shares_are_compared_by_the_sign_flip_test(home: Path, tmp_path: Path) -> None:
    from experiments.comparing import compare_runs
    from experiments.rejudging import rejudge
    from experiments.workspace import open_workspace

    workspace, dataset = open_workspace(), str(small_dataset(tmp_path))
    runs = [
        recorded_run(
            workspace, lambda n, item, words=words: f"Answer: {item.final_answer} {words}", dataset=dataset
        )
        for words in ("more", "and two more")
    ]
    judged = [rejudge(run.run_id, "f1@v1", workspace).run_id for run in runs]
    comparison = compare_runs(judged[0], judged[1], workspace.registry)
    assert comparison.judge == "f1@v1"
    assert "permutation" in comparison.test_name
    assert comparison.delta < 0


def test_a_set_for_a_judge_with_parameters_is_frozen_and_proved_by_it(tmp_path: Path, hallmark) -> None:
    path = small_dataset(tmp_path)
    freeze = ("golden", "freeze", str(path), "--licence", "MIT", "--made-by", "hand", "--judge", "regex@v1")
    refused = hallmark(*freeze, "--judge-arg", "pattern=Sum: ([0-9]+)")
    assert refused.returncode == 2
    assert "not frozen: by regex@v1" in " ".join(refused.stderr.split())
    done = hallmark(*freeze, "--judge-arg", "pattern=Answer: (.+)", "--json")
    assert done.returncode == 0, done.stderr
    judge = 'regex@v1{"pattern":"Answer: (.+)"}'
    assert json.loads(done.stdout)["judge"] == load_dataset(path).judge == judge


def test_a_judge_can_be_tried_on_a_text(hallmark) -> None:
    done = hallmark("judges", "try", "answer_correctness@v2", "#### 1,234", "-r", "1234")
    assert (done.returncode, done.stdout) == (0, "1  correct: found '1,234' (hashes)\n")
    options = ("--metadata", '{"options": ["Paris", "Rome"]}')
    done = hallmark("judges", "try", "choice@v1", "It is Rome.", "-r", "A", "-r", "B", "--json", *options)
    assert json.loads(done.stdout)["extracted"] == "B"
    assert hallmark("judges", "try", "regex@v1", "x", "-r", "1").returncode == 2
    assert hallmark("judges", "try", "f1@v1", "x", "-r", " ").returncode == 2
