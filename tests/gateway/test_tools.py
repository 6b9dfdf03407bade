"""A load generator and a fast fake engine against the gateway, where a checkout has them beside it."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from tests.gateway.conftest import CONFIG
from tests.gateway.process import Gateway, wait_for
from tests.gateway.store import Store

TOOLS = Path(__file__).parents[3] / "shared" / "tools"

pytestmark = pytest.mark.skipif(
    not (TOOLS / "gateway_load.py").exists(), reason="there is no ../shared/tools beside this checkout"
)


@pytest.fixture
def engine() -> Iterator[str]:
    """The fast fake engine; its base URL."""
    with closing(_free_port()) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, str(TOOLS / "fake_upstream.py"), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        yield f"http://127.0.0.1:{port}"
        process.terminate()


def _free_port() -> socket.socket:
    probe = socket.socket()
    probe.bind(("127.0.0.1", 0))
    return probe


def test_load_leaving_clients_and_slow_readers(tmp_path: Path, engine: str) -> None:
    store = Store(tmp_path).create()
    for name in ("fake", "fake-slow"):
        store.instance(store.deployment(name, seqs=30), engine)
    key = store.key()
    gateway = Gateway(store.home, CONFIG)
    try:
        headers = {"Authorization": f"Bearer {key.text}"}
        wait_for(lambda: httpx2.get(f"{gateway.url}/v1/models", headers=headers).status_code == 200)
        command = [sys.executable, str(TOOLS / "gateway_load.py"), "--base", f"{gateway.url}/v1", "--key", key.text]
        command += ["--modes", "nonstream,sse", "--duration", "0.5", "--rounds", "1", "--chunks", "20", "-c", "16"]
        command += ["--disconnect", "--slow-model", "fake-slow", "--slow-reader", "--upstream-stats", f"{engine}/stats"]
        command += ["--pid", str(gateway.process.pid), "--compact"]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False, timeout=90)
        result = json.loads(done.stdout)
        assert result["errors"] == 0
        assert result["disconnect"]["ok"] and result["disconnect_before_first_byte"]["ok"]
        assert result["slow_reader"]["backpressure"]
        sent = sum(result["results"][mode]["gateway"]["requests"] for mode in ("nonstream", "sse"))
        wait_for(lambda: len(store.requests()) >= sent + 24)
        exact = store.rows("SELECT count(*) AS n FROM requests WHERE status = 200 AND estimated = 0 AND tokens_in = 12")
        assert exact[0]["n"] >= sent
    finally:
        gateway.close()
