"""The metadata of a model card, as the hub and its leaderboards read it.

Format: https://github.com/huggingface/hub-docs/blob/main/modelcard.md; written by `huggingface_hub` itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

TASK = "text-generation"
HUB = "pkg:huggingface/"


def card_data(statement: Mapping[str, Any]) -> ModelCardData:
    """The metadata of the model that a statement is about: a result for each metric, overall and by category.

    A category is the dataset's `config`; n and the 95 % interval are the metric's `args`.

    Args:
        statement: as `provenance.statement.statement` makes it.
    """
    from huggingface_hub import EvalResult, ModelCardData

    predicate = statement["predicate"]
    evaluation, dataset = predicate["hallmark_evaluation"], predicate["hallmark_evaluation"]["dataset"]
    parameters = predicate["buildDefinition"]["externalParameters"]
    training = parameters.get("training")
    results = [
        EvalResult(
            task_type=TASK,
            task_name="Text generation",
            dataset_type=dataset["name"],
            dataset_name=f"{dataset['name']}: {metric['category']}"
            if metric["category"]
            else dataset["name"],
            dataset_config=metric["category"] or None,
            dataset_revision=dataset["sha256"],
            metric_type=metric["name"],
            metric_name=evaluation["judge"]["name"],
            metric_value=metric["value"],
            metric_args=_interval(metric),
        )
        for metric in evaluation["metrics"]
    ]
    return ModelCardData(
        library_name="transformers",
        pipeline_tag=TASK,
        tags=_tags(training or {}, predicate["hallmark_decision"]),
        base_model=hub_model(statement),
        datasets=[training["dataset"]] if training else None,
        model_name=f"{predicate['hallmark_version']['model']} v{predicate['hallmark_version']['number']}",
        eval_results=results or None,
    )


def _tags(training: Mapping[str, Any], decision: Mapping[str, Any]) -> list[str]:
    """What the hub can filter by; `training-data-clean`, `-leaked` or `-unknown` says whether golden items
    were among what the model and its ancestors were trained on.
    """
    known = (decision.get("training_data") or {}).get("status")
    return ["hallmark", *filter(None, [training.get("method"), known and f"training-data-{known}"])]


def hub_model(statement: Mapping[str, Any]) -> str | None:
    """The hub id of the base model; None where it did not come from the hub."""
    for dependency in statement["predicate"]["buildDefinition"]["resolvedDependencies"]:
        uri = dependency.get("uri") or ""
        if uri.startswith(HUB):
            return str(uri.removeprefix(HUB).partition("@")[0])
    return None


def _interval(metric: Mapping[str, Any]) -> dict[str, Any]:
    if metric.get("ci_low") is None or metric.get("ci_high") is None:
        return {"n": metric["n"]}
    return {
        "n": metric["n"],
        "ci_low": metric["ci_low"],
        "ci_high": metric["ci_high"],
        "level": 0.95,
        "interval": metric["method"],
    }
