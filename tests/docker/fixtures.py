"""The daemon that tests share within one run; other runs have others."""

from collections.abc import Iterator

import pytest

from tests.docker.daemon import Daemon, daemon


@pytest.fixture(scope="session")
def docker_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A real daemon that has our own image."""
    with daemon(tmp_path_factory.mktemp("docker")) as found:
        found.build_image()
        yield found
