"""A report as GitHub's Markdown: for the summary of a job and for a comment on a pull request. GitLab's merge
requests show it too.

Sources: GitHub Flavored Markdown, https://github.github.com/gfm/; job summaries hold 1 MiB a step,
https://docs.github.com/actions/reference/workflow-commands-for-github-actions; a comment 65,536 characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from core.files import sha256_json
from core.text import counted, cut, without_commands
from evaluation.gate import COLUMNS, decision_rows
from evaluation.numbers import interval_text, metric_text, p_text, percent, points
from evaluation.shown import largest, more_changed, more_largest, most_changed
from reports.document import Report, ReportedRun
from reports.examples import SHOWN, Examples
from reports.github_items import CELL, cell, full_texts, items_table
from reports.markdown import code, prose, table
from reports.templating import when

SUMMARY_BYTES = 1 << 20
"""What a job's summary must stay below, for one step."""
COMMENT_BYTES = 65_536
"""The same of a comment. GitHub counts characters, which are never more than bytes."""
SMALLEST_BYTES = 8_192
"""What the headline alone always fits into."""
MARK = b"<!-- hallmark report "
"""How a text of ours begins."""
SENTENCE = 1_000
"""Characters of a sentence."""
SENTENCES = 20
ROWS = 50


class Amount(NamedTuple):
    """How much of a report is put into a text.

    Attributes:
        items: of each kind.
        characters: of each whole text; 0 for none.
        sections: whether there is more than the headline.
    """

    items: int
    characters: int
    sections: bool = True

    @property
    def left_out(self) -> str:
        """What is missing, in a few words; empty where it is what anybody would be shown."""
        if not self.sections:
            return "everything but the headline"
        if not self.items:
            return "all items"
        texts = f"all but {self.characters:,} characters of each text" if self.characters else "whole texts"
        few = "" if self.items == SHOWN else f"all but {self.items} items of each kind, and "
        return "" if self == AMOUNTS[0] else few + texts


AMOUNTS = (
    *(Amount(SHOWN, characters) for characters in (20_000, 5_000, 2_000, 1_000, 400, 0)),
    *(Amount(items, 0) for items in (5, 2, 0)),
    Amount(0, 0, sections=False),
)
"""From everything to next to nothing: the first that fits is taken."""


def github_markdown(
    report: Report,
    examples: Sequence[Examples],
    limit: int = SUMMARY_BYTES,
    links: Mapping[str, str] | None = None,
) -> str:
    """A report as Markdown: the decision first, then what was required, categories, and items.

    What a model, a dataset or a person wrote is text and nothing else: it opens no link, mentions nobody, and
    no line of it is a command to what shows the log.

    Args:
        report: of one run, or of two.
        examples: some of its items.
        limit: bytes that the text stays below, at least `SMALLEST_BYTES`; what is left out for it is said.
        links: name -> URL, shown at the end.

    Example:
        >>> print(github_markdown(report, examples).splitlines()[2])
        ## NOT PROMOTED: the gate said no
    """
    for amount in AMOUNTS:
        parts = [marker(report), *_parts(report, examples, amount), _foot(report, amount, limit, links or {})]
        text = without_commands("\n\n".join(part for part in parts if part) + "\n")
        if len(text.encode()) < limit:
            return text
    raise ValueError(f"a limit of {limit} bytes is below {SMALLEST_BYTES}")


def marker(report: Report) -> str:
    """The first line, which nobody sees: by it a comment about this model and dataset is found again, before
    and after a decision.
    """
    run = report.candidate
    return f"{MARK.decode()}{sha256_json([run.base_model, run.dataset])[:32]} -->"


def _parts(report: Report, examples: Sequence[Examples], amount: Amount) -> Iterable[str]:
    yield f"## {prose(cut(report.headline, SENTENCE // 5))}"
    if not amount.sections:
        return
    yield _score(report)
    if report.changes is not None:
        yield " ".join(prose(cut(sentence, SENTENCE)) for sentence in report.changes.sentences)
    yield _sentences(report.decided.reasons if report.decided else [])
    yield _requirements(report)
    yield from _categories(report) if report.comparison else _metrics(report.candidate)
    notes = report.comparison.notes if report.comparison else [report.alone or ""]
    yield _sentences([*notes, *report.candidate.hints])
    for place, each in enumerate(examples):
        yield from _examples(report, each, amount, folded=place > 0)
    yield _runs(report)


