"""A request for one variant of a deployment, as during a rollout, when replicas of two run."""

from collections.abc import Iterator

import pytest

from app.domain.ids import ulid
from tests.gateway.conftest import Edge
from tests.gateway.engine import Engine
from tests.gateway.process import wait_for
from tests.gateway.test_routing import error, pool


@pytest.fixture
def rollout(own_edge: Edge) -> Iterator[Engine]:
    """The engine of `demo`'s second variant, with a shorter context, which has come up beside the first."""
    engine = Engine()
    second = ulid()
    own_edge.store.execute(
        "INSERT INTO variants (id, deployment_id, number, spec, created_at)"
        " SELECT ?, deployment_id, 2, json_set(spec, '$.context', 8), created_at FROM variants",
        second,
    )
    own_edge.store.execute("UPDATE deployments SET variant_id = ?", second)
    own_edge.store.instance(own_edge.deployment, engine.url)
    own_edge.settle()
    yield engine
    engine.close()


def test_only_replicas_of_the_variant_are_asked(own_edge: Edge, rollout: Engine) -> None:
    for model, engine in (("demo@1", own_edge.engine), ("demo@2", rollout)):
        before = engine.seen["requests"]
        answers = [own_edge.post(model=model, messages=[{"role": "user", "content": "Hi"}]) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200] * 3
        assert engine.seen["requests"] == before + 3
    steps = own_edge.row(own_edge.post(model="demo@1"))["steps"]
    assert '"detail":"demo@1"' in steps


def test_the_context_is_that_of_the_variant(own_edge: Edge, rollout: Engine) -> None:
    long = [{"role": "user", "content": "word " * 1000}]
    assert own_edge.post(model="demo@1", messages=long).status_code == 200
    refused = own_edge.post(model="demo@2", messages=long)
    assert (refused.status_code, error(refused)["detail"]) == (413, {"limit": 8, "size": 20})


@pytest.mark.parametrize("number", ["3", "0", "", "-1", "x", "1@2", "01", "\u0662"])
@pytest.mark.usefixtures("rollout")
def test_a_variant_that_does_not_run_is_refused_by_name(own_edge: Edge, number: str) -> None:
    refused = own_edge.post(model=f"demo@{number}")
    assert (refused.status_code, error(refused)["code"], error(refused)["param"]) == (400, "INVALID_REQUEST", "model")
    assert "it runs 1 and 2" in str(error(refused)["message"])


@pytest.mark.usefixtures("rollout")
def test_a_variant_tells_nothing_about_the_deployment_of_another_key(own_edge: Edge) -> None:
    fresh = own_edge.store.deployment("fresh")
    narrow = own_edge.store.key(fresh)
    own_edge.settle()
    wait_for(lambda: own_edge.get("/v1/models", {"Authorization": f"Bearer {narrow.text}"}).status_code == 200)
    answers = [
        own_edge.post(model=model, headers={"Authorization": f"Bearer {narrow.text}"})
        for model in ("demo@1", "demo@9", "nothing@1")
    ]
    assert {error(answer)["code"] for answer in answers} == {"MODEL_UNKNOWN"}


def test_a_full_variant_queues_for_its_own_replicas(own_edge: Edge, rollout: Engine) -> None:
    """The other variant's replica is free all the time, and is not asked."""
    with pool() as executor:
        rollout.gate.set()
        futures = [executor.submit(own_edge.post, model="demo@1", user="wait") for _ in range(4)]
        wait_for(lambda: own_edge.engine.seen["active"] == 4)
        refused = own_edge.post(model="demo@1")
        assert (refused.status_code, error(refused)["code"]) == (503, "NO_CAPACITY")
        detail = error(refused)["detail"]
        assert isinstance(detail, dict)
        assert detail["replicas"] == [{"id": own_edge.instance, "reason": "4 of 4 requests in flight"}]
        queued = executor.submit(own_edge.post, model="demo@1")
        wait_for(lambda: own_edge.metric("stoker_queue_depth", deployment="demo") == 1)
        asked = rollout.seen["requests"]
        own_edge.engine.gate.set()
        assert queued.result().status_code == 200
        assert {future.result().status_code for future in futures} == {200}
        assert rollout.seen["requests"] == asked


def test_a_variant_that_is_leaving_has_no_room(own_edge: Edge, rollout: Engine) -> None:
    own_edge.store.execute("UPDATE instances SET phase = 'draining' WHERE id = ?", own_edge.instance)
    own_edge.settle()
    refused = own_edge.post(model="demo@1")
    assert (refused.status_code, error(refused)["code"]) == (503, "NO_CAPACITY")
    assert "demo@1" in str(error(refused)["message"])
    assert own_edge.post(model="demo").status_code == 200
    assert own_edge.post(model="demo@2", messages=[{"role": "user", "content": "Hi"}]).status_code == 200
