"""What Prefect's pages show of a run: its scores and its training, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.text import counted
from evaluation.form import in_order
from evaluation.hints import AnswerCounts, hints
from evaluation.metrics import Metric, MetricsSnapshot
from evaluation.numbers import interval_text, metric_text
from evaluation.shown import largest, more_largest
from experiments.answers import Answer
from reports.markdown import code, facts, prose, stacked, table
from reports.prefect_text import picture, text_cell, whole_text
from trainer.contract import TrainResult

LARGEST_PICTURE = 400_000
"""Bytes of SVG that are put into a page; a larger one is named by its path."""


def metrics_report(
    snapshot: MetricsSnapshot, run: str, answers: AnswerCounts | None = None, wrong: Sequence[Answer] = ()
) -> str:
    """The scores of a run, overall and by category, what the judge said how often, how many were cut off, and
    some answers that are not right.

    Args:
        snapshot: of the run.
        run: its name, or a link to it.
        answers: how its completions fared.
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
        judged += [(counted(len(snapshot.counts) - len(reasons), "other reason"), str(others))]
    if (cut := snapshot.truncated) is not None:
        judged += [
            ("prompt cut to fit the context", cut.prompts_said),
            ("completion cut at `max_new_tokens`", str(cut.completions)),
        ]
        judged += [("of these without the full score", str(cut.completions_below_one))]
    counts = table(["judged", "items"], judged)
    more = more_largest(len(categories), f"All: {code('hallmark runs show --json')}")
    shown_metrics = table(["metric", "category", "items", "value", "95 % interval"], rows)
    parts = [f"Run {run}", shown_metrics, *([more] if more else []), counts]
    if answers is not None:
        if answers.rungs:
            where = [(text_cell(name), *map(str, answers.rungs[name])) for name in in_order(answers.rungs)]
            parts.append(table(["answer found by", "right", "wrong"], where))
        parts += map(prose, hints(answers))
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
    found = [("traces", f"{result.traces:,}, each seen {_times(result.epochs)}")]
    for count, what in ((result.dropped, "dropped"), (result.truncated, "cut off at the end")):
        if count:
            found.append((f"too long, {what}", f"{count:,}"))
    return found


def _times(epochs: float) -> str:
    return "once" if f"{epochs:.3g}" == "1" else f"{epochs:.3g} times"


def _rate(result: TrainResult) -> float:
    return result.loss_tokens / max(result.seconds, 1e-9)


def _interval(name: str, metric: Metric) -> str:
    return interval_text(name, metric.ci_low, metric.ci_high)
