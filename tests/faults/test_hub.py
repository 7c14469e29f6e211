"""A hub that cannot be reached is a missing resource, with a way on."""

from __future__ import annotations

import pytest

from tests.support.refusals import assert_refused

pytestmark = pytest.mark.model


def test_a_hub_that_is_not_reachable_tells_what_to_do_offline(hallmark) -> None:
    result = hallmark(
        "evaluate", "no-such-org/no-such-model@0123456789abcdef", HF_ENDPOINT="http://127.0.0.1:9"
    )
    assert_refused(
        result,
        4,
        "no-such-org/no-such-model",
        "offline, copy the model to a local directory and give its path",
    )
