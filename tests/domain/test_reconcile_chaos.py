"""The rules under any course of events: what must hold at every moment, and where it all ends.

The model (`model.py`) asserts at every decision: only transitions of the table; never two live attempts of one
instance; never more live replicas than wished, and one for a rollout where there is room; no replica that serves given
up while too few others do; nothing done at a backend that could not be looked at; nothing removed while it runs.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import reconcile as rules
from app.domain.facts import Weights
from app.domain.lifecycle import Phase, State
from tests.domain.model import Engine, Model, Outcome, up

CODES = ("CONTAINER_EXITED", "KILLED_EXTERNALLY", "RUNTIME_ERROR", "HOST_OOM")
OUTCOMES: tuple[Outcome, ...] = ("done", "lost", "late", "refused", "refused but done")
SECONDS = (1, 9, 11, 45, 350, 700)

EVENTS = (
    "nothing", "pass", "pass", "pass", "pass", "stale pass", "blind pass", "half pass", "calls", "acknowledge", "tick",
    "die", "die", "load", "answer", "answer", "answer", "lose", "reboot", "restart server", "start", "stop",
    "stop now", "restart", "remove", "forget", "change", "rollback", "scale", "room", "gateway", "weights", "shut down",
)  # fmt: skip


def happen(model: Model, event: str, n: int) -> None:
    """One event; `n` chooses which instance, code, outcome or number."""
    engines = [e for e in model.engines.values() if e.ended is None and not e.hidden]
    engine = engines[n % len(engines)] if engines else None
    gone = model.deployment.wish == "gone"
    match event:
        case "pass":
            model.take_look()
            model.decide()
            model.complete()
        case "half pass":
            model.take_look()
            model.decide()
        case "stale pass":
            model.decide()
        case "blind pass":
            model.decide(looked=False)
        case "calls":
            model.complete(OUTCOMES[n % len(OUTCOMES)])
        case "acknowledge":
            model.acknowledge()
        case "tick":
            model.tick(SECONDS[n % len(SECONDS)])
        case "die" if engine:
            model.end(engine, CODES[n % len(CODES)])
        case "load" if engine:
            engine.loading = True
        case "answer" if engine:
            engine.ready, engine.lost = True, False
        case "lose" if engine:
            engine.lost = engine.ready
        case "reboot":
            model.reboot()
        case "restart server":
            model.restart_server(lose_calls=n % 2 == 0)
        case "start" if not gone:
            model.wish(wish="running", stop_now=False)
        case "stop" | "stop now" if not gone:
            model.wish(wish="stopped", stop_now=event == "stop now")
        case "restart" if not gone:
            model.restart()
        case "remove" | "forget":
            model.wish(wish="gone", forget=event == "forget")
        case "change" if not gone:
            model.wish(variant_id=f"v{int(model.deployment.variant_id[1:]) + 1}")
        case "rollback" if not gone:
            model.wish(variant_id="v1")
        case "scale" if not gone:
            model.wish(replicas=1 + n % 3)
        case "room":
            model.no_room = not model.no_room
        case "gateway":
            model.gateway_up = not model.gateway_up
        case "weights":
            model.weights[model.deployment.variant_id] = Weights(
                present=False, code=(None, "OFFLINE", "MUST_REDOWNLOAD")[n % 3], evidence="no route to host"
            )
        case "shut down":
            model.shutting_down = not model.shutting_down


scripts = st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 29)), min_size=20, max_size=60)


@settings(max_examples=1_500)
@given(scripts, st.integers(1, 3), st.booleans())
def test_whatever_happens_it_ends_as_wished(script: list[tuple[str, int]], replicas: int, resume: bool) -> None:
    model = Model(replicas, steady=False, resume=resume)
    for event, n in script:
        happen(model, event, n)
    # The last fault is over: the backend answers, engines load and answer, the gateway lets go.
    model.steady = model.gateway_up = True
    model.no_room = model.shutting_down = False
    model.complete()
    model.settle()
    check_end(model)


def check_end(model: Model) -> None:
    """Nothing is left to do, and what there is is what was wished, or says why not."""
    wish, instances = model.deployment.wish, model.instances
    current = {i.attempt.id for i in instances if i.attempt and i.attempt.ended_at is None}
    assert set(model.alive) == current == {i.attempt.id for i in model.serving if i.attempt}
    if wish == "gone":
        assert model.finished
        assert not instances
    elif wish == "stopped":
        assert {i.state for i in instances} <= {State.STOPPED}
    elif not any(i.phase is Phase.BY_SHUTDOWN for i in instances):
        failed = [i for i in instances if i.state is State.FAILED]
        assert all(i in failed or i.phase is Phase.SERVING for i in instances)
        assert failed or [i.variant_id for i in instances] == [model.deployment.variant_id] * model.deployment.replicas
        assert len(model.serving) + len(failed) >= model.deployment.replicas
    else:
        assert not model.resume


def kill(model: Model, n: int) -> None:
    model.end(list(model.engines.values())[n % len(model.engines)], "KILLED_EXTERNALLY")


def vanish(model: Model, n: int) -> None:
    del model.engines[list(model.engines)[n % len(model.engines)]]


def lose(model: Model, n: int) -> None:
    list(model.engines.values())[n % len(model.engines)].lost = True


def look_away(model: Model, n: int) -> None:
    for _ in range(n):
        model.decide(looked=False)


def look_twice(model: Model, n: int) -> None:
    for _ in range(n):
        model.decide()


def new_server(model: Model, n: int) -> None:
    model.restart_server(lose_calls=n % 2 == 0)


def no_gateway(model: Model, n: int) -> None:
    model.gateway_up = bool(n % 2)


FAULTS: list[Callable[[Model, int], None]] = [kill, vanish, lose, look_away, look_twice, new_server, no_gateway]


@settings(max_examples=600)
@given(st.integers(1, 4), st.lists(st.tuples(st.sampled_from(FAULTS), st.integers(0, 5)), min_size=1, max_size=6))
def test_three_passes_after_the_last_fault_all_is_well(
    replicas: int, faults: list[tuple[Callable[[Model, int], None], int]]
) -> None:
    """From all being well: any set of faults, then passes whose calls come to their end."""
    model = up(replicas)
    for fault, n in faults:
        if model.engines:
            fault(model, n)
    model.gateway_up = True
    assert model.settle() <= 3
    assert len(model.serving) == len(model.alive) == replicas


@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_fault_the_rest_is_as_it_was(fault: Callable[[Model, int], None]) -> None:
    """What a fault does not touch keeps its attempt: nothing is started anew for company."""
    model = up(3)
    before = {i.id: replace(i) for i in model.instances}
    fault(model, 0)
    model.settle()
    assert [i for i in model.instances if i.id != "i001"] == [before["i002"], before["i003"]]


def test_the_model_itself_notices_two_live_attempts() -> None:
    model = up()
    model.engines["i001-009"] = Engine("i001", model.now)
    model.calls.append(rules.Create("i001", "i001-010"))
    with pytest.raises(AssertionError, match="two live attempts"):
        model.complete()
