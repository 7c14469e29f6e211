"""A report as one HTML file that needs nothing else: no network, no other file, and no script from elsewhere.

What a model wrote is in it as JSON in which `<`, `>` and `&` are escaped, and becomes the text of elements. A
Content-Security-Policy in the file lets nothing run or load but our own style and script, by their sha256.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import IO, TYPE_CHECKING, Any

from core.files import canonical_json
from core.progress import quiet_meter
from evaluation.plots import draw_comparison, draw_scores
from experiments.side_by_side import ItemAnswers
from reports import tables
from reports.changes import Changes
from reports.document import Report, ReportedRun
from reports.templating import asset, environment

if TYPE_CHECKING:
    from markupsafe import Markup

GENERATOR = b'<meta name="generator" content="Hallmark report">'
"""What says that a file is a report of ours."""

STYLES = ("style.css", "plots.css")
SCRIPTS = ("words.js", "item.js", "plot.js", "items.js")

CHUNK = 200
"""Items whose texts a page reads at a time. At most so many are in memory while a report is written."""

_ESCAPED = str.maketrans({each: f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"})


def write_html(report: Report, items: Iterable[ItemAnswers], file: IO[bytes]) -> None:
    """Write a report as a page, item by item. Equal reports give equal bytes.

    Args:
        report: of one run or two.
        items: of these runs, in dataset order.
        file: is written to.
    """
    from markupsafe import Markup

    items = iter(items)
    first = next(items)
    style, script = ("".join(map(asset, names)) for names in (STYLES, SCRIPTS))
    page = environment().get_template("report.html")
    parts = page.generate(
        report=report,
        generator=Markup(GENERATOR.decode()),  # noqa: S704 - ours
        policy=policy(style, script),
        style=Markup(style),  # noqa: S704 - ours
        script=Markup(script),  # noqa: S704 - ours
        plot=_plot(report),
        **page_tables(report),
        about=_json({"runs": _runs(report), "lead": first.asked[:-1]}),
        chunks=_chunks(chain([first], items), first.asked[:-1], _count(report)),
        manifest=shown_manifest,
    )
    for part in parts:
        file.write(part.encode())


def policy(style: str, script: str) -> str:
    """The Content-Security-Policy of a page that lets nothing load, and nothing run but these texts."""
    allowed = {"style-src": style, "script-src": script}
    sources = [f"{name} 'sha256-{_sha256(text)}'" for name, text in allowed.items()]
    return "; ".join(["default-src 'none'", *sources, "base-uri 'none'", "form-action 'none'"])


def shown_manifest(run: ReportedRun) -> str:
    """A run's manifest for people, without the difficulty of each item, which the items have."""
    dataset = run.manifest.get("dataset") or {}
    shown = {**run.manifest, "dataset": {name: dataset[name] for name in dataset if name != "bands"}}
    return json.dumps(shown, indent=2, sort_keys=True, ensure_ascii=False)


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json(value: Any) -> Markup:
    """JSON inside a page: without a character that could end the element it is in."""
    from markupsafe import Markup

    return Markup(canonical_json(value).translate(_ESCAPED))  # noqa: S704 - has no < and no &


def _runs(report: Report) -> list[dict[str, str]]:
    return [{"role": run.role, "run_id": run.run_id} for run in report.runs]


def page_tables(report: Report) -> dict[str, Any]:
    """Every table of the page, by its name in the template."""
    found, changes = report.comparison, report.changes
    scores = []
    if found is not None:
        scores = [tables.overall(found), tables.groups("By category", found.categories, "category")]
        scores += [tables.groups("By difficulty", found.bands, "band")] if found.bands else []
        scores += [tables.rungs(found.form)] if found.form else []
    decision = report.decided.decision if report.decided else None
    return {
        "requirements": tables.requirements(decision) if decision and decision.requirements else None,
        "changed": [] if changes is None else _changed(changes),
        "scores": scores,
        "of_runs": [
            (run, [tables.metrics(run), tables.judged(run), *_rungs(run, report)]) for run in report.runs
        ],
        "provenance": tables.provenance(report.runs),
    }


def _changed(changes: Changes) -> list[tables.Table]:
    """By category; and by what may be the reason, where anything got worse there."""
    found = [tables.changed("Changed items by category", "category", changes.categories)]
    for caption, column, parts in (
        ("By where the answers were found", "baseline → candidate", changes.rungs),
        ("By whose answer was cut off", "cut off", changes.cut),
    ):
        if any(each.worse for each in parts):
            found.append(tables.changed(caption, column, parts))
    return found


def _rungs(run: ReportedRun, report: Report) -> list[tables.Table]:
    """Of a run that stands alone; of two, one table has both."""
    return [tables.rungs_of(run)] if run.rungs and report.comparison is None else []


def _count(report: Report) -> int:
    return next(iter(report.candidate.metrics.overall.values())).n


def _plot(report: Report) -> Markup | None:
    from markupsafe import Markup

    if report.comparison is not None:
        drawn: bytes | None = draw_comparison(report.comparison)
    else:
        drawn = draw_scores(report.candidate.metrics, report.candidate.judge)
    return None if drawn is None else Markup(drawn.decode())  # noqa: S704 - `core.plots` escapes names


def _chunks(
    items: Iterator[ItemAnswers], lead: list[dict[str, str]], count: int
) -> Iterator[tuple[Markup, Markup]]:
    """The small facts of some items, and their texts, as long as there are any."""
    meter, done = quiet_meter("report", count, "items"), 0
    while some := list(islice(items, CHUNK)):
        yield _json([_facts(item) for item in some]), _json([_texts(item, lead) for item in some])
        done += len(some)
        meter.update(done)


def _facts(item: ItemAnswers) -> list[Any]:
    """What a list of thousands and its filters need."""
    return [
        item.trace_id,
        item.category,
        item.band,
        [answer.score for answer in item.answers],
        [answer.rung for answer in item.answers],
        [int(answer.cut_off) for answer in item.answers],
    ]


def _texts(item: ItemAnswers, lead: list[dict[str, str]]) -> dict[str, Any]:
    """The rest; of the turns that all items begin with, such as a system text, only how many there are."""
    shared = 0
    for own, first in zip(item.asked[:-1], lead, strict=False):
        if own != first:
            break
        shared += 1
    said = {"prediction", "extracted", "reason", "samples"}
    return {
        "lead": shared,
        "asked": item.asked[shared:],
        "accepted": item.accepted,
        "answers": [answer.model_dump(include=said) for answer in item.answers],
    }
