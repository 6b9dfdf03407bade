"""What is kept of hosts: the last look, what ours need, and an hour of samples that never becomes more."""

from pathlib import Path

import pytest
from sqlmodel import select

from app.domain.gpus import Gpu, Holder, HostFacts, HostLook, Ours, Reserve
from app.settings import Home
from app.store import hosts, tables, telemetry
from app.store.read import reading
from app.store.write import Store
from tests.control.support import launch, new_home
from tests.screens.homes import add, set_instance

SECOND = 1_000_000
START = 1_700_000_000 * SECOND
GIB = 1 << 30


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return new_home(tmp_path)


def facts(at: int, used: int = GIB, name: str = "local", state: str = "ok") -> HostFacts:
    gpu = Gpu(0, "GPU-a", "x", 24 * GIB, used, 24 * GIB - used, 50, 60, 70_000, holders=(Holder(7, used),))
    look = HostLook(state, at, (gpu,), "570", "12.8")  # type: ignore[arg-type]  # one of the words
    return HostFacts(name, look, {"GPU-a": {"chat": Reserve(used, at)}}, START, at)


def write(home: Home, *found: HostFacts, names: tuple[str, ...] | None = None) -> None:
    store = Store(home.store)
    for each in found:
        with store.write() as session:
            telemetry.record(session, each)
    if names is not None:
        with store.write() as session:
            telemetry.forget_others(session, names)
    store.close()


def test_a_look_comes_back_as_it_was(home: Home) -> None:
    here, there = facts(START), facts(START, name="gpu1")
    write(home, there, here)
    with reading(home.store) as connection:
        assert hosts.hosts(connection) == [here, there]


def test_an_hour_of_samples_is_kept_and_no_more(home: Home) -> None:
    step = hosts.SLOT_US
    write(home, *(facts(START + n * step * 80, used=n * GIB) for n in range(20)))
    with reading(home.store) as connection:
        found = hosts.history(connection, START + 19 * step * 80)
        assert [sample.vram_used for sample in found["local", "GPU-a"]] == [n * GIB for n in range(11, 20)]
        assert connection.execute("SELECT count(*) FROM gpu_samples").fetchone()[0] == 9


def test_samples_of_a_gpu_that_is_gone_are_dropped_after_their_hour(home: Home) -> None:
    hour = hosts.SLOTS * hosts.SLOT_US
    write(home, facts(START), facts(START, name="gpu1"), facts(START + hour // 2, used=2 * GIB))
    store = Store(home.store)
    for now, left in ((START + hour, 3), (START + hour + SECOND, 2)):
        with store.write() as session:
            telemetry.forget_old(session, "local", now)
        with reading(home.store) as connection:
            assert connection.execute("SELECT count(*) FROM gpu_samples").fetchone()[0] == left
    store.close()


def test_a_host_that_does_not_answer_adds_no_samples(home: Home) -> None:
    write(home, facts(START), facts(START + 60 * SECOND, state="unreachable"))
    with reading(home.store) as connection:
        (kept,) = hosts.hosts(connection)
        assert kept.look.state == "unreachable"
        assert [s.at for s in hosts.history(connection, START + 60 * SECOND)["local", "GPU-a"]] == [START]


def test_hosts_that_were_taken_out_are_forgotten(home: Home) -> None:
    write(home, facts(START), facts(START, name="gpu1"), names=("local",))
    with reading(home.store) as connection:
        assert [h.name for h in hosts.hosts(connection)] == ["local"]
        assert list(hosts.history(connection, START)) == [("local", "GPU-a")]


def test_what_is_set_aside_is_needed_before_it_is_held(home: Home) -> None:
    launch(home, "chat")
    launch(home, "embed")
    write(home, facts(START))
    store = Store(home.store)
    with store.write() as session:
        of = {row.name: row.id for row in session.exec(select(tables.Deployment))}
        for name, size in (("chat", 4 * GIB), ("embed", 6 * GIB)):
            session.add(
                tables.Reservation(
                    deployment_id=of[name], host="local", gpu="GPU-a", bytes=size, total=24 * GIB, created_at=START - 9
                )
            )
    store.close()
    with reading(home.store) as connection:
        assert hosts.hosts(connection)[0].reserves == {"GPU-a": {"chat": Reserve(GIB, START)}}
        (found,) = hosts.hosts_with_promises(connection)
        needed = {"chat": Reserve(4 * GIB, START - 9), "embed": Reserve(6 * GIB, START - 9)}
        assert found.reserves == {"GPU-a": needed}


def test_what_is_ours_and_what_is_wanted(home: Home) -> None:
    launch(home, "chat")
    with reading(home.store) as connection:
        (variant,) = (row["id"] for row in connection.execute("SELECT id FROM variants"))
        assert hosts.wanted(connection) == {"chat": variant}
        assert hosts.ours(connection) == {}
    set_instance(home, add(home, "here", "running", "serving"), pid=7)
    set_instance(home, add(home, "there", "running", "serving"), pid=7, container="3f2a9c0d1e4b", backend="docker@gpu1")
    set_instance(home, add(home, "over", "stopped", "by_user"), pid=8)
    with reading(home.store) as connection:
        assert hosts.ours(connection) == {
            "local": Ours({7: "here"}),
            "gpu1": Ours({7: "there"}, {"3f2a9c0d1e4b": "there"}),
        }
