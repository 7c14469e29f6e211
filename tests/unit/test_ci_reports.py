"""Reports in CI: GitHub's Markdown, JUnit, JSON. Whatever a model wrote is text there, and nothing else."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from markdown_it import MarkdownIt
from markdown_it.token import Token

from core.errors import InputError
from core.text import visible, visible_lines, without_commands
from evaluation.gate import GateConfig
from evaluation.limits import LimitResult
from experiments.promoting import promote_run
from experiments.side_by_side import ItemAnswers, side_by_side
from experiments.workspace import Workspace
from golden.schema import Item
from hallmark.console import plain_console
from hallmark.github.actions import annotation
from registry import Run
from reports.collecting import report_on
from reports.document import Report
from reports.examples import Examples, examples
from reports.formats import FORMATS, write_report
from reports.github import COMMENT_BYTES, SMALLEST_BYTES, SUMMARY_BYTES, github_markdown, marker
from reports.json_document import json_document, json_pieces
from reports.junit import junit
from tests.conftest import CommandLine
from tests.support.github_api import REPOSITORY, github_api
from tests.support.recorded_runs import record_baseline, record_trained, right_for, workspace_at
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
SCHEMA = etree.XMLSchema(etree.parse(ROOT / "tests/data/junit.xsd"))

HOSTILE = (
    "@octocat and @github/security, thanks",
    "fixes #12, GH-12, octo/cat#1 and 1a2b3c4d5e6f",
    "www.evil.example http://evil.example/x mail@evil.example",
    "a | b \\| c",
    "</details></td></table><script>alert(1)</script>",
    "<img src=x onerror=alert(1)> ![p](https://evil.example/p.png)",
    "<!-- --> ]]> &lt;b&gt; &#64;octocat",
    "::set-output name=a::b",
    "\n::add-mask::secret\n  ::error::no\n##[add-mask]x ##vso[task.complete]x ##teamcity[x]",
    "```\n@octocat\n````\n~~~\n</details>\n\n# heading\n\n- [ ] task\n> [!WARNING]",
    "$x$ $`y`$ :smile: [^1] [x]: http://evil.example",
    "\x00\x1b[2J\u202egnp.exe\u2028next\ufffe\uffff\u200b",
    "`` ` ``` `",
    "1. first",
    "",
)

anything = st.one_of(
    st.text(max_size=200),
    st.lists(st.sampled_from([*HOSTILE, *"|`\\ \n\r<>&*_.)@#:$"]), max_size=8).map("".join),
)


class Recorded(NamedTuple):
    """Two runs of forty items, of which the second was refused: half of what was right is wrong now."""

    place: Workspace
    base: Run
    candidate: Run
    report: Report
    found: list[Examples]

    def __repr__(self) -> str:
        return "recorded"

    def items(self) -> Iterable[ItemAnswers]:
        return side_by_side([self.base, self.candidate], self.place.registry)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    folder = tmp_path_factory.mktemp("recorded")
    place = workspace_at(folder / "home")
    dataset = str(small_dataset(folder, map(str, range(40))))
    base = record_baseline(place, right_for(0.8), dataset=dataset)
    right = right_for(0.4)

    def hostile(number: int, item: Item) -> str:
        text = right(number, item)
        return text if isinstance(text, str) and "no idea" not in text else HOSTILE[number % len(HOSTILE)]

    candidate = record_trained(place, hostile, dataset=dataset)
    promote_run(candidate.run_id, "support", GateConfig(), place, against=base.run_id)
    report = report_on(candidate.run_id, place.registry, base.run_id)
    return Recorded(place, base, candidate, report, examples(report, place.registry))


def poisoned(recorded: Recorded, text: str) -> tuple[Report, list[Examples]]:
    """The same with a text wherever one can stand that is not ours."""
    report = recorded.report
    assert report.comparison
    assert report.decided
    assert report.decided.decision
    decision = report.decided.decision
    required = decision.requirements[0].model_copy(update={"dataset": text, "reasons": [text]})
    group = report.comparison.categories[0].model_copy(update={"name": text})
    update = {
        "runs": [
            run.model_copy(
                update={
                    **dict.fromkeys(("name", "base_model", "dataset", "judge", "engine"), text),
                    "hints": [text],
                }
            )
            for run in report.runs
        ],
        "comparison": report.comparison.model_copy(update={"categories": [group]}),
        "decided": report.decided.model_copy(
            update={
                "headline": text,
                "reasons": [text, f"Compared with {text}, once."],
                "decision": decision.model_copy(update={"requirements": [required]}),
            }
        ),
    }
    return report.model_copy(update=update), [
        each.model_copy(update={"items": [said(item, text) for item in each.items]})
        for each in recorded.found
    ]


def said(item: ItemAnswers, text: str) -> ItemAnswers:
    """An item in which everybody said this."""
    answers = [
        written.model_copy(update={"prediction": text, "extracted": text or None, "reason": text})
        for written in item.answers
    ]
    asked = [{"role": "user", "content": text}]
    return item.model_copy(update={"answers": answers, "asked": asked, "accepted": [text], "category": text})


LINKED = re.compile(r"@|#\d|\bGH-\d|[0-9a-f]{7}|www\.|://|\$|:\w+:")
"""What GitHub makes a link, a picture or a formula of in text, but not in code."""


def flat(tokens: Iterable[Token]) -> Iterable[Token]:
    for token in tokens:
        yield token
        yield from token.children or []


def assert_powerless(markdown: str) -> None:
    """Nothing in it but our own headings, tables, folds and texts, and code."""
    opened = 0
    for token in flat(MarkdownIt("gfm-like").parse(markdown)):
        assert token.type not in ("image", "html_inline", "link_open")
        if token.type == "html_block":
            html = token.content.strip()
            assert re.fullmatch(
                r"<!-- hallmark report [0-9a-f]{32} -->|</details>"
                r"|<details>\n<summary>(Whole texts|Runs|Got better: [\w ,]+)</summary>",
                html,
            )
            opened += html.count("<details>") - html.count("</details>")
            assert opened in (0, 1, 2)
        if token.type == "text":
            assert not LINKED.search(token.content)
    assert opened == 0
    assert not any(line.lstrip().startswith("::") for line in re.split("[\n\r\u2028\u2029]", markdown))
    assert not re.search(r"##\w*\[", markdown)


def test_the_decision_stands_on_top_and_then_what_got_worse(recorded: Recorded) -> None:
    text = github_markdown(recorded.report, recorded.found)
    lines = [line for line in text.splitlines() if line]
    assert lines[0] == marker(recorded.report)
    assert lines[1] == "## NOT PROMOTED: the gate said no"
    assert lines[2].startswith("**80.0 % to 40.0 %, -40.0 points** on 40 items of `small-v1`")
    assert lines[3].startswith("16 of 40 items got worse, 0 got better.")
    assert "- The score fell by 40.0 points on 40 items; a gain is required." in lines
    assert "| small-v1 better than base | 80.0 % | 40.0 % | -40.0 | 1.000 | no |" in lines
    headings = [line for line in lines if line.startswith("### ")]
    assert headings == [
        "### Requirements",
        "### By category",
        "### Got worse: first 10 of 16",
        "### Got better: 0",
    ]
    assert f"`{recorded.candidate.run_id}`" in text
    assert_powerless(text)


def test_one_run_alone_is_reported_too(recorded: Recorded) -> None:
    report = report_on(recorded.candidate.run_id, recorded.place.registry)
    text = github_markdown(report, examples(report, recorded.place.registry))
    assert "**40.0 %**" in text
    assert "### Not right: first 10 of 24" in text
    assert_powerless(text.replace("Not right", "Got better"))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text_on_github(recorded: Recorded, text: str) -> None:
    markdown = github_markdown(*poisoned(recorded, text))
    assert_powerless(markdown)
    shown = [token.content for token in flat(MarkdownIt("gfm-like").parse(markdown)) if token.type == "fence"]
    assert without_commands(visible_lines(text)) + "\n" in shown


@given(anything)
@settings(max_examples=40)
def test_any_text_is_text_on_github(recorded: Recorded, text: str) -> None:
    assert_powerless(github_markdown(*poisoned(recorded, text)))


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("x" * 100_000, SUMMARY_BYTES),
        ("\x00" * 100_000, COMMENT_BYTES),
        ("`" * 100_000, COMMENT_BYTES),
        ("\n::\n" * 25_000, COMMENT_BYTES),
        ("\x00" * 100_000, SMALLEST_BYTES),
    ],
)
def test_a_report_stays_below_githubs_limits_and_says_what_it_left_out(
    recorded: Recorded, text: str, limit: int
) -> None:
    report, found = poisoned(recorded, text)
    assert report.decided
    report = report.model_copy(
        update={"decided": report.decided.model_copy(update={"reasons": [text] * 1000})}
    )
    markdown = github_markdown(report, found, limit)
    assert len(markdown.encode()) < limit
    assert_powerless(markdown)
    if limit < SUMMARY_BYTES:
        assert f"Left out to stay below {limit:,} bytes: " in markdown


def test_links_are_those_that_were_given(recorded: Recorded) -> None:
    links = {"report": "https://ci.example/a(b)?x=1"}
    tokens = list(
        flat(MarkdownIt("gfm-like").parse(github_markdown(recorded.report, recorded.found, links=links)))
    )
    assert [token.attrs["href"] for token in tokens if token.type == "link_open"] == list(links.values())


def test_a_comment_is_found_again_by_model_and_dataset(recorded: Recorded) -> None:
    report = recorded.report
    first, run = report.runs[0], report.candidate
    other = report.model_copy(update={"runs": [first, run.model_copy(update={"base_model": "other"})]})
    before = report.model_copy(update={"made_with": "9.9", "decided": None})
    assert marker(before) == marker(report) != marker(other)


def parsed(document: bytes) -> etree._Element:
    """A JUnit file, which is valid and asks for nothing outside of it."""
    root = etree.fromstring(document, etree.XMLParser(resolve_entities=False, no_network=True))
    SCHEMA.assertValid(root)
    assert b"<!" not in document
    assert_no_command(document.decode())
    return root


def assert_no_command(text: str) -> None:
    assert not re.search(r"^\s*::|##\w*\[", text, re.MULTILINE)


def test_junit_has_a_case_per_requirement_and_limit(recorded: Recorded) -> None:
    assert recorded.report.decided
    assert recorded.report.decided.decision
    bounds = {"dataset": "small-v1", "at_most": 0.1, "at_least": None}
    limits = [
        LimitResult(measure="cut_share", value=0.0, met=True, reason="Fine.", **bounds),
        LimitResult(measure="size", value=None, met=False, reason="The size was not recorded.", **bounds),
    ]
    decision = recorded.report.decided.decision.model_copy(update={"limits": limits})
    decided = recorded.report.decided.model_copy(update={"decision": decision})
    (suite,) = parsed(junit(recorded.report.model_copy(update={"decided": decided})))
    assert [suite.get(name) for name in ("name", "tests", "failures", "errors")] == [
        "small-v1",
        "3",
        "1",
        "1",
    ]
    required, fine, unknown = suite.iter("testcase")
    assert required.get("name") == "small-v1 better than base"
    assert required[0].tag == "failure"
    assert required[0].get("message") == "The score fell by 40.0 points on 40 items; a gain is required."
    assert required[0].text == "\n".join(decision.requirements[0].reasons)
    assert len(fine) == 0
    assert unknown[0].tag == "error"
    found = {each.get("name"): each.get("value") for each in suite.iter("property")}
    assert found["candidate.run_id"] == recorded.candidate.run_id
    assert found["candidate.dataset_sha256"] == recorded.report.candidate.dataset_sha256
    assert (found["outcome"], found["baseline.judge"]) == ("refused", recorded.base.judge)


def test_junit_has_a_case_per_item_on_request(recorded: Recorded) -> None:
    (suite,) = parsed(junit(recorded.report, recorded.items()))
    assert suite.get("tests") == "41"
    worse = [case.get("name") for case in suite.iter("testcase") if len(case)][1:]
    assert recorded.report.comparison
    assert worse == recorded.report.comparison.lost
    assert sum(int(suite.get(kind)) for kind in ("failures", "errors")) == 17


def test_junit_of_what_nobody_decided_skips(recorded: Recorded) -> None:
    (suite,) = parsed(junit(recorded.report.model_copy(update={"decided": None})))
    assert [case[0].tag for case in suite.iter("testcase")] == ["skipped"]


@given(anything)
@settings(max_examples=40)
def test_any_text_is_text_in_junit(recorded: Recorded, text: str) -> None:
    report, found = poisoned(recorded, f"{text}!")  # no dataset is called " "
    root = parsed(junit(report, found[0].items))
    case = root.findall(".//testcase")[-1]
    expected = re.sub("[\ufffe\uffff]", lambda each: f"⟨U+{ord(each[0]):04X}⟩", visible_lines(text))
    assert expected in case[0].text


def test_json_is_the_report_with_its_version(recorded: Recorded) -> None:
    text = "".join(json_pieces(recorded.report))
    document = json.loads(text)
    assert document == json.loads(json.dumps(json_document(recorded.report)))
    assert document["schema_version"] == 1
    assert document["headline"] == "NOT PROMOTED: the gate said no"
    assert document.keys() == {
        *("schema_version", "title", "headline", "runs", "comparison", "changes", "decided", "made_with"),
    }
    assert "".join(json_pieces(recorded.report)) == text
    of_report = {name: document[name] for name in Report.model_fields}
    assert Report.model_validate(of_report) == recorded.report


def test_json_has_every_item_on_request(recorded: Recorded) -> None:
    text = "".join(json_pieces(recorded.report, recorded.items()))
    items = [ItemAnswers.model_validate(each) for each in json.loads(text)["items"]]
    assert items == list(recorded.items())
    assert_no_command(text)


@given(anything)
@settings(max_examples=40)
def test_json_keeps_any_text_and_no_line_of_it_is_a_command(recorded: Recorded, text: str) -> None:
    report, found = poisoned(recorded, text)
    written = "".join(json_pieces(report, found[0].items))
    assert json.loads(written)["items"][0]["answers"][0]["prediction"] == text
    assert_no_command(written)


@pytest.mark.parametrize("name", FORMATS)
def test_a_report_replaces_a_report_of_its_own_form(recorded: Recorded, name: str, tmp_path: Path) -> None:
    path = write_report(recorded.report, recorded.place.registry, tmp_path / "report", name)
    first = path.read_bytes()
    assert write_report(recorded.report, recorded.place.registry, path, name).read_bytes() == first


@pytest.mark.parametrize("force", [True, False])
def test_a_pipe_or_device_is_neither_waited_for_nor_replaced(
    recorded: Recorded, force: bool, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="is no regular file"):
        write_report(recorded.report, recorded.place.registry, pipe, "json", force)
    assert pipe.is_fifo()


def test_a_forced_decision_says_who_forced_it_and_why(tmp_path: Path) -> None:
    place = workspace_at(tmp_path / "home")
    dataset = str(small_dataset(tmp_path))
    runs = [
        record(place, lambda *_: "Answer: 1", dataset=dataset) for record in (record_baseline, record_trained)
    ]
    promote_run(runs[1].run_id, "support", GateConfig(), place, force_reason="@org/team asked for it")
    report = report_on(runs[1].run_id, place.registry, runs[0].run_id)
    assert report.decided
    assert report.decided.reasons[0] == f"Forced by {report.decided.actor}: @org/team asked for it"
    text = github_markdown(report, examples(report, place.registry))
    assert "`@org/team` asked for it" in text


def test_an_annotation_is_one_line_that_says_what_it_should() -> None:
    assert (
        annotation("error", "a:b,c", "50 %\n::add-mask::x") == "::error title=a%3Ab%2Cc::50 %25 ::add-mask::x"
    )


@pytest.fixture
def reported(recorded: Recorded, hallmark: CommandLine) -> Callable[..., tuple[int, str, str]]:
    """`hallmark report` on the two runs."""

    def report(*options: object, **environment: str) -> tuple[int, str, str]:
        variables = {"HALLMARK_HOME": str(recorded.place.home), "GITHUB_STEP_SUMMARY": "", **environment}
        done = hallmark("report", recorded.base.run_id, recorded.candidate.run_id, *options, **variables)
        return done.returncode, done.stdout, done.stderr

    return report


def test_in_a_job_the_report_becomes_its_summary(
    recorded: Recorded, reported: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("# Mine")
    job = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    code, out, said = reported("--format", "github", "--fail-unless-promoted", **job)
    assert code == 5
    assert out.strip() == str(summary) or out.strip() == "summary.md"
    assert "::error title=Hallmark::NOT PROMOTED: the gate said no. The score fell by 40.0 points" in said
    assert summary.read_text().startswith(f"# Mine\n\n{marker(recorded.report)}\n")


def test_outside_of_a_job_it_is_printed(
    recorded: Recorded, reported: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, said = reported("--format", "github", GITHUB_ACTIONS="")
    assert (code, said) == (0, "")
    assert out == github_markdown(recorded.report, recorded.found)
    code, out, said = reported("--format", "json", "--json")
    assert (code, out) == (2, "")
    assert "Name a file" in said


def test_a_comment_is_updated_and_a_fork_fails_only_where_that_is_asked(
    recorded: Recorded, reported: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    event = tmp_path / "event.json"
    event.write_text('{"pull_request": {"number": 7}}')
    with github_api() as github:
        github.authors["fork"] = "github-actions[bot]"
        github.readers.add("fork")
        job = {
            "GITHUB_API_URL": github.url,
            "GITHUB_GRAPHQL_URL": "",
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_TOKEN": "ours",
        }
        options = ("--format", "junit", "-o", "junit.xml", "--comment")
        for _ in range(2):
            assert reported(*options, **job)[0] == 0
        (body,) = github.bodies()
        assert body.startswith(marker(recorded.report))
        assert "## NOT PROMOTED" in body
        parsed((tmp_path / "junit.xml").read_bytes())
        code, _, said = reported(*options, **{**job, "GITHUB_TOKEN": "fork"})
        assert code == 0
        assert "comment: none: GitHub refused (403): Resource not accessible" in said
        assert reported(*options, "--fail-without-comment", **{**job, "GITHUB_TOKEN": "fork"})[0] == 4
        assert len(github.bodies()) == 1


@pytest.fixture
def typed(recorded: Recorded, tmp_path: Path) -> Callable[..., list[list[str]]]:
    """What a script types after `hallmark`, in a folder with the result of an experiment."""
    if not shutil.which("jq"):
        pytest.skip("jq is not installed; GitHub's runners have it")
    program = tmp_path / ".venv/bin/hallmark"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\njq -cn '$ARGS.positional' --args -- \"$@\" >> {tmp_path}/typed\n")
    program.chmod(0o755)
    result = {"against": {"run_id": recorded.base.run_id}, "trained": {"run_id": recorded.candidate.run_id}}
    (tmp_path / "result.json").write_text(json.dumps(result))
    job = {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
    }

    def run(script: str, **environment: str) -> list[list[str]]:
        (tmp_path / "typed").unlink(missing_ok=True)
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        subprocess.run(command, check=True, cwd=tmp_path, env={**job, **environment})
        return [json.loads(line) for line in (tmp_path / "typed").read_text().splitlines()]

    return run


def test_the_scripts_of_the_workflow_report_an_experiment(
    recorded: Recorded, typed: Callable[..., list[list[str]]], hallmark: CommandLine, tmp_path: Path
) -> None:
    workflow = yaml.safe_load((ROOT / "deployments/ci/github.yml").read_text())
    (steps,) = [job["steps"] for job in workflow["jobs"].values()]
    scripts = {step["name"]: step["run"] for step in steps if "run" in step and "name" in step}
    commands = typed(scripts["write the page and the tests"])
    name, _, ids = (tmp_path / "output").read_text().partition("=")
    assert (name, ids.split()) == ("ids", [recorded.base.run_id, recorded.candidate.run_id])
    commands += typed(
        scripts["write the summary and the comment"], IDS=ids.strip(), FILES="https://ci.example/1"
    )
    job = {
        "HALLMARK_HOME": str(recorded.place.home),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "GITHUB_EVENT_PATH": "",
        "GITHUB_REF": "refs/heads/main",
    }
    assert [hallmark(*command, **job).returncode for command in commands] == [0, 0, 0]
    parsed((tmp_path / "junit.xml").read_bytes())
    assert "Hallmark report" in (tmp_path / "report.html").read_text()[:4096]
    assert "[page and tests](<https://ci.example/1>)" in (tmp_path / "summary").read_text()


def test_the_commands_of_the_documentation_work(
    recorded: Recorded, typed: Callable[..., list[list[str]]], hallmark: CommandLine, tmp_path: Path
) -> None:
    first, last = re.findall(
        r"^```sh\n(.*?)^```", (ROOT / "docs/ci.md").read_text(), re.DOTALL | re.MULTILINE
    )
    experiment, *reports = first.splitlines()
    assert "--fail-unless-promoted" in experiment
    *_, command = typed("\n".join(reports))
    assert command[-3:] == ["--items", "-o", "report.json"]
    done = hallmark(*command, HALLMARK_HOME=str(recorded.place.home))
    assert (done.returncode, done.stdout) == (0, "report.json\n")
    shown = subprocess.run(["bash", "-ec", last], capture_output=True, text=True, cwd=tmp_path, check=True)
    outcome, _, *worse = shown.stdout.split()
    assert outcome == "refused"
    assert recorded.report.comparison
    assert worse == recorded.report.comparison.lost


def test_in_ci_no_line_that_is_printed_is_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for ci, shown in (
        ("", "  ::add-mask::x ##[group]\n"),
        ("true", "  ⟨U+003A⟩:add-mask::x ##⟨U+005B⟩group]\n"),
    ):
        monkeypatch.setenv("CI", ci)
        printed = io.StringIO()
        plain_console(file=printed).print("  ::add-mask::x ##[group]", markup=False)
        assert printed.getvalue() == shown


def test_commands_are_named_and_nothing_else() -> None:
    assert without_commands("a::b ## [x] # [y]\n: :") == "a::b ## [x] # [y]\n: :"
    assert visible(without_commands("##[group]")) == "##⟨U+005B⟩group]"
    assert all(one != two for one, two in pairwise(HOSTILE))
