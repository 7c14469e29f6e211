"""The tables of a page: their cells are plain text, which the page escapes, or links that choose items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from core.text import counted, cut, visible
from evaluation.comparison import Comparison, Group
from evaluation.form import FormAndSkill, in_order
from evaluation.gate import COLUMNS, GateDecision, decision_rows
from evaluation.metrics import Metric
from evaluation.numbers import interval_text, metric_text, p_text, percent, points
from evaluation.shown import SHOWN, largest, more_changed, more_largest, most_changed
from reports.changes import InCommon
from reports.document import ReportedRun
from reports.templating import when

if TYPE_CHECKING:
    from markupsafe import Markup

NAME = 120
"""Characters of a category or of a judge's reason that a cell shows."""
ALL = "All are in the filter of the items."


class Table(NamedTuple):
    """A table; the first cell of a row is its heading.

    Attributes:
        caption: what it shows.
        columns: their names.
        rows: the cells.
        numbers: which columns hold numbers, from 0.
        more: what to say below it; None for nothing.
        stacked: whether its rows are blocks on a phone.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | Markup]]
    numbers: Sequence[int] = ()
    more: str | None = None
    stacked: bool = False


def link(text: str, **chosen: str) -> Markup:
    """A link to the items of a page that have something in common.

    Args:
        text: of the link.
        chosen: filter -> value, as `reports/assets/items.js` knows them.

    Example:
        >>> link("6", show="worse", category="two words")
        Markup('<a href="#show=worse&amp;category=two+words">6</a>')
    """
    from markupsafe import Markup

    return Markup('<a href="#{}">{}</a>').format(urlencode(chosen), text)


def name(text: str) -> str:
    """Somebody else's word for something, in a line."""
    return visible(cut(text, NAME))


def requirements(decision: GateDecision) -> Table:
    """What was required and whether it holds, with the limits."""
    rows = decision_rows(decision.requirements, decision.limits)
    return Table(
        "What was required, and whether it holds",
        COLUMNS,
        [tuple(map(name, row)) for row in rows],
        (1, 2, 3, 4),
        stacked=True,
    )


def overall(found: Comparison) -> Table:
    """The comparison in a row."""
    row = (
        "overall",
        f"{found.n:,}",
        percent(found.baseline.value),
        percent(found.candidate.value),
        points(found.delta),
        f"{points(found.ci_low)} to {points(found.ci_high)}",
        p_text(found.p_value),
        _counted(len(found.gained), show="better"),
        _counted(len(found.lost), show="worse"),
    )
    columns = (
        "",
        "items",
        "baseline",
        "candidate",
        "points",
        "95 % interval",
        "p",
        "got better",
        "got worse",
    )
    return Table(f"Overall. p value: {found.test_name}", columns, [row], range(1, 9), stacked=True)


def groups(caption: str, found: Sequence[Group], field: str) -> Table:
    """A comparison by category or difficulty.

    Args:
        caption: of the table.
        found: the groups, all of them.
        field: the filter that chooses one: `category` or `band`.
    """
    rows = [
        (
            link(name(each.name), **{field: each.name}),
            f"{each.n:,}",
            percent(each.baseline),
            percent(each.candidate),
            points(each.delta),
            _counted(each.gained, show="better", **{field: each.name}),
            _counted(each.lost, show="worse", **{field: each.name}),
            p_text(each.p_holm),
        )
        for each in most_changed(found)
    ]
    columns = ("", "items", "baseline", "candidate", "points", "got better", "got worse", "p (Holm)")
    return Table(caption, columns, rows, range(1, 8), more_changed(found, ALL))


def changed(caption: str, column: str, parts: Sequence[InCommon]) -> Table:
    """What changed items have in common.

    Args:
        caption: of the table.
        column: what the first one names.
        parts: those with most items that got worse first.
    """
    rows = [
        (
            name(each.what),
            _counted(each.worse, show="worse", **each.chosen),
            _counted(each.better, show="better", **each.chosen),
        )
        for each in parts[:SHOWN]
    ]
    left = len(parts) - len(rows)
    more = f"and {left:,} more, of which fewer items got worse" if left else None
    return Table(caption, (column, "got worse", "got better"), rows, (1, 2), more)


