"""What a host has in store, here and over a real sshd, from what Docker's command and the disk say."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.domain.stock import Disk, Image, Kept, Stock
from app.hosts.look import connection
from app.hosts.stock import parse, take_stock
from app.settings import Home
from tests.hosts.sshd import NAME, Sshd, write_program

ID = "sha256:" + "a1" * 32
DIGEST = "sha256:" + "4f" * 32
DOCKER = rf"""case "$1 $2" in
"info "*) case "$*" in *Root*) echo /no/such/folder/anywhere;; *) echo 28.2.2;; esac ;;
"image ls") echo {ID} ;;
"image inspect") printf 'image\t{ID}\t10400000000\t["vllm/vllm-openai:v0.11.0"]\t["vllm/vllm-openai@{DIGEST}"]\n' ;;
"system df")
  printf 'volume\tstoker-weights-1\t98.36MB\tio.stoker.weights=SmolLM2.gguf\n'
  printf 'volume\tstoker-cache\t16.4GB\t\nvolume\tsomebody-else\t1GB\t\n' ;;
esac"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """An installation of its own, with a hub cache that holds one model."""
    found = tmp_path / "hub" / "models--Qwen--Qwen3-8B" / "blobs"
    found.mkdir(parents=True)
    (found / "weights").write_bytes(bytes(3_000_000))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    made = Home(tmp_path / "home", tmp_path / "home")
    made.make()
    yield made
    shutil.rmtree(made.runtime, ignore_errors=True)


def test_images_weights_and_room_of_this_machine(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    write_program(tmp_path / "bin" / "docker", DOCKER)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    (home.models / "own.gguf").write_bytes(bytes(1_000_000))
    found = take_stock(home, "local", "")
    assert (found.docker, found.detail) == ("28.2.2", "")
    assert found.images == (Image(ID, 10_400_000_000, ("vllm/vllm-openai:v0.11.0",), DIGEST),)
    assert {(kept.name, kept.place) for kept in found.weights} == {
        ("Qwen/Qwen3-8B", "hub cache"),
        ("own.gguf", "stoker"),
        ("SmolLM2.gguf", "volume"),
        ("what engines fetched", "volume"),
    }
    sizes = {kept.name: kept.size or 0 for kept in found.weights}
    assert 3_000_000 <= sizes["Qwen/Qwen3-8B"] < 4_000_000
    assert (sizes["SmolLM2.gguf"], sizes["what engines fetched"]) == (98_360_000, 16_400_000_000)
    assert [disk.holds for disk in found.disks] == ["weights", "images"]
    assert all(0 < disk.free <= disk.total for disk in found.disks)
    assert Stock.from_json(found.to_json()) == found
    assert found.of_engine(["docker.io/vllm/vllm-openai@sha256:0"]) == list(found.images)
    assert found.of_engine(["vllm/other"]) == []


def test_a_host_over_ssh_with_no_docker_and_one_that_is_gone(home: Home, host: Sshd) -> None:
    address = f"ssh://{NAME}"
    try:
        host.script("docker", "echo 'Cannot connect to the Docker daemon.' >&2; exit 1")
        found = take_stock(home, "gpu1", address)
        assert (found.docker, found.detail, found.images) == (None, "Cannot connect to the Docker daemon.", ())
        assert [disk.holds for disk in found.disks] == ["weights"]
        host.script("docker", DOCKER)
        assert [image.size for image in take_stock(home, "gpu1", address).images] == [10_400_000_000]
    finally:
        ssh = connection(home, address)
        assert ssh is not None
        ssh.close()
    (host.client.parent / "authorized").write_text("")
    gone = take_stock(home, "gpu1", address)
    assert (gone.docker, gone.disks, "Permission denied" in gone.detail) == (None, (), True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "docker\t0",
        "image\tx\t-1\t[]\t[]\nimage\tx\t1\nvolume\ta\ndisk\tweights\nhub",
        "image\tx\tNaN\tnull\tnull\nvolume\tstoker-weights-1\t1e9GB\t\ndisk\tweights\tx\ty\ndisk\telse\t1\t1",
    ],
)
def test_nonsense_is_taken_for_nothing(text: str) -> None:
    assert parse(text, 5) == Stock(5, detail="It did not say what it has.")


def test_nothing_in_an_answer_can_act_and_nothing_is_without_end() -> None:
    hostile = "\x1b]52;c;QQ==\x07\x9b31m"
    lines = [f"docker\t0\t{hostile}9", f'image\t{hostile}\t1\t["{hostile}"]\t["{hostile}@{hostile}"]']
    lines += [f"hub\t\tmodels--{hostile}", "image\ti\t1\t" + "[" * 100_000 + "\t{}"]
    lines += [f"image\t{n}\t1\t[]\t[]" for n in range(500)]
    found = parse("\n".join(lines), 5)
    assert "\x1b" not in repr(found) and "\x9b" not in repr(found)
    assert (len(found.images), found.weights[0].size) == (200, None)
    assert parse("disk\timages\t10\t4", 5).disks == (Disk("images", 10_240, 4_096),)
    assert parse("own\t7\tx", 5).weights == (Kept("x", "stoker", 7_168),)
