"""Where a request goes: room, queue, quarantine, retries, and what is said when there is nowhere."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import httpx2
import pytest

from tests.gateway.conftest import Edge
from tests.gateway.engine import Engine
from tests.gateway.process import wait_for


@contextmanager
def pool(size: int = 40) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(size) as executor:
        yield executor


def waiting(edge: Edge, executor: ThreadPoolExecutor, count: int) -> list[Future[httpx2.Response]]:
    """Requests that the engine holds until its gate opens; returns when all of them are there."""
    before = edge.engine.seen["active"]
    futures = [executor.submit(edge.post, user="wait") for _ in range(count)]
    wait_for(lambda: edge.engine.seen["active"] == before + count)
    return futures


def error(response: httpx2.Response) -> dict[str, object]:
    found: dict[str, object] = response.json()["error"]
    return found


@pytest.fixture
def other(own_edge: Edge) -> Iterator[Engine]:
    """A second engine, not yet an instance of anything."""
    engine = Engine()
    yield engine
    engine.close()


def test_the_replica_with_the_fewest_requests_is_chosen(own_edge: Edge, other: Engine) -> None:
    own_edge.store.instance(own_edge.deployment, other.url)
    own_edge.settle()
    with pool() as executor:
        futures = [executor.submit(own_edge.post, user="wait") for _ in range(6)]
        wait_for(lambda: (own_edge.engine.seen["active"], other.seen["active"]) == (3, 3))
        own_edge.engine.gate.set()
        other.gate.set()
        assert {future.result().status_code for future in futures} == {200}


def test_a_request_says_why_which_replica_was_chosen(own_edge: Edge, other: Engine) -> None:
    failed = own_edge.store.instance(
        own_edge.deployment, None, state="failed", phase="failed", failure_code="HOST_OOM", failure_evidence="no room"
    )
    busy = own_edge.store.instance(own_edge.deployment, other.url)
    own_edge.settle()
    steps = json.loads(own_edge.row(own_edge.post())["steps"])
    route = next(step["detail"] for step in steps if step["name"] == "route")
    assert f"{name_of(failed)}: failed: HOST_OOM no room" in route
    assert f"{name_of(busy)}: " in route or f"{name_of(own_edge.instance)}: " in route
    with pool() as executor:
        futures = [executor.submit(own_edge.post, user="wait") for _ in range(8)]
        wait_for(lambda: (own_edge.engine.seen["active"], other.seen["active"]) == (4, 4))
        refused = own_edge.row(own_edge.post())
        own_edge.engine.gate.set()
        other.gate.set()
        assert {future.result().status_code for future in futures} == {200}
    told = [step["detail"] for step in json.loads(refused["steps"]) if step["name"] == "replica"]
    assert f"{name_of(failed)}: failed: HOST_OOM no room" in told
    assert f"{name_of(busy)}: 4 of 4 requests in flight" in told


def name_of(instance_id: str) -> str:
    """What the store calls an instance of `demo`."""
    return f"demo-{instance_id[-6:].lower()}"


def test_a_replica_never_has_more_than_it_was_started_for(own_edge: Edge) -> None:
    with pool() as executor:
        futures = [executor.submit(own_edge.post, user="wait") for _ in range(30)]
        wait_for(lambda: own_edge.engine.seen["active"] == 4)
        own_edge.engine.gate.set()
        statuses = [future.result().status_code for future in futures]
    assert own_edge.engine.seen["peak"] == 4
    assert set(statuses) <= {200, 503}
    wait_for(lambda: own_edge.metric("stoker_in_flight") == 0)


def test_a_full_deployment_queues_in_order_and_then_says_when_to_come_back(own_edge: Edge) -> None:
    with pool() as executor:
        held = waiting(own_edge, executor, 4)
        refused = own_edge.post()
        assert (refused.status_code, error(refused)["code"]) == (503, "NO_CAPACITY")
        detail = error(refused)["detail"]
        assert isinstance(detail, dict)
        assert refused.headers["retry-after"] == str(detail["retry_after_s"]) == "2"
        assert detail["replicas"] == [{"id": own_edge.instance, "reason": "4 of 4 requests in flight"}]
        queued = executor.submit(own_edge.post)
        wait_for(lambda: own_edge.metric("stoker_queue_depth", deployment="demo") == 1)
        own_edge.engine.gate.set()
        assert queued.result().status_code == 200
        assert {future.result().status_code for future in held} == {200}
    assert own_edge.row(refused)["attempt_id"] is None


def test_a_queue_has_an_end(own_edge: Edge) -> None:
    with pool(60) as executor:
        held = waiting(own_edge, executor, 4)
        futures = [executor.submit(own_edge.post) for _ in range(50)]
        wait_for(lambda: sum(future.done() for future in futures) >= 20)
        own_edge.engine.gate.set()
        statuses = [future.result().status_code for future in (*held, *futures)]
    assert statuses.count(503) >= 20
    wait_for(lambda: own_edge.metric("stoker_queue_depth") == 0)


@pytest.mark.parametrize(
    ("state", "phase"), [("non_bootstrap", "registering"), ("pending", "starting"), ("pending", "loading")]
)
def test_a_deployment_that_is_coming_up_is_waited_for(own_edge: Edge, state: str, phase: str) -> None:
    store = own_edge.store
    store.execute("UPDATE instances SET state = ?, phase = ?", state, phase)
    own_edge.settle()
    refused = own_edge.post()
    assert (refused.status_code, error(refused)["code"]) == (503, "NO_CAPACITY")
    detail = error(refused)["detail"]
    assert isinstance(detail, dict) and detail["replicas"] == [{"id": own_edge.instance, "reason": phase}]
    assert "retry-after" in refused.headers
    with pool() as executor:
        early = executor.submit(own_edge.post)
        wait_for(lambda: own_edge.metric("stoker_queue_depth", deployment="demo") == 1 or early.done())
        store.execute("UPDATE instances SET state = 'running', phase = 'serving'")
        wait_for(lambda: own_edge.post().status_code == 200)


def test_a_deployment_without_instances_exists_all_the_same(own_edge: Edge) -> None:
    own_edge.store.deployment("fresh")
    own_edge.settle()
    refused = own_edge.post(model="fresh")
    assert error(refused)["code"] == "NO_CAPACITY"
    assert "REQUESTED" in str(error(refused)["message"])


@pytest.mark.parametrize("wish", ["stopped", "gone"])
def test_a_stopped_deployment_says_so(own_edge: Edge, wish: str) -> None:
    own_edge.store.execute("UPDATE deployments SET wish = ? WHERE name = 'demo'", wish)
    own_edge.settle()
    refused = own_edge.post()
    assert (refused.status_code, error(refused)["code"]) == (503, "DEPLOYMENT_STOPPED")
    assert "stoker start demo" in str(error(refused)["remedy"])


def test_a_failed_deployment_names_the_failure_at_once(own_edge: Edge) -> None:
    own_edge.store.execute(
        "UPDATE instances SET state = 'failed', phase = 'failed', failure_code = 'HOST_OOM',"
        " failure_evidence = 'cannot allocate \x1b[31m45 MB'"
    )
    own_edge.settle()
    refused = own_edge.post()
    assert (refused.status_code, error(refused)["code"]) == (503, "NO_CAPACITY")
    assert "HOST_OOM" in str(error(refused)["message"])
    detail = error(refused)["detail"]
    assert isinstance(detail, dict)
    assert detail["replicas"] == [{"id": own_edge.instance, "reason": "failed: HOST_OOM cannot allocate 45 MB"}]


def test_unreachable_replicas_get_nothing(own_edge: Edge) -> None:
    own_edge.store.execute("UPDATE instances SET unreachable_since = 1000000000, backend = 'docker@gpu1'")
    own_edge.settle()
    refused = own_edge.post()
    detail = error(refused)["detail"]
    missing = "host gpu1 has not been reached since 1970-01-01 00:16:40 UTC"
    assert isinstance(detail, dict)
    assert detail["replicas"] == [{"id": own_edge.instance, "reason": f"unreachable: {missing}"}]
    assert str(error(refused)["message"]).startswith(f"`demo` is UNREACHABLE: {missing}.")


def test_a_replica_that_refuses_connections_is_left_alone_for_a_while(own_edge: Edge, other: Engine) -> None:
    dead = own_edge.store.instance(own_edge.deployment, "http://127.0.0.1:9")
    own_edge.settle()
    with pool() as executor:
        waiting(own_edge, executor, 2)
        # Idle, the dead one is tried first each time; the live one answers.
        assert {own_edge.post().status_code for _ in range(4)} == {200}
        waiting(own_edge, executor, 2)
        refused = own_edge.post()
        detail = error(refused)["detail"]
        assert isinstance(detail, dict)
        reasons = {replica["id"]: replica["reason"] for replica in detail["replicas"]}
        assert "refused or reset 3 connections" in reasons[dead]
        own_edge.engine.gate.set()


def test_the_last_replica_is_never_left_alone(own_edge: Edge) -> None:
    assert {own_edge.post(user="reset").status_code for _ in range(4)} == {502}
    assert own_edge.post().status_code == 200


def test_another_replica_is_tried_before_the_first_byte(own_edge: Edge, other: Engine) -> None:
    for behaviour in ("reset", "loading"):
        own_edge.engine.behaviour = behaviour
        own_edge.store.instance(own_edge.deployment, other.url)
        own_edge.settle()
        answer = own_edge.post()
        assert answer.status_code == 200
        row = own_edge.row(answer)
        assert row["instance_id"] != own_edge.instance and row["code"] is None and not row["estimated"]


def test_a_request_that_breaks_engines_is_not_given_to_all_of_them(own_edge: Edge) -> None:
    engines = [Engine() for _ in range(3)]
    try:
        for engine in engines:
            own_edge.store.instance(own_edge.deployment, engine.url)
        own_edge.settle()
        assert own_edge.post(user="reset").status_code == 502
        assert sum(engine.seen["requests"] for engine in (own_edge.engine, *engines)) == 2
    finally:
        for engine in engines:
            engine.close()


def test_idle_connections_are_used_again_and_stale_ones_replaced(own_edge: Edge) -> None:
    for _ in range(3):
        assert own_edge.post().status_code == 200
    assert own_edge.engine.seen["connections"] == 1
    port = int(own_edge.engine.url.rpartition(":")[2])
    own_edge.engine.close()
    successor = Engine(port=port)
    own_edge.engine = successor
    assert own_edge.post().status_code == 200
    assert successor.seen["requests"] == 1


def drained(edge: Edge) -> Callable[[], int]:
    def generation() -> int:
        rows = edge.store.rows("SELECT generation FROM drains WHERE instance_id = ?", edge.instance)
        return rows[0]["generation"] if rows else 0

    return generation


@pytest.mark.parametrize("phase", ["draining", "stopping"])
def test_a_draining_replica_is_acknowledged_when_nothing_is_in_flight(own_edge: Edge, phase: str) -> None:
    with pool() as executor:
        (held,) = waiting(own_edge, executor, 1)
        own_edge.store.execute("UPDATE instances SET phase = ?", phase)
        marked = own_edge.store.generation()
        own_edge.settle()
        assert own_edge.post().status_code == 503
        assert drained(own_edge)() == 0
        own_edge.engine.gate.set()
        assert held.result().status_code == 200
        wait_for(lambda: drained(own_edge)() >= marked)


def test_each_new_drain_is_acknowledged_anew(own_edge: Edge) -> None:
    for _ in range(2):
        own_edge.store.execute("UPDATE instances SET phase = 'draining'")
        marked = own_edge.store.generation()
        wait_for(lambda wanted=marked: drained(own_edge)() >= wanted)  # type: ignore[misc] # bound for the loop
        own_edge.store.execute("UPDATE instances SET phase = 'serving'")
    wait_for(lambda: own_edge.post().status_code == 200)


def test_counters_survive_a_new_snapshot(own_edge: Edge) -> None:
    with pool() as executor:
        held = waiting(own_edge, executor, 4)
        own_edge.settle()
        assert own_edge.metric("stoker_in_flight") == 4
        assert own_edge.post().status_code == 503
        own_edge.engine.gate.set()
        assert {future.result().status_code for future in held} == {200}
