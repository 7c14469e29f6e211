"""How a model version came to be, as an in-toto Statement that holds SLSA Provenance.

Formats: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md and
https://slsa.dev/spec/v1.1/provenance.
What neither has a field for is in extension fields, named `hallmark_...` as SLSA asks of a vendor. The
documentation of our build type and builder, with every field, is docs/provenance.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.errors import InputError
from core.files import canonical_json, sha256_bytes
from provenance.dependencies import resolved_dependencies
from provenance.files import METRICS, WRITTEN, TreeFile
from provenance.public import public, public_model

if TYPE_CHECKING:
    from registry import Head, ModelVersion, Run

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
DOCUMENTATION = "https://github.com/hallmark-ml/hallmark/blob/main/docs/provenance.md"
BUILD_TYPE = f"{DOCUMENTATION}#build-type-v1"
OF_MODEL = ("model", "models", "model_args")
"""What a file with predictions says of the model, in its own words."""
BUILDER = f"{DOCUMENTATION}#builder-v1"


def statement(
    version: ModelVersion,
    run: Run,
    decision: Mapping[str, Any],
    files: Sequence[TreeFile],
    head: Head | None = None,
) -> dict[str, Any]:
    """The statement about a model version. Pure: it reads neither clock, disk nor environment.

    Args:
        version: the version's row.
        run: the run that made and judged it.
        decision: the gate's answer, as the promotion log has it.
        files: of the model; the three that an export writes itself are left out.
        head: the end of the audit log as it was just before the version; None where that was not recorded.

    Raises:
        InputError: the model has no file that a statement could be about.
    """
    manifest = version.manifest
    environment = manifest.get("environment") or {}
    subject = [
        {"name": file.name, "digest": {"sha256": file.sha256}}
        for file in sorted(files, key=lambda file: file.name)
    ]
    subject = [file for file in subject if file["name"] not in WRITTEN]
    if not subject:
        raise InputError(f"{version.model} v{version.number}: has no file that a statement could be about")
    about = _version(version)
    evaluation = _evaluation(version, run)
    metrics = sha256_bytes(metrics_json(about, evaluation))
    finished = run.finished_at or version.created_at
    if head is not None:  # older statements stay as they are
        finished = max(finished, run.started_at)  # the clock may go back while a run works
    return {
        "_type": STATEMENT_TYPE,
        "subject": subject,
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _external(version, run),
                "internalParameters": public(
                    {
                        name: environment[name]
                        for name in ("hardware", "packages", "platform", "python", "switches")
                        if name in environment
                    }
                ),
                "resolvedDependencies": resolved_dependencies(version, run),
            },
            "runDetails": {
                "builder": {
                    "id": BUILDER,
                    "version": {"hallmark": (environment.get("code") or {}).get("hallmark") or "unknown"},
                },
                "metadata": {
                    "invocationId": run.run_id,
                    "startedOn": timestamp(run.started_at),
                    "finishedOn": timestamp(finished),
                },
                "byproducts": [
                    {"name": "predictions.jsonl", "digest": {"sha256": run.predictions_sha256}},
                    {"name": METRICS, "digest": {"sha256": metrics}},
                ],
            },
            "hallmark_version": about,
            "hallmark_evaluation": evaluation,
            "hallmark_decision": public(dict(decision)),
            **({"hallmark_log": {"rows": head.rows, "sha256": head.sha256}} if head else {}),
        },
    }


def timestamp(time: str) -> str:
    """A time of the registry as RFC 3339 with Z, which in-toto asks for."""
    return time.replace("+00:00", "Z")


def metrics_json(about: Mapping[str, Any], evaluation: Mapping[str, Any]) -> bytes:
    """The content of metrics.json, from the statement's `hallmark_version` and `hallmark_evaluation`."""
    return (
        canonical_json({"model": about["model"], "version": about["number"], **evaluation}).encode() + b"\n"
    )


def _version(version: ModelVersion) -> dict[str, Any]:
    """What ties the statement to the registry: the version's number, and its hash in the promotion log."""
    return {
        "model": version.model,
        "number": version.number,
        "weightsSha256": version.weights_sha256,
        "contentSha256": version.content_sha256,
        "createdOn": timestamp(version.created_at),
    }


def _evaluation(version: ModelVersion, run: Run) -> dict[str, Any]:
    return {
        "dataset": {
            "name": f"{version.dataset_key}-{version.dataset_version}",
            "sha256": version.dataset_sha256,
        },
        "judge": {"name": version.judge, "fingerprint": run.judge_fingerprint},
        "metrics": public(version.metrics),
    }


def _external(version: ModelVersion, run: Run) -> dict[str, Any]:
    manifest = version.manifest
    model = manifest.get("model") or {}
    parameters = {
        "kind": run.kind,
        "baseModel": public_model(model.get("reference") or run.base_model, model.get("revision")),
        "dataset": f"{version.dataset_key}-{version.dataset_version}",
        "judge": version.judge,
        "generation": manifest.get("generation"),
    }
    if prompt := manifest.get("prompt"):
        parameters["prompt"] = {
            **{name: value for name, value in prompt["config"].items() if name != "few_shot"},
            "few_shot": prompt["few_shot_name"],
            "few_shot_sha256": prompt["few_shot_sha256"],
        }
    if imported := manifest.get("imported"):
        named = ("format", "file", "sha256", "tool", "tool_version", "unknown")
        known = {setting["name"]: setting["source"] for setting in imported["settings"]}
        of_model = {name: value for name in OF_MODEL if (value := imported["said"].get(name))}
        parameters["imported"] = {
            **{name: imported[name] for name in named},
            **({"said_of_model": of_model} if of_model else {}),
            **({"beside": imported["beside"]} if imported.get("beside") else {}),
            "known_from": known,
        }
    if training := manifest.get("training"):
        parameters["training"] = {**training["config"], "dataset": training["dataset"]["name"]}
    return {name: public(value) for name, value in parameters.items() if value is not None}