def _score(report: Report) -> str:
    run, found = report.candidate, report.comparison
    judged = f"{code(run.dataset)}, judged by {cell(run.judge)}"
    if found is None:
        name, metric = next(iter(run.metrics.overall.items()))
        interval = interval_text(name, metric.ci_low, metric.ci_high)
        return (
            f"**{metric_text(name, metric.value)}** ({interval}) on {counted(metric.n, 'item')} of {judged}."
        )
    interval = f"95 % interval {points(found.ci_low)} to {points(found.ci_high)}"
    return (
        f"**{percent(found.baseline.value)} to {percent(found.candidate.value)}, {points(found.delta)} "
        f"points** on {counted(found.n, 'item')} of {judged} ({interval}; {found.test_name}, p = "
        f"{p_text(found.p_value)})."
    )


def _sentences(sentences: Sequence[str]) -> str:
    shown = [f"- {prose(cut(sentence, SENTENCE))}" for sentence in sentences[:SENTENCES]]
    if (more := len(sentences) - SENTENCES) > 0:
        shown.append(f"- and {counted(more, 'more sentence')}")
    return "\n".join(shown)


def _requirements(report: Report) -> str:
    decision = report.decided.decision if report.decided else None
    if decision is None or not (rows := decision_rows(decision.requirements, decision.limits)):
        return ""
    shown = table(list(COLUMNS), [tuple(prose(cut(text, CELL)) for text in row) for row in rows[:ROWS]])
    more = f"\n\nand {len(rows) - ROWS:,} more" if len(rows) > ROWS else ""
    return f"### Requirements\n\n{shown}{more}"


def _categories(report: Report) -> Iterable[str]:
    comparison = report.comparison
    if comparison is None:
        return
    for title, groups in (("By category", comparison.categories), ("By difficulty", comparison.bands)):
        if not groups:
            continue
        columns = ["", "points", "baseline", "candidate", "better / worse", "items", "p (Holm)"]
        rows = [
            (
                cell(group.name),
                f"**{points(group.delta)}**" if group.p_holm < 0.05 else points(group.delta),
                percent(group.baseline),
                percent(group.candidate),
                f"{group.gained:,} / {group.lost:,}",
                f"{group.n:,}",
                p_text(group.p_holm),
            )
            for group in most_changed(groups)
        ]
        yield f"### {title}\n\n{table(columns, rows)}"
        yield more_changed(groups, f"All: {code('hallmark compare --json')}") or ""


def _metrics(run: ReportedRun) -> Iterable[str]:
    every = [("overall", run.metrics.overall), *run.metrics.categories.items()]
    found = [(group, name, metric) for group, metrics in every for name, metric in metrics.items()]
    rows = [
        (
            cell(group),
            cell(name),
            f"{metric.n:,}",
            metric_text(name, metric.value),
            interval_text(name, metric.ci_low, metric.ci_high),
        )
        for group, name, metric in largest(found, lambda row: (row[2].n, row[2].value))
    ]
    yield f"### Scores\n\n{table(['', 'metric', 'items', 'value', '95 % interval'], rows)}"
    yield more_largest(len(found), f"All: {code('hallmark runs show --json')}") or ""


def _examples(report: Report, found: Examples, amount: Amount, *, folded: bool) -> Iterable[str]:
    shown = found.items[: amount.items]
    count = f"first {len(shown)} of {found.count:,}" if found.count > len(shown) else f"{found.count:,}"
    title = f"{found.title}: {count}"
    if not shown:
        yield f"### {found.title}: {found.count:,}"
        return
    roles = [run.role if len(report.runs) > 1 else "answer" for run in report.runs]
    parts = [items_table(shown, roles)]
    if amount.characters:
        parts += _folded("Whole texts", full_texts(shown, roles, amount.characters))
    yield from _folded(title, parts) if folded else (f"### {title}", *parts)


def _folded(title: str, parts: Iterable[str]) -> list[str]:
    return [f"<details>\n<summary>{title}</summary>", *parts, "</details>"]


def _runs(report: Report) -> str:
    facts = {
        "run": [run.run_id for run in report.runs],
        "what": [run.name for run in report.runs],
        "model": [run.base_model for run in report.runs],
        "weights, sha256": [run.weights for run in report.runs],
        "dataset": [run.dataset for run in report.runs],
        "dataset, sha256": [run.dataset_sha256 for run in report.runs],
        "judge": [run.judge for run in report.runs],
        "engine": [run.engine for run in report.runs],
        "started": [when(run.started_at) for run in report.runs],
    }
    rows = [(name, *map(cell, values)) for name, values in facts.items()]
    return "\n\n".join(_folded("Runs", [table(["", *(run.role for run in report.runs)], rows)]))


def _foot(report: Report, amount: Amount, limit: int, links: Mapping[str, str]) -> str:
    lines = []
    if left_out := amount.left_out:
        lines.append(
            f"Left out to stay below {limit:,} bytes: {left_out}. {code('hallmark report')} has all."
        )
    named = [f"[{name}](<{url}>)" for name, url in links.items()]
    return "\n\n".join([*lines, " · ".join([*named, f"Hallmark {report.made_with}"])])
