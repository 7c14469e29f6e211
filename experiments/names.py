"""What models are called, in references and in the registry. Importing it costs nothing."""

from __future__ import annotations

from pathlib import Path

from core.errors import InputError
from inference.endpoint import ENDPOINT_PREFIX

TINY_BASE = "tiny-base"
TINY_MODEL_NAME = "tiny-reasoner"
REGISTRY_PREFIX = "registry:"
NOT_TRAINED = (
    "an endpoint serves this model, and without its weights nothing can be trained from it. Name weights: a "
    "directory, or a hub id."
)


def short_name(reference: str) -> str:
    """A model reference as a title has it: a directory's last part, and everything else as it is."""
    kept = reference.startswith((REGISTRY_PREFIX, ENDPOINT_PREFIX))
    directory = "/" in reference and not kept and "@" not in reference
    return Path(reference).name if directory else reference


def model_name_for(base: str) -> str:
    """The name in the registry of what is trained from a model, where nobody gave one: that of the registered
    model itself, or that of the tiny base's descendants.

    Args:
        base: reference of the model.

    Raises:
        InputError: no other model has a name.

    Example:
        >>> model_name_for("registry:support@champion")
        'support'
    """
    if base == TINY_BASE:
        return TINY_MODEL_NAME
    if base.startswith(ENDPOINT_PREFIX):
        raise InputError(f"base_model: {base}: {NOT_TRAINED}")
    if base.startswith(REGISTRY_PREFIX):
        return base.removeprefix(REGISTRY_PREFIX).partition("@")[0]
    raise InputError(
        f"model_name: what is trained from {base} needs a name in the registry, under which its versions are "
        "kept. Give one, as in --model-name support."
    )
