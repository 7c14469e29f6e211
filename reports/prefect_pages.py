"""What Prefect's pages show of a comparison, a decision and a reproduction, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evaluation.comparison import Comparison, Group
from evaluation.form import FormAndSkill
from evaluation.gate import COLUMNS, decision_rows
from evaluation.numbers import p_text, percent, points
from evaluation.plots import draw_comparison
from evaluation.shown import more_changed, most_changed
from experiments.comparing import Flip
from experiments.differences import shown
from experiments.reproducing import Reproduction
from experiments.result import ExperimentResult, log_line
from experiments.runs import RunRef
from reports.markdown import code, facts, prose, stacked, table
from reports.prefect_text import picture, text_cell, whole_text


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
