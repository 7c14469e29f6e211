"""A judge with its parameters is one string, always written the same way, wherever a judge is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.errors import InputError
from core.judge_reference import parse_judge
from evaluation.suite import Requirement, Suite
from experiments.config import EvaluateConfig, ExperimentConfig, configured
from golden.manifest import Manifest
from hallmark.cli.options import judge_with
from judges import load_judge
from tests.support.judge_plugins import PLUGIN, install_plugin
from tests.support.recorded_runs import recorded_run
from tests.support.refusals import assert_refused
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.unit

PICKY = PLUGIN.replace(
    "from judges.base import Score\n",
    "from pydantic import Field\nfrom judges.base import JudgeParameters, Score\n",
).replace(
    '    """Says yes whenever the right answer occurs."""\n',
    '''    """Says yes whenever the right answer occurs."""

    class Parameters(JudgeParameters):
        """What it can be given."""

        mark: str = Field(description="What stands before the answer.")
        least: int = Field(default=0, ge=0, description="Least length.")

    def __init__(self, parameters):
        self.parameters = parameters
''',
)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("answer_correctness@v1", "answer_correctness@v1"),
        ("answer_correctness@v1{}", "answer_correctness@v1"),
        ({"name": "answer_correctness@v1"}, "answer_correctness@v1"),
        ('regex@v1{"pattern": "a b", "group": 1}', 'regex@v1{"group":1,"pattern":"a b"}'),
        ({"pattern": "a", "name": "regex@v1"}, 'regex@v1{"pattern":"a"}'),
        ('regex@v1 {"pattern":"ä{2}"}', 'regex@v1{"pattern":"ä{2}"}'),
        ({"name": 'x@v1{"a":1}', "b": 2}, None),
        ("regex", None),
        ("regex@v0", None),
        ("regex@v1{pattern:a}", None),
        ('regex@v1{"a":1,"a":2}', None),
        ('regex@v1{"a":NaN}', None),
        ('regex@v1{"a":1}}', None),
        ("regex@v1" + '{"a":' * 5000 + "1" + "}" * 5000, None),
        ('regex@v1{"a":"' + "x" * 5000 + '"}', None),
        ('regex@v1{"a":"\\ud800"}', None),
        ({"pattern": "a"}, None),
        (1, None),
    ],
)
def test_a_reference_is_always_written_the_same_way(written: object, canonical: str | None) -> None:
    if canonical is None:
        with pytest.raises(ValueError, match="judge"):
            parse_judge(written)  # type: ignore[arg-type]
        with pytest.raises(ValidationError):
            EvaluateConfig(judge=written)
    else:
        assert str(parse_judge(written)) == canonical  # type: ignore[arg-type]
        assert str(parse_judge(canonical)) == canonical
        assert EvaluateConfig(judge=written).judge == canonical
        assert Requirement(judge=written).judge == canonical
        facts = {"name": "a-v1", "items": 1, "sha256": "0" * 64, "categories": {}, "licence": "x"}
        assert Manifest(**facts, made_by="x", judge=written).judge == canonical


def test_a_toml_file_may_hold_a_judge_as_a_table(tmp_path: Path) -> None:
    path = tmp_path / "hallmark.toml"
    path.write_text('judge = {name = "regex@v1", pattern = "[0-9]+"}\n')
    assert configured(ExperimentConfig, path).judge == 'regex@v1{"pattern":"[0-9]+"}'
    path.write_text('[judge]\npattern = "a"\n')
    with pytest.raises(InputError, match="name is missing"):
        configured(ExperimentConfig, path)
    suite = Suite.model_validate({"require": [{"judge": {"name": "f1@v1"}}]})
    assert suite.require[0].judge == "f1@v1"
    table = {"name": "x@v1", "b": 1, "a": 2}
    both = ExperimentConfig.model_validate({"require": [{"judge": table}], "judge": table})
    assert both.judge == 'x@v1{"a":2,"b":1}'


def test_parameters_can_be_given_one_by_one_on_the_command_line() -> None:
    assert judge_with("regex@v1", [r"pattern=(\d+)", "group=1"]) == r'regex@v1{"group":1,"pattern":"(\\d+)"}'
    assert judge_with('x@v1{"a":1,"b":2}', ["a=3"]) == 'x@v1{"a":3,"b":2}'
    assert judge_with("x@v1", None) == "x@v1"
    with pytest.raises(InputError, match="--judge-arg pattern: expected NAME=VALUE"):
        judge_with("regex@v1", ["pattern"])
    with pytest.raises(InputError, match="of which judge"):
        judge_with(None, ["pattern=a"])


def test_a_judge_without_parameters_refuses_them_by_name() -> None:
    with pytest.raises(InputError, match="takes no parameters, got group, pattern"):
        load_judge('exact_match@v1{"pattern":"a","group":1}')


@pytest.mark.long
def test_a_plugin_has_parameters_that_are_checked_recorded_and_part_of_its_fingerprint(
    home: Path, tmp_path: Path, hallmark
) -> None:
    from experiments.workspace import open_workspace

    environment = install_plugin(tmp_path / "site", PICKY)
    first = recorded_run(open_workspace(), dataset=str(small_dataset(tmp_path)))

    shown = json.loads(hallmark("judges", "show", "generous", "--json", **environment).stdout)
    assert [(each["name"], each["required"], each["help"]) for each in shown[0]["parameters"]] == [
        ("mark", True, "What stands before the answer."),
        ("least", False, "Least length."),
    ]
    for given, message in (
        ("generous@v1", "parameter mark is missing"),
        ('generous@v1{"least":-1,"more":1}', "parameter mark is missing; parameter least: Input should be"),
        ('generous@v1{"mark":"a","more":1}', "there is no parameter more. Its parameters: mark, least"),
        ('generous@v1{"mark":1}', "parameter mark: Input should be a valid string, got 1"),
    ):
        assert_refused(hallmark("rejudge", first.run_id, "--judge", given, **environment), 2, message)

    def rejudged(*judge: str) -> dict[str, str]:
        done = hallmark("rejudge", first.run_id, "--judge", *judge, "--json", **environment)
        assert done.returncode == 0, done.stderr
        document: dict[str, str] = json.loads(done.stdout)
        return document

    one = rejudged("generous@v1", "--judge-arg", "mark=a", "--judge-arg", "least=0")
    other = rejudged('generous@v1{"mark": "[b]"}')
    assert (one["judge"], other["judge"]) == ('generous@v1{"mark":"a"}', 'generous@v1{"mark":"[b]"}')
    assert len({one["judge_fingerprint"], other["judge_fingerprint"], shown[0]["fingerprint"]}) == 3
    assert_refused(hallmark("compare", one["run_id"], other["run_id"], **environment), 2, "judge:", "[b]")
