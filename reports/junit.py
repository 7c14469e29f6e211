"""A report as JUnit XML, which CI systems show as tests: a suite per dataset, a case per requirement and
limit.

What is written fits both schemas that are in use: that of Jenkins' xUnit plugin (junit-10.xsd) and the
stricter one of Apache Ant's tasks (JUnit.xsd of windyroad/JUnit-Schema), which asks for a host, among others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from xml.etree import ElementTree as ET

from core.text import COMMAND, cut, visible, visible_lines
from evaluation.gate import GateDecision
from experiments.answers import Written
from experiments.side_by_side import ItemAnswers
from reports.document import Report, ReportedRun

SHOWN_TEXT = 10_000
"""Characters of a text in a case of an item."""
PROPERTY = b'<property name="hallmark"'
"""What a file of ours has near its beginning."""
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'

Result = Literal["failure", "error", "skipped"]


@dataclass(frozen=True)
class Case:
    """A test case.

    Attributes:
        result: None where it passed.
        message: why not, in a line.
        text: why not, in full.
    """

    classname: str
    name: str
    result: Result | None = None
    message: str = ""
    text: str = ""
    seconds: float = 0.0


@dataclass
class _Suite:
    name: str
    properties: dict[str, str]
    cases: list[Case] = field(default_factory=list)


def junit(report: Report, items: Iterable[ItemAnswers] | None = None) -> bytes:
    """A report as JUnit XML.

    A requirement or limit that does not hold is a failure with its reasons; one that could not be judged,
    since something was not recorded, is an error; where nobody asked the gate, the case is skipped.

    Args:
        report: of one run, or of two.
        items: also a case for each of these: a failure where it got worse, or, in a report of one run, where
            it is not right; an error where the answer was cut off or is empty.

    Example:
        >>> junit(report).decode().splitlines()[1]
        '<testsuites>'
    """
    main = report.candidate
    suites: dict[str, _Suite] = {main.dataset: _Suite(main.dataset, _properties(report))}
    for dataset, case in _decided_cases(report):
        suites.setdefault(dataset, _Suite(dataset, _decision_properties(report))).cases.append(case)
    suites[main.dataset].cases += [_item_case(report, item) for item in items or ()]
    root = ET.Element("testsuites")
    for number, suite in enumerate(suites.values()):
        root.append(_suite_element(number, suite, main))
    ET.indent(root)
    return (HEAD + _without_commands(ET.tostring(root, encoding="unicode")) + "\n").encode()


def _decided_cases(report: Report) -> Iterable[tuple[str, Case]]:
    dataset, decided = report.candidate.dataset, report.decided
    if decided is None:
        why = "The gate was not asked about this run" + (
            " against this baseline." if report.comparison else "."
        )
        yield dataset, Case(dataset, "decision", "skipped", why, why)
        return
    decision = decided.decision
    if decision is None or not (decision.requirements or decision.limits):
        yield dataset, _whole_case(dataset, decision, decided.headline, decided.reasons)
        return
    for each in decision.requirements:
        result: Result | None = None if each.met else "failure"
        yield each.dataset, _case(each.dataset, each.name, result, each.reasons)
    for limit in decision.limits:
        unknown: Result = "error" if limit.value is None else "failure"
        yield limit.dataset, _case(limit.dataset, limit.name, None if limit.met else unknown, [limit.reason])


def _whole_case(dataset: str, decision: GateDecision | None, headline: str, reasons: Sequence[str]) -> Case:
    """Of a decision without requirements: the weights were champion already, or it is an old one."""
    refused = decision is not None and not decision.promote
    return _case(dataset, "decision", "failure" if refused else None, [headline, *reasons])


def _case(dataset: str, name: str, result: Result | None, reasons: Sequence[str]) -> Case:
    return Case(dataset, name, result, reasons[0] if reasons else "", "\n".join(reasons))


def _item_case(report: Report, item: ItemAnswers) -> Case:
    last = item.answers[-1]
    fine = item.change >= 0 if report.comparison else last.score >= 1
    name, classname = item.trace_id, f"{report.candidate.dataset}.{item.category}"
    if fine:
        return Case(classname, name)
    what = "got worse" if report.comparison else "not right"
    judged = [
        f"{run.role}: {_judged(written)}" for run, written in zip(report.runs, item.answers, strict=True)
    ]
    texts = [
        f"Asked:\n{cut(item.asked[-1]['content'], SHOWN_TEXT)}",
        f"Right answer: {' or '.join(item.accepted)}",
        *(
            f"{run.role.capitalize()}, {_judged(written)}:\n{cut(written.prediction, SHOWN_TEXT)}"
            for run, written in zip(report.runs, item.answers, strict=True)
        ),
    ]
    result: Result = "error" if last.cut_off or last.reason == "empty" else "failure"
    return Case(classname, name, result, f"{what}: {'; '.join(judged)}", "\n\n".join(texts))


def _judged(written: Written) -> str:
    return f"{written.reason}, cut off" if written.cut_off else written.reason


def _properties(report: Report) -> dict[str, str]:
    found = _decision_properties(report)
    for run in report.runs:
        of_run = {
            "run_id": run.run_id,
            "model": run.base_model,
            "model_sha256": run.model_sha256,
            "dataset_sha256": run.dataset_sha256,
            "judge": run.judge,
            "engine": run.engine,
        }
        found |= {f"{run.role}.{name}": value for name, value in of_run.items() if value is not None}
    return found


def _decision_properties(report: Report) -> dict[str, str]:
    found = {"hallmark": report.made_with, "headline": report.headline}
    if (decided := report.decided) is not None:
        version = "none" if decided.version is None else str(decided.version)
        found |= {"outcome": decided.outcome, "model_name": decided.model_name, "version": version}
        if decided.decision is not None:
            found |= {"answer": decided.decision.answer, "level": f"{decided.decision.level:.6g}"}
    return found


def _suite_element(number: int, suite: _Suite, main: ReportedRun) -> ET.Element:
    results = [case.result for case in suite.cases]
    element = ET.Element(
        "testsuite",
        _shown(
            {
                "name": suite.name,
                "package": "hallmark",
                "id": str(number),
                "timestamp": datetime.fromisoformat(main.started_at).strftime("%Y-%m-%dT%H:%M:%S"),
                "hostname": "localhost",  # no report names the machine
                "tests": str(len(results)),
                "failures": str(results.count("failure")),
                "errors": str(results.count("error")),
                "skipped": str(results.count("skipped")),
                "time": "0",
            }
        ),
    )
    properties = ET.SubElement(element, "properties")
    for name, value in suite.properties.items():
        ET.SubElement(properties, "property", _shown({"name": name, "value": value}))
    element.extend(map(_case_element, suite.cases))
    ET.SubElement(element, "system-out")
    ET.SubElement(element, "system-err")
    return element


def _case_element(case: Case) -> ET.Element:
    element = ET.Element("testcase", _shown({"classname": case.classname, "name": case.name, "time": "0"}))
    if case.result is not None:
        attributes = {"message": case.message, "type": case.result}
        ET.SubElement(element, case.result, _shown(attributes)).text = _allowed(visible_lines(case.text))
    return element


def _shown(attributes: Mapping[str, str]) -> dict[str, str]:
    return {name: _allowed(visible(value)) for name, value in attributes.items()}


def _allowed(text: str) -> str:
    """Without the two characters that `visible` leaves and XML forbids."""
    return re.sub("[\ufffe\uffff]", lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)


def _without_commands(xml: str) -> str:
    """The same document, of which no line is a command to what shows a log."""
    return COMMAND.sub(lambda found: f"{found[0][:-1]}&#{ord(found['sign'])};", xml)
