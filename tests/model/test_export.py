"""A real model goes through the registry and comes out as it went in, ready to load."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.files import sha256_file
from experiments.references import TINY_BASE_DIRECTORY
from provenance.export import export
from provenance.verification import verify_export
from registry import open_registry
from tests.support.registry_entries import finish, promote, start

pytestmark = pytest.mark.model


def test_an_exported_model_loads_and_gives_the_same_logits(home: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    registry = open_registry(home, None)
    run = finish(registry, start(registry), TINY_BASE_DIRECTORY)
    version = promote(registry, run, TINY_BASE_DIRECTORY).version
    assert version is not None
    export(registry, version, tmp_path / "out")
    registry.close()
    assert verify_export(tmp_path / "out").problems == []

    tokens = AutoTokenizer.from_pretrained(tmp_path / "out")("What is 47 + 38?", return_tensors="pt")
    with torch.no_grad():
        before, after = (
            AutoModelForCausalLM.from_pretrained(path)(**tokens).logits
            for path in (TINY_BASE_DIRECTORY, tmp_path / "out")
        )
    assert torch.equal(before, after)
    assert sha256_file(tmp_path / "out" / "model.safetensors") == sha256_file(
        TINY_BASE_DIRECTORY / "model.safetensors"
    )
