"""Hallmark: is the fine-tuned model really better than the base, and may it replace what we serve?

Importing it is cheap: names are looked up when they are first used. `hallmark.api` explains each function.

Example:
    >>> import hallmark as hm
    >>> base = hm.evaluate("tiny-base")
    >>> trained = hm.train("tiny-base", train={"steps": 100})
    >>> hm.compare(base, trained)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from core import __version__

if TYPE_CHECKING:
    from core.errors import HallmarkError, InputError, IntegrityError, ResourceError
    from evaluation.comparison import Comparison
    from evaluation.gate import GateConfig, GateRefused
    from experiments.config import EvaluateConfig, ExperimentConfig, TrainRunConfig
    from experiments.reproducing import Reproduction
    from experiments.result import ExperimentResult, PromotionResult
    from experiments.verifying import Verification
    from experiments.workspace import Workspace
    from hallmark.api import (
        baseline,
        compare,
        diff,
        evaluate,
        experiment,
        export,
        export_dataset,
        export_run,
        export_task,
        import_dataset,
        import_predictions,
        models,
        open,  # noqa: A004 - hm.open
        promote,
        rejudge,
        report,
        reproduce,
        review,
        reviews,
        revise,
        rollback,
        run,
        runs,
        score_answer,
        train,
        verify,
    )
    from hallmark.results import AliasMove, ExportResult, ModelList, RunList, RunResult, RunSummary
    from inference.contract import GenerationConfig
    from trainer.contract import LoraConfig, TrainConfig

_HOMES = {
    "core.errors": ("HallmarkError", "InputError", "IntegrityError", "ResourceError"),
    "evaluation.comparison": ("Comparison",),
    "evaluation.gate": ("GateConfig", "GateRefused"),
    "experiments.config": ("EvaluateConfig", "ExperimentConfig", "TrainRunConfig"),
    "experiments.reproducing": ("Reproduction",),
    "experiments.result": ("ExperimentResult", "PromotionResult"),
    "experiments.verifying": ("Verification",),
    "experiments.workspace": ("Workspace",),
    "hallmark.api": (
        "baseline",
        "compare",
        "diff",
        "evaluate",
        "experiment",
        "export",
        "export_dataset",
        "export_run",
        "export_task",
        "import_dataset",
        "import_predictions",
        "models",
        "open",
        "promote",
        "rejudge",
        "report",
        "reproduce",
        "review",
        "reviews",
        "revise",
        "rollback",
        "run",
        "runs",
        "score_answer",
        "train",
        "verify",
    ),
    "hallmark.results": ("AliasMove", "ExportResult", "ModelList", "RunList", "RunResult", "RunSummary"),
    "inference.contract": ("GenerationConfig",),
    "trainer.contract": ("LoraConfig", "TrainConfig"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AliasMove",
    "Comparison",
    "EvaluateConfig",
    "ExperimentConfig",
    "ExperimentResult",
    "ExportResult",
    "GateConfig",
    "GateRefused",
    "GenerationConfig",
    "HallmarkError",
    "InputError",
    "IntegrityError",
    "LoraConfig",
    "ModelList",
    "PromotionResult",
    "Reproduction",
    "ResourceError",
    "RunList",
    "RunResult",
    "RunSummary",
    "TrainConfig",
    "TrainRunConfig",
    "Verification",
    "Workspace",
    "__version__",
    "baseline",
    "compare",
    "diff",
    "evaluate",
    "experiment",
    "export",
    "export_dataset",
    "export_run",
    "export_task",
    "import_dataset",
    "import_predictions",
    "models",
    "open",
    "promote",
    "rejudge",
    "report",
    "reproduce",
    "review",
    "reviews",
    "revise",
    "rollback",
    "run",
    "runs",
    "score_answer",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hallmark' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
