"""The model card of an exported version: README.md as the hub shows it, with nothing that is not recorded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.text import counted
from evaluation.gate import COLUMNS, RequirementResult, decision_rows
from evaluation.limits import LimitResult
from evaluation.numbers import metric_text, p_text, percent, points
from evaluation.shown import largest, more_largest
from evaluation.training_data import TrainingData
from provenance.card_data import card_data, hub_model
from provenance.files import STATEMENT

if TYPE_CHECKING:
    from registry.tables import Comparison

VERIFY = (
    "Check that the files of this directory are the ones that were judged: "
    "`hallmark models verify-export DIR`. It needs only the\n"
    f"directory; [{STATEMENT}]({STATEMENT}) (in-toto, SLSA Provenance) names every file and every input by "
    "its sha256."
)
SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~$<>&])")


def model_card(statement: Mapping[str, Any], comparison: Comparison | None = None) -> str:
    """The model card of the version that a statement is about. Equal arguments give equal text.

    Args:
        statement: as `provenance.statement.statement` makes it.
        comparison: the one that the gate decided on, from `registry.comparisons.find`; None: none was found.

    Example:
        >>> from provenance import stored_document
        >>> version = registry.models.get("tiny-reasoner@champion")
        >>> card = model_card(stored_document(registry, version), registry.comparisons.find(version))
        >>> "The gate promoted it." in card
        True
    """
    data = card_data(statement)
    predicate = statement["predicate"]
    about = predicate["hallmark_version"]
    name, reference = f"{about['model']} v{about['number']}", f"{about['model']}@v{about['number']}"
    body = [
        f"# {escaped(name)}",
        _what(statement),
        "## Is it better?",
        *_decision(predicate["hallmark_decision"], comparison),
        "## Scores",
        *_scores(predicate["hallmark_evaluation"]),
        "## How it was made",
        _settings(predicate["buildDefinition"]["externalParameters"]),
        "## Reproduce and verify",
        _again(predicate["buildDefinition"]["externalParameters"], reference),
        VERIFY,
        "## Limitations",
        _limits(predicate["hallmark_evaluation"]),
    ]
    return f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(body) + "\n"


def escaped(text: object) -> str:
    """Somebody else's text in one line, with every character escaped that Markdown or HTML would act on."""
    line = " ".join(str(text).split())
    return SPECIAL.sub(r"\\\1", line).replace("\\<", "&lt;").replace("\\>", "&gt;").replace("\\&", "&amp;")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; numbers stand at the right of a column whose name ends with a space."""
    rule = ["---:" if column.endswith(" ") else "---" for column in columns]
    return "\n".join(
        f"| {' | '.join(line)} |" for line in ([column.strip() for column in columns], rule, *rows)
    )


def _what(statement: Mapping[str, Any]) -> str:
    parameters = statement["predicate"]["buildDefinition"]["externalParameters"]
    hub, base = hub_model(statement), escaped(parameters["baseModel"])
    named = f"[{base}](https://huggingface.co/{hub})" if hub else base
    training = parameters.get("training")
    if training is None:
        made = " The predictions were made by another program and imported." * ("imported" in parameters)
        return f"{named}, as it is, judged by Hallmark.{made}"
    method = "Fine-tuned with LoRA (merged)" if training.get("method") == "lora" else "Fine-tuned"
    return f"{method} from {named} on {escaped(training['dataset'])}, judged and promoted by Hallmark."


def _decision(decision: Mapping[str, Any], comparison: Comparison | None) -> Iterable[str]:
    yield (
        "The gate promoted it."
        if decision.get("promote")
        else "It was promoted by hand; the gate did not ask for it."
    )
    requirements = [RequirementResult.model_validate(each) for each in decision.get("requirements", [])]
    limits = [LimitResult.model_validate(each) for each in decision.get("limits", [])]
    if len(requirements) > 1 or limits:
        rows = decision_rows(requirements, limits)
        yield table(
            ["required", *(f"{name} " for name in COLUMNS[1:])], [list(map(escaped, row)) for row in rows]
        )
    if reasons := decision.get("reasons"):
        yield "\n".join(f"- {escaped(reason)}" for reason in reasons)
    if known := decision.get("training_data"):
        said = " ".join(decision.get("reasons", []))
        unsaid = [each for each in TrainingData.model_validate(known).sentences if each not in said]
        if unsaid:
            yield escaped(" ".join(unsaid))
    if comparison is None:
        return
    report = comparison.report
    between = f"{points(comparison.ci_low)} to {points(comparison.ci_high)}"
    before, after = (report.get(side, {}).get("value") for side in ("baseline", "candidate"))
    row = [
        str(report.get("n", "")),
        *("" if value is None else percent(value) for value in (before, after)),
        points(comparison.delta),
        between,
        p_text(comparison.p_value),
    ]
    yield table(["items ", "before ", "this model ", "points ", "95 % interval ", "p "], [row])
    test = escaped(str(report.get("test", "")).replace("_", " "))
    named = f" ({test})" if test else ""
    yield f"Both models answered the same items, and the answers were compared in pairs{named}."


def _scores(evaluation: Mapping[str, Any]) -> Iterable[str]:
    dataset = evaluation["dataset"]
    name, judge = escaped(dataset["name"]), escaped(evaluation["judge"]["name"])
    yield f"On {name} (sha256 `{dataset['sha256']}`), judged by {judge}."
    overall = [metric for metric in evaluation["metrics"] if not metric["category"]]
    categories = [metric for metric in evaluation["metrics"] if metric["category"]]
    shown = [*overall, *largest(categories, lambda metric: (metric["n"], metric["value"]))]
    yield table(
        ["metric", "category", "items ", "value ", "95 % interval "],
        [
            [
                escaped(metric["name"]),
                escaped(metric["category"]) or "**overall**",
                str(metric["n"]),
                metric_text(metric["name"], metric["value"]),
                _between(metric),
            ]
            for metric in shown
        ],
    )
    if more := more_largest(len(categories), "The provenance statement has all."):
        yield more


def _between(metric: Mapping[str, Any]) -> str:
    low, high = metric.get("ci_low"), metric.get("ci_high")
    if low is None or high is None:
        return ""
    return " to ".join(metric_text(metric["name"], end) for end in (low, high))


def _settings(parameters: Mapping[str, Any]) -> str:
    rows = [[escaped(name), escaped(value)] for name, value in _flat(parameters)]
    return table(["setting", "value"], rows)


def _again(parameters: Mapping[str, Any], reference: str) -> str:
    if imported := parameters.get("imported"):
        return (
            f"Hallmark did not make the predictions: they were imported from {escaped(imported['file'])} "
            f"(sha256 `{imported['sha256']}`), which {escaped(imported['tool'])} wrote."
        )
    return f"Make it again, with the same bytes, from the same inputs: `hallmark reproduce {reference}`"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in sorted(settings.items()):
        if name == "lora" and settings.get("method") == "full":
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", ", ".join(map(str, value)) if isinstance(value, list) else value


def _limits(evaluation: Mapping[str, Any]) -> str:
    items = next((metric["n"] for metric in evaluation["metrics"] if not metric["category"]), 0)
    name = escaped(evaluation["dataset"]["name"])
    return f"It was judged on {counted(items, 'item')} of {name}. That says nothing about other tasks."
