"""The way to a host: one connection for all commands, its failures told apart, no prompt, no end in sight bounded."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.hosts.ssh import Ssh, SshFailed
from tests.hosts.sshd import NAME, Sshd

PATIENCE_S = 60.0


@pytest.fixture
def ssh(host: Sshd, sockets: Path) -> Iterator[Ssh]:
    made = Ssh(NAME, sockets)
    yield made
    made.close()


def test_a_script_is_run_and_its_outcome_told(ssh: Ssh, host: Sshd) -> None:
    host.script("hello", "echo hello from $1")
    answer = ssh.run("hello there; exit 3", PATIENCE_S)
    assert (answer.status, answer.out) == (3, b"hello from there\n")


def test_all_commands_share_one_connection_that_ends_when_told(ssh: Ssh) -> None:
    first, second = (ssh.run("echo $PPID", PATIENCE_S).out for _ in range(2))
    assert first == second, "the same sshd process answered both"
    assert ssh.socket.is_socket()
    assert ssh.socket.stat().st_mode & 0o077 == 0
    ssh.close()
    assert not ssh.socket.exists()


def test_a_connection_that_was_cut_is_made_anew(ssh: Ssh, host: Sshd) -> None:
    before = ssh.run("echo $PPID", PATIENCE_S).out
    host.hang_up()
    while True:
        try:
            after = ssh.run("echo $PPID", PATIENCE_S).out
            break
        except SshFailed as error:
            assert error.reason == "unreachable"
    assert after != before


def test_a_key_that_is_not_accepted(ssh: Ssh, host: Sshd) -> None:
    (host.client.parent / "authorized").write_text("")
    with pytest.raises(SshFailed, match="Permission denied") as caught:
        ssh.run("true", PATIENCE_S)
    assert caught.value.reason == "no_key"


def test_a_host_whose_key_is_not_known_or_not_the_one_that_was(ssh: Ssh, host: Sshd) -> None:
    known = host.client.parent / "known"
    right = known.read_text()
    other = (host.client.parent / "user.pub").read_text().split()[1]
    for text in ("", right.replace(right.split()[2], other)):
        known.write_text(text)
        with pytest.raises(SshFailed, match=r"Host key verification failed|IDENTIFICATION HAS CHANGED") as caught:
            ssh.run("true", PATIENCE_S)
        assert caught.value.reason == "host_key"


def test_nobody_listens_and_no_such_name(host: Sshd, sockets: Path) -> None:
    for ssh in (Ssh("127.0.0.1", sockets, port=1), Ssh("no-such-host.invalid", sockets)):
        with pytest.raises(SshFailed) as caught:
            ssh.run("true", PATIENCE_S)
        assert caught.value.reason == "unreachable"
        assert caught.value.text


def test_no_ssh_on_this_machine(sockets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(sockets))
    with pytest.raises(SshFailed) as caught:
        Ssh(NAME, sockets).run("true", PATIENCE_S)
    assert caught.value.reason == "no_client"


def test_a_host_that_never_answers_and_one_that_never_stops(ssh: Ssh) -> None:
    with pytest.raises(SshFailed, match="did not answer in time") as caught:
        ssh.run("exec tail -f /dev/null --pid=$PPID", 1.0)
    assert caught.value.reason == "unreachable"
    with pytest.raises(SshFailed, match="more than 100,000 bytes") as caught:
        ssh.run("while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done", PATIENCE_S, 100_000)
    assert caught.value.reason == "too_much"


def test_a_script_longer_than_a_pipe_holds(ssh: Ssh) -> None:
    assert ssh.run(f": {'x' * 1_000_000}\necho done", PATIENCE_S).out == b"done\n"


def test_what_the_host_is_called_cannot_be_an_option(sockets: Path) -> None:
    words = Ssh("-oProxyCommand=touch", sockets).command("true")
    assert words[words.index("--") + 1] == "-oProxyCommand=touch"
