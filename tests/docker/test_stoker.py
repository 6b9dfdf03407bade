"""The product with containers, as its user has it: real daemons, a real model, real trouble."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.control.support import bundled_model, look_for, wait_for
from tests.docker.daemon import Daemon
from tests.docker.registry import registry
from tests.docker.remote import NAME, Remote
from tests.e2e.bill import is_billed_to_the_microsecond
from tests.e2e.stoker import Stoker, installed
from tests.launch import model_hub

SMALL = ("--ctx", "512", "--seqs", "2")
SECRET = "a-secret-that-was-planted-here"


@pytest.fixture
def stoker(tmp_path: Path, docker_daemon: Daemon) -> Iterator[Stoker]:
    """An installation whose own daemon is the tests', which has nothing of ours left in the end."""
    (tmp_path / "config.toml").write_text(f"[server]\nenv = {{DOCKER_HOST = {json.dumps(docker_daemon.address)}}}\n")
    with installed(tmp_path) as found:
        yield found
    left = docker_daemon.docker("ps", "-aq", "--filter", "label=io.stoker.owner").split()
    docker_daemon.docker("rm", "-f", "-v", *left) if left else None


def launched(stoker: Stoker, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    return stoker.run("launch", "smollm2", "--name", name, *SMALL, *words, "--wait", check=False)


def instance(stoker: Stoker, name: str) -> Any:
    (found,) = stoker.json("show", name)["instances"]
    return found


def failure(stoker: Stoker, name: str) -> Any:
    return instance(stoker, name)["failure_reason"]


def serves(stoker: Stoker, name: str, attempt: int) -> bool:
    found = instance(stoker, name)
    return bool(found["phase"] == "serving" and found["attempt"] == attempt)


@pytest.mark.timeout(600)
def test_a_container_answers_survives_the_server_and_is_started_again_when_killed(
    stoker: Stoker, docker_daemon: Daemon
) -> None:
    done = launched(stoker, "boxed", "--backend", "docker", "--env", f"PLANTED={SECRET}")
    assert done.returncode == 0, done.stderr + stoker.log()
    assert stoker.answers("boxed")
    before = instance(stoker, "boxed")
    inspected = docker_daemon.docker("inspect", before["container"])
    (attempt,) = stoker.home.attempts.iterdir()
    key = (attempt / "key").read_text()
    arguments = " ".join(" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"]))
    for secret in (SECRET, key):
        assert secret not in inspected
        assert secret not in arguments
        assert secret not in docker_daemon.docker("logs", before["container"])
        assert secret not in stoker.log()
        assert secret.encode() not in stoker.home.store.read_bytes()

    stoker.run("down")
    stoker.run("up")
    wait_for(lambda: serves(stoker, "boxed", 1), "the container to be adopted")
    assert instance(stoker, "boxed")["container"] == before["container"]
    assert instance(stoker, "boxed")["pid"] == before["pid"]

    docker_daemon.docker("kill", before["container"])
    wait_for(lambda: serves(stoker, "boxed", 2), "another start")
    docker_daemon.docker("rm", "-f", instance(stoker, "boxed")["container"])
    lost = look_for(lambda: failure(stoker, "boxed"), lambda reason: reason is not None, "the loss to be noticed")
    assert lost["code"] == "KILLED_EXTERNALLY"
    stoker.run("rm", "boxed", "--yes", "--wait")
    assert docker_daemon.docker("ps", "-aq", "--filter", "label=io.stoker.deployment=boxed") == ""


