"""Daemons outlive the session that started them, and find the SSH agent of whoever came last."""

import shutil
from pathlib import Path

from app.processes import daemon_environment, link_agent
from app.settings import Home


def test_the_agent_of_the_latest_session_is_found(tmp_path: Path) -> None:
    home = Home(tmp_path, tmp_path)
    home.make()
    try:
        link = daemon_environment(home, {})["SSH_AUTH_SOCK"]
        for agent in ("/run/first", "/run/second"):
            link_agent(home, {"SSH_AUTH_SOCK": agent})
            assert Path(link).readlink() == Path(agent)
        link_agent(home, {})
        link_agent(home, {"SSH_AUTH_SOCK": link})
        assert Path(link).readlink() == Path("/run/second")
    finally:
        shutil.rmtree(home.runtime, ignore_errors=True)


def test_without_one_nothing_is_made(tmp_path: Path) -> None:
    home = Home(tmp_path, tmp_path)
    link_agent(home, {})
    assert not home.runtime.exists()
