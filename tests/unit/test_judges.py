"""The other judges, how judges are found, and what their fingerprints cover."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.files import sha256_json
from golden.datasets import load_dataset
from golden.schema import Item
from judges import available_judges, judge_fingerprint, load_judge
from judges.exact_match import ExactMatchV1
from judges.fingerprint import code_sha256
from tests.support.judge_plugins import HELPER, PLUGIN, install_plugin
from tests.support.recorded_runs import recorded_run
from tests.support.refusals import assert_refused
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.unit

EXACT = ExactMatchV1()
EXACT_FINGERPRINT = "1a81401c23b582f5d4490495a1d07e28892619848ac48586b27716c08aa695b7"

EXACT_CASES = [
    # answer, prediction, reason
    ("85", "Answer: 85", "correct"),
    ("85", "85", "correct"),
    ("85", "  85\n", "correct"),
    ("85", "Answer:\n\n\t85 \nThat was easy.", "correct"),
    ("85", "ANSWER :85", "correct"),
    ("85", "Answer: 84\nAnswer: 85", "correct"),
    ("85", "Answer: 85\nAnswer: 84", "wrong"),
    ("85", "Answer: 85.", "wrong"),
    ("85", "Answer: 85.0", "wrong"),
    ("85", "Answer: +85", "wrong"),
    ("85", "Answer: ８５", "wrong"),
    ("85", "Answer: **85**", "wrong"),
    ("85", "The sum is 85", "wrong"),
    ("1234", "Answer: 1,234", "wrong"),
    ("Paris", "Answer: Paris", "correct"),
    ("Paris", "Answer: paris", "wrong"),
    ("Paris", "Answer: Paris!", "wrong"),
    ("New York", "Answer: New  York", "wrong"),
    (" New York ", "Answer: New York", "correct"),
    ("é", "Answer: e\u0301", "wrong"),
    ("a\u00a0b", "Answer: a b", "wrong"),
    ("two\nlines", "two\nlines", "correct"),
    ("two\nlines", "Answer: two\nlines", "wrong"),
    ("85", "", "empty"),
    ("85", " \n ", "empty"),
    ("85", "Answer:", "empty"),
    ("85", "85\nAnswer:  \n ", "empty"),
    ("...", "Answer: ...", "correct"),
]


def item(answer: str) -> Item:
    return Item(trace_id="t", prompt="?", steps=[], final_answer=answer, category="c")


@pytest.mark.parametrize(("answer", "prediction", "reason"), EXACT_CASES)
def test_exact_match(answer: str, prediction: str, reason: str) -> None:
    score = EXACT.score(item(answer), prediction)
    assert (score.reason, score.score) == (reason, 1.0 if reason == "correct" else 0.0)
    assert (score.extracted is None) == (reason == "empty")


def test_the_code_of_exact_match_v1_has_not_changed() -> None:
    assert judge_fingerprint(load_judge("exact_match@v1")) == EXACT_FINGERPRINT, (
        "frozen: add exact_match@v2 and leave v1 as it was"
    )


CODE = {
    "answer_correctness@v1": "26cc461a6206431ce6d6cb841036e60728ff04c1102f4ccdb53e8f7d29bec446",
    "answer_correctness@v2": "19f6ff694c1447a1be5666e7d0ead2cffbb9253d5b1d1b60489051069c18d32c",
    "choice@v1": "83a233247221dec8adcc02122a215b885116d1134d10b79b41e875dfa595ba98",
    "contains@v1": "7563ff30a4ad867f074f8fe6dd71e88262ce8973f5191630a40db2160a8dfcd7",
    "exact_match@v1": "1a3578a32576d05af893210ed3cdf2239e8f5c27f0c488672c7d0037e8e00262",
    "f1@v1": "e50103a4c22b3ff81fe7a93c648863d65c2f01290ebc5adc0819d6dadad2c61c",
    "json_fields@v1": "5ffb58aaa1d9b798955799cf662373251a3dc1a5803cae29d08b2dc8ed4f5556",
    "likelihood@v1": "96d61a59b72e0709b0de7a3d8c67db7a6254448e111810b56ad2c3e0061ddee3",
    "log_prob_choice@v1": "109537986dba5f3bf46e67be77a1c019991352f73eb7eb08c3841b059662d21c",
    "math_equivalence@v1": "3f7922c8952e90f46bb441da0d5b4163a5ec2857ca1fd764a4776d313f46f639",
    "math_equivalence@v2": "0900402c9c009d1c08d1e003e72c5f8bf641dff3a65f4f6a5d8f33930a1d6194",
    "regex@v1": "9d255eb44db725e7764f2cf78922c082bd2fe5c42bbe18b22317a083d580d1cb",
}


@pytest.mark.parametrize("name", CODE)
def test_the_code_of_a_judge_has_not_changed(name: str) -> None:
    [point] = metadata.entry_points(group="hallmark.judges", name=name)
    assert sha256_json(code_sha256(point.load())) == CODE[name], f"frozen: add the next version of {name}"


text = st.text(st.characters(codec="utf-8", exclude_characters=":"))


@given(text, text)
def test_exact_match_is_symmetric(left: str, right: str) -> None:
    if left.strip() and right.strip():
        assert EXACT.score(item(left), right).score == EXACT.score(item(right), left).score


@given(st.text(), st.text(min_size=1).filter(str.strip))
def test_any_text_gets_a_score(prediction: str, answer: str) -> None:
    assert EXACT.score(item(answer), prediction).score in (0.0, 1.0)


@given(st.text(min_size=1).filter(str.strip), st.text())
def test_what_matches_exactly_is_never_less_right_for_answer_correctness(
    answer: str, prediction: str
) -> None:
    lenient = load_judge("answer_correctness@v1").score(item(answer), prediction)
    if EXACT.score(item(answer), prediction).score == 1 and "answer" not in answer.casefold():
        assert lenient.score == 1 or lenient.reason == "empty"  # punctuation alone is empty there


def test_every_golden_answer_is_right_for_exact_match() -> None:
    for golden in load_dataset("golden-v1").items():
        assert EXACT.score(golden, f"Answer: {golden.final_answer}").score == 1.0


def test_the_three_judges_are_installed() -> None:
    assert {"answer_correctness@v1", "exact_match@v1", "math_equivalence@v1"} <= set(available_judges())


def judges_listed(hallmark, environment: dict[str, str]) -> dict[str, dict[str, object]]:
    done = hallmark("judges", "list", "--json", **environment)
    assert done.returncode == 0, done.stderr
    return {info["judge"]: info for info in json.loads(done.stdout)}


def test_a_package_brings_a_judge_and_its_run_records_the_fingerprint(
    home: Path, tmp_path: Path, hallmark
) -> None:
    from experiments.workspace import open_workspace

    environment = install_plugin(tmp_path / "site")
    listed = judges_listed(hallmark, environment)["generous@v1"]
    assert (listed["package"], listed["description"]) == (
        "acme-judges 1.0",
        "Says yes whenever the right answer occurs.",
    )
    shown = hallmark("judges", "list", **environment).stdout
    assert "generous@v1 (acme-judges 1.0)" in shown

    first = recorded_run(
        open_workspace(), lambda n, _item: f"I say {n}", dataset=str(small_dataset(tmp_path))
    )
    done = hallmark("rejudge", first.run_id, "--judge", "generous@v1", "--json", **environment)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert run["judge_fingerprint"] == run["manifest"]["judge"]["fingerprint"] == listed["fingerprint"]
    assert run["counts"] == {"wrong": 4}


@pytest.mark.long
@pytest.mark.parametrize(
    ("source", "helper", "changes"),
    [
        (
            PLUGIN.replace('"""Look for the right answer."""', '"""Another docstring."""  # and a comment'),
            HELPER,
            False,
        ),
        (PLUGIN.replace("float(right)", "float(not right)"), HELPER, True),
        (PLUGIN, HELPER.replace("answer in prediction", "answer == prediction"), True),
        (PLUGIN.replace('version = "v1"', 'version = "v1"\n    libraries = ("pydantic",)'), HELPER, True),
    ],
    ids=["docstring", "judge", "helper", "libraries"],
)
def test_changed_code_under_the_same_version_is_another_judge(
    source: str, helper: str, changes: bool, home: Path, tmp_path: Path, hallmark
) -> None:
    from experiments.workspace import open_workspace

    first = recorded_run(open_workspace(), dataset=str(small_dataset(tmp_path)))
    site = tmp_path / "site"
    arguments = ("rejudge", first.run_id, "--judge", "generous@v1", "--json")
    before = json.loads(hallmark(*arguments, **install_plugin(site)).stdout)
    after = json.loads(hallmark(*arguments, **install_plugin(site, source, helper)).stdout)
    assert after["reused"] == (not changes)
    assert (after["judge_fingerprint"] != before["judge_fingerprint"]) == changes
    if changes:
        refused = hallmark("compare", before["run_id"], after["run_id"])
        assert_refused(refused, 2, "judge_fingerprint", before["run_id"], after["run_id"])


@pytest.mark.parametrize(
    ("source", "point", "message"),
    [
        (PLUGIN, "acme_judges.absent:Generous", "cannot be loaded: ModuleNotFoundError"),
        (PLUGIN, "acme_judges.main:Absent", "cannot be loaded: AttributeError"),
        (
            "import nothing_of_this_name\n",
            "acme_judges.main:Generous",
            "cannot be loaded: ModuleNotFoundError",
        ),
        ("def broken(:\n", "acme_judges.main:Generous", "cannot be loaded: SyntaxError"),
        (
            PLUGIN.replace('"v1"', '"v2"'),
            "acme_judges.main:Generous",
            "is no judge: its version is 'v2', expected 'v1'",
        ),
        (
            PLUGIN.replace("    name =", "    title ="),
            "acme_judges.main:Generous",
            "is no judge: its name is None",
        ),
        (
            PLUGIN.replace("def score", "def judge"),
            "acme_judges.main:Generous",
            "is no judge: score cannot be called",
        ),
        (
            PLUGIN.replace("(self, item, prediction)", "(self, item)"),
            "acme_judges.main:Generous",
            "is no judge: score cannot be called",
        ),
        (PLUGIN, "acme_judges.helping:agrees", "cannot be loaded: TypeError"),
    ],
)
def test_a_plugin_that_is_no_judge_is_named_with_its_package(
    source: str, point: str, message: str, tmp_path: Path, hallmark
) -> None:
    environment = install_plugin(tmp_path / "site", source, point=point)
    result = hallmark("baseline", "--judge", "generous@v1", **environment)
    assert_refused(result, 2, "judge generous@v1: its plug-in", point, "acme-judges 1.0", message)


def test_a_plugin_that_cannot_be_loaded_is_listed_with_the_reason(tmp_path: Path, hallmark) -> None:
    listed = judges_listed(hallmark, install_plugin(tmp_path / "site", "import nothing_of_this_name\n"))
    assert "cannot be loaded: ModuleNotFoundError" in str(listed["generous@v1"]["error"])
    assert listed["exact_match@v1"]["error"] is None


def test_an_unknown_judge_lists_the_plugins_too(tmp_path: Path, hallmark) -> None:
    result = hallmark("baseline", "--judge", "bleu@v1", **install_plugin(tmp_path / "site"))
    assert_refused(result, 2, "there is no judge bleu. Available: answer_correctness@v1, ", "generous@v1")


def test_a_library_that_a_judge_needs_is_named_before_anything_starts(tmp_path: Path, hallmark) -> None:
    source = PLUGIN.replace('version = "v1"', 'version = "v1"\n    libraries = ("acme-arithmetic",)')
    result = hallmark("baseline", "--judge", "generous@v1", **install_plugin(tmp_path / "site", source))
    assert_refused(
        result, 4, "judge generous@v1 needs the package acme-arithmetic", "pip install acme-arithmetic"
    )


def test_two_packages_with_one_judge_are_refused(tmp_path: Path, hallmark) -> None:
    environment = install_plugin(tmp_path / "site")
    other = tmp_path / "site" / "other-2.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 2.0\n")
    (other / "entry_points.txt").write_text("[hallmark.judges]\ngenerous@v1 = other:Generous\n")
    result = hallmark("baseline", "--judge", "generous@v1", **environment)
    assert_refused(result, 2, "judge generous@v1 is brought by two packages", "acme-judges 1.0", "other 2.0")
