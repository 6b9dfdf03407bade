"""The plan at the edge: whose traffic it serves, how much at once, and how much of the playground a day."""

from pathlib import Path

import pytest

from app.domain.plans import PLANS, Plan
from app.gateway.errors import EdgeError
from app.gateway.quota import Quota
from app.gateway.snapshot import Key
from tests.gateway.conftest import close_edge, make_edge
from tests.gateway.process import wait_for

OWN, OTHER = (Key("a" * 8, name, bytes(32), None, None, None) for name in ("stoker console", "alice"))


def use(quota: Quota, key: Key) -> None:
    with quota.admit(key):
        pass


def test_a_day_of_the_playground_has_its_number_of_requests() -> None:
    quota = Quota("starter", PLANS["starter"], used=98)
    use(quota, OWN)
    use(quota, OWN)
    with pytest.raises(EdgeError, match="`starter` allows 100 requests of the playground a day") as caught:
        use(quota, OWN)
    assert caught.value.status == 429
    assert caught.value.detail["limit"] == caught.value.detail["used"] == 100
    assert str(caught.value.detail["resets_at"]).endswith("T00:00:00Z")


def test_what_is_under_way_counts_until_it_ends() -> None:
    quota = Quota("two", Plan(at_once=2))
    with quota.admit(OTHER), quota.admit(OWN), pytest.raises(EdgeError, match="`two` allows 2 requests at once"):
        use(quota, OTHER)
    use(quota, OTHER)


def test_enterprise_knows_no_limit() -> None:
    quota = Quota("enterprise", PLANS["enterprise"], used=10**6)
    for key in (OWN, OTHER):
        use(quota, key)


def test_a_starter_serves_its_playground_only(tmp_path: Path) -> None:
    edge = make_edge(tmp_path, '[billing]\nplan = "starter"\n')
    try:
        refused = edge.post()
        assert refused.status_code == 403
        assert refused.json()["error"]["code"] == "PLAN_LIMIT"
        assert "`starter` serves the playground only" in refused.json()["error"]["message"]
        edge.store.execute("UPDATE keys SET name = 'stoker console', scope = NULL")
        edge.store.execute("UPDATE keys SET revoked_at = NULL, expires_at = 9999999999999999")
        edge.settle()
        wait_for(lambda: edge.post().status_code == 200)
    finally:
        close_edge(edge)
