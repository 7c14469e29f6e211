"""What runs a model: transformers, vllm, or an endpoint, behind one protocol."""

from inference.engines.base import Engine, Request
from inference.engines.load import load_engine

__all__ = ["Engine", "Request", "load_engine"]
