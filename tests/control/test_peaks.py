"""The server notes what engines take: a real one on this machine, and one on GPUs as a driver would count it."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.control.peaks import Peaks, resident
from app.domain.gpus import Gpu, Holder, HostFacts, HostLook
from app.domain.variant import ModelRef
from app.domain.vram.peak import Peak
from app.domain.vram.printed import Taken
from app.launch.fit import fit
from app.settings import Home, load_presets
from app.store import peaks, read, telemetry, wishes
from app.store.tables import Request
from app.store.write import Store
from tests.cli import rows
from tests.control import servers
from tests.control.support import bundled_spec, engines, launch, new_home, status, wait_for, wish
from tests.launch.weights_files import small_gguf, written

MIB = 2**20
PID = 2**22 + 1
LOG = """
load_tensors:        CUDA0 model buffer size =   100.00 MiB
llama_kv_cache:      CUDA0 KV buffer size =    20.00 MiB
llama_context:      CUDA0 compute buffer size =    30.00 MiB
"""


def noted(home: Home) -> list[Peak]:
    with read.reading(home.store) as connection:
        starts = [row["attempt_id"] for row in connection.execute("SELECT DISTINCT attempt_id FROM peaks")]
        return [peak for start in starts for peak in peaks.of_attempt(connection, start)]


def hurried() -> None:
    import app.control.peaks as module

    module.MEASURE_EVERY_S = 0.1


def test_what_the_bundled_model_takes_is_noted_and_used(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    with servers.server(home, servers.without_gateway, hurried):
        launch(home)
        wait_for(lambda: bool(noted(home)), "what it takes")
        peak = noted(home)[0]
        launch(home, "other", context=1_024)
        wait_for(lambda: status(home, "other") == "DEPLOYED", "the other one")
        wait_for(lambda: len({each.start for each in noted(home)}) == 2, "what the other one takes")
        for name in ("demo", "other"):
            wish(home, wishes.remove, name, "test")
        wait_for(lambda: not engines(home), "both to end")
    (taken,) = peak.taken
    assert (peak.engine, peak.architecture, peak.place, peak.busy) == ("llama.cpp", "llama", "host", False)
    assert peak.version
    assert taken.beside is not None
    found = fit(bundled_spec(), home)
    assert found is not None
    assert found.estimate.learnt is not None
    assert found.estimate.learnt.scope == "settings"
    # What the engine named, and of the estimate beside it and of what the kernel counted the larger.
    part = found.estimate.per_gpu[0]
    assert (part.weights, part.kv, part.activation) == (taken.weights, taken.kv, taken.activation)
    assert found.estimate.total >= (taken.total or 0)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return new_home(tmp_path / "home")


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    opened = Store(home.store)
    yield opened
    opened.close()


@pytest.fixture
def start(home: Home, store: Store, tmp_path: Path) -> str:
    """An engine in a container with a GPU, which serves; its attempt."""
    model = written(tmp_path, {"m.gguf": small_gguf()}) / "m.gguf"
    ref = ModelRef("m", "file", str(model), size=model.stat().st_size)
    deployment = rows.launch(store, backend="docker", gpus="0", model=ref, context=512, seqs=1)
    row = rows.instance(store, deployment, backend="docker", pid=PID)
    rows.write_log(home.attempts, row.attempt_id, LOG)
    assert row.attempt_id is not None
    return row.attempt_id


def look(store: Store, size: int | None, pid: int = PID) -> None:
    """Have the driver count `size` bytes for a child of `pid`."""
    holders = (Holder(pid + 1, size, parents=(pid,)), Holder(77, 900 * MIB))
    gpu = Gpu(0, "GPU-a", "NVIDIA GeForce RTX 4090", 24_000 * MIB, 1_000 * MIB, 23_000 * MIB, holders=holders)
    facts = HostFacts("local", HostLook("ok", 1_000_000, (gpu,)), {}, 1_000_000, 1_000_000)
    with store.write() as session:
        telemetry.record(session, facts)


def answered(store: Store, start: str) -> None:
    """Have the engine answer a request."""
    request = Request(
        id="R" * 26, request_id="r", path="/", stream=0, status=200, started_at=1, instance_id="i", attempt_id=start
    )
    with store.write() as session:
        session.add(request)


def measuring(home: Home, store: Store, until: Callable[[], bool]) -> None:
    """Measure as the server does until `until` holds."""

    async def write(change: Callable[..., None], *args: Any) -> None:
        with store.write() as session:
            change(session, *args)

    async def main() -> None:
        task = asyncio.create_task(Peaks(home, load_presets(home), write).run())
        try:
            await asyncio.to_thread(wait_for, until, "what it takes")
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def test_on_a_gpu_the_driver_counts(home: Home, store: Store, start: str) -> None:
    look(store, 250 * MIB)
    measuring(home, store, lambda: bool(noted(home)))
    (peak,) = noted(home)
    assert (peak.start, peak.place, peak.busy) == (start, "RTX 4090", False)
    assert peak.taken == (Taken(100 * MIB, 20 * MIB, None, 30 * MIB, total=250 * MIB),)


def test_where_the_driver_counts_nothing_the_engines_own_words_are_kept(home: Home, store: Store, start: str) -> None:
    look(store, None)
    measuring(home, store, lambda: bool(noted(home)))
    assert noted(home)[0].taken == (Taken(100 * MIB, 20 * MIB, None, 30 * MIB),)


def test_it_is_noted_again_under_load_and_when_that_takes_more(
    home: Home, store: Store, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.control.peaks.MEASURE_EVERY_S", 0.02)
    look(store, 250 * MIB)
    measuring(home, store, lambda: bool(noted(home)))
    answered(store, start)
    measuring(home, store, lambda: len(noted(home)) == 2)
    look(store, 300 * MIB)
    measuring(home, store, lambda: len(noted(home)) >= 3)
    assert [(peak.busy, peak.total) for peak in noted(home)] == [
        (False, 250 * MIB),
        (True, 250 * MIB),
        (True, 300 * MIB),
    ]


def test_the_most_that_a_process_has_had_is_at_least_what_it_has() -> None:
    process = psutil.Process()
    most = resident(process.pid)
    assert most is not None
    assert most >= 0.9 * process.memory_info().rss
    assert resident(PID) is None
