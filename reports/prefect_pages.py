"""What a person reads about a run, a comparison and a decision, as Markdown."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from core.text import cut
from evaluation.comparison import Comparison, Group
from evaluation.form import FormAndSkill, in_order
from evaluation.gate import COLUMNS, decision_rows
from evaluation.hints import AnswerCounts, hints
from evaluation.metrics import Metric, MetricsSnapshot
from evaluation.numbers import interval_text, metric_text, p_text, percent, points
from evaluation.plots import draw_comparison
from evaluation.shown import largest, more_changed, more_largest, most_changed
from experiments.answers import Answer
from experiments.comparing import Flip
from experiments.differences import shown
from experiments.reproducing import Reproduction
from experiments.result import ExperimentResult, log_line
from experiments.runs import RunRef
from reports.markdown import code, facts, prose, stacked, table
from trainer.contract import TrainResult

SHOWN_TEXT = 160
"""Characters of somebody else's text in a table."""
SHOWN_ANSWER = 600
"""Characters of what a model wrote, and of what it was asked."""
LARGEST_PICTURE = 400_000
"""Bytes of SVG that are put into a page; a larger one is named by its path."""


def text_cell(text: str) -> str:
    """Somebody else's text, such as a prediction, as a table cell: one line, cut, and without any power over
    the page.
    """
    return code(cut(" ".join(text.split()), SHOWN_TEXT))


def whole_text(text: str) -> str:
    """The same where it has a line of its own, so that more of it has room."""
    return code(cut(" ".join(text.split()), SHOWN_ANSWER)) or "nothing"


def picture(svg: bytes, description: str) -> str:
    """An SVG inside the page itself."""
    return f"![{description}](data:image/svg+xml;base64,{base64.b64encode(svg).decode()})"


def metrics_report(
    snapshot: MetricsSnapshot, run: str, counted: AnswerCounts | None = None, wrong: Sequence[Answer] = ()
) -> str:
    """The scores of a run, overall and by category, what the judge said how often, how many were cut off, and
    some answers that are not right.

    Args:
        snapshot: of the run.
        run: its name, or a link to it.
        counted: how its completions fared.
        wrong: the answers.
    """
    categories = [(code(name), of) for name, of in snapshot.categories.items()]
    groups = [("overall", snapshot.overall), *largest(categories, lambda each: _size(each[1]))]
    rows = [
        (code(name), group, str(metric.n), metric_text(name, metric.value), _interval(name, metric))
        for group, metrics in groups
        for name, metric in metrics.items()
    ]
    reasons = sorted(largest(list(snapshot.counts.items()), lambda each: (each[1], 0.0)))
    judged = [(text_cell(reason), str(count)) for reason, count in reasons]
    if others := sum(snapshot.counts.values()) - sum(count for _, count in reasons):
        judged += [(f"{len(snapshot.counts) - len(reasons):,} other reasons", str(others))]
    if (cut := snapshot.truncated) is not None:
        judged += [
            ("prompt cut to fit the context", "not known" if cut.prompts is None else str(cut.prompts)),
            ("completion cut at `max_new_tokens`", str(cut.completions)),
        ]
        judged += [("of these without the full score", str(cut.completions_below_one))]
    counts = table(["judged", "items"], judged)
    more = more_largest(len(categories), f"All: {code('hallmark runs show --json')}")
    shown_metrics = table(["metric", "category", "items", "value", "95 % interval"], rows)
    parts = [f"Run {run}", shown_metrics, *([more] if more else []), counts]
    if counted is not None:
        if counted.rungs:
            where = [(text_cell(name), *map(str, counted.rungs[name])) for name in in_order(counted.rungs)]
            parts.append(table(["answer found by", "right", "wrong"], where))
        parts += map(prose, hints(counted))
    if wrong:
        total = sum(snapshot.counts.values()) - snapshot.counts.get("correct", 0)
        shown_of = f"The first {len(wrong)} that are not right" + (f", of {total:,}" if total else "")
        parts += ["### What it said", f"{shown_of}. More: {code(f'hallmark runs show {run} --wrong 50')}"]
        parts.append(stacked((whole_text(answer.trace_id), _answer_facts(answer)) for answer in wrong))
    return "\n\n".join(parts)


def _answer_facts(answer: Answer) -> list[tuple[str, str]]:
    return [
        ("asked", whole_text(answer.asked[-1]["content"])),
        ("right answer", whole_text(" or ".join(answer.accepted))),
        ("judged", whole_text(answer.verdict)),
        ("answer", whole_text(answer.prediction)),
    ]


