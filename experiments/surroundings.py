"""What surrounds a run and decides its result, and the hash that says whether two evaluations are the same."""

from __future__ import annotations

import platform
from typing import Any

from core.files import sha256_json
from experiments.environment import (
    INFERENCE_CODE,
    INFERENCE_PACKAGES,
    JUDGING_CODE,
    code_sha256,
    hardware,
    package_versions,
)
from inference.contract import GenerationConfig


def surroundings(code: tuple[str, ...], packages: tuple[str, ...]) -> dict[str, Any]:
    """Code, packages, Python and hardware, as they are now."""
    return {
        "code": code_sha256(code),
        "packages": package_versions(packages),
        "python": platform.python_version(),
        "hardware": {name: value for name, value in hardware().items() if name != "cores"},
    }


def inference_surroundings() -> dict[str, Any]:
    """What decides predictions besides model, dataset and generation settings; recorded, so that they can be judged again later."""
    return surroundings(INFERENCE_CODE, INFERENCE_PACKAGES)


def evaluation_sha256(
    *,
    model: str,
    dataset: str,
    generation: GenerationConfig,
    inference: dict[str, Any],
    judge: str,
    fingerprint: str,
) -> str:
    """Hash of every input that decides the scores of a model. Equal hash: the scores are the same.

    Args:
        model: sha256 of the weights that were judged.
        dataset: sha256 of the golden dataset.
        generation: settings; the batch size changes no prediction and does not count.
        inference: the surroundings in which the predictions were made.
        judge: NAME@vN. What runs it, and on which Python, counts as it is now.
        fingerprint: of the judge.
    """
    return sha256_json(
        {
            "model": model,
            "dataset": dataset,
            "generation": generation.model_dump(exclude={"batch_size"}),
            "inference": inference,
            "judge": [judge, fingerprint],
            "judging": {"code": code_sha256(JUDGING_CODE), "python": platform.python_version()},
        }
    )