@pytest.mark.timeout(600)
def test_a_model_of_the_hub_is_given_to_a_container_file_by_file(
    stoker: Stoker, docker_daemon: Daemon, tmp_path: Path
) -> None:
    with model_hub.serving({"org/m-GGUF": {"sub/m-Q4_1.gguf": bundled_model().read_bytes()}}) as hub:
        variables = {"DOCKER_HOST": docker_daemon.address, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf")}
        pairs = ", ".join(f"{name} = {json.dumps(value)}" for name, value in variables.items())
        (stoker.home.config / "config.toml").write_text(f"[server]\nenv = {{{pairs}}}\n")
        done = stoker.run("launch", "org/m-GGUF", "--name", "hub", *SMALL, "--backend", "docker", "--wait", check=False)
    assert done.returncode == 0, done.stderr + stoker.log()
    (mount,) = json.loads(docker_daemon.docker("inspect", instance(stoker, "hub")["container"]))[0]["Mounts"]
    assert (mount["Destination"], mount["RW"]) == ("/models/m-GGUF/sub/m-Q4_1.gguf", False)


@pytest.mark.timeout(600)
def test_the_bill_of_a_container_whose_server_was_killed_twice(stoker: Stoker) -> None:
    is_billed_to_the_microsecond(stoker, "--backend", "docker")


@pytest.mark.timeout(600)
def test_what_docker_refuses_is_told_by_its_cause(stoker: Stoker, docker_daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "registry").mkdir()
    with registry(tmp_path / "registry", locked=True) as locked:
        launched(stoker, "limited", "--backend", "docker", "--memory", "150M", "--ctx", "8192")
        launched(stoker, "gpus", "--gpus", "all")
        launched(stoker, "nowhere", "--image", "localhost/stoker/llama.cpp:no-such-tag")
        launched(stoker, "locked", "--image", f"{locked.host}/team/engine:1")
        for name, code, words in (
            ("limited", "HOST_OOM", "out of memory"),
            ("gpus", "GPU_ACCESS", "could not select device driver"),
            ("locked", "IMAGE_PULL_FAILED", "no basic auth credentials"),
        ):
            found = failure(stoker, name)
            assert (found["code"], words in found["evidence"]) == (code, True), found
        assert "docker login" in failure(stoker, "locked")["remedy"]
        assert failure(stoker, "nowhere")["code"] == "IMAGE_PULL_FAILED"
    left = docker_daemon.docker("ps", "-a", "--format", "{{.Names}} {{.State}}").splitlines()
    assert not [line for line in left if line.endswith("created")], "a failed start leaves nothing"
    refused = (stoker.home.config / "config.toml").read_text() + '[images]\npolicy = "pinned"\n'
    (stoker.home.config / "config.toml").write_text(refused)
    done = launched(stoker, "policy", "--backend", "docker", "--image", "x/y:1")
    assert "IMAGE_NOT_ALLOWED" in done.stderr
    assert "@sha256:" in done.stderr


@pytest.fixture
def far(tmp_path: Path, docker_remote: Remote) -> Iterator[Stoker]:
    """An installation that knows a host behind a cable."""
    variables = ", ".join(f"{name} = {json.dumps(value)}" for name, value in docker_remote.environment.items())
    host = f'[hosts.{NAME}]\naddress = "ssh://{NAME}"\n'
    (tmp_path / "config.toml").write_text(f"[server]\nenv = {{{variables}}}\n{host}")
    try:
        with installed(tmp_path) as found:
            yield found
            docker_remote.mend()
    finally:
        docker_remote.mend()


@pytest.mark.timeout(600)
def test_a_host_that_is_cut_off_changes_nothing_and_is_taken_up_again(far: Stoker, docker_remote: Remote) -> None:
    done = launched(far, "far", "--host", NAME)
    assert done.returncode == 0, done.stderr + far.log()
    assert far.answers("far")
    before = instance(far, "far")
    docker_remote.cut()
    wait_for(lambda: not far.json("ps")[0]["reachable"], "the host to be missed", 60)
    assert far.json("ps")[0]["status"] == "UNREACHABLE"
    refused = far.run("ask", "far", "hi", check=False).stderr
    assert f"NO_CAPACITY: `far` is UNREACHABLE: host {NAME} has not been reached since 20" in refused
    for number in range(3):
        words = ("/bin/sh", "-c", f"echo said meanwhile {number} >/proc/1/fd/1")
        docker_remote.daemon.docker("exec", before["container"], *words)
    docker_remote.mend()
    wait_for(lambda: far.answers("far"), "the host to be back", 90)
    after = instance(far, "far")
    unchanged = ("attempt", "pid", "container", "endpoint", "since")
    assert {name: after[name] for name in unchanged} == {name: before[name] for name in unchanged}
    (attempt,) = far.home.attempts.iterdir()
    wait_for(lambda: "said meanwhile 2\n" in (attempt / "head.log").read_text(), "the gap in the log to be filled", 60)
    log = (attempt / "head.log").read_text().splitlines()
    assert [line for line in log if "meanwhile" in line] == [f"said meanwhile {number}" for number in range(3)]
    far.run("rm", "far", "--yes", "--wait")
    assert docker_remote.daemon.docker("ps", "-aq") == ""
