"""What runs a model: transformers, vllm, or an endpoint, behind one protocol."""

from __future__ import annotations

from inference.contract import PredictSpec
from inference.engines.base import Engine, Request

__all__ = ["Engine", "Request", "load_engine"]


def load_engine(spec: PredictSpec) -> Engine:
    """Load a job's model into the engine that its settings name.

    Raises:
        HallmarkError: the model cannot be loaded, or the engine is not to be had here; says what to do.
    """
    match spec.generation.engine:
        case "openai":
            from inference.engines.openai_engine import OpenAIEngine

            return OpenAIEngine(spec)
        case _:
            from inference.engines.transformers_engine import TransformersEngine

            return TransformersEngine(spec)
