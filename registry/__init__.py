"""What was run, what it scored, and which model version may be served. Knows nothing of prefect, torch or jax."""

from registry.opening import open_registry, upgrade
from registry.log import PromotionConflict
from registry.promotion import Attest, Evidence, Gate, Offer, Ruling
from registry.registry import Registry
from registry.rows import MetricRow, PredictionRow, Problem
from registry.tables import Dataset, ModelVersion, Run

__all__ = [
    "Attest",
    "Dataset",
    "Evidence",
    "Gate",
    "MetricRow",
    "ModelVersion",
    "Offer",
    "PredictionRow",
    "Problem",
    "PromotionConflict",
    "Registry",
    "Ruling",
    "Run",
    "open_registry",
    "upgrade",
]
