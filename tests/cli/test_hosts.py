"""`hosts`: added after a test over a real sshd, listed, tested, taken out; the owner's config keeps every word."""

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.gpus import Gpu, HostFacts, HostLook
from app.domain.stock import Disk, Stock
from app.hosts.look import connection
from app.settings import Home, load_settings
from app.store import telemetry
from app.store.write import Store
from tests.cli.conftest import Stoker
from tests.hosts.sshd import NAME, Sshd, sshd, write_program
from tests.hosts.test_remote import GPUS, smi

OWN = """# my machines
[edge] # the endpoint
port = 9000   # as agreed

# nothing below this line
"""
DOCKER = """case "$1" in
info) echo '20.10.24 {"runc":{"path":"runc"}%s}' ;;
esac"""


@pytest.fixture
def host(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    with sshd(tmp_path / "sshd") as running:
        monkeypatch.setenv("PATH", f"{running.wrapper}{os.pathsep}{os.environ['PATH']}")
        yield running
        ssh = connection(home, NAME)
        assert ssh is not None
        ssh.close()
    shutil.rmtree(home.runtime, ignore_errors=True)


def test_a_host_is_added_listed_tested_and_taken_out(stoker: Stoker, home: Home, host: Sshd) -> None:
    home.make()
    (home.config / "config.toml").write_text(OWN)
    smi(host, *GPUS)
    host.script("docker", DOCKER % ',"nvidia":{"path":"nvidia-container-runtime"}')
    added = stoker.json("hosts", "add", NAME, "--name", "gpu1", "--region", "eu", "--tier", "secure", "--price", "0.6")
    assert added["ok"] is True
    assert [(c["name"], c["result"]) for c in added["checks"]] == [
        ("ssh", "pass"),
        ("gpu", "pass"),
        ("docker", "pass"),
        ("toolkit", "pass"),
    ]
    text = (home.config / "config.toml").read_text()
    assert text.startswith(OWN)
    assert (home.config / "config.toml").stat().st_mode & 0o777 == 0o600
    found = load_settings(home).hosts["gpu1"]
    assert (found.address, found.region, found.tier, found.price) == (f"ssh://{NAME}", "eu", "secure", 600_000)

    local, gpu1 = stoker.json("hosts", "ls")
    assert local["name"] == "local"
    assert (gpu1["address"], gpu1["price_per_hour_micro"], gpu1["state"]) == (f"ssh://{NAME}", 600_000, None)
    assert "not looked at yet" in stoker("hosts", "ls").out

    seen = stoker.json("gpus", "--host", "gpu1")
    assert [(g["host"], g["index"], g["name"]) for g in seen] == [
        ("gpu1", 0, "NVIDIA H100 80GB HBM3"),
        ("gpu1", 1, "NVIDIA L40S"),
    ]

    assert stoker("hosts", "add", NAME, "--name", "gpu1", "--json").error["code"] == "NAME_TAKEN"
    assert stoker("hosts", "test", "gpu1").status == 0
    stoker.json("hosts", "rm", "gpu1")
    assert (home.config / "config.toml").read_text().startswith(OWN.rstrip())
    assert load_settings(home).hosts == {}
    assert stoker("hosts", "rm", "gpu1", "--json").error["code"] == "NOT_FOUND"


def test_what_is_wrong_with_a_host_is_said_with_code_and_remedy(stoker: Stoker, home: Home, host: Sshd) -> None:
    smi(host, *GPUS)
    host.script("docker", "echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock.'; exit 1")
    checks = {c["name"]: c for c in stoker.json("hosts", "add", NAME, "--name", "gpu1")["checks"]}
    assert checks["gpu"]["result"] == "pass"
    assert checks["docker"]["code"] == "HOST_UNREACHABLE"
    assert "systemctl start docker" in checks["docker"]["remedy"]

    host.script("docker", "echo 'permission denied while trying to connect to the Docker daemon socket'; exit 1")
    denied = _test(stoker)["docker"]
    assert (denied["code"], "group `docker`" in denied["remedy"]) == ("PROVIDER_AUTH", True)

    host.script("docker", DOCKER % "")
    toolkit = _test(stoker)["toolkit"]
    assert (toolkit["code"], "nvidia-ctk" in toolkit["remedy"]) == ("GPU_ACCESS", True)

    host.script("nvidia-smi", "echo 'NVIDIA-SMI has failed because it could not reach the driver.'; exit 9")
    assert _test(stoker)["gpu"]["code"] == "CUDA_ERROR"


def test_a_host_that_cannot_be_reached_is_added_only_by_force(stoker: Stoker, home: Home, host: Sshd) -> None:
    (host.client.parent / "authorized").write_text("")
    refused = stoker("hosts", "add", NAME, "--name", "gpu1", "--json")
    assert (refused.status, refused.error["code"]) == (1, "PROVIDER_AUTH")
    assert "ssh-copy-id" in refused.error["remedy"]
    assert not (home.config / "config.toml").exists()
    (host.client.parent / "known").write_text("")
    strange = stoker("hosts", "add", NAME, "--name", "gpu1", "--json").error
    assert (strange["code"], "compare the host's key" in strange["remedy"]) == ("PROVIDER_AUTH", True)
    forced = stoker.json("hosts", "add", NAME, "--name", "gpu1", "--force")
    assert forced["ok"] is False
    assert list(load_settings(home).hosts) == ["gpu1"]
    gpus = stoker("gpus", "--host", "gpu1", "--json")
    assert (gpus.status, gpus.document) == (1, [])
    assert "PROVIDER_AUTH Host key verification failed" in gpus.err


@pytest.mark.parametrize(
    ("address", "said", "code", "remedy"),
    [
        ("tcp://127.0.0.1:1", "$DOCKER_TLS_VERIFY $DOCKER_HOST: no ca.pem certificate", "PROVIDER_AUTH", "ca.pem"),
        ("context://team", "context $DOCKER_CONTEXT: context not found", "CONFIG_INVALID", "docker context ls"),
        ("unix:///no/such", "Cannot connect to $DOCKER_HOST", "HOST_UNREACHABLE", "systemctl start docker"),
    ],
)
def test_a_daemon_that_ssh_does_not_lead_to_is_asked_from_here(
    stoker: Stoker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, said: str, code: str, remedy: str
) -> None:
    (tmp_path / "bin").mkdir()
    write_program(tmp_path / "bin" / "docker", f'echo "{said}"; exit 1')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    ssh, docker = stoker.json("hosts", "add", address, "--name", "gpu1")["checks"]
    assert "not reached by SSH" in ssh["detail"]
    assert (docker["code"], remedy in docker["remedy"]) == (code, True)
    shown = stoker("doctor").out
    assert f"host gpu1  {code}: " in shown
    assert remedy in shown
    assert address.removeprefix("context://") in docker["detail"]
    write_program(tmp_path / "bin" / "docker", DOCKER % "")
    checks = stoker("doctor", "--json").document["checks"]
    (host,) = (check for check in checks if check["name"] == "host gpu1")
    assert (host["result"], "docker: version 20.10.24" in host["detail"]) == ("pass", True)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("-oProxyCommand=id", "--name", "x"), "USAGE"),
        (("ssh://-oProxyCommand=id", "--name", "x"), "CONFIG_INVALID"),
        (("gpu1", "--name", "../x"), "CONFIG_INVALID"),
        (("gpu1", "--name", "local"), "CONFIG_INVALID"),
    ],
)
def test_what_is_no_host(stoker: Stoker, home: Home, words: tuple[str, ...], code: str) -> None:
    assert stoker("hosts", "add", *words, "--json").error["code"] == code


