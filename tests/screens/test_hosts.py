"""Hosts and GPUs on the screens: memory, load and heat, who holds what, newcomers, and every way to see nothing."""

from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len

from app.domain.gpus import Gpu, Holder, HostFacts, HostLook, Reserve
from app.domain.stock import Disk, Image, Kept, Stock
from app.store import hosts, tables, telemetry
from app.store.write import Store
from tests.screens.support import HOSTILE, HOUR, MINUTE, SECOND, Scribe, serving
from tests.screens.talking import Person, visit
from tests.screens.test_playground import FORBIDDEN
from tests.widgets.support import LARGE, SMALL, lines_of

SIZES = [pytest.param(SMALL, id="80"), pytest.param(LARGE, id="120")]
GIB = 1 << 30


def write(scribe: Scribe, facts: HostFacts, loads: tuple[int, ...] = ()) -> None:
    """A host as the server would have written it, its GPUs with these loads for some minutes around now."""
    store = Store(scribe.home.store)
    with store.write() as session:
        telemetry.record(session, facts)
        session.flush()
        for gpu, load in zip(facts.look.gpus, loads, strict=False):
            for slot in range(-130, 120):
                at = facts.look.at // hosts.SLOT_US * hosts.SLOT_US + slot * hosts.SLOT_US
                place = at // hosts.SLOT_US % hosts.SLOTS
                session.merge(tables.GpuSample(host=facts.name, uuid=gpu.uuid, slot=place, at=at, utilization=load))
    store.close()


def busy(scribe: Scribe) -> HostFacts:
    """This machine: one GPU that ours need all of, one that is free, one that is lost."""
    now = scribe.now
    engine = Holder(
        4120, 2 * GIB, "ada", "vllm serve Qwen3-8B", "3f2a9c0d1e4b", now - 4 * HOUR - MINUTE, deployment="chat"
    )
    command = f"python train.py --config {'very/' * 12}long.yaml {HOSTILE}"
    train = Holder(4121, 6 * GIB, "alice", command, None, now - 121 * SECOND)
    h100 = Gpu(0, "GPU-a", "NVIDIA H100 80GB HBM3", 80 * GIB, 78 * GIB, 2 * GIB, 92, 71, 412_500, "9.0", 3, 31, False)
    l40s = Gpu(1, "GPU-b", "NVIDIA L40S", 45 * GIB, GIB, 44 * GIB, 0, 31, 36_000, "8.9", None, None, None, holders=())
    lost = Gpu(2, "GPU-c", "NVIDIA L40S", xid=79, trouble="The GPU is lost: it does not answer the driver.")
    look = HostLook("ok", now, (replace(h100, holders=(engine, train)), l40s, lost), "570.86.10", "12.8")
    reserves = {"GPU-a": {"chat": Reserve(76 * GIB, now - HOUR)}}
    return HostFacts("local", look, reserves, now - 3 * HOUR - MINUTE, now)


def stocked(scribe: Scribe) -> None:
    """What two of the hosts have in store."""
    vllm = Image("sha256:" + "a1" * 32, 10_400_000_000, ("vllm/vllm-openai:v0.11.0",), "sha256:" + "4f" * 32)
    ours = Image("sha256:" + "b2" * 32, 170_688_112, ("localhost/stoker/llama.cpp:latest",))
    other = Image("sha256:" + "c3" * 32, 77_900_000, ("ubuntu:24.04", f"team/{HOSTILE}:1"))
    weights = (
        Kept("Qwen/Qwen3-8B", "hub cache", 16_400_000_000),
        Kept("SmolLM2-135M-Instruct.Q4_1.gguf", "volume", 98_360_000),
        Kept(HOSTILE, "hub cache", None),
    )
    disks = (Disk("weights", 2 * 10**12, 61 * 10**9), Disk("images", 5 * 10**11, 2 * 10**11))
    here = Stock(scribe.now - 121 * SECOND, "28.2.2", "", (vllm, ours, other), weights, disks)
    bare = Stock(scribe.now - 121 * SECOND, None, "There is no `docker` on this host.", disks=disks[1:])
    store = Store(scribe.home.store)
    for name, stock in (("local", here), ("laptop", bare)):
        with store.write() as session:
            telemetry.record_stock(session, name, stock)
    store.close()


def several(scribe: Scribe) -> None:
    """Hosts of every kind."""
    serving(scribe)
    now = scribe.now
    write(scribe, busy(scribe), (92, 0))
    gone = replace(busy(scribe).look.gpus[1], holders=())
    look = HostLook(
        "unreachable", now, (gone,), "550.1", None, "HOST_UNREACHABLE", "ssh: connect to host gpu1: timed out."
    )
    write(scribe, HostFacts("gpu1", look, {}, now - 121 * SECOND, now - 131 * SECOND))
    down = HostLook("driver_down", now, code="CUDA_ERROR", detail="The NVIDIA driver is installed but not running.")
    write(scribe, HostFacts("gpu2", down, {}, now - 121 * SECOND, now))
    bare = HostLook("no_driver", now, detail="There is no NVIDIA driver on this host: it has no `nvidia-smi`.")
    write(scribe, HostFacts("laptop", bare, {}, now - 121 * SECOND, now))
    stocked(scribe)
    scribe.up()


