"""What was run, what it scored, and which model version may be served. Needs no prefect, torch or jax."""

from registry.audit import Head
from registry.log import PromotionConflict
from registry.opening import open_registry, open_store, upgrade
from registry.promotion import Attest, Evidence, Gate, OfferResult, Outcome, Pair, Pairing, Ruling
from registry.registry import Registry
from registry.rows import MetricRow, PredictionRow
from registry.tables import Dataset, ModelVersion, Review, Run
from registry.verify import Problem

__all__ = [
    "Attest",
    "Dataset",
    "Evidence",
    "Gate",
    "Head",
    "MetricRow",
    "ModelVersion",
    "OfferResult",
    "Outcome",
    "Pair",
    "Pairing",
    "PredictionRow",
    "Problem",
    "PromotionConflict",
    "Registry",
    "Review",
    "Ruling",
    "Run",
    "open_registry",
    "open_store",
    "upgrade",
]
