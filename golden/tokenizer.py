"""Loading a tokenizer, the same in training and inference: from where it is, and without code of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.load_errors import explained

OURS: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
"""How everything of a model is loaded: nothing is fetched, and none of its code runs."""


def load_tokenizer(path: Path) -> Any:
    """The Hugging Face tokenizer of a model directory.

    Raises:
        InputError: transformers cannot load it.
    """
    from transformers import AutoTokenizer

    with explained(path, "tokenizer.json"):
        return AutoTokenizer.from_pretrained(path, **OURS)