def _size(metrics: Mapping[str, Metric]) -> tuple[int, float]:
    first = next(iter(metrics.values()))
    return first.n, first.value


def training_report(result: TrainResult, curve: bytes | None, curve_path: str, run: str) -> str:
    """A training run: its loss, its speed and its curve.

    Args:
        result: of the training.
        curve: the loss curve as SVG; None where there is none.
        curve_path: where it is.
        run: the run's name, or a link to it.
    """
    figures = [
        ("steps", f"{result.steps:,}" + (" (stopped early)" if result.stopped_early else "")),
        ("step that was kept", f"{result.best_step:,}"),
        ("loss, first step", f"{result.first_loss:.4f}"),
        ("loss, mean of the last steps", f"{result.last_loss:.4f}"),
        ("held-out loss", "not watched" if result.held_out_loss is None else f"{result.held_out_loss:.4f}"),
        *_traces(result),
        ("loss-bearing tokens", f"{result.loss_tokens:,}"),
        (
            "time",
            f"{result.seconds:.1f} s, {_rate(result):,.0f} loss-bearing tokens/s",
        ),
        ("weights", f"sha256 `{result.model_sha256}`"),
    ]
    small = curve is not None and len(curve) <= LARGEST_PICTURE
    shown = (
        picture(curve, "loss by step")
        if curve is not None and small
        else f"The loss curve is in {code(curve_path)}."
    )
    return "\n\n".join([f"Run {run}", shown, facts(figures)])


def _traces(result: TrainResult) -> list[tuple[str, str]]:
    """How many traces there were; nothing for a run from before that was recorded."""
    if result.traces is None or result.epochs is None:
        return []
    found = [("traces", f"{result.traces:,}, each seen {result.epochs:.3g} times")]
    for count, what in ((result.dropped, "dropped"), (result.truncated, "cut off at the end")):
        if count:
            found.append((f"too long, {what}", f"{count:,}"))
    return found


def _rate(result: TrainResult) -> float:
    return result.loss_tokens / max(result.seconds, 1e-9)


def comparison_report(
    comparison: Comparison, flips: tuple[list[Flip], list[Flip]], links: Mapping[str, str]
) -> str:
    """Two runs side by side: overall, by category, by difficulty, as a picture, and what changed.

    Args:
        comparison: candidate against baseline.
        flips: some items that got better, and some that got worse.
        links: run id -> how to show it.
    """
    first, second = comparison.baseline, comparison.candidate
    overall = table(
        ["items", "baseline", "candidate", "delta"],
        [
            (
                f"{comparison.n:,}",
                percent(first.value),
                f"**{percent(second.value)}**",
                f"**{points(comparison.delta)}**",
            )
        ],
    )
    test = (
        f"95 % interval {points(comparison.ci_low)} to {points(comparison.ci_high)}, p "
        f"{p_text(comparison.p_value)} ({comparison.test_name}). {len(comparison.gained):,} got better, "
        f"{len(comparison.lost):,} got worse."
    )
    runs = [
        (role, links.get(run, run))
        for role, run in (("baseline", comparison.baseline_run), ("candidate", comparison.candidate_run))
    ]
    parts = [
        f"On {code(comparison.dataset)}, judged by {code(comparison.judge)}.",
        overall,
        test,
        facts(runs),
        *map(prose, comparison.notes),
        picture(draw_comparison(comparison), "scores with intervals, overall and by category"),
    ]
    if comparison.form is not None:
        parts += ["### Where the answers were found", _rungs(comparison.form)]
    for title, groups in (("By category", comparison.categories), ("By difficulty", comparison.bands)):
        if groups:
            parts += [f"### {title}", _groups(most_changed(groups))]
            if more := more_changed(groups, f"All: {code('hallmark compare --json')}"):
                parts.append(more)
    every = code(f"hallmark compare {comparison.baseline_run} {comparison.candidate_run} --flips")
    for title, ids, examples in (
        ("Got worse", comparison.lost, flips[1]),
        ("Got better", comparison.gained, flips[0]),
    ):
        parts.append(f"### {title}: {len(ids):,}")
        if len(examples) < len(ids):
            parts.append(f"The first {len(examples)} of {len(ids):,}. All, side by side: {every}")
        parts.append(_flips(examples) if examples else "None.")
    return "\n\n".join(parts)


