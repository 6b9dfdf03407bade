"""Accuracy over the labelled sample: no false alarm, and at least 95 % of the failures named for what they are."""

import pytest

from tests.domain.corpus import PATH, outcomes
from tests.domain.rules import RULES


@pytest.mark.skipif(not PATH.exists(), reason="the labelled logs are not on this machine")
def test_the_sample_is_named_for_what_it_is() -> None:
    told = [(o.case["id"], o.case["label"], o.found and o.found.code, o.right) for o in outcomes(RULES)]
    assert [row for row in told if row[1] == "NONE" and not row[3]] == []
    failures = [row for row in told if row[1] != "NONE"]
    wrong = [row for row in failures if not row[3]]
    assert len(wrong) <= 0.05 * len(failures), wrong
