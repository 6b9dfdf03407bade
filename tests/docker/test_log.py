"""Following a container's output: nothing twice, nothing left out, whoever follows and however often it breaks off."""

from pathlib import Path

from backends.docker_host import DockerHost
from backends.docker_log import Follower
from tests.contract.harness import until
from tests.docker.daemon import IMAGE, Daemon

COUNT = 400
SOURCE = f"import time\nfor n in range({COUNT}):\n print('line', n, flush=True)\n time.sleep(0.005)"


def test_a_follower_goes_on_where_another_stopped(docker_daemon: Daemon, tmp_path: Path) -> None:
    command = ("/opt/python/bin/python3", "-u", "-c", SOURCE)
    container = docker_daemon.docker("run", "-d", "--entrypoint", command[0], IMAGE, *command[1:])
    host = DockerHost(docker_daemon.address, tmp_path)
    log = tmp_path / "head.log"
    try:
        for _ in range(5):
            _follow_for_a_while(Follower(host.client, container, tmp_path, []), log)
        last = Follower(host.client, container, tmp_path, [])
        until(last.done.is_set)
        assert log.read_text().splitlines() == [f"line {n}" for n in range(COUNT)]
    finally:
        docker_daemon.docker("rm", "-f", container)


def _follow_for_a_while(follower: Follower, log: Path) -> None:
    size = log.stat().st_size if log.exists() else 0
    until(lambda: follower.done.is_set() or (log.exists() and log.stat().st_size > size))
    follower.close()
    until(lambda: not follower.alive)


def test_what_the_disk_has_beyond_the_record_is_written_anew(docker_daemon: Daemon, tmp_path: Path) -> None:
    container = docker_daemon.docker(
        "run", "-d", "--entrypoint", "/bin/sh", IMAGE, "-c", "echo one; echo two; echo three"
    )
    host = DockerHost(docker_daemon.address, tmp_path)
    try:
        until(Follower(host.client, container, tmp_path, ["a secret"]).done.is_set)
        whole = (tmp_path / "head.log").read_text()
        with (tmp_path / "head.log").open("a") as file:
            file.write("left by one that was killed")
        until(Follower(host.client, container, tmp_path, []).done.is_set)
        assert (tmp_path / "head.log").read_text() == whole == "one\ntwo\nthree\n"
    finally:
        docker_daemon.docker("rm", "-f", container)