@pytest.mark.parametrize("size", SIZES)
def test_what_hosts_have_and_who_holds_it(tmp_path: Path, size: tuple[int, int]) -> None:
    with Scribe(tmp_path) as scribe:
        several(scribe)

        async def scene(person: Person) -> None:
            await person.sees("STATUS")
            await person.presses("7")
            await person.sees("H100", "alice", "unreachable", "Xid 79")
            assert all(cell_len(line) <= size[0] for line in lines_of(person.app))
            assert not any(set(line) & FORBIDDEN for line in lines_of(person.app))
            assert "6.0 GiB  since 2m" in person.screen, "whatever the command, how much it holds is seen"
            await person.looks(f"hosts-{size[0]}")

        visit(scribe.home, scene, size)


@pytest.mark.parametrize("size", SIZES)
def test_what_hosts_have_in_store_is_on_tabs_of_its_own(tmp_path: Path, size: tuple[int, int]) -> None:
    with Scribe(tmp_path) as scribe:
        several(scribe)

        async def scene(person: Person) -> None:
            await person.presses("7")
            await person.sees("H100")
            await person.presses("tab")
            await person.sees("vllm/vllm-openai:v0.11.0", "10.4 GB", "4f4f4f4f4f4f", "sglang", "to pull")
            await person.sees("1 other image, 77.9 MB", "not looked through yet", "no Docker: There is no")
            await person.looks(f"engines-{size[0]}")
            await person.presses("right")
            await person.sees("Qwen/Qwen3-8B", "16.4 GB", "hub cache", "disk for weights: 61.0 GB free of 2.0 TB")
            assert not any(set(line) & FORBIDDEN for line in lines_of(person.app))
            assert all(cell_len(line) <= size[0] for line in lines_of(person.app))
            await person.looks(f"weights-{size[0]}")
            await person.presses("shift+tab")
            await person.sees("vllm/vllm-openai")
            await person.presses("left")
            await person.sees("H100")

        visit(scribe.home, scene, size)


@pytest.mark.parametrize("size", SIZES)
def test_the_fleet_has_a_line_a_host_and_names_the_newcomer(tmp_path: Path, size: tuple[int, int]) -> None:
    with Scribe(tmp_path) as scribe:
        several(scribe)

        async def scene(person: Person) -> None:
            await person.sees("STATUS", "takes 2.0 GiB of what chat needs on local:0", "python (pid 4121, alice)")
            await person.sees("92%  71°C", "1 free", "2 lost", "gpu1  ? unreachable")
            assert all(cell_len(line) <= size[0] for line in lines_of(person.app))

        visit(scribe.home, scene, size)


@pytest.mark.parametrize("size", SIZES)
def test_what_hosts_offer_and_cost_is_on_the_last_tab(tmp_path: Path, size: tuple[int, int]) -> None:
    with Scribe(tmp_path) as scribe:
        several(scribe)
        host = '[hosts.{}]\naddress = "ada@{}"\nregion = "eu"\ntier = "secure"\nprice = "{}"\n'
        config = host.format("gpu1", "gpu1", "0.60") + host.format("gpu9", "gpu9", "0.25")
        (scribe.home.config / "config.toml").write_text(config)

        async def scene(person: Person) -> None:
            await person.presses("7")
            await person.sees("H100")
            await person.presses("shift+tab")
            await person.sees("PER HOUR", "process", "docker@gpu1", "1 × NVIDIA L40S", "secure  0.60", "secure  0.25")
            assert all(cell_len(line) <= size[0] for line in lines_of(person.app))
            await person.presses("tab")
            await person.sees("H100")

        visit(scribe.home, scene, size)


def test_a_look_that_changes_is_shown_and_a_newcomer_that_leaves_is_not(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        serving(scribe)
        facts = busy(scribe)
        write(scribe, facts)
        scribe.up()

        async def scene(person: Person) -> None:
            await person.presses("7")
            await person.sees("takes 2.0 GiB", "76.0 GiB")
            first, *rest = facts.look.gpus
            calm = replace(first, temperature_c=95, holders=(first.holders or ())[:1], xid=None, ecc_errors=0)
            write(scribe, replace(facts, look=replace(facts.look, gpus=(calm, *rest))))
            await person.sees("95°C")
            assert "takes" not in person.screen
            assert "alice" not in person.screen

        visit(scribe.home, scene)


def test_before_anything_was_looked_at(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        serving(scribe)
        scribe.up()

        async def scene(person: Person) -> None:
            await person.presses("7")
            await person.sees("No host was looked at yet", "stoker hosts add")

        visit(scribe.home, scene)


def test_a_screen_of_many_gpus_is_scrolled_by_key(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        serving(scribe)
        gpu = Gpu(0, "GPU-a", "NVIDIA L40S", 45 * GIB, GIB, 44 * GIB, 0, 31, 36_000, holders=())
        gpus = tuple(replace(gpu, index=n, uuid=f"GPU-{n}") for n in range(40))
        write(scribe, HostFacts("local", HostLook("ok", scribe.now, gpus, "570"), {}, scribe.now, scribe.now))
        scribe.up()

        async def scene(person: Person) -> None:
            await person.presses("7")
            await person.sees("  15  L40S")
            assert "  39  L40S" not in person.screen
            await person.presses("G")
            await person.sees("  39  L40S")

        visit(scribe.home, scene)
