"""Which engine a job's settings name. An engine's libraries are imported only when it is the one."""

from __future__ import annotations

from importlib.util import find_spec

from inference.contract import PredictSpec
from inference.engines.base import Engine
from inference.loading import import_libraries


def load_engine(spec: PredictSpec) -> Engine:
    """Load a job's model into the engine that its settings name.

    Raises:
        HallmarkError: the model cannot be loaded, or the engine is not to be had here; says what to do.
    """
    match spec.generation.engine:
        case "vllm":
            from inference.engines.vllm_engine import VllmEngine

            return VllmEngine(spec)
        case "openai":
            from inference.engines.openai_engine import OpenAIEngine

            return OpenAIEngine(spec)
        case _:
            from inference.engines.transformers_engine import TransformersEngine

            return TransformersEngine(spec)


def import_engine() -> None:
    """Import what the engine of this environment needs, before its job is known. Nothing is loaded, and no
    GPU is touched.
    """
    import_libraries()
    if find_spec("vllm") is not None:  # then this is its environment
        from inference.engines.vllm_loading import import_vllm

        import_vllm()
