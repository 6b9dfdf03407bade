"""Seven hosts of eight GPUs each: what the hour of samples that is kept of them costs to write and to read, and how
quick the server is about everything else while it looks at them over SSH, and two more never answer.

`python -m bench.hosts [--seconds 30]` prints a JSON line a figure. It needs sshd, as the tests of hosts do.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import psutil

from app.domain.gpus import Gpu, Holder, HostFacts, HostLook
from app.machines import MachineReader
from app.processes import holder
from app.settings import Home
from app.store import hosts, telemetry
from app.store.migrate import migrate
from app.store.read import reading
from app.store.sqlite import connect_reader
from app.store.write import Store
from bench.figures import figure
from tests.hosts.sshd import NAME, Sshd, sshd
from tests.hosts.stub import H100, Driver, build
from tests.hosts.test_remote import smi

HOSTS, GPUS = 7, 8
GIB = 1 << 30
STOKER = str(Path(sys.executable).with_name("stoker"))


def main() -> None:
    """Measure the store, then a server."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stk-") as folder:
        _store(Path(folder) / "store")
        with sshd(Path(folder) / "sshd") as host:
            _server(Path(folder) / "home", host, options.seconds)


def _store(folder: Path) -> None:
    """A full hour of samples, then as many again: rows must not become more, nor a write or a reading slower."""
    home = Home(folder, folder)
    home.make()
    migrate(home.store, home.backups)
    store, start = Store(home.store), time.time_ns() // 1_000
    for slot in range(hosts.SLOTS):
        with store.write() as session:
            for number in range(HOSTS):
                telemetry.record(session, _facts(f"gpu{number}", start + slot * hosts.SLOT_US))
    taken, end = [], start + (hosts.SLOTS + 40) * hosts.SLOT_US
    for slot in range(40):
        for number in range(HOSTS):
            began = time.perf_counter()
            with store.write() as session:
                telemetry.record(session, _facts(f"gpu{number}", end + slot * hosts.SLOT_US))
            taken.append(time.perf_counter() - began)
    store.close()
    with closing(connect_reader(home.store)) as connection:
        rows = connection.execute("SELECT count(*) FROM gpu_samples").fetchone()[0]
    figure("hosts_record", 1_000 * statistics.median(taken), "ms", p99=round(1_000 * sorted(taken)[-3], 2))
    figure("hosts_samples", rows, "rows", most=HOSTS * GPUS * hosts.SLOTS)
    began = time.perf_counter()
    found = MachineReader(stocks=True).read(home, end + 40 * hosts.SLOT_US)
    figure("hosts_read", 1_000 * (time.perf_counter() - began), "ms", hosts=len(found.hosts))


def _facts(name: str, at: int) -> HostFacts:
    gpus = tuple(
        Gpu(
            n,
            f"GPU-{name}-{n}",
            "NVIDIA H100",
            80 * GIB,
            40 * GIB,
            40 * GIB,
            92,
            71,
            400_000,
            holders=(Holder(n + 2, GIB),),
        )
        for n in range(GPUS)
    )
    return HostFacts(name, HostLook("ok", at, gpus, "570", "12.8"), {}, at, at)


def _server(root: Path, host: Sshd, seconds: float) -> None:
    """Seven hosts behind one sshd, this machine, whose driver hangs, and an address where nobody ever says a word."""
    line = "{0}, GPU-{0}, NVIDIA H100 80GB HBM3, 570.86.10, 81920, 2048, 79872, 92, 71, 412.50, 9.0, 0, Disabled"
    smi(host, *(line.format(n) for n in range(GPUS)))
    root.mkdir()
    driver = Driver(build(root), root / "nvml.txt")
    driver.set(H100, "hang")
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        names = {f"gpu{n}": NAME for n in range(HOSTS)} | {"silent": f"127.0.0.1:{silent.getsockname()[1]}"}
        tables = "".join(f'[hosts.{name}]\naddress = "{address}"\n' for name, address in names.items())
        values = {"PATH": f"{host.wrapper}{os.pathsep}{os.environ['PATH']}", **driver.environment}
        lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
        (root / "config.toml").write_text(f"[server.env]\n{lines}{tables}")
        home, env = Home(root, root), {**os.environ, "STOKER_HOME": str(root)}
        subprocess.run([STOKER, "up"], env=env, check=True, stdout=subprocess.DEVNULL)
        try:
            _look_on(home, env, seconds)
        finally:
            driver.remove()
            subprocess.run([STOKER, "down", "--all"], env=env, check=True, stdout=subprocess.DEVNULL)


def _look_on(home: Home, env: dict[str, str], seconds: float) -> None:
    facts = holder(home.server_lock) or {}
    server, began = psutil.Process(int(str(facts["pid"]))), time.perf_counter()
    before = server.cpu_times()
    words = [STOKER, "launch", "smollm2", "--name", "demo", "--ctx", "512", "--wait"]
    subprocess.run(words, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    figure("hosts_launch_meanwhile", time.perf_counter() - began, "s")
    time.sleep(max(0.0, seconds - (time.perf_counter() - began)))
    after, passed = server.cpu_times(), time.perf_counter() - began
    figure("hosts_server_cpu", 100 * (after.user + after.system - before.user - before.system) / passed, "%")
    with reading(home.store) as connection:
        now, found = time.time_ns() // 1_000, hosts.hosts(connection)
        answered = [now - each.look.at for each in found if each.look.state == "ok"]
        figure("hosts_oldest_look", max(answered, default=0) / 1_000_000, "s", answering=len(answered))
        figure("hosts_silent", sum(each.look.state == "unreachable" for each in found), "hosts", of=len(found))


if __name__ == "__main__":
    main()
