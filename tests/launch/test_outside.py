"""What `doctor` says of Docker and the hub: there, absent, closed, silent."""

import http.server
import os
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.launch.outside import check_docker, check_hub


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers anything, as a daemon or a hub does a first question."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Api-Version", "1.48")
        self.end_headers()

    def do_HEAD(self) -> None:
        self.send_response(405)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the name of what it overrides
        pass

    def address_string(self) -> str:
        return "somebody"


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_daemon_that_answers(tmp_path: Path) -> None:
    path = os.path.relpath(tmp_path / "docker.sock")  # within the length that a socket's path may have
    with serving(socketserver.UnixStreamServer(path, Answering)):
        check = check_docker(f"unix://{tmp_path / 'docker.sock'}")
    assert (check.result, check.name) == ("pass", "docker")
    assert "API 1.48" in check.detail
    with serving(server := http.server.HTTPServer(("127.0.0.1", 0), Answering)):
        assert check_docker(f"tcp://127.0.0.1:{server.server_port}").result == "pass"


def test_no_daemon_is_no_fault_and_a_silent_one_is(tmp_path: Path) -> None:
    absent = check_docker(f"unix://{tmp_path / 'none.sock'}")
    assert (absent.result, "only containers need one" in absent.detail) == ("pass", True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        silent = check_docker(f"tcp://127.0.0.1:{taken.getsockname()[1]}")
    assert silent.result == "warn"
    assert "systemctl start docker" in silent.remedy


def test_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with serving(server := http.server.HTTPServer(("127.0.0.1", 0), Answering)):
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        assert "no token" in check_hub().detail, "405 to a HEAD is an answer"
        (tmp_path / "token").write_text("hf_x")
        check = check_hub()
        assert (check.result, "with a token" in check.detail) == ("pass", True)
    gone = check_hub()
    assert (gone.result, gone.code) == ("warn", "OFFLINE")
    assert gone.remedy
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc/passwd")
    assert check_hub().result == "warn"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert check_hub().result == "pass"