def metrics(run: ReportedRun) -> Table:
    """The scores of a run, overall and by category."""
    categories = run.metrics.categories
    shown = largest(list(categories.items()), lambda each: _size(each[1]))
    named = len(run.metrics.overall) > 1  # one is named by the caption
    rows = [
        (
            "overall" if category is None else link(name(category), category=category),
            *([metric] if named else []),
            f"{value.n:,}",
            metric_text(metric, value.value),
            interval_text(metric, value.ci_low, value.ci_high),
        )
        for category, values in [(None, run.metrics.overall), *shown]
        for metric, value in values.items()
    ]
    columns = ("category", *(["metric"] if named else []), "items", "value", "95 % interval")
    what = "Scores" if named else next(iter(run.metrics.overall)).replace("_", " ").capitalize()
    numbers = range(len(columns) - 3, len(columns))
    more = more_largest(len(categories), ALL)
    return Table(f"{what} of run {run.run_id}", columns, rows, numbers, more)


def judged(run: ReportedRun) -> Table:
    """What the judge said how often, and how many texts were cut off."""
    counts = run.metrics.counts
    shown = sorted(largest(list(counts.items()), lambda each: (each[1], 0.0)))
    rows: list[tuple[str, str | Markup]] = [(name(reason), f"{count:,}") for reason, count in shown]
    if others := sum(counts.values()) - sum(count for _, count in shown):
        rows.append((counted(len(counts) - len(shown), "other reason"), f"{others:,}"))
    if (found := run.metrics.truncated) is not None:
        whose = "yes" if run.role == "run" else run.role
        rows += [
            ("prompt cut to fit the context", found.prompts_said),
            ("text cut off at max_new_tokens", _counted(found.completions, show="all", cut=whose)),
        ]
        if found.completions:
            rows.append(("of these without the full score", f"{found.completions_below_one:,}"))
    return Table(f"What the judge said of run {run.run_id}", ("judged", "items"), rows, (1,))


def rungs_of(run: ReportedRun) -> Table:
    """Where the answers of one run were found."""
    rows = [
        (rung, _counted(right, show="right", after=rung), _counted(wrong, show="wrong", after=rung))
        for rung, (right, wrong) in ((rung, run.rungs[rung]) for rung in in_order(run.rungs))
    ]
    return Table("Where the answers were found", ("found by", "right", "wrong"), rows, (1, 2))


def rungs(form: FormAndSkill) -> Table:
    """Where the answers of both runs were found."""
    rows = [
        (
            each.rung,
            f"{each.baseline_right:,}",
            f"{each.baseline_wrong:,}",
            f"{each.candidate_right:,}",
            f"{each.candidate_wrong:,}",
        )
        for each in form.rungs
    ]
    columns = ("found by", "baseline, right", "baseline, wrong", "candidate, right", "candidate, wrong")
    return Table("Where the answers were found", columns, rows, (1, 2, 3, 4))


PROVENANCE = {
    "run": "run_id",
    "what": "name",
    "kind": "kind",
    "base model": "base_model",
    "weights sha256": "weights",
    "dataset": "dataset",
    "dataset sha256": "dataset_sha256",
    "judge": "judge",
    "ran by": "engine",
    "started": "started_at",
    "finished": "finished_at",
}
"""What a person calls a part of where a run comes from -> its name in `ReportedRun`."""


def provenance(runs: Iterable[ReportedRun]) -> Table:
    """Where runs come from, a column for each."""
    runs = list(runs)
    rows = [
        (title, *(_recorded(field, getattr(run, field)) for run in runs))
        for title, field in PROVENANCE.items()
    ]
    return Table("What was run", ("", *(run.role for run in runs)), rows)


def _recorded(field: str, value: str | None) -> str:
    if field in ("started_at", "finished_at"):
        return when(value)
    return value or "not recorded"


def _counted(number: int, **chosen: str) -> str | Markup:
    return link(f"{number:,}", **chosen) if number else "0"


def _size(metrics: Mapping[str, Metric]) -> tuple[int, float]:
    first = next(iter(metrics.values()))
    return first.n, first.value