def _rungs(form: FormAndSkill) -> str:
    columns = ["found by", "baseline, right", "baseline, wrong", "candidate, right", "candidate, wrong"]
    rows = [
        (
            text_cell(row.rung),
            *map(str, (row.baseline_right, row.baseline_wrong, row.candidate_right, row.candidate_wrong)),
        )
        for row in form.rungs
    ]
    return table(columns, rows)


def decision_report(verdict: ExperimentResult, links: Mapping[str, str], comparison_page: str = "") -> str:
    """What was decided, why, and about which runs, with their scores.

    Args:
        verdict: of the experiment.
        links: run id -> how to show it.
        comparison_page: where the comparison is; empty where nobody knows.
    """
    found, gate = verdict.comparison, verdict.gate_comparison
    rows = [
        _judged("trained", verdict.trained, found.candidate.value, links),
        _judged("baseline", verdict.baseline, found.baseline.value, links),
    ]
    if verdict.against.run_id != verdict.baseline.run_id:
        score = gate.baseline.value if gate is not None else found.candidate.value
        rows.append(_judged("champion", verdict.against, score, links))
    if verdict.repeats:
        again = links.get(verdict.repeats, verdict.repeats)
        rows.append(("repeats", percent(found.candidate.value), f"{again}, the same predictions"))
    parts = [f"## {prose(verdict.headline)}"]
    if (decision := verdict.decision) is not None and decision.is_suite:
        required = decision_rows(decision.requirements, decision.limits)
        parts.append(table(list(COLUMNS), [tuple(map(text_cell, row)) for row in required]))
    parts += [*map(prose, verdict.reasons), table(["", "score", "run"], rows)]
    known = [
        ("version", code(f"{verdict.model_name} v{verdict.version}") if verdict.version else "none"),
        ("champion", code(f"{verdict.model_name} v{verdict.champion}") if verdict.champion else "none"),
        ("weights", f"sha256 `{verdict.weights_sha256}`"),
        ("predictions", f"sha256 `{verdict.predictions_sha256}`"),
        ("model", code(str(verdict.weights))),
    ]
    if verdict.report is not None:
        known.insert(0, ("report, with every item", code(str(verdict.report))))
    if verdict.head is not None:
        known.append(("log", code(log_line(verdict.head))))
    if comparison_page:
        known.insert(0, ("comparison", f"[what got better and what got worse]({comparison_page})"))
    return "\n\n".join([*parts, facts(known)])


def _judged(role: str, run: RunRef, score: float, links: Mapping[str, str]) -> tuple[str, str, str]:
    """A row of the runs that a decision rests on."""
    how = ", reused" if run.reused else ", continued" if run.continued else ""
    return role, percent(score), f"{links.get(run.run_id, run.run_id)}{how}"


def reproduction_report(reproduction: Reproduction) -> str:
    """What came of repeating a run: each part with its first difference, and what is not as it was."""
    parts = [
        (name, "identical" if found is None else text_cell(found.sentence))
        for name, found in reproduction.parts.items()
    ]
    changed = [
        (text_cell(each.field), text_cell(shown(each.recorded)), text_cell(shown(each.now)))
        for each in reproduction.environment
    ]
    environment = (
        table(["environment", "recorded", "now"], changed) if changed else "The environment is unchanged."
    )
    runs = f"Run {reproduction.run_id}, repeated as run {reproduction.again}."
    return "\n\n".join([f"## {prose(reproduction.headline)}", runs, table(["part", ""], parts), environment])


def _groups(groups: Sequence[Group]) -> str:
    """What fits a phone comes first: a page cuts a table off on the right."""
    columns = ["", "baseline", "candidate", "delta", "better / worse", "items", "p (Holm)"]
    return table(
        columns,
        [
            (
                text_cell(group.name),
                percent(group.baseline),
                percent(group.candidate),
                f"**{points(group.delta)}**" if group.p_holm < 0.05 else points(group.delta),
                f"{group.gained} / {group.lost}",
                str(group.n),
                p_text(group.p_holm),
            )
            for group in groups
        ],
    )


def _flips(flips: Sequence[Flip]) -> str:
    return stacked(
        (
            whole_text(flip.trace_id),
            [
                ("asked", whole_text(flip.prompt)),
                ("right answer", whole_text(flip.answer)),
                ("baseline", whole_text(flip.before)),
                ("candidate", whole_text(flip.after)),
            ],
        )
        for flip in flips
    )


def _interval(name: str, metric: Metric) -> str:
    return interval_text(name, metric.ci_low, metric.ci_high)
