"""What the edge costs: CPU per request and per paced chunk against nginx, and the time it adds to a direct connection.

`python -m bench.gateway` prints one JSON line a figure. The load generator and the fast fake engine are looked for in
`../shared/tools` (or the directory given as the first argument); nginx is used when it is installed.
"""

import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.gateway.process import Gateway
from tests.gateway.store import Store

ROUNDS = 3
SECONDS = 2.5
WANTED = {"cpu_us_per_request": 4.5, "cpu_us_per_chunk": 1.8}
"""The most the edge may cost, in multiples of nginx."""

MODES = {"cpu_us_per_request": "nonstream", "cpu_us_per_chunk": "sse", "latency_p50_us": "latency"}

NGINX = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir};
  uwsgi_temp_path {dir}; scgi_temp_path {dir};
  upstream engine {{ server 127.0.0.1:{engine}; keepalive 64; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port}; keepalive_requests 100000000;
    location / {{ proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection "";
                  proxy_buffering off; }}
  }}
}}
"""


def main() -> int:
    """Measure everything; the exit status."""
    tools = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2] / "shared/tools")
    if not (tools / "gateway_load.py").exists():
        say(figure="gateway", skipped=f"no gateway_load.py in {tools}")
        return 0
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        engine = stack.enter_context(fake_engine(tools))
        gateway, key = stack.enter_context(edge(directory / "home", engine))
        targets = {"gateway": (gateway.url, gateway.process.pid), "direct": (f"http://127.0.0.1:{engine}", 0)}
        if shutil.which("nginx"):
            targets["nginx"] = stack.enter_context(nginx(directory, engine))
        else:
            say(figure="nginx", skipped="nginx is not installed")
        results = measure(tools, targets, key)
        rss = resident_mib(gateway.process.pid)
    report(results, rss)
    return 0


def measure(tools: Path, targets: dict[str, tuple[str, int]], key: str) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Results by figure and target, a round each, the targets taking turns so that all see the same machine."""
    results: dict[str, dict[str, list[dict[str, Any]]]] = {figure: {name: [] for name in targets} for figure in MODES}
    for _ in range(ROUNDS):
        for figure, mode in MODES.items():
            for name, (url, pid) in targets.items():
                if name == "direct" and figure != "latency_p50_us":
                    continue
                results[figure][name].append(load(tools, url, key, mode, pid))
    return results


def report(results: dict[str, dict[str, list[dict[str, Any]]]], rss: float) -> None:
    """Print the medians, and the ratios to nginx with what is wanted of them."""
    for figure, field in (("cpu_us_per_request", "cpu_us_per"), ("cpu_us_per_chunk", "cpu_us_per")):
        line = {name: statistics.median(r[field] for r in rounds) for name, rounds in results[figure].items() if rounds}
        if "nginx" in line:
            line["ratio"] = round(line["gateway"] / line["nginx"], 2)
        say(figure=figure, **line, wanted_ratio=WANTED[figure])
    rounds = results["latency_p50_us"]
    p50 = {name: min(r["latency"]["p50_us"] for r in measured) for name, measured in rounds.items()}
    added = {f"added_by_{name}": round(value - p50["direct"], 1) for name, value in p50.items() if name != "direct"}
    say(figure="latency_p50_us", **p50, **added)
    say(figure="rss_mib", gateway=rss)
    errors = sum(sum(r["errors"].values()) for rounds in results.values() for many in rounds.values() for r in many)
    say(figure="failed_requests", all_targets=errors)


def load(tools: Path, url: str, key: str, mode: str, pid: int) -> dict[str, Any]:
    """One run of the load generator."""
    command = [sys.executable, str(tools / "gateway_load.py"), "--base", f"{url}/v1", "--key", key, "--modes", mode]
    command += ["--duration", str(SECONDS), "--rounds", "1", "--compact", *(["--pid", str(pid)] if pid else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    result: dict[str, Any] = json.loads(done.stdout)["results"][mode]["gateway"]
    return result


@contextmanager
def edge(home: Path, engine: int) -> Iterator[tuple[Gateway, str]]:
    """The gateway in front of four replicas, all of them the fake engine, and a key for it."""
    store = Store(home).create()
    deployment = store.deployment("fake", seqs=30)
    for _ in range(4):
        store.instance(deployment, f"http://127.0.0.1:{engine}")
    key = store.key()
    gateway = Gateway(store.home)
    try:
        yield gateway, key.text
    finally:
        gateway.close()


@contextmanager
def fake_engine(tools: Path) -> Iterator[int]:
    """The fast fake engine; its port."""
    port = free_port()
    with ending(
        subprocess.Popen([sys.executable, str(tools / "fake_upstream.py"), "--port", str(port)], stdout=subprocess.PIPE)
    ) as process:
        if process.stdout is None or not process.stdout.readline():
            raise RuntimeError("the fake engine did not start")
        yield port


@contextmanager
def nginx(directory: Path, engine: int) -> Iterator[tuple[str, int]]:
    """nginx in front of the fake engine, one worker; its URL and pid."""
    port = free_port()
    config = directory / "nginx.conf"
    config.write_text(NGINX.format(dir=directory, port=port, engine=engine))
    with ending(subprocess.Popen(["nginx", "-c", str(config), "-p", str(directory)])) as process:
        await_port(port, lambda: process.poll() is None)
        yield f"http://127.0.0.1:{port}", process.pid


@contextmanager
def ending(process: "subprocess.Popen[bytes]") -> Iterator["subprocess.Popen[bytes]"]:
    """A child that is ended afterwards."""
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


def await_port(port: int, alive: Callable[[], bool]) -> None:
    """Return when something listens on `port`."""
    while alive():
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError("nginx did not start")


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20), 1)


def say(**line: object) -> None:
    """One figure."""
    print(json.dumps({"bench": "gateway", **line}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
