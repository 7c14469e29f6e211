"""What was run, what it scored, and which model version may be served. Knows nothing of prefect, torch or jax."""

from registry.database import open_registry, upgrade
from registry.promotion import PromotionConflict
from registry.records import MetricRow, PredictionRow, Problem
from registry.registry import Registry
from registry.tables import ModelVersion, Run

__all__ = [
    "MetricRow",
    "ModelVersion",
    "PredictionRow",
    "Problem",
    "PromotionConflict",
    "Registry",
    "Run",
    "open_registry",
    "upgrade",
]
