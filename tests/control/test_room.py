"""A rollout on a host that has no memory for two: the old replica goes first, and history says why, with figures."""

import re
from dataclasses import replace
from pathlib import Path

from app.control.room import KV_BYTES_PER_TOKEN, RUNTIME_BYTES, needed_bytes, no_room
from app.domain.variant import ModelRef
from app.store import read, wishes
from backends.base import HostFacts
from tests.control.servers import server, without_gateway
from tests.control.support import bundled_spec, launch, new_home, see, status, wait_for, wish

GIB = 2**30


def test_what_a_replica_needs_is_what_the_estimate_says(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    spec = bundled_spec(context=4096, seqs=4)
    assert spec.model.size is not None
    cache = 4 * 4096 * 23_040
    assert spec.model.size + cache < needed_bytes(spec, home) < spec.model.size + cache + 2 * RUNTIME_BYTES
    assert needed_bytes(replace(spec, memory_limit=GIB // 4), home) == GIB // 4, "it can never take more than its limit"


def test_where_nothing_can_be_estimated_it_is_guessed_high(tmp_path: Path) -> None:
    absent = ModelRef("m", "file", "/nowhere/m.gguf", size=GIB)
    spec = bundled_spec(context=4096, seqs=4, model=absent)
    assert needed_bytes(spec, new_home(tmp_path)) == GIB + 4 * 4096 * KV_BYTES_PER_TOKEN + RUNTIME_BYTES


def test_the_reason_has_both_figures(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    spec = bundled_spec(memory_limit=GIB // 2, context=32_768, seqs=4)
    assert no_room(spec, HostFacts("box", 8 * GIB, GIB), home) == ""
    reason = no_room(spec, HostFacts("box", 8 * GIB, GIB // 4), home)
    assert reason == "a second replica may need 0.5 GiB, 0.2 GiB are free"


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
    # What is measured meanwhile corrects the estimate, so the figure itself is the server's own.
    why = next(cause for subject, to, cause in events if (subject, to) == ("demo-a", "running/draining"))
    assert re.fullmatch(
        r"replaced by a later variant, stopped first: a second replica may need \d\.\d GiB, 0\.1 GiB are free", why
    )
    drained = events.index(("demo-a", "running/draining", why))
    stopped = next(n for n, e in enumerate(events) if e[:2] == ("demo-a", "stopped/by_user"))
    began = next(n for n, e in enumerate(events) if e[:2] == ("demo-b", "pending/allocating"))
    assert drained < stopped < began
