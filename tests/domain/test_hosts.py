"""Addresses and names of hosts: what is taken, what it means, and what could do something else than name a host."""

import pytest

from app.domain.hosts import Address, check_host_name, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("gpu1", Address("ssh", "gpu1")),
        ("ada@gpu1", Address("ssh", "gpu1", "ada")),
        ("ssh://ada@10.0.0.7:2222", Address("ssh", "10.0.0.7", "ada", 2222)),
        ("ssh://[fe80::1%eth0]:22", Address("ssh", "[fe80::1%eth0]", None, 22)),
        ("tcp://gpu1.example:2376", Address("tcp", "gpu1.example", None, 2376)),
        ("unix:///var/run/docker.sock", Address("unix", path="/var/run/docker.sock")),
        ("context://lab", Address("context", path="lab")),
    ],
)
def test_an_address_is_read_and_written(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-oProxyCommand=id",
        "ssh://-oProxyCommand=id",
        "ssh://-l@gpu1",
        "ssh://gpu1/path",
        "ssh://gpu1:0",
        "ssh://gpu1:65536",
        "ssh://gpu1:8_0",
        "ssh://gpu1 rm",
        "ssh://gpu1\n",
        "ssh://\u0430da@gpu1",
        "tcp://gpu1",
        "http://gpu1:80",
        "unix://relative",
    ],
)
def test_anything_else_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="`"):
        parse_address(text)


def test_a_host_is_called_as_a_deployment_is_but_not_as_this_machine() -> None:
    check_host_name("gpu-1")
    for name in ("local", "GPU1", "-x", "../x", ""):
        with pytest.raises(ValueError, match="name"):
            check_host_name(name)
