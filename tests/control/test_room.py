"""A rollout on a host that has no memory for two: the old replica goes first, and history says why, with figures."""

from dataclasses import replace
from pathlib import Path

from app.control.room import RUNTIME_BYTES, needed_bytes, no_room
from app.store import read, wishes
from backends.base import HostFacts
from tests.control.servers import server, without_gateway
from tests.control.support import bundled_spec, launch, new_home, see, status, wait_for, wish

GIB = 2**30


def test_what_a_replica_needs_is_weights_and_cache_and_the_engine_itself() -> None:
    spec = bundled_spec(context=4096, seqs=4)
    assert spec.model.size is not None
    assert needed_bytes(spec) == spec.model.size + 4 * 4096 * 131_072 + RUNTIME_BYTES
    assert needed_bytes(replace(spec, memory_limit=GIB)) == GIB, "it can never take more than its limit"
    assert needed_bytes(replace(spec, memory_limit=64 * GIB)) < 4 * GIB


def test_the_reason_has_both_figures() -> None:
    spec = bundled_spec(memory_limit=2 * GIB, context=32_768, seqs=4)
    assert no_room(spec, HostFacts("box", 8 * GIB, 2 * GIB)) == ""
    reason = no_room(spec, HostFacts("box", 8 * GIB, GIB))
    assert reason == "a second replica may need 2.0 GiB, 1.0 GiB are free"


def cramp() -> None:
    """Have this machine say that a tenth of a GiB is free."""
    from backends.process import ProcessBackend

    async def probe(_: ProcessBackend) -> HostFacts:
        return HostFacts("cramped", GIB, GIB // 10)

    setattr(ProcessBackend, "probe", probe)  # noqa: B010 # mypy refuses the assignment to a method


def test_the_old_replica_goes_first_where_two_do_not_fit(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    launch(home)
    with server(home, without_gateway, cramp):
        wait_for(lambda: status(home) == "DEPLOYED", "the launch")
        before = see(home)
        assert before is not None
        wish(home, wishes.change, "demo", bundled_spec(context=512), 1, "test")
        wait_for(lambda: [i.name for i in (see(home) or before).instances] == ["demo-b"], "the old replica to go")
        wait_for(lambda: status(home) == "DEPLOYED", "the new variant")
        with read.reading(home.store) as connection:
            events = [(e["subject"], e["to_state"], e["cause"]) for e in read.events(connection, before.id)]
        wish(home, wishes.remove, "demo", "test")
        wait_for(lambda: status(home) == "GONE", "the removal")
    why = "replaced by a later variant, stopped first: a second replica may need 0.7 GiB, 0.1 GiB are free"
    drained = events.index(("demo-a", "running/draining", why))
    stopped = next(n for n, e in enumerate(events) if e[:2] == ("demo-a", "stopped/by_user"))
    began = next(n for n, e in enumerate(events) if e[:2] == ("demo-b", "pending/allocating"))
    assert drained < stopped < began
