"""Libraries are imported without what is installed for others."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec

import pytest

from core.imports import unseen

pytestmark = pytest.mark.unit


def test_a_package_is_not_found_inside_the_block_and_is_found_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "this", raising=False)
    with unseen("this"):
        assert find_spec("this") is None
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("this")
    assert find_spec("this") is not None
    assert "this" not in sys.modules


def test_a_package_that_is_imported_already_stays() -> None:
    with unseen("pytest"):
        assert importlib.import_module("pytest") is pytest