def test_what_a_newcomer_needs_of_each_host_is_listed(stoker: Stoker, home: Home, store: Store) -> None:
    home.make()
    (home.config / "config.toml").write_text('[hosts.gpu1]\naddress = "ada@gpu1"\nregion = "eu"\nprice = "0.60"\n')
    l40s = Gpu(0, "GPU-a", "NVIDIA L40S", 45 << 30, 5 << 30, 40 << 30, mig=True)
    part = Gpu(0, "MIG-a", "NVIDIA L40S MIG 1g", 10 << 30, 0, 10 << 30, slice=0)
    look = HostLook("ok", time.time_ns() // 1_000, (l40s, replace(l40s, index=1, uuid="GPU-b"), part), "570")
    stock = Stock(look.at, "28.2.2", disks=(Disk("weights", 2 * 10**12, 61 * 10**9),))
    with store.write() as session:
        telemetry.record(session, HostFacts("gpu1", look, {}, look.at, look.at))
    with store.write() as session:
        telemetry.record_stock(session, "gpu1", stock)
    for unseen in (Stock(look.at + 1, detail="It did not answer."), stock):
        with store.write() as session:
            telemetry.record_stock(session, "gpu1", unseen)
    local, gpu1 = stoker.json("hosts", "ls")
    assert (local["docker"], local["vram_free"], gpu1["docker"], gpu1["images"]) == (None, None, "28.2.2", 0)
    assert (gpu1["gpus"], gpu1["vram_free"], gpu1["disk_free"]) == (["NVIDIA L40S"] * 2, 80 << 30, 61 * 10**9)
    shown = stoker("hosts", "ls").out
    assert "2 × NVIDIA L40S  80.0 GiB  28.2.2  61.0 GB    eu      –     0.60  " in shown


def test_a_newcomer_is_told_how_to_go_on(stoker: Stoker) -> None:
    shown = stoker("hosts", "ls")
    assert "stoker hosts add USER@HOST --name NAME" in shown.out
    assert "stoker up" in shown.out


def _test(stoker: Stoker) -> dict[str, dict[str, str]]:
    result = stoker("hosts", "test", "gpu1", "--json")
    assert result.status == 1
    return {check["name"]: check for check in result.document["checks"]}
