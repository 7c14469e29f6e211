"""A Prefect server that the environment names and that does not answer is a missing resource."""

from __future__ import annotations

import pytest

from tests.support.refusals import assert_refused
from tests.support.small_datasets import small_dataset

pytestmark = pytest.mark.model


def test_a_named_prefect_server_that_does_not_answer_is_named_with_the_remedy(hallmark, tmp_path) -> None:
    result = hallmark("evaluate", "tiny-base", "--dataset", str(small_dataset(tmp_path)), PREFECT_API_URL="http://127.0.0.1:9/api")
    assert_refused(result, 4, "http://127.0.0.1:9/api: no Prefect server answers", "unset PREFECT_API_URL")
